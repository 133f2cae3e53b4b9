//! What is refused, and how.

use plinth_lock::LockError;
use plinth_lock::model::{AcquireRequest, LockAsk, ReleaseRequest, RenewRequest, limits};

use crate::support::{
    Fixture, LOCKS_MAX, TAKEN, TENANT, claim, code, context, exclusive, keyed, of_another, permits,
    shared, told,
};

fn field<T>(outcome: Result<T, LockError>) -> String {
    let Err(error) = outcome else {
        return "was not refused".to_owned();
    };
    let error = told(error);
    assert_eq!(error.code().number(), 1001, "{error}");
    error.violations()[0].field.clone()
}

pub(crate) async fn bad_requests_name_their_field(fixture: &Fixture) {
    type Change = fn(&mut AcquireRequest);
    let cases: [(Change, &str); 14] = [
        (|r| r.locks.clear(), "locks"),
        (|r| r.locks = vec![exclusive("x"); 17], "locks"),
        (|r| r.locks.push(exclusive("a")), "locks[1].lock"),
        (|r| r.locks.push(exclusive("no spaces")), "locks[1].lock"),
        (
            |r| r.locks[0].lock = "x".repeat(limits::NAME_BYTES_MAX + 1),
            "locks[0].lock",
        ),
        (|r| r.owner.clear(), "owner"),
        (
            |r| r.owner = "o".repeat(limits::OWNER_BYTES_MAX + 1),
            "owner",
        ),
        (|r| r.lease_ms = Some(limits::LEASE_MS_MIN - 1), "lease_ms"),
        (|r| r.lease_ms = Some(limits::LEASE_MS_MAX + 1), "lease_ms"),
        (|r| r.wait_ms = Some(limits::WAIT_MS_MAX + 1), "wait_ms"),
        (
            |r| r.keep_place_ms = Some(limits::KEEP_PLACE_MS_MAX + 1),
            "keep_place_ms",
        ),
        (
            |r| r.locks[0].mode = Some("half".to_owned()),
            "locks[0].mode",
        ),
        (|r| r.locks[0].permits = Some(1), "locks[0].permits"),
        (
            |r| {
                r.locks.push(exclusive("b"));
                r.keep_place_ms = Some(1);
            },
            "keep_place_ms",
        ),
    ];
    for (change, named) in cases {
        let outcome = fixture.acquire(vec![exclusive("a")], "one", change).await;
        assert_eq!(field(outcome), named);
    }
    let semaphores: [(LockAsk, &str); 3] = [
        (
            permits("s", 1, limits::PERMITS_MAX + 1),
            "locks[0].permits_max",
        ),
        (permits("s", 4, 3), "locks[0].permits"),
        (
            LockAsk {
                permits_max: None,
                ..permits("s", 1, 1)
            },
            "locks[0].permits_max",
        ),
    ];
    for (ask, named) in semaphores {
        assert_eq!(field(fixture.take(ask, "one").await), named);
    }
    let claimless = ReleaseRequest {
        owner: "one".to_owned(),
        claims: Vec::new(),
    };
    let outcome = fixture.service.release(&context(TENANT), claimless).await;
    assert_eq!(field(outcome), "claims");
}

pub(crate) async fn limits_hold_at_the_limit_and_refuse_one_past_it(fixture: &Fixture) {
    let longest = "n".repeat(limits::NAME_BYTES_MAX);
    let at_the_limits = |request: &mut AcquireRequest| {
        request.owner = "o".repeat(limits::OWNER_BYTES_MAX);
        request.lease_ms = Some(limits::LEASE_MS_MAX);
    };
    let reply = fixture
        .acquire(vec![exclusive(&longest)], "one", at_the_limits)
        .await;
    assert!(reply.is_ok());
    for number in 1..LOCKS_MAX {
        let name = format!("lock-{number}");
        assert_eq!(
            code(fixture.take(exclusive(&name), "one").await),
            0,
            "{name}"
        );
    }
    let past = told(
        fixture
            .take(exclusive("one-more"), "one")
            .await
            .expect_err("is one too many"),
    );
    assert_eq!(past.code().number(), 2605);
    assert_eq!(past.details()["limit"], "locks");
    // Re-entrance.
    for depth in 2..=limits::HOLDS_MAX + 1 {
        let reply = fixture
            .acquire(vec![exclusive("lock-1")], "one", |request| {
                request.reentrant = Some(true);
            })
            .await;
        let expected = if depth <= limits::HOLDS_MAX { 0 } else { 2605 };
        assert_eq!(code(reply), expected, "depth {depth}");
    }
}

pub(crate) async fn a_lock_in_use_stays_of_its_kind(fixture: &Fixture) {
    let grant = fixture
        .take(permits("a", 1, 2), "one")
        .await
        .expect("is free");
    assert_eq!(code(fixture.take(exclusive("a"), "two").await), 1005);
    assert_eq!(code(fixture.take(permits("a", 1, 3), "two").await), 1005);
    assert!(fixture.release(&grant, "one").await);
    assert!(fixture.take(shared("a"), "two").await.is_ok());
    assert_eq!(code(fixture.take(exclusive("a"), "one").await), TAKEN);
}

pub(crate) async fn a_release_is_not_done_twice(fixture: &Fixture) {
    let first = fixture.take(exclusive("a"), "one").await.expect("is free");
    let reply = fixture
        .acquire(vec![exclusive("a")], "one", |request| {
            request.reentrant = Some(true);
        })
        .await;
    let second = reply.expect("is let in").grants.remove(0);
    assert!(fixture.release(&second, "one").await);
    assert!(fixture.release(&second, "one").await, "its answer was lost");
    assert_eq!(fixture.holders("a").await, ["one"], "still held once");
    assert!(fixture.release(&first, "one").await);
    assert!(!fixture.release(&first, "one").await, "not held any more");
}

pub(crate) async fn an_owner_of_another_principal_is_another_owner(fixture: &Fixture) {
    let call = keyed("k");
    let held = fixture.acquire_as(&call, vec![exclusive("a")], "one", |_| {});
    let grant = held.await.expect("is free").grants.remove(0);
    // Neither the name, nor the key, nor the token that a look at the lock shows makes it another's.
    let other = of_another(call);
    let taken = fixture.acquire_as(&other, vec![exclusive("a")], "one", |request| {
        request.reentrant = Some(true);
    });
    assert_eq!(code(taken.await), TAKEN);
    let (owner, claims) = ("one".to_owned(), vec![claim(&grant)]);
    let request = RenewRequest {
        owner: owner.clone(),
        claims: claims.clone(),
        lease_ms: None,
    };
    let renewed = fixture.service.renew(&other, request).await;
    assert_eq!(renewed.expect("is answered").items[0].code, Some(2602));
    let request = ReleaseRequest { owner, claims };
    let released = fixture.service.release(&other, request).await;
    assert_eq!(released.expect("is answered").items[0].code, Some(2602));
    assert_eq!(fixture.holders("a").await, ["one"], "still held");
    // Two of one name wait for each other like any two, and are no circle of one.
    let theirs = fixture.acquire_as(&other, vec![exclusive("b")], "one", |_| {});
    let theirs = theirs.await.expect("is free").grants.remove(0);
    let waiting = fixture.wait_for(exclusive("b"), "one", 20_000).await;
    assert!(!waiting.is_finished(), "waits");
    let request = ReleaseRequest {
        owner: "one".to_owned(),
        claims: vec![claim(&theirs)],
    };
    let released = fixture.service.release(&other, request).await;
    assert_eq!(released.expect("is answered").items[0].code, None);
    let reply = waiting.await.expect("no panic");
    assert_eq!(code(reply), 0);
    assert!(fixture.release(&grant, "one").await);
}
