//! What every backend does: one list of behaviours, run against each.

#![expect(
    clippy::expect_used,
    reason = "the behaviours are test code outside #[test] functions"
)]
#![expect(clippy::indexing_slicing, reason = "a missing element fails the test")]

mod behaviours;
mod support;

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use plinth_store::EngineLocation;
use support::{Fixture, World};

/// Runs every behaviour against a backend of its own and names those that fail.
async fn check(location: impl Fn(&str) -> EngineLocation) {
    let mut failed = Vec::new();
    for (name, behaviour) in behaviours::all() {
        let fixture = Fixture::sqlite(location(name), &World::new()).await;
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
    check(|_| EngineLocation::Memory).await;
}

#[tokio::test]
async fn sqlite_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    check(|name| EngineLocation::File(folder.path().join(name).join("lock.db"))).await;
}
