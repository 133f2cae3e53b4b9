//! What the suites of the cache share: the backends under test and short ways to make requests.
#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]
#![expect(dead_code, reason = "each suite uses a part")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use plinth_cache::backend::{CacheBackend, Capability, Looking};
use plinth_cache::model::{
    Atomicity, BackendStats, Change, ChangeKind, Changed, Condition, Content, Guard, Key, LeaseMs,
    LeaseToken, LeaseWhen, LeasedRead, Life, Namespace, Placement, Policy, Put, Read, Reply, Scan,
    Scanned, Scope, Space, Stored, Tags, Ttl, Value,
};
use plinth_cache::{
    CacheError, CacheSettings, EngineClock, MemoryCache, NearCache, NearSettings, RedisCache,
};
use plinth_core::{Fence, ManualClock, SharedClock, TenantId, TimestampMs};
use plinth_redis_link::{RedisLink, RedisSettings, RedisUrl};
use plinth_testkit::services::{
    REDIS_CLUSTER_VARIABLE, REDIS_SENTINEL_VARIABLE, REDIS_VARIABLE, service_url,
};

/// A backend on a clock that the test moves.
pub(crate) struct Rig {
    pub(crate) backend: Arc<dyn CacheBackend>,
    pub(crate) clock: Arc<ManualClock>,
    memory: Option<Arc<MemoryCache>>,
}

impl Rig {
    /// The embedded backend, of a rig that [`memory`] made.
    pub(crate) fn memory(&self) -> &MemoryCache {
        self.memory
            .as_deref()
            .expect("a rig of the embedded backend")
    }

    /// Frees what nobody can read any more, where that is a task's and not the engine's own.
    pub(crate) fn sweep(&self) {
        if let Some(memory) = &self.memory {
            memory.sweep();
        }
    }
}

/// The embedded backend with a memory bound.
pub(crate) fn memory(bytes_max: u64) -> Rig {
    memory_with(&CacheSettings {
        bytes_max,
        namespaces_max: 3,
        ..CacheSettings::default()
    })
}

/// The embedded backend with settings.
pub(crate) fn memory_with(settings: &CacheSettings) -> Rig {
    let clock = ManualClock::starting_at(TimestampMs(1_700_000_000_000));
    let memory = MemoryCache::new(settings, clock.clone());
    Rig {
        backend: memory.clone(),
        memory: Some(memory),
        clock,
    }
}

/// The Redis backend on a server of the tests' services, under keys of its own and on a clock that the test moves. To be
/// called inside a runtime.
fn redis(url: &str) -> Rig {
    redis_over(url, &key_prefix())
}

/// The same under keys that begin with a prefix.
pub(crate) fn redis_over(url: &str, key_prefix: &str) -> Rig {
    let clock = ManualClock::starting_at(TimestampMs(1_700_000_000_000));
    let engine_clock = EngineClock::Given(clock.clone());
    Rig {
        backend: redis_cache_over(url, key_prefix, engine_clock, clock.clone()),
        memory: None,
        clock,
    }
}

/// The beginning of keys that no other test has.
pub(crate) fn key_prefix() -> String {
    format!("test-{}", rand::random::<u64>())
}

/// The Redis backend under keys of its own.
pub(crate) fn redis_cache(
    url: &str,
    engine_clock: EngineClock,
    clock: SharedClock,
) -> Arc<RedisCache> {
    redis_cache_over(url, &key_prefix(), engine_clock, clock)
}

fn redis_cache_over(
    url: &str,
    key_prefix: &str,
    engine_clock: EngineClock,
    clock: SharedClock,
) -> Arc<RedisCache> {
    let settings = RedisSettings {
        url: RedisUrl::new(url),
        connections: 1,
        command_timeout_ms: 10_000,
        heartbeat_ms: 10_000,
        ..RedisSettings::default()
    };
    let link = RedisLink::start(&settings).expect("starts");
    RedisCache::new(link, key_prefix, engine_clock, clock)
}

/// The same with values kept near, once every change is heard. Its link lives on the runtime of the property tests, so that
/// this can be waited for anywhere.
fn near(url: &str) -> Rig {
    let _inside = RUNTIME.enter();
    let clock = ManualClock::starting_at(TimestampMs(1_700_000_000_000));
    let engine_clock = EngineClock::Given(clock.clone());
    let far = redis_cache(url, engine_clock, clock.clone());
    let settings = NearSettings {
        bytes_max: 16 * 1024 * 1024,
        max_age_ms: 3_600_000,
        ..NearSettings::default()
    };
    let near = NearCache::start(far, &settings);
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let waiting = Arc::clone(&near);
    RUNTIME.spawn(async move {
        while !waiting.numbers().heard {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tell.send(()).expect("somebody waits");
    });
    told.recv().expect("hears");
    Rig {
        backend: near,
        memory: None,
        clock,
    }
}

/// The deployments on which values are kept near, by name.
fn near_backends() -> Vec<(&'static str, Rig)> {
    let kept_near = |(name, url): (&str, String)| match name {
        "redis" => Some(("redis, kept near", near(&url))),
        "cluster" => Some(("cluster, kept near", near(&url))),
        _ => None,
    };
    redis_urls().into_iter().filter_map(kept_near).collect()
}

/// A backend to which every namespace is one that is spread.
struct Spread(Arc<dyn CacheBackend>);

fn spread(space: &Space) -> Space {
    let mut space = space.clone();
    space.policy.placement = Placement::Spread;
    space
}

#[async_trait]
impl CacheBackend for Spread {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> &'static [Capability] {
        self.0.capabilities()
    }

    async fn get(&self, space: &Space, key: &Key) -> Result<Reply<Read>, CacheError> {
        self.0.get(&spread(space), key).await
    }

    async fn get_many(
        &self,
        space: &Space,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Reply<Vec<Read>>, CacheError> {
        self.0.get_many(&spread(space), keys, looking).await
    }

    async fn apply(
        &self,
        space: &Space,
        changes: Vec<Change>,
        guard: Guard,
    ) -> Result<Reply<Vec<Result<Changed, CacheError>>>, CacheError> {
        self.0.apply(&spread(space), changes, guard).await
    }

    async fn scan(&self, space: &Space, scan: Scan) -> Result<Scanned, CacheError> {
        self.0.scan(&spread(space), scan).await
    }

    async fn clear(&self, space: &Space, fence: Option<Fence>) -> Result<i64, CacheError> {
        self.0.clear(&spread(space), fence).await
    }

    async fn invalidate_tags(
        &self,
        space: &Space,
        tags: Tags,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError> {
        self.0.invalidate_tags(&spread(space), tags, fence).await
    }

    async fn get_or_lease(
        &self,
        space: &Space,
        key: &Key,
        lease: LeaseMs,
        when: LeaseWhen,
    ) -> Result<Reply<LeasedRead>, CacheError> {
        self.0.get_or_lease(&spread(space), key, lease, when).await
    }

    async fn lease_ended(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
        wait: Duration,
    ) -> Result<(), CacheError> {
        self.0.lease_ended(&spread(space), key, token, wait).await
    }

    async fn end_lease(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
    ) -> Result<bool, CacheError> {
        self.0.end_lease(&spread(space), key, token).await
    }

    async fn stats(&self, space: &Space) -> Result<BackendStats, CacheError> {
        self.0.stats(&spread(space)).await
    }
}

/// Every deployment of Redis with all its namespaces spread, by name.
fn spread_backends() -> Vec<(&'static str, Rig)> {
    let far = redis_urls().into_iter().map(|(name, url)| {
        let name = match name {
            "redis" => "redis, spread",
            "sentinel" => "sentinel, spread",
            _ => "cluster, spread",
        };
        (name, redis(&url))
    });
    let near = near_backends().into_iter();
    let near = near.map(|(name, rig)| match name {
        "redis, kept near" => ("redis, kept near and spread", rig),
        _ => ("cluster, kept near and spread", rig),
    });
    let spread = |(name, rig): (&'static str, Rig)| {
        let backend: Arc<dyn CacheBackend> = Arc::new(Spread(Arc::clone(&rig.backend)));
        (name, Rig { backend, ..rig })
    };
    far.chain(near).map(spread).collect()
}

/// Longest wait of [`until`], in milliseconds.
const UNTIL_MS_MAX: u64 = 30_000;

/// Waits for something that has to come.
pub(crate) async fn until(what: &str, happens: impl Fn() -> bool) {
    let waiting = async {
        while !happens() {
            // The state of another program gives no event to wait for.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let within = Duration::from_millis(UNTIL_MS_MAX);
    let waited = tokio::time::timeout(within, waiting).await;
    assert!(waited.is_ok(), "{what} did not come");
}

/// A link that is quick to see that something is wrong.
pub(crate) fn quick_link(url: &str) -> Arc<RedisLink> {
    let settings = RedisSettings {
        url: RedisUrl::new(url),
        command_timeout_ms: 500,
        heartbeat_ms: 100,
        reconnect_first_ms: 10,
        reconnect_max_ms: 50,
        ..RedisSettings::default()
    };
    RedisLink::start(&settings).expect("starts")
}

/// The Redis backend on the server's own clock, over such a link.
pub(crate) fn quick_redis(url: &str, key_prefix: &str) -> Arc<RedisCache> {
    let link = quick_link(url);
    let clock = plinth_core::SystemClock::shared();
    RedisCache::new(link, key_prefix, EngineClock::Server, clock)
}

/// Every deployment of Redis that the services of the tests offer, by name.
pub(crate) fn redis_urls() -> Vec<(&'static str, String)> {
    [
        ("redis", REDIS_VARIABLE),
        ("sentinel", REDIS_SENTINEL_VARIABLE),
        ("cluster", REDIS_CLUSTER_VARIABLE),
    ]
    .into_iter()
    .filter_map(|(name, variable)| Some((name, service_url(variable)?)))
    .collect()
}

/// Every backend under the contract, by name.
pub(crate) fn backends() -> Vec<(&'static str, Rig)> {
    let mut rigs = memory_backends();
    rigs.extend(
        redis_urls()
            .into_iter()
            .map(|(name, url)| (name, redis(&url))),
    );
    rigs.extend(near_backends());
    rigs.extend(spread_backends());
    rigs
}

pub(crate) fn space(tenant: &str, namespace: &str) -> Space {
    Space {
        scope: Scope {
            tenant: TenantId::parse(tenant).expect("a tenant"),
            namespace: Namespace::parse(namespace).expect("a namespace"),
        },
        policy: Policy::default(),
    }
}

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

pub(crate) fn ttl(ttl_ms: i64) -> Ttl {
    Ttl::parse(ttl_ms).expect("a ttl")
}

pub(crate) fn life(ttl_ms: Option<i64>) -> Life {
    ttl_ms.map_or(Life::FOREVER, |ttl_ms| Life::after(ttl(ttl_ms)))
}

pub(crate) fn value(bytes: &[u8]) -> Value {
    Value::parse(bytes.to_vec().into(), None, None).expect("a value")
}

pub(crate) fn tags(names: &[&str]) -> Tags {
    Tags::parse(names).expect("tags")
}

/// A put of a value without tags, to be changed where a test wants more.
pub(crate) fn plain(bytes: &[u8]) -> Put {
    Put {
        content: Content::Value(value(bytes)),
        life: Life::FOREVER,
        condition: Condition::Always,
        tags: Tags::default(),
        lease: None,
    }
}

pub(crate) fn store(name: &str, put: Put) -> Change {
    Change {
        key: key(name),
        kind: ChangeKind::Put(put),
    }
}

pub(crate) fn put(name: &str, value: &[u8], ttl_ms: Option<i64>, condition: Condition) -> Change {
    let put = Put {
        life: life(ttl_ms),
        condition,
        ..plain(value)
    };
    store(name, put)
}

pub(crate) fn delete(name: &str, version: Option<i64>) -> Change {
    Change {
        key: key(name),
        kind: ChangeKind::Delete { version },
    }
}

pub(crate) fn expire(name: &str, ttl_ms: Option<i64>) -> Change {
    let life = life(ttl_ms);
    Change {
        key: key(name),
        kind: ChangeKind::Expire {
            life,
            version: None,
        },
    }
}

pub(crate) fn touch(name: &str, life: Life) -> Change {
    Change {
        key: key(name),
        kind: ChangeKind::Touch { life },
    }
}

/// Changes that are all made or none, without a fence.
pub(crate) const ALL: Guard = Guard::unfenced(Atomicity::AllOrNothing);
/// Changes that are made each alone, without a fence.
pub(crate) const EACH: Guard = Guard::unfenced(Atomicity::EachAlone);

/// Applies one change.
pub(crate) async fn apply(rig: &Rig, space: &Space, change: Change) -> Result<Changed, CacheError> {
    let reply = rig.backend.apply(space, vec![change], ALL).await?;
    reply
        .answer
        .into_iter()
        .next()
        .expect("one answer for one change")
}

/// Reads what stands under a key.
pub(crate) async fn stands(rig: &Rig, space: &Space, name: &str) -> Read {
    rig.backend
        .get(space, &key(name))
        .await
        .expect("reads")
        .answer
}

/// Reads the bytes of a key.
pub(crate) async fn read(rig: &Rig, space: &Space, name: &str) -> Option<Vec<u8>> {
    let found = stands(rig, space, name).await.found();
    found.map(|found| found.value.bytes.to_vec())
}

/// Looks at keys without reading them.
pub(crate) async fn peek(rig: &Rig, space: &Space, keys: &[Key]) -> Vec<Read> {
    let reply = rig.backend.get_many(space, keys, Looking::Peeking).await;
    reply.expect("reads").answer
}

/// What a change stored.
pub(crate) fn stored(changed: &Changed) -> Stored {
    match changed {
        Changed::Stored(stored)
        | Changed::Counted { stored, .. }
        | Changed::Appended { stored, .. } => *stored,
        Changed::Deleted { .. } | Changed::Touched(_) => Stored {
            version: -1,
            expires_at_ms: None,
        },
    }
}

/// The version that a change stored.
pub(crate) fn version(changed: &Changed) -> i64 {
    stored(changed).version
}

/// The runtime of property tests, which keeps the connections to Redis between two of their steps.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
});

/// Runs a future, for property tests.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// The Redis backends under the contract, for property tests.
pub(crate) fn redis_backends() -> Vec<(&'static str, Rig)> {
    let _inside = RUNTIME.enter();
    let far = redis_urls().into_iter();
    let far = far.map(|(name, url)| (name, redis(&url)));
    far.chain(near_backends())
        .chain(spread_backends())
        .collect()
}

/// The embedded backend alone, for property tests.
pub(crate) fn memory_backends() -> Vec<(&'static str, Rig)> {
    vec![("memory", memory(64 * 1024 * 1024))]
}
