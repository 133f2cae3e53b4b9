//! The embedded backend: values in memory, in shards.
//!
//! Each shard is a slab of entries, each packed into one allocation, with a hash table of indices into it, behind one short lock. A call locks the shards it
//! needs in ascending order and holds them together, so a batch is one step for every reader. Expiry is decided on the
//! monotonic clock at each access; a sweeper only frees the memory. Eviction samples a few entries and removes the least
//! frequently used, by a sketch that remembers keys that are gone (the frequency filter of TinyLFU, Einziger et al.,
//! ACM ToS 2017). Unlike TinyLFU an acknowledged set is always admitted: the victim is somebody else.
//!
//! Order of locks: answers to idempotency keys, fences of a namespace, shards in ascending order, table of namespaces, tags of a namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use plinth_core::{Fence, SharedClock};
use rand::Rng as _;

use self::answers::Answers;
use self::leases::Leases;
use self::namespaces::{NamespaceState, Namespaces};
use self::shard::{Lookup, Shard, Taken};
use self::values::Values;
use super::{CacheBackend, Capability, Looking};
use crate::error::CacheError;
use crate::model::{
    BackendStats, Change, Changed, Guard, Held, Key, LeaseMs, LeaseToken, LeaseWhen, LeasedRead,
    Quota, Read, Reply, Scan, Scanned, Space, Tags,
};
use crate::settings::CacheSettings;

mod answers;
mod apply;
mod entry;
mod fences;
mod leases;
mod look;
mod namespaces;
mod packed;
mod plan;
mod shard;
mod sketch;
mod slab;
mod tags;
mod values;

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
/// Most leases that are open at one time.
const LEASES_MAX: usize = 100_000;

/// The embedded cache.
pub struct MemoryCache {
    rooms: Vec<Mutex<Room>>,
    namespaces: Namespaces,
    hasher: ahash::RandomState,
    clock: SharedClock,
    versions: AtomicI64,
    bytes: AtomicU64,
    leases: AtomicUsize,
    /// Bytes of `bytes` that fences take.
    fence_bytes: AtomicU64,
    answers: Answers,
    bytes_max: u64,
    tenant_quota: Quota,
    /// Where the next eviction begins, so that no shard pays for all.
    eviction_turn: AtomicU64,
}

/// What one lock guards: a part of the keys, and the leases on them.
#[derive(Default)]
struct Room {
    shard: Shard,
    leases: Leases,
}

/// Rooms that one call holds together.
struct Rooms<'cache> {
    /// One bit for each room that is locked.
    wanted: u64,
    /// In ascending order of the rooms.
    locked: Vec<MutexGuard<'cache, Room>>,
}

// A room is a bit of `Rooms::wanted`.
const _: () = assert!(SHARDS == u64::BITS as usize);

impl Rooms<'_> {
    /// The room of a hash. Present for every hash that [`MemoryCache::lock_rooms`] was given.
    fn of(&mut self, hash: u64) -> Option<&mut Room> {
        let bit = 1_u64 << MemoryCache::room_of(hash);
        if self.wanted & bit == 0 {
            return None;
        }
        let before = (self.wanted & (bit - 1)).count_ones();
        let room = self.locked.get_mut(usize::try_from(before).ok()?)?;
        Some(room)
    }
}

impl MemoryCache {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(settings: &CacheSettings, clock: SharedClock) -> Arc<Self> {
        // A random low part tells two starts of one millisecond apart, should the wall clock be set back.
        let epoch = clock.now().0.max(0) << VERSION_EPOCH_SHIFT;
        let within = rand::rng().random_range(0..1_i64 << (VERSION_EPOCH_SHIFT - 1));
        Arc::new(Self {
            rooms: (0..SHARDS).map(|_| Mutex::new(Room::default())).collect(),
            namespaces: Namespaces::new(settings.namespaces_max),
            hasher: ahash::RandomState::new(),
            clock,
            versions: AtomicI64::new(epoch | within),
            bytes: AtomicU64::new(0),
            leases: AtomicUsize::new(0),
            fence_bytes: AtomicU64::new(0),
            answers: Answers::new(settings.bytes_max),
            bytes_max: settings.bytes_max,
            tenant_quota: settings.tenant_quota(),
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

    /// Looks once at a part of every shard and frees what nobody can read any more.
    pub fn sweep(&self) {
        let now = self.clock.monotonic_ms();
        let retired = self.namespaces.retired();
        for room in &self.rooms {
            let mut room = room.lock();
            let freed = room.shard.sweep(now, SWEEP_SLOTS_PER_SHARD, &retired);
            let ended = room.leases.end_where(|_, until_ms| until_ms <= now);
            drop(room);
            self.leases.fetch_sub(ended, Ordering::Relaxed);
            freed.iter().for_each(|taken| self.forget(taken));
        }
        let tags = self.namespaces.forget_empty() + self.namespaces.forget_unused_tags();
        self.bytes.fetch_sub(tags, Ordering::Relaxed);
        if self.namespaces.has_idle() {
            self.forget_idle();
        }
    }

    /// Makes room for other namespaces. Every room is held locked meanwhile, so that no change is under way.
    fn forget_idle(&self) {
        let rooms: Vec<MutexGuard<'_, Room>> = self.rooms.iter().map(Mutex::lock).collect();
        let leased = rooms
            .iter()
            .flat_map(|room| room.leases.namespaces())
            .collect();
        let tags = self.namespaces.forget_idle(&leased);
        drop(rooms);
        self.bytes.fetch_sub(tags, Ordering::Relaxed);
    }

    /// Bytes of keys, values and bookkeeping held now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn hash(&self, namespace: u32, key: &str) -> u64 {
        self.hasher.hash_one((namespace, key))
    }

    fn room_of(hash: u64) -> usize {
        // The table inside a shard uses the low and the top bits; the shard is chosen by bits between.
        usize::try_from((hash >> 40) & (SHARDS as u64 - 1)).unwrap_or(0)
    }

    fn room(&self, hash: u64) -> Option<MutexGuard<'_, Room>> {
        self.rooms.get(Self::room_of(hash)).map(Mutex::lock)
    }

    /// Locks the rooms of some hashes, each once, in ascending order.
    fn lock_rooms(&self, hashes: &[u64]) -> Rooms<'_> {
        let wanted = hashes
            .iter()
            .fold(0, |wanted, hash| wanted | 1_u64 << Self::room_of(*hash));
        let locked = self
            .rooms
            .iter()
            .enumerate()
            .filter(|(index, _)| wanted >> index & 1 == 1)
            .map(|(_, room)| room.lock())
            .collect();
        Rooms { wanted, locked }
    }

    fn forget(&self, taken: &Taken) {
        self.bytes.fetch_sub(taken.bytes, Ordering::Relaxed);
        self.namespaces.with(taken.namespace, |state| {
            state.removed(taken.bytes);
            if taken.expired {
                state.lasting.expired.fetch_add(1, Ordering::Relaxed);
            } else if !taken.dead {
                state.lasting.evicted.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Evicts until the memory bound holds again.
    fn evict(&self) {
        if self.bytes() <= self.bytes_max {
            return;
        }
        let now = self.clock.monotonic_ms();
        let retired = self.namespaces.retired();
        for _ in 0..EVICTIONS_PER_CALL_MAX {
            if self.bytes() <= self.bytes_max {
                return;
            }
            let turn = self.eviction_turn.fetch_add(1, Ordering::Relaxed);
            let index = usize::try_from(turn % SHARDS as u64).unwrap_or(0);
            let Some(room) = self.rooms.get(index) else {
                return;
            };
            let mut room = room.lock();
            // Shards fill by chance but are visited in turn: one below the average would give up even its hot keys.
            if room.shard.bytes().saturating_mul(SHARDS as u64) < self.bytes() {
                continue;
            }
            let victim = room.shard.evict_one(now, &retired);
            drop(room);
            if let Some(taken) = victim {
                self.forget(&taken);
            }
        }
    }

    fn next_version(&self) -> i64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn read_at(
        &self,
        room: &mut Room,
        state: &NamespaceState,
        (hash, key): (u64, &Key),
        now: u64,
        looking: Looking,
        copy: impl FnOnce(&[u8]) -> Bytes,
    ) -> Read {
        match room.shard.get(hash, state.id, key.as_str(), now) {
            Lookup::Live(entry) => entry.read(now, looking, copy),
            Lookup::Dead(taken) => {
                self.forget(&taken);
                Read::Absent
            }
            Lookup::Absent => Read::Absent,
        }
    }
}

#[async_trait]
impl CacheBackend for MemoryCache {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> &'static [Capability] {
        Capability::ALL
    }

    async fn get(&self, space: &Space, key: &Key) -> Result<Reply<Read>, CacheError> {
        let Some(state) = self.namespaces.find(&space.scope) else {
            return Ok(Reply::full(Read::Absent));
        };
        let hash = self.hash(state.id, key.as_str());
        let read = self.room(hash).map_or(Read::Absent, |mut room| {
            // Under the lock: a reader that waited for a writer must not see with an older clock than the writer's.
            let now = self.clock.monotonic_ms();
            let copy = Bytes::copy_from_slice;
            self.read_at(&mut room, &state, (hash, key), now, Looking::Reading, copy)
        });
        Ok(Reply::full(read))
    }

    async fn get_many(
        &self,
        space: &Space,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Reply<Vec<Read>>, CacheError> {
        let Some(state) = self.namespaces.find(&space.scope) else {
            return Ok(Reply::full(vec![Read::Absent; keys.len()]));
        };
        let hashes: Vec<u64> = keys
            .iter()
            .map(|key| self.hash(state.id, key.as_str()))
            .collect();
        let mut rooms = self.lock_rooms(&hashes);
        let now = self.clock.monotonic_ms();
        let mut values = Values::with_capacity(keys.len());
        let read = |(index, (key, hash)): (usize, (&Key, &u64))| {
            rooms.of(*hash).map_or(Read::Absent, |room| {
                let copy = |value: &[u8]| values.copy(index, value);
                self.read_at(room, &state, (*hash, key), now, looking, copy)
            })
        };
        let mut reads: Vec<Read> = keys.iter().zip(&hashes).enumerate().map(read).collect();
        drop(rooms);
        values.hand_out(&mut reads);
        Ok(Reply::full(reads))
    }

    async fn apply(
        &self,
        space: &Space,
        changes: Vec<Change>,
        guard: Guard,
    ) -> Result<Reply<Vec<Result<Changed, CacheError>>>, CacheError> {
        let results = self.apply_all(space, changes, guard)?;
        self.evict();
        Ok(Reply::full(results))
    }

    async fn scan(&self, space: &Space, scan: Scan) -> Result<Scanned, CacheError> {
        self.walk(space, &scan)
    }

    async fn clear(&self, space: &Space, fence: Option<Fence>) -> Result<i64, CacheError> {
        self.fenced(space, fence, || self.begin_anew(space))
    }

    async fn invalidate_tags(
        &self,
        space: &Space,
        tags: Tags,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError> {
        self.fenced(space, fence, || {
            let state = self.namespaces.find_or_add(&space.scope)?;
            Ok(state.tags.invalidate(&tags, || self.next_version()))
        })
    }

    async fn get_or_lease(
        &self,
        space: &Space,
        key: &Key,
        lease: LeaseMs,
        when: LeaseWhen,
    ) -> Result<Reply<LeasedRead>, CacheError> {
        self.read_or_lease(space, key, lease, when).map(Reply::full)
    }

    async fn lease_ended(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
        wait: Duration,
    ) -> Result<(), CacheError> {
        let Some((mut end, until_ms)) = self.end_of_lease(space, key, token) else {
            return Ok(());
        };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let waited_ms = self.clock.monotonic_ms().saturating_add(wait_ms);
        tokio::select! {
            // An error says that the sender is gone: the lease has ended.
            _gone = end.changed() => {}
            () = self.clock.sleep_until_monotonic(until_ms.min(waited_ms)) => {}
        }
        Ok(())
    }

    async fn end_lease(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
    ) -> Result<bool, CacheError> {
        Ok(self.end_lease_now(space, key, token))
    }

    async fn stats(&self, space: &Space) -> Result<BackendStats, CacheError> {
        Ok(self.look(space))
    }

    fn held(&self, space: &Space) -> Option<Held> {
        self.namespaces
            .find(&space.scope)
            .map(|state| state.numbers())
    }
}
