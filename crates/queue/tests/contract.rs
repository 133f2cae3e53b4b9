//! What every backend does: one list of behaviours, run against each.

#![expect(
    clippy::expect_used,
    reason = "the behaviours are test code outside #[test] functions"
)]
#![expect(clippy::indexing_slicing, reason = "a missing element fails the test")]
#![expect(clippy::panic, reason = "an unexpected success fails the test")]

mod behaviours;
mod support;

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use plinth_store::EngineLocation;
use support::{Fixture, world};

/// Runs every behaviour against a backend of its own and names those that fail.
async fn check(location: impl Fn(&str) -> EngineLocation) {
    let mut failed = Vec::new();
    for (name, behaviour) in behaviours::all() {
        let (clock, definitions) = world();
        let fixture = Fixture::open(location(name), clock, definitions).await;
        if AssertUnwindSafe(behaviour(&fixture))
            .catch_unwind()
            .await
            .is_err()
        {
            failed.push(name);
        }
        fixture.service.close().await;
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[tokio::test]
async fn embedded_in_memory() {
    check(|_| EngineLocation::Memory).await;
}

#[tokio::test]
async fn embedded_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    check(|name| EngineLocation::File(folder.path().join(name).join("queue.db"))).await;
}
