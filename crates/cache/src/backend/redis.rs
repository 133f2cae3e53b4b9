//! The Redis backend: single, Sentinel, Cluster; one script for each change, pipelines for reads.
//!
//! All keys of a namespace carry the hash tag `{tenant:namespace}` and so lie in one slot: a batch, a clear, an invalidation is
//! one step of one server. A namespace that is spread has 64 such areas, `{tenant:namespace/00}` to `{tenant:namespace/63}`, each with all
//! of the keys below (`area.rs`, `spread.rs`). The deciding clock is the server's `TIME`. One or two plain entries are read by `MGET`, more by
//! a transaction of bounded `GETRANGE`s, and where values are larger by a script that looks at their lengths first; those that slide or
//! carry tags by a script, which judges them in one step.
//!
//! Keys, after `<prefix>:{tenant:namespace}:`
//!
//! | key | type | holds |
//! |---|---|---|
//! | `e:<key>` | string | an entry: a head of fixed fields (`entry.rs`), then the value |
//! | `c` | string | the version up to which everything is gone; missing: nothing that is here counts |
//! | `n` | hash | `v` the last version given, `r` the server's run_id then, `b` bytes held, `e` entries expired, `l` the last invalidation |
//! | `k`, `x`, `s` | sorted sets, hash | the books: keys in order, keys by expiry, bytes of each |
//! | `d` | sorted set | keys that a clear left to be removed |
//! | `t:<tag>` | string | the stamp of a tag; lives as long as an entry that carries it |
//! | `l:<key>` | string | the token and the end of an open lease |
//! | `q` | sorted set | keys of open leases by their end |
//! | `o:<id>` | string | the digest of a request and the answer to its idempotency key; lives ten minutes |
//! | `f` | hash | the highest token of each fence; no expiry |

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plinth_core::{Fence, SharedClock};
use plinth_redis_link::RedisLink;

use self::look::Large;
use self::waiting::Waiting;
use super::{CacheBackend, Capability, Looking};
use crate::error::CacheError;
use crate::model::{
    Atomicity, BackendStats, Change, Changed, Guard, Key, LeaseMs, LeaseToken, LeaseWhen,
    LeasedRead, Read, Reply, Scan, Scanned, Space, Tags,
};

mod apply;
mod area;
mod entry;
mod fault;
mod lease;
mod look;
pub mod near;
mod scripts;
mod spread;
mod waiting;
mod walk;

pub use self::lease::LeaseLooks;

/// Most fences of one namespace, or of one partition.
const FENCES_PER_NAMESPACE_MAX: usize = 100_000;
/// Most leases of one namespace, or of one partition, that are open at a time.
const LEASES_PER_NAMESPACE_MAX: usize = 100_000;
/// How long a key outlives its entry on the server's clock, in milliseconds: the server removes it one later than it is gone.
const GRACE_MS: u64 = 1;

/// Whose clock decides what is expired.
#[derive(Clone)]
pub enum EngineClock {
    /// The server's.
    Server,
    /// The one given, for tests: keys outlive their entries by a minute of the server's.
    Given(SharedClock),
}

impl EngineClock {
    /// The time that scripts are told; empty for the server's own.
    fn told(&self) -> String {
        match self {
            Self::Server => String::new(),
            Self::Given(clock) => clock.now().0.to_string(),
        }
    }

    fn grace(&self) -> String {
        match self {
            Self::Server => GRACE_MS.to_string(),
            Self::Given(_) => "60000".to_owned(),
        }
    }
}

/// The cache in Redis.
pub struct RedisCache {
    link: Arc<RedisLink>,
    key_prefix: String,
    engine_clock: EngineClock,
    clock: SharedClock,
    waiting: Waiting,
    large: Large,
    lease_looks: LeaseLooks,
}

impl RedisCache {
    /// Makes the backend over keys that begin with a prefix. `clock` measures waits of this process.
    #[must_use]
    pub fn new(
        link: Arc<RedisLink>,
        key_prefix: &str,
        engine_clock: EngineClock,
        clock: SharedClock,
    ) -> Arc<Self> {
        let looks = LeaseLooks::default();
        Self::with_lease_looks(link, key_prefix, engine_clock, clock, looks)
    }

    /// The same, looking at leases as often as one likes.
    #[must_use]
    pub fn with_lease_looks(
        link: Arc<RedisLink>,
        key_prefix: &str,
        engine_clock: EngineClock,
        clock: SharedClock,
        lease_looks: LeaseLooks,
    ) -> Arc<Self> {
        Arc::new(Self {
            link,
            key_prefix: key_prefix.to_owned(),
            engine_clock,
            clock,
            waiting: Waiting::default(),
            large: Large::default(),
            lease_looks,
        })
    }
}

#[async_trait]
impl CacheBackend for RedisCache {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[
            Capability::Scan,
            Capability::Clear,
            Capability::Tags,
            Capability::Leases,
            Capability::Fences,
            Capability::Counters,
            Capability::Append,
            Capability::Quotas,
        ]
    }

    async fn get(&self, space: &Space, key: &Key) -> Result<Reply<Read>, CacheError> {
        let area = self.area_of(space, key);
        let found = self.look(&area, std::slice::from_ref(key), Looking::Reading);
        let read = found.await?.pop().unwrap_or(Read::Absent);
        Ok(Reply::full(read))
    }

    async fn get_many(
        &self,
        space: &Space,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Reply<Vec<Read>>, CacheError> {
        match self.common_area(space, keys.iter()) {
            Some(area) => self.look(&area, keys, looking).await.map(Reply::full),
            None => self.look_apart(space, keys, looking).await,
        }
    }

    async fn apply(
        &self,
        space: &Space,
        changes: Vec<Change>,
        guard: Guard,
    ) -> Result<Reply<Vec<Result<Changed, CacheError>>>, CacheError> {
        if guard.atomicity == Atomicity::AllOrNothing {
            space.check_one_step(&changes)?;
        }
        let keys = changes.iter().map(|change| &change.key);
        let changed = match self.common_area(space, keys) {
            Some(area) => self.change(&area, space, &changes, &guard).await?,
            None => self.change_apart(space, changes, &guard).await?,
        };
        Ok(Reply::full(changed))
    }

    async fn scan(&self, space: &Space, scan: Scan) -> Result<Scanned, CacheError> {
        self.walk(space, &scan).await
    }

    async fn clear(&self, space: &Space, fence: Option<Fence>) -> Result<i64, CacheError> {
        let cleared = self
            .stamp(space, &scripts::CLEAR, fence.as_ref(), &Tags::default())
            .await;
        if !self.waiting.is_empty() {
            let areas = self.areas(space);
            areas
                .iter()
                .for_each(|area| self.waiting.wake_all(&area.prefix));
        }
        let version = cleared?;
        self.remove_all_cleared(space).await;
        Ok(version)
    }

    async fn invalidate_tags(
        &self,
        space: &Space,
        tags: Tags,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError> {
        self.stamp(space, &scripts::TAGS, fence.as_ref(), &tags)
            .await
    }

    async fn get_or_lease(
        &self,
        space: &Space,
        key: &Key,
        lease: LeaseMs,
        when: LeaseWhen,
    ) -> Result<Reply<LeasedRead>, CacheError> {
        let area = self.area_of(space, key);
        self.read_or_lease(&area, key, lease, when)
            .await
            .map(Reply::full)
    }

    async fn lease_ended(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
        wait: Duration,
    ) -> Result<(), CacheError> {
        let area = self.area_of(space, key);
        self.wait_for_lease(&area, key, token, wait).await
    }

    async fn end_lease(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
    ) -> Result<bool, CacheError> {
        self.release(&self.area_of(space, key), key, token).await
    }

    async fn stats(&self, space: &Space) -> Result<BackendStats, CacheError> {
        self.sum(space).await
    }
}
