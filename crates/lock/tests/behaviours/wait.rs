//! Waiting.

use crate::support::{Fixture, TAKEN, code, exclusive, keyed, shared, told};

pub(crate) async fn who_waits_is_served_in_the_order_of_coming(fixture: &Fixture) {
    let mut held = fixture
        .take(exclusive("a"), "first")
        .await
        .expect("is free");
    let owners = ["w1", "w2", "w3", "w4"];
    let mut waits = Vec::new();
    for owner in owners {
        waits.push(fixture.wait_for(exclusive("a"), owner, 60_000).await);
    }
    assert_eq!(fixture.waiters("a").await, owners);
    let mut holder = "first";
    for (owner, wait) in owners.into_iter().zip(waits) {
        assert!(fixture.release(&held, holder).await);
        let reply = wait.await.expect("joins").expect("is granted");
        assert_eq!(fixture.holders("a").await, [owner]);
        assert!(reply.grants[0].token > held.token);
        (held, holder) = (reply.grants[0].clone(), owner);
    }
}

pub(crate) async fn a_writer_is_not_starved_by_readers(fixture: &Fixture) {
    let reader = fixture.take(shared("a"), "r1").await.expect("is free");
    let writer = fixture.wait_for(exclusive("a"), "w", 60_000).await;
    assert_eq!(code(fixture.take(shared("a"), "r2").await), TAKEN);
    let r3 = fixture.wait_for(shared("a"), "r3", 60_000).await;
    let r4 = fixture.wait_for(shared("a"), "r4", 60_000).await;
    assert!(fixture.release(&reader, "r1").await);
    let granted = writer.await.expect("joins").expect("is granted");
    assert!(!r3.is_finished() && !r4.is_finished());
    assert!(fixture.release(&granted.grants[0], "w").await);
    for reader in [r3, r4] {
        reader.await.expect("joins").expect("both go together");
    }
}

pub(crate) async fn a_wait_ends_when_it_said(fixture: &Fixture) {
    fixture
        .acquire(vec![exclusive("a")], "one", |request| {
            request.lease_ms = Some(60_000);
        })
        .await
        .expect("is free");
    let wait = fixture.wait_for(exclusive("a"), "two", 500).await;
    fixture.clock.advance_ms(499);
    tokio::task::yield_now().await;
    assert!(!wait.is_finished());
    fixture.clock.advance_ms(1);
    let error = told(wait.await.expect("joins").expect_err("is taken"));
    assert_eq!(error.code().number(), TAKEN);
    assert_eq!(error.details()["holders"], "one");
    assert_eq!(error.details()["waited_ms"], "500");
    assert!(fixture.waiters("a").await.is_empty());
}

pub(crate) async fn a_caller_that_goes_away_leaves_its_place(fixture: &Fixture) {
    let held = fixture.take(exclusive("a"), "one").await.expect("is free");
    let gone = fixture.wait_for(exclusive("a"), "gone", 60_000).await;
    let stays = fixture.wait_for(exclusive("a"), "stays", 60_000).await;
    gone.abort();
    while fixture.waiters("a").await != ["stays"] {
        tokio::task::yield_now().await;
    }
    assert!(fixture.release(&held, "one").await);
    assert!(stays.await.expect("joins").is_ok());
}

pub(crate) async fn a_kept_place_is_found_again(fixture: &Fixture) {
    let held = fixture
        .acquire(vec![exclusive("a")], "one", |request| {
            request.lease_ms = Some(60_000);
        })
        .await
        .expect("is free");
    let call = keyed("first-in-line");
    let waiting = tokio::spawn({
        let (fixture, call) = (fixture.clone(), call.clone());
        async move {
            let keeps = |request: &mut plinth_lock::model::AcquireRequest| {
                (request.wait_ms, request.keep_place_ms) = (Some(100), Some(5_000));
            };
            fixture
                .acquire_as(&call, vec![exclusive("a")], "patient", keeps)
                .await
        }
    });
    while fixture.waiters("a").await.is_empty() {
        tokio::task::yield_now().await;
    }
    fixture.clock.advance_ms(100);
    assert_eq!(code(waiting.await.expect("joins")), TAKEN);
    let later = fixture.wait_for(exclusive("a"), "later", 60_000).await;
    assert_eq!(fixture.waiters("a").await, ["patient", "later"]);
    assert!(fixture.release(&held.grants[0], "one").await);
    // The lock is free, and the place of the one who is away is kept.
    assert_eq!(code(fixture.take(exclusive("a"), "third").await), TAKEN);
    let back = fixture
        .acquire_as(&call, vec![exclusive("a")], "patient", |_| {})
        .await
        .expect("it is its turn");
    assert!(fixture.release(&back.grants[0], "patient").await);
    assert!(later.await.expect("joins").is_ok());
}

pub(crate) async fn a_place_that_nobody_comes_back_to_is_skipped(fixture: &Fixture) {
    let held = fixture
        .acquire(vec![exclusive("a")], "one", |request| {
            request.lease_ms = Some(60_000);
        })
        .await
        .expect("is free");
    let waiting = tokio::spawn({
        let fixture = fixture.clone();
        async move {
            fixture
                .acquire(vec![exclusive("a")], "gone", |request| {
                    (request.wait_ms, request.keep_place_ms) = (Some(100), Some(4_000));
                })
                .await
        }
    });
    while fixture.waiters("a").await.is_empty() {
        tokio::task::yield_now().await;
    }
    fixture.clock.advance_ms(100);
    assert_eq!(code(waiting.await.expect("joins")), TAKEN);
    let next = fixture.wait_for(exclusive("a"), "next", 60_000).await;
    assert!(fixture.release(&held.grants[0], "one").await);
    fixture.clock.advance_ms(3_900);
    tokio::task::yield_now().await;
    assert!(!next.is_finished(), "the place is kept");
    // The one behind it watches the place and needs nobody to wake it.
    fixture.clock.advance_ms(100);
    assert!(next.await.expect("joins").is_ok());
    let info = fixture
        .service
        .get(&crate::support::context(crate::support::TENANT), "a")
        .await
        .expect("is read");
    assert_eq!(info.counters.vanished, 1);
}

pub(crate) async fn a_circle_is_refused_and_the_others_go_on(fixture: &Fixture) {
    let x = fixture.take(exclusive("x"), "a").await.expect("is free");
    let y = fixture.take(exclusive("y"), "b").await.expect("is free");
    let first = fixture.wait_for(exclusive("y"), "a", 60_000).await;
    // Later by the clock, so that it is the youngest.
    fixture.clock.advance_ms(1);
    let second = fixture.wait_for(exclusive("x"), "b", 60_000).await;
    let error = told(second.await.expect("joins").expect_err("closes a circle"));
    assert_eq!(error.code().number(), 2604);
    assert_eq!(
        error.details()["circle"],
        "b waits for x of a, a waits for y of b"
    );
    assert!(fixture.release(&y, "b").await);
    let granted = first.await.expect("joins").expect("goes on");
    assert!(fixture.release(&granted.grants[0], "a").await);
    assert!(fixture.release(&x, "a").await);
}

pub(crate) async fn a_stop_ends_every_wait(fixture: &Fixture) {
    fixture.take(exclusive("a"), "one").await.expect("is free");
    let wait = fixture.wait_for(exclusive("a"), "two", 60_000).await;
    fixture.service.stop_waiting();
    assert_eq!(code(wait.await.expect("joins")), 1012);
    assert!(fixture.waiters("a").await.is_empty());
}
