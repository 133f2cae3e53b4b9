//! What every backend does: one list of behaviours, run against each.

#![expect(
    clippy::expect_used,
    reason = "the behaviours are test code outside #[test] functions"
)]
#![expect(clippy::indexing_slicing, reason = "a missing element fails the test")]
#![expect(dead_code, reason = "the fixtures serve several tests")]

mod behaviours;
mod support;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use plinth_redis_link::RedisLink;
use plinth_store::EngineLocation;
use plinth_testkit::redis::{RedisCluster, RedisProcess, RedisSentinels, is_installed};
use plinth_testkit::scratch;
use plinth_testkit::services::{MARIADB_VARIABLE, POSTGRES_VARIABLE};
use support::{Fixture, Place, World, database, redis};

/// Runs every behaviour against a place of its own and names those that fail.
async fn check(place: impl AsyncFn(&'static str) -> Place) {
    let mut failed = Vec::new();
    for (name, behaviour) in behaviours::all() {
        let fixture = place(name).await.open(&World::new()).await;
        let run = tokio::time::timeout(
            std::time::Duration::from_secs(30),
            AssertUnwindSafe(behaviour(&fixture)).catch_unwind(),
        );
        if !matches!(run.await, Ok(Ok(()))) {
            failed.push(name);
        }
        fixture.service.close().await;
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// A regression: the task of a call took the end of a call that had its answer for a caller who had gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_grant_that_was_told_is_not_taken_back() {
    let fixture = Fixture::sqlite(EngineLocation::Memory, &World::new()).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..4 {
        let fixture = fixture.clone();
        calls.spawn(async move {
            let name = format!("lock-{number}");
            for _ in 0..100 {
                let grant = fixture.take(support::exclusive(&name), "one").await;
                let grant = grant.expect("is free");
                assert!(fixture.renew(&grant, "one").await, "was taken back");
                assert!(fixture.release(&grant, "one").await, "was taken back");
            }
        });
    }
    calls.join_all().await;
    fixture.service.close().await;
}

#[tokio::test]
async fn sqlite_in_memory() {
    check(async |_| Place::Sqlite(EngineLocation::Memory)).await;
}

#[tokio::test]
async fn sqlite_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    check(async |name| {
        let file = folder.path().join(name).join("lock.db");
        Place::Sqlite(EngineLocation::File(file))
    })
    .await;
}

#[tokio::test]
async fn control_on_sqlite() {
    check(async |_| Place::Control(database::open("sqlite::memory:").await)).await;
}

/// On one database for all behaviours, emptied before each.
async fn check_on(product: &str) {
    database::on_product(product, async |url: String| {
        let store = database::open(&url).await;
        check(async |_| {
            let emptied = scratch::execute(&url, "DELETE FROM lock_records".to_owned()).await;
            emptied.expect("is emptied");
            Place::Control(Arc::clone(&store))
        })
        .await;
        store.close().await;
    })
    .await;
}

/// On one Redis for all behaviours, each under keys of its own.
async fn check_in_redis(link: &Arc<RedisLink>) {
    check(async |name| Place::Redis(Arc::clone(link), name.to_owned())).await;
}

#[tokio::test]
async fn redis_alone() {
    if is_installed() {
        let server = RedisProcess::start("").await.expect("starts");
        check_in_redis(&redis::link(&server.url())).await;
    }
}

#[tokio::test]
async fn redis_by_sentinel() {
    if is_installed() {
        let servers = RedisSentinels::start(1).await.expect("starts");
        check_in_redis(&redis::link(&servers.url())).await;
    }
}

#[tokio::test]
async fn redis_as_cluster() {
    if is_installed() {
        let servers = RedisCluster::start(3, 0).await.expect("starts");
        check_in_redis(&redis::link(&servers.url())).await;
    }
}

#[tokio::test]
async fn control_on_postgres() {
    check_on(POSTGRES_VARIABLE).await;
}

#[tokio::test]
async fn control_on_mariadb() {
    check_on(MARIADB_VARIABLE).await;
}
