//! The pool over time, on a clock that the test moves: idle connections end, old ones are replaced, missing ones come.

#![expect(clippy::panic, reason = "a helper that fails fails its test")]

#[expect(dead_code, reason = "this file uses some of the helpers")]
mod support;

use std::sync::Arc;

use plinth_core::{ManualClock, TimestampMs};
use plinth_database::model::{EngineKind, PoolOptions, PoolStatus};
use support::Bench;

const HOUR_MS: i64 = 3_600_000;

async fn bench(pool: PoolOptions) -> (Bench, Arc<ManualClock>) {
    let clock = ManualClock::starting_at(TimestampMs(0));
    let bench = Bench::on_clock(EngineKind::Sqlite, pool, Arc::clone(&clock) as _).await;
    (bench, clock)
}

/// Moves the clock second by second, as the upkeep looks, until the pool is as it should be.
async fn until(bench: &Bench, clock: &ManualClock, good: impl Fn(&PoolStatus) -> bool) {
    for _look in 0..5_000 {
        if good(&bench.pool().await) {
            return;
        }
        clock.advance_ms(1_000);
        tokio::task::yield_now().await;
    }
    panic!("never came about: {:?}", bench.pool().await);
}

#[tokio::test]
async fn idle_connections_end_down_to_the_least() {
    let pool = PoolOptions {
        min_connections: Some(1),
        max_connections: Some(4),
        idle_timeout_ms: Some(60_000),
        max_lifetime_ms: Some(24 * HOUR_MS),
        ..PoolOptions::default()
    };
    let (bench, clock) = bench(pool).await;
    futures::future::join_all((0..4).map(|_| bench.run("select 1", vec![]))).await;
    until(&bench, &clock, |pool| {
        pool.connections == 1 && pool.idle == 1
    })
    .await;
    bench.run("select 1", vec![]).await;
    assert_eq!(
        bench.pool().await.connections,
        1,
        "the one that was kept is used"
    );
    bench.end(&[]).await;
}

#[tokio::test]
async fn missing_connections_come_without_a_call() {
    let pool = PoolOptions {
        min_connections: Some(3),
        ..PoolOptions::default()
    };
    let (bench, clock) = bench(pool).await;
    until(&bench, &clock, |pool| pool.idle == 3).await;
    assert_eq!(bench.pool().await.acquired, 0);
    bench.end(&[]).await;
}

#[tokio::test]
async fn old_connections_are_replaced() {
    let pool = PoolOptions {
        max_lifetime_ms: Some(HOUR_MS),
        idle_timeout_ms: Some(24 * HOUR_MS),
        ..PoolOptions::default()
    };
    let (bench, clock) = bench(pool).await;
    bench.run("select 1", vec![]).await;
    // Nine tenths of the lifetime are certain, the last tenth is jitter.
    clock.advance_ms(54 * 60_000 - 1_000);
    bench.run("select 1", vec![]).await;
    assert_eq!(bench.pool().await.opened, 1);
    clock.advance_ms(7 * 60_000);
    bench.run("select 1", vec![]).await;
    assert_eq!(bench.pool().await.opened, 2);
    bench.end(&[]).await;
}
