//! What the suites of the cache share: the backends under test and short ways to make requests.
#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]
#![expect(dead_code, reason = "each suite uses a part")]

use std::sync::Arc;

use plinth_cache::backend::{Atomicity, CacheBackend};
use plinth_cache::model::{
    Change, ChangeKind, Changed, Condition, Key, Namespace, Scope, Ttl, Value,
};
use plinth_cache::{CacheError, CacheSettings, MemoryCache};
use plinth_core::{ManualClock, TenantId, TimestampMs};

/// A backend on a clock that the test moves.
pub(crate) struct Rig {
    pub(crate) backend: Arc<dyn CacheBackend>,
    pub(crate) memory: Arc<MemoryCache>,
    pub(crate) clock: Arc<ManualClock>,
}

/// The embedded backend with a memory bound.
pub(crate) fn memory(bytes_max: u64) -> Rig {
    let clock = ManualClock::starting_at(TimestampMs(1_700_000_000_000));
    let settings = CacheSettings {
        bytes_max,
        namespaces_max: 3,
    };
    let memory = MemoryCache::new(&settings, clock.clone());
    Rig {
        backend: memory.clone(),
        memory,
        clock,
    }
}

/// Every backend under the contract, by name.
pub(crate) fn backends() -> Vec<(&'static str, Rig)> {
    vec![("memory", memory(64 * 1024 * 1024))]
}

pub(crate) fn scope(tenant: &str, namespace: &str) -> Scope {
    Scope {
        tenant: TenantId::parse(tenant).expect("a tenant"),
        namespace: Namespace::parse(namespace).expect("a namespace"),
    }
}

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

pub(crate) fn put(name: &str, value: &[u8], ttl_ms: Option<i64>, condition: Condition) -> Change {
    Change {
        key: key(name),
        kind: ChangeKind::Put {
            value: Value::parse(value, None).expect("a value"),
            ttl: ttl_ms.map(|ttl| Ttl::parse(ttl).expect("a ttl")),
            condition,
        },
    }
}

pub(crate) fn delete(name: &str, version: Option<i64>) -> Change {
    Change {
        key: key(name),
        kind: ChangeKind::Delete { version },
    }
}

pub(crate) fn expire(name: &str, ttl_ms: Option<i64>) -> Change {
    let ttl = ttl_ms.map(|ttl| Ttl::parse(ttl).expect("a ttl"));
    Change {
        key: key(name),
        kind: ChangeKind::Expire { ttl, version: None },
    }
}

/// Applies one change.
pub(crate) async fn apply(rig: &Rig, scope: &Scope, change: Change) -> Result<Changed, CacheError> {
    let results = rig
        .backend
        .apply(scope, vec![change], Atomicity::AllOrNothing)
        .await?;
    results
        .into_iter()
        .next()
        .expect("one answer for one change")
}

/// Reads the bytes of a key.
pub(crate) async fn read(rig: &Rig, scope: &Scope, name: &str) -> Option<Vec<u8>> {
    let found = rig.backend.get(scope, &key(name)).await.expect("reads");
    found.map(|found| found.value.bytes.to_vec())
}

/// The version that a change stored.
pub(crate) fn version(changed: &Changed) -> i64 {
    match changed {
        Changed::Stored { version, .. } => *version,
        Changed::Deleted { .. } => -1,
    }
}

/// Runs a future on a runtime of its own, for property tests.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
