//! What a restart keeps: leases, places and the order of tokens.

#![expect(clippy::expect_used, reason = "a broken fixture must fail the test")]
#![expect(clippy::indexing_slicing, reason = "a missing element fails the test")]
#![expect(dead_code, reason = "the fixtures serve several tests")]

mod support;

use std::sync::Arc;

use plinth_core::TimestampMs;
use plinth_store::EngineLocation;
use plinth_testkit::redis::{RedisProcess, is_installed};
use support::{Fixture, Place, TAKEN, World, code, database, exclusive, keyed, redis};

/// Runs a test on each place that outlives a process.
async fn on_each_place(test: impl AsyncFn(Place)) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = EngineLocation::File(folder.path().join("lock.db"));
    test(Place::Sqlite(file)).await;
    let on_control = async |url: String| {
        let store = database::open(&url).await;
        test(Place::Control(Arc::clone(&store))).await;
        store.close().await;
    };
    on_control("sqlite::memory:".to_owned()).await;
    database::on_each_product(on_control).await;
    if is_installed() {
        let server = RedisProcess::start("").await.expect("starts");
        test(Place::Redis(
            redis::link(&server.url()),
            "restart".to_owned(),
        ))
        .await;
    }
}

#[tokio::test]
async fn a_lease_lasts_one_full_time_more_after_a_restart_whatever_the_wall_shows() {
    on_each_place(async |place| {
        for jump_ms in [0, 3_600_000, -3_600_000] {
            a_lease_lasts_one_full_time_more(&place, jump_ms).await;
        }
    })
    .await;
}

async fn a_lease_lasts_one_full_time_more(place: &Place, jump_ms: i64) {
    let world = World::new();
    let before = place.open(&world).await;
    before.clock.advance_ms(5_000);
    let grant = before.take(exclusive("a"), "one").await.expect("is free");
    before.clock.advance_ms(900);
    before.service.close().await;
    // Another process: its monotonic clock begins at zero, and the wall may show anything.
    let world = World {
        clock: plinth_core::ManualClock::starting_at(TimestampMs(1_005_900 + jump_ms)),
        ..world
    };
    let after = place.open(&world).await;
    // The first look.
    assert_eq!(after.holders("a").await, ["one"], "jump {jump_ms}");
    after.clock.advance_ms(999);
    assert_eq!(
        code(after.take(exclusive("a"), "two").await),
        TAKEN,
        "jump {jump_ms}"
    );
    assert!(after.renew(&grant, "one").await, "jump {jump_ms}");
    after.clock.advance_ms(1_000);
    let next = after.take(exclusive("a"), "two").await.expect("has ended");
    assert!(next.token > grant.token);
    assert!(after.release(&next, "two").await);
    after.service.close().await;
}

#[tokio::test]
async fn tokens_grow_over_a_file_that_was_lost_or_put_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new();
    let mut last = 0;
    for round in 0..3 {
        // Each round begins with an empty file: the epoch of the control plane alone keeps the order.
        let file = folder.path().join(format!("lock-{round}.db"));
        let fixture = Fixture::sqlite(EngineLocation::File(file), &world).await;
        for _ in 0..3 {
            let grant = fixture.take(exclusive("a"), "one").await.expect("is free");
            assert!(grant.token.0 > last);
            last = grant.token.0;
            assert!(fixture.release(&grant, "one").await);
        }
        fixture.service.close().await;
    }
    // A control plane that was put back to an older state: the file knows the higher epoch.
    let forgetful = World::new();
    let file = EngineLocation::File(folder.path().join("lock-2.db"));
    let fixture = Fixture::sqlite(file, &forgetful).await;
    let grant = fixture.take(exclusive("a"), "one").await.expect("is free");
    assert!(grant.token.0 > last);
    fixture.service.close().await;
}

#[tokio::test]
async fn a_waiter_finds_its_place_again_after_a_restart() {
    on_each_place(async |place| a_place_is_found_again(&place).await).await;
}

async fn a_place_is_found_again(place: &Place) {
    let world = World::new();
    let before = place.open(&world).await;
    let held = before.take(exclusive("a"), "one").await.expect("is free");
    let call = keyed("first");
    let waiting = tokio::spawn({
        let (before, call) = (before.clone(), call.clone());
        async move {
            let keeps = |request: &mut plinth_lock::model::AcquireRequest| {
                (request.wait_ms, request.keep_place_ms) = (Some(50), Some(5_000));
            };
            before
                .acquire_as(&call, vec![exclusive("a")], "patient", keeps)
                .await
        }
    });
    while before.waiters("a").await.is_empty() {
        tokio::task::yield_now().await;
    }
    before.clock.advance_ms(50);
    assert_eq!(code(waiting.await.expect("joins")), TAKEN);
    before.service.close().await;
    let after = place.open(&world).await;
    assert_eq!(after.waiters("a").await, ["patient"]);
    assert!(after.release(&held, "one").await);
    assert_eq!(code(after.take(exclusive("a"), "late").await), TAKEN);
    let mine = after
        .acquire_as(&call, vec![exclusive("a")], "patient", |_| {})
        .await;
    assert!(mine.is_ok());
    after.service.close().await;
}
