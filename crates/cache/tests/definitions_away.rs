//! Namespaces while the control plane is away: what is known goes on, what changed meanwhile comes with its return.

#![expect(
    clippy::expect_used,
    reason = "short ways to make requests fail the test where they stand"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use plinth_cache::model::{
    Condition, Content, Expiry, Key, Namespace, NamespaceSettings, Put, Tags, Value,
};
use plinth_cache::{CacheService, CacheSettings, MemoryCache};
use plinth_core::{CallContext, Error, ErrorCode, Result, SharedClock, SystemClock};
use plinth_store::memory::{MemoryDefinitions, Stage, Staged};
use plinth_testkit::calls::call_of;
use tokio_util::sync::CancellationToken;

/// A control plane that can go away.
struct Leaving {
    inner: MemoryDefinitions,
    is_away: AtomicBool,
    /// How often it was asked in vain.
    missed: AtomicUsize,
}

impl Stage for Leaving {
    fn there(&self) -> Result<&MemoryDefinitions> {
        if self.is_away.load(Ordering::SeqCst) {
            self.missed.fetch_add(1, Ordering::SeqCst);
            return Err(Error::new(
                ErrorCode::DependencyUnavailable,
                "the control plane is away",
            ));
        }
        Ok(&self.inner)
    }
}

fn instance(definitions: &Arc<Staged<Leaving>>, clock: &SharedClock) -> Arc<CacheService> {
    let memory = MemoryCache::new(&CacheSettings::default(), Arc::clone(clock));
    let cache = CacheService::new(memory, Arc::clone(definitions) as _, Arc::clone(clock));
    Arc::new(cache)
}

fn space() -> Namespace {
    Namespace::parse("defined").expect("a name")
}

/// Whether a value that is stored now lives by the definition.
async fn lives_by_it(cache: &CacheService, call: &CallContext) -> bool {
    let key = Key::parse("k").expect("a key");
    let put = Put {
        content: Content::Value(Value::parse(vec![1].into(), None, None).expect("a value")),
        life: Expiry::Default,
        condition: Condition::Always,
        tags: Tags::default(),
        lease: None,
    };
    let stored = cache.set(call, space(), key.clone(), put, None).await;
    stored.expect("stores").expires_at_ms.is_some()
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waits).await;
    waited.expect("comes about");
}

#[tokio::test]
async fn what_is_known_goes_on_while_the_control_plane_is_away() {
    let clock = SystemClock::shared();
    let definitions = Arc::new(Staged(Leaving {
        inner: MemoryDefinitions::new(Arc::clone(&clock)),
        is_away: AtomicBool::new(false),
        missed: AtomicUsize::new(0),
    }));
    let call = call_of("tenant", "cache.set").expect("a tenant");
    let cache = instance(&definitions, &clock);
    let settings = NamespaceSettings {
        default_ttl_ms: Some(60_000),
        ..NamespaceSettings::default()
    };
    let defined = cache.define_namespace(&call, space(), settings.clone(), None);
    defined.await.expect("defines");
    let stop = CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&cache).follow_definitions(stop.clone()));
    definitions.0.is_away.store(true, Ordering::SeqCst);
    // It was asked in vain more than once, and nothing is forgotten by that.
    until(async || definitions.0.missed.load(Ordering::SeqCst) >= 2).await;
    assert!(lives_by_it(&cache, &call).await);
    let refused = cache.define_namespace(&call, space(), settings, None).await;
    let refused = Error::from(refused.expect_err("is away"));
    assert_eq!(refused.code(), ErrorCode::DependencyUnavailable);
    assert!(
        lives_by_it(&cache, &call).await,
        "a refused change changes nothing"
    );
    // One that starts now has no rules of its own, and serves all the same.
    let late = instance(&definitions, &clock);
    late.load_definitions().await;
    assert!(!lives_by_it(&late, &call).await);
    let late_following = tokio::spawn(Arc::clone(&late).follow_definitions(stop.clone()));
    definitions.0.is_away.store(false, Ordering::SeqCst);
    until(async || lives_by_it(&late, &call).await).await;
    assert!(lives_by_it(&cache, &call).await);
    stop.cancel();
    following.await.expect("ends");
    late_following.await.expect("ends");
}
