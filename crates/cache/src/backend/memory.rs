//! The embedded backend: values in memory, in shards.
//!
//! Each shard is a slab of entries with a hash table of indices into it, behind one short lock. A call locks the shards it
//! needs in ascending order and holds them together, so a batch is one step for every reader. Expiry is decided on the
//! monotonic clock at each access; a sweeper only frees the memory. Eviction samples a few entries and removes the least
//! frequently used, by a sketch that remembers keys that are gone (the frequency filter of TinyLFU, Einziger et al.,
//! ACM ToS 2017). Unlike TinyLFU an acknowledged set is always admitted: the victim is somebody else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use plinth_core::SharedClock;
use serde::{Deserialize, Serialize};

use self::namespaces::{NamespaceState, Namespaces};
use self::shard::{Entry, Shard, Taken};
use super::{Atomicity, CacheBackend, Counting};
use crate::error::CacheError;
use crate::model::{Change, ChangeKind, Changed, Condition, Found, Key, Scope, Stats, TTL_MS_MAX};

mod namespaces;
mod shard;
mod sketch;

/// How many shards share the keys.
const SHARDS: usize = 64;
/// Versions begin at the wall clock in milliseconds, shifted by this: after a restart they are higher than before.
const VERSION_EPOCH_SHIFT: u32 = 20;
/// How many slots of each shard one sweep looks at.
const SWEEP_SLOTS_PER_SHARD: usize = 8_192;
/// How often the sweeper frees what expired, in milliseconds.
const SWEEP_INTERVAL_MS: u64 = 100;
/// Most entries that one call evicts before it lets others go first.
const EVICTIONS_PER_CALL_MAX: usize = 100_000;

/// Settings of the embedded cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSettings {
    /// Memory bound of keys, values and bookkeeping, in bytes.
    pub bytes_max: u64,
    /// Most namespaces of all tenants together.
    pub namespaces_max: usize,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            bytes_max: 256 * 1024 * 1024,
            namespaces_max: 10_000,
        }
    }
}

/// The embedded cache.
pub struct MemoryCache {
    shards: Vec<Mutex<Shard>>,
    namespaces: Namespaces,
    hasher: std::hash::RandomState,
    clock: SharedClock,
    versions: AtomicI64,
    bytes: AtomicU64,
    bytes_max: u64,
    /// Where the next eviction begins, so that no shard pays for all.
    eviction_turn: AtomicU64,
}

impl MemoryCache {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(settings: &CacheSettings, clock: SharedClock) -> Arc<Self> {
        let epoch = clock.now().0.max(0) << VERSION_EPOCH_SHIFT;
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            namespaces: Namespaces::new(settings.namespaces_max),
            hasher: std::hash::RandomState::new(),
            clock,
            versions: AtomicI64::new(epoch),
            bytes: AtomicU64::new(0),
            bytes_max: settings.bytes_max,
            eviction_turn: AtomicU64::new(0),
        })
    }

    /// Frees what expired until the token is cancelled.
    pub async fn sweep_until(self: Arc<Self>, stop: tokio_util::sync::CancellationToken) {
        loop {
            let next = self.clock.monotonic_ms().saturating_add(SWEEP_INTERVAL_MS);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until_monotonic(next) => self.sweep(),
            }
        }
    }

    /// Looks once at a part of every shard and frees what expired there.
    pub fn sweep(&self) {
        let now = self.clock.monotonic_ms();
        for shard in &self.shards {
            let freed = shard.lock().sweep(now, SWEEP_SLOTS_PER_SHARD);
            for taken in freed {
                self.forget(&taken, |counters| &counters.expired);
            }
        }
    }

    /// Bytes of keys, values and bookkeeping held now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn hash(&self, namespace: u32, key: &str) -> u64 {
        use std::hash::BuildHasher as _;
        self.hasher.hash_one((namespace, key))
    }

    fn shard_of(hash: u64) -> usize {
        // The table inside a shard uses the low and the top bits; the shard is chosen by bits between.
        usize::try_from((hash >> 40) & (SHARDS as u64 - 1)).unwrap_or(0)
    }

    /// Locks the shards of some hashes, each once, in ascending order.
    fn lock_shards(&self, hashes: &[u64]) -> Vec<(usize, MutexGuard<'_, Shard>)> {
        let wanted: BTreeSet<usize> = hashes.iter().map(|hash| Self::shard_of(*hash)).collect();
        self.shards
            .iter()
            .enumerate()
            .filter(|(index, _)| wanted.contains(index))
            .map(|(index, shard)| (index, shard.lock()))
            .collect()
    }

    fn forget(&self, taken: &Taken, counter: impl Fn(&NamespaceState) -> &AtomicU64) {
        self.bytes.fetch_sub(taken.bytes, Ordering::Relaxed);
        self.namespaces.with(taken.namespace, |state| {
            state.removed(taken.bytes);
            counter(state).fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Evicts until the memory bound holds again.
    fn evict(&self) {
        let now = self.clock.monotonic_ms();
        for _ in 0..EVICTIONS_PER_CALL_MAX {
            if self.bytes() <= self.bytes_max {
                return;
            }
            let turn = self.eviction_turn.fetch_add(1, Ordering::Relaxed);
            let index = usize::try_from(turn % SHARDS as u64).unwrap_or(0);
            let Some(shard) = self.shards.get(index) else {
                return;
            };
            let mut shard = shard.lock();
            // Shards fill by chance but are visited in turn: one below the average would give up even its hot keys.
            if shard.bytes().saturating_mul(SHARDS as u64) < self.bytes() {
                continue;
            }
            let victim = shard.evict_one(now);
            drop(shard);
            if let Some((taken, expired)) = victim {
                self.forget(&taken, |state| {
                    if expired {
                        &state.expired
                    } else {
                        &state.evicted
                    }
                });
            }
        }
    }

    fn read_at(
        &self,
        shard: &mut Shard,
        state: &NamespaceState,
        hash: u64,
        key: &Key,
        now: u64,
    ) -> Option<Found> {
        match shard.get(hash, state.id, key.as_str(), now) {
            shard::Lookup::Live(entry) => Some(Found {
                value: entry.value.clone(),
                version: entry.version,
                ttl_ms: entry.expires_ms.map(|at| at.saturating_sub(now)),
            }),
            shard::Lookup::Expired(taken) => {
                self.forget(&taken, |state| &state.expired);
                None
            }
            shard::Lookup::Absent => None,
        }
    }

    fn apply_one(
        &self,
        shard: &mut Shard,
        state: &NamespaceState,
        hash: u64,
        change: Change,
        now: u64,
    ) -> Changed {
        let key = change.key.as_str();
        match change.kind {
            ChangeKind::Put { value, ttl, .. } => {
                let version = self.next_version();
                let expires_ms = ttl.map(|ttl| now.saturating_add(ttl.get_ms()));
                let entry = Entry {
                    namespace: state.id,
                    key: key.into(),
                    value,
                    version,
                    expires_ms,
                };
                let added = entry.bytes();
                if let Some(replaced) = shard.insert(hash, entry) {
                    self.bytes.fetch_sub(replaced.bytes, Ordering::Relaxed);
                    state.removed(replaced.bytes);
                }
                self.bytes.fetch_add(added, Ordering::Relaxed);
                state.added(added);
                state.sets.fetch_add(1, Ordering::Relaxed);
                Changed::Stored {
                    version,
                    expires_at_ms: self.wall(expires_ms, now),
                }
            }
            ChangeKind::Delete { .. } => {
                let existed = shard.version(hash, state.id, key, now).is_some();
                if let Some(taken) = shard.remove(hash, state.id, key) {
                    self.forget(&taken, |state| {
                        if existed {
                            &state.deletes
                        } else {
                            &state.expired
                        }
                    });
                }
                Changed::Deleted { existed }
            }
            ChangeKind::Expire { ttl, .. } => {
                let version = self.next_version();
                let expires_ms = ttl.map(|ttl| now.saturating_add(ttl.get_ms()));
                shard.set_expiry(hash, state.id, key, version, expires_ms);
                Changed::Stored {
                    version,
                    expires_at_ms: self.wall(expires_ms, now),
                }
            }
        }
    }

    fn next_version(&self) -> i64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Says a monotonic instant in wall-clock milliseconds.
    fn wall(&self, expires_ms: Option<u64>, now: u64) -> Option<i64> {
        let left = expires_ms?.saturating_sub(now).min(TTL_MS_MAX);
        Some(
            self.clock
                .now()
                .plus_ms(i64::try_from(left).unwrap_or(i64::MAX))
                .0,
        )
    }
}

/// Checks a change against what is stored. `index` is its place among the changes of the call.
fn check(change: &Change, stored: Option<i64>, index: usize) -> Result<(), CacheError> {
    let item = Some(index);
    let refuse = |field, reason| {
        Err(CacheError::Condition {
            item,
            field,
            reason,
            stored,
        })
    };
    let wanted = match (&change.kind, stored) {
        (
            ChangeKind::Put {
                condition: Condition::Absent,
                ..
            },
            Some(_),
        ) => {
            return refuse("condition", "key is present");
        }
        (
            ChangeKind::Put {
                condition: Condition::Present | Condition::Version(_),
                ..
            },
            None,
        ) => return refuse("condition", "key is absent"),
        (
            ChangeKind::Put {
                condition: Condition::Version(wanted),
                ..
            },
            Some(_),
        ) => Some(*wanted),
        (ChangeKind::Put { .. }, _) | (ChangeKind::Delete { version: None }, _) => return Ok(()),
        (ChangeKind::Delete { .. } | ChangeKind::Expire { .. }, None) => {
            return Err(CacheError::KeyNotFound { item });
        }
        (ChangeKind::Delete { version } | ChangeKind::Expire { version, .. }, Some(_)) => *version,
    };
    match wanted {
        Some(wanted) if stored != Some(wanted) => refuse("version", "another version is stored"),
        _ => Ok(()),
    }
}

#[async_trait]
impl CacheBackend for MemoryCache {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, scope: &Scope, key: &Key) -> Result<Option<Found>, CacheError> {
        let Some(state) = self.namespaces.find(scope) else {
            return Ok(None);
        };
        let hash = self.hash(state.id, key.as_str());
        let found = self.shards.get(Self::shard_of(hash)).and_then(|shard| {
            let mut shard = shard.lock();
            // Under the lock: a reader that waited for a writer must not see with an older clock than the writer's.
            let now = self.clock.monotonic_ms();
            self.read_at(&mut shard, &state, hash, key, now)
        });
        state.read(found.is_some());
        Ok(found)
    }

    async fn get_many(
        &self,
        scope: &Scope,
        keys: &[Key],
        counting: Counting,
    ) -> Result<Vec<Option<Found>>, CacheError> {
        let Some(state) = self.namespaces.find(scope) else {
            return Ok(vec![None; keys.len()]);
        };
        let hashes: Vec<u64> = keys
            .iter()
            .map(|key| self.hash(state.id, key.as_str()))
            .collect();
        let mut locked = self.lock_shards(&hashes);
        let now = self.clock.monotonic_ms();
        let found = keys
            .iter()
            .zip(&hashes)
            .map(|(key, hash)| {
                let shard = shard_among(&mut locked, *hash)?;
                self.read_at(shard, &state, *hash, key, now)
            })
            .collect::<Vec<_>>();
        drop(locked);
        if counting == Counting::Counted {
            found.iter().for_each(|found| state.read(found.is_some()));
        }
        Ok(found)
    }

    async fn apply(
        &self,
        scope: &Scope,
        changes: Vec<Change>,
        atomicity: Atomicity,
    ) -> Result<Vec<Result<Changed, CacheError>>, CacheError> {
        let state = self.namespaces.find_or_add(scope)?;
        let hashes: Vec<u64> = changes
            .iter()
            .map(|change| self.hash(state.id, change.key.as_str()))
            .collect();
        let mut locked = self.lock_shards(&hashes);
        let now = self.clock.monotonic_ms();
        let mut verdicts = Vec::with_capacity(changes.len());
        for (index, (change, hash)) in changes.iter().zip(&hashes).enumerate() {
            let stored = shard_among(&mut locked, *hash)
                .and_then(|shard| shard.version(*hash, state.id, change.key.as_str(), now));
            let verdict = check(change, stored, index);
            if atomicity == Atomicity::AllOrNothing {
                verdict?;
                verdicts.push(Ok(()));
            } else {
                verdicts.push(verdict);
            }
        }
        let results = changes
            .into_iter()
            .zip(verdicts)
            .zip(&hashes)
            .filter_map(|((change, verdict), hash)| {
                let shard = shard_among(&mut locked, *hash)?;
                Some(verdict.map(|()| self.apply_one(shard, &state, *hash, change, now)))
            })
            .collect();
        drop(locked);
        self.evict();
        Ok(results)
    }

    async fn stats(&self, scope: &Scope) -> Result<Stats, CacheError> {
        let bytes_max = self.bytes_max;
        Ok(self.namespaces.find(scope).map_or_else(
            || Stats {
                bytes_max,
                ..Stats::default()
            },
            |state| state.stats(bytes_max),
        ))
    }
}

/// Finds the locked shard of a hash. Present for every hash that [`MemoryCache::lock_shards`] was given.
fn shard_among<'locked>(
    locked: &'locked mut [(usize, MutexGuard<'_, Shard>)],
    hash: u64,
) -> Option<&'locked mut Shard> {
    let wanted = MemoryCache::shard_of(hash);
    let place = locked
        .binary_search_by_key(&wanted, |(index, _)| *index)
        .ok()?;
    locked.get_mut(place).map(|(_, shard)| &mut **shard)
}
