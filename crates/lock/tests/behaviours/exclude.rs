//! Who excludes whom.

use plinth_lock::model::AcquireRequest;

use crate::support::{Fixture, TAKEN, TENANT, code, context, exclusive, keyed, permits, shared};

pub(crate) async fn an_exclusive_lock_has_one_holder(fixture: &Fixture) {
    let first = fixture.take(exclusive("a"), "one").await.expect("is free");
    assert_eq!(code(fixture.take(exclusive("a"), "two").await), TAKEN);
    assert_eq!(code(fixture.take(shared("a"), "two").await), TAKEN);
    assert_eq!(fixture.holders("a").await, ["one"]);
    assert!(!fixture.release(&first, "two").await, "another's");
    assert!(fixture.release(&first, "one").await);
    assert!(fixture.take(exclusive("a"), "two").await.is_ok());
}

pub(crate) async fn tokens_of_a_lock_only_grow(fixture: &Fixture) {
    let mut last = 0;
    for round in 0..20 {
        let grant = fixture.take(exclusive("a"), "one").await.expect("is free");
        assert!(grant.token.0 > last, "{} after {last}", grant.token.0);
        last = grant.token.0;
        if round % 2 == 0 {
            assert!(fixture.release(&grant, "one").await);
        } else {
            fixture.clock.advance_ms(1_000);
        }
    }
}

pub(crate) async fn shared_locks_go_together_and_exclude_an_exclusive_one(fixture: &Fixture) {
    let one = fixture.take(shared("a"), "one").await.expect("is free");
    let two = fixture.take(shared("a"), "two").await.expect("is shared");
    assert!(two.token.0 > one.token.0);
    assert_eq!(code(fixture.take(exclusive("a"), "three").await), TAKEN);
    assert!(fixture.release(&one, "one").await);
    assert_eq!(code(fixture.take(exclusive("a"), "three").await), TAKEN);
    assert!(fixture.release(&two, "two").await);
    assert!(fixture.take(exclusive("a"), "three").await.is_ok());
}

pub(crate) async fn a_semaphore_hands_out_its_permits_and_no_more(fixture: &Fixture) {
    let two = fixture
        .take(permits("s", 2, 3), "one")
        .await
        .expect("is free");
    assert_eq!(code(fixture.take(permits("s", 2, 3), "two").await), TAKEN);
    let one = fixture
        .take(permits("s", 1, 3), "one")
        .await
        .expect("one more for the same owner");
    assert_eq!(code(fixture.take(permits("s", 1, 3), "two").await), TAKEN);
    assert!(fixture.release(&one, "one").await);
    assert!(fixture.release(&two, "one").await);
    assert!(fixture.take(permits("s", 3, 3), "two").await.is_ok());
}

pub(crate) async fn an_owner_enters_again_only_where_it_asks_to(fixture: &Fixture) {
    let first = fixture.take(exclusive("a"), "one").await.expect("is free");
    assert_eq!(code(fixture.take(exclusive("a"), "one").await), 2604);
    let again = async |ask| {
        let reply = fixture
            .acquire(vec![ask], "one", |request| request.reentrant = Some(true))
            .await;
        reply.expect("is let in").grants.remove(0)
    };
    let second = again(exclusive("a")).await;
    assert_eq!((second.token, second.depth), (first.token, 2));
    assert_eq!(again(shared("a")).await.depth, 3);
    assert_eq!(code(fixture.take(exclusive("a"), "two").await), TAKEN);
    for depth in [3, 2, 1] {
        let mut grant = first.clone();
        grant.depth = depth;
        assert!(fixture.release(&grant, "one").await);
    }
    assert!(fixture.take(exclusive("a"), "two").await.is_ok());
    // A shared hold does not become an exclusive one: two who tried would wait for each other.
    assert!(fixture.take(shared("b"), "one").await.is_ok());
    assert_eq!(code(fixture.take(exclusive("b"), "one").await), 2604);
}

pub(crate) async fn several_locks_are_taken_all_or_none(fixture: &Fixture) {
    let taken = fixture
        .take(exclusive("m"), "other")
        .await
        .expect("is free");
    let locks = || vec![exclusive("z"), exclusive("m"), exclusive("a")];
    assert_eq!(code(fixture.acquire(locks(), "one", |_| {}).await), TAKEN);
    assert!(fixture.holders("a").await.is_empty());
    assert!(fixture.holders("z").await.is_empty());
    let waiting = tokio::spawn({
        let (fixture, locks) = (fixture.clone(), locks());
        async move {
            let waits = |request: &mut AcquireRequest| request.wait_ms = Some(60_000);
            fixture.acquire(locks, "one", waits).await
        }
    });
    while fixture.waiters("m").await.is_empty() {
        tokio::task::yield_now().await;
    }
    // They are taken in the order of their names.
    assert_eq!(fixture.holders("a").await, ["one"]);
    assert!(fixture.holders("z").await.is_empty());
    assert!(fixture.release(&taken, "other").await);
    let reply = waiting.await.expect("joins");
    let grants = reply.expect("all are free").grants;
    let names: Vec<&str> = grants.iter().map(|grant| grant.lock.as_str()).collect();
    assert_eq!(names, ["z", "m", "a"], "in the order of the request");
    assert!(grants[1].token > taken.token);
}

pub(crate) async fn what_is_held_lives_while_the_next_is_waited_for(fixture: &Fixture) {
    fixture.clock.advance_ms(5_000);
    let later = fixture
        .acquire(vec![exclusive("b")], "other", |request| {
            request.lease_ms = Some(60_000);
        })
        .await
        .expect("is free");
    let both = tokio::spawn({
        let fixture = fixture.clone();
        async move {
            let locks = vec![exclusive("a"), exclusive("b")];
            fixture
                .acquire(locks, "one", |request| {
                    (request.lease_ms, request.wait_ms) = (Some(300), Some(60_000));
                })
                .await
        }
    });
    while fixture.waiters("b").await.is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        fixture.clock.advance_ms(100);
        // The renewal that is due goes through before time goes on.
        loop {
            let info = fixture.service.get(&context(TENANT), "a").await;
            let holders = info.expect("is read").holders;
            assert_eq!(holders.len(), 1, "it ended");
            if holders[0].left_ms > 100 {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert!(fixture.release(&later.grants[0], "other").await);
    let reply = both.await.expect("joins").expect("both are held");
    for grant in &reply.grants {
        assert!(fixture.renew(grant, "one").await);
    }
}

pub(crate) async fn a_repeat_gets_the_same_grant(fixture: &Fixture) {
    let call = keyed("attempt-1");
    let acquire = async || {
        fixture
            .acquire_as(&call, vec![exclusive("a")], "one", |_| {})
            .await
    };
    let first = acquire().await.expect("is free");
    fixture.clock.advance_ms(900);
    let again = acquire().await.expect("the same attempt");
    assert_eq!(first.grants, again.grants);
    fixture.clock.advance_ms(900);
    assert!(
        fixture.renew(&first.grants[0], "one").await,
        "the repeat began the lease anew"
    );
}

pub(crate) async fn tenants_are_apart(fixture: &Fixture) {
    let grant = fixture.take(exclusive("a"), "one").await.expect("is free");
    let other = context("other");
    let theirs = fixture
        .acquire_as(&other, vec![exclusive("a")], "one", |_| {})
        .await;
    assert!(theirs.is_ok());
    assert!(fixture.renew(&grant, "one").await);
    let listed = fixture.service.list(&other, Default::default()).await;
    assert_eq!(listed.expect("is listed").locks.len(), 1);
}
