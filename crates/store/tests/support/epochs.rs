//! Epochs.

use std::collections::BTreeSet;
use std::sync::Arc;

use plinth_store::Epochs;

use super::backend::Fixture;

/// How many take an epoch at the same time.
const AT_ONCE: usize = 6;

pub(crate) async fn every_epoch_is_higher_than_those_before(fixture: Arc<Fixture>) {
    let store = &fixture.store;
    let first = store.raise("sqlite", 0).await.expect("is raised");
    assert!(first >= 1);
    let second = store.raise("redis", 0).await.expect("is raised");
    assert!(second > first);
    let above = store.raise("sqlite", second + 40).await.expect("is raised");
    assert_eq!(above, second + 41);
}

pub(crate) async fn no_epoch_is_taken_twice(fixture: Arc<Fixture>) {
    let mut raising = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let store = Arc::clone(&fixture.store);
        raising.spawn(async move { store.raise("sqlite", 0).await });
    }
    let taken = raising.join_all().await;
    let epochs: Vec<i64> = taken
        .into_iter()
        .map(|epoch| epoch.expect("is raised"))
        .collect();
    assert_eq!(
        epochs.iter().collect::<BTreeSet<_>>().len(),
        AT_ONCE,
        "{epochs:?}"
    );
}
