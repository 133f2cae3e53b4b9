//! What is read beside values: walks, statistics, leases.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng as _;
use tokio::sync::watch;

use super::entry::Entry;
use super::{LEASES_MAX, MemoryCache, Room, SHARDS};
use crate::backend::Looking;
use crate::error::CacheError;
use crate::model::{
    BackendStats, EntrySample, Key, LeaseMs, LeaseState, LeaseToken, LeaseWhen, LeasedRead, Read,
    SAMPLE_ENTRIES_MAX, Scan, ScanItem, ScanPlace, Scanned, Space,
};

/// How many entries one page of a walk looks at before it hands on what it has.
const SCAN_LOOKED_MAX: usize = 200_000;
/// How many entries a look at sizes and lives draws: many of them may be of other namespaces.
const SAMPLE_DRAWS_MAX: usize = 4 * SAMPLE_ENTRIES_MAX;

impl MemoryCache {
    /// Walks the shards one after the other, each in the order of its hashes, which no change of another key moves.
    pub(super) fn walk(&self, space: &Space, scan: &Scan) -> Result<Scanned, CacheError> {
        let (mut index, mut after) = scan.place.as_ref().map_or(Ok((0, None)), parse_place)?;
        let Some(state) = self.namespaces.find(&space.scope) else {
            return Ok(Scanned::default());
        };
        let limit = usize::try_from(scan.limit.get()).unwrap_or(usize::MAX);
        let (mut items, mut looked) = (Vec::new(), 0);
        while let Some(room) = self.rooms.get(index) {
            let room = room.lock();
            let now = self.clock.monotonic_ms();
            let room_left = limit - items.len();
            let (page, next) =
                room.shard
                    .page(state.id, scan.prefix.as_str(), after, room_left, now);
            after = next;
            if after.is_none() {
                index += 1;
            }
            for (_, entry) in page {
                items.extend(item(entry, now)?);
            }
            looked += room.shard.len();
            if items.len() >= limit || looked >= SCAN_LOOKED_MAX {
                break;
            }
        }
        let next = (index < SHARDS).then(|| place(index, after));
        Ok(Scanned { items, next })
    }

    pub(super) fn look(&self, space: &Space) -> BackendStats {
        let Some(state) = self.namespaces.find(&space.scope) else {
            return BackendStats {
                bytes_max: Some(self.bytes_max),
                ..BackendStats::default()
            };
        };
        let held = state.numbers();
        BackendStats {
            keys: held.keys,
            bytes: held.bytes,
            bytes_max: Some(self.bytes_max),
            expired: held.expired,
            evicted: held.evicted,
            connections: None,
            sample: if held.keys == 0 {
                Vec::new()
            } else {
                self.sample(state.id)
            },
        }
    }

    fn sample(&self, namespace: u32) -> Vec<EntrySample> {
        let now = self.clock.monotonic_ms();
        let mut random = rand::rng();
        let mut drawn = HashSet::new();
        let draw = |_| {
            let index = random.random_range(0..SHARDS);
            let room = self.rooms.get(index)?.lock();
            let (place, entry) = room.shard.random()?;
            let counts = entry.namespace() == namespace && !entry.is_dead(now);
            // Each once, so that a few entries do not look like many.
            (counts && drawn.insert((index, place))).then(|| EntrySample {
                value_bytes: value_len(entry),
                ttl_ms: entry.expires_ms().map(|at| at.saturating_sub(now)),
            })
        };
        (0..SAMPLE_DRAWS_MAX)
            .filter_map(draw)
            .take(SAMPLE_ENTRIES_MAX)
            .collect()
    }

    pub(super) fn read_or_lease(
        &self,
        space: &Space,
        key: &Key,
        lease: LeaseMs,
        when: LeaseWhen,
    ) -> Result<LeasedRead, CacheError> {
        loop {
            let state = self.namespaces.find_or_add(&space.scope)?;
            let hash = self.hash(state.id, key.as_str());
            let Some(mut room) = self.room(hash) else {
                return Ok(LeasedRead {
                    read: Read::Absent,
                    lease: LeaseState::NotNeeded,
                });
            };
            if state.is_retired() {
                continue;
            }
            let now = self.clock.monotonic_ms();
            let read = self.read_at(
                &mut room,
                &state,
                (hash, key),
                now,
                Looking::Reading,
                Bytes::copy_from_slice,
            );
            let lease = if when == LeaseWhen::Always || read.needs_filling() {
                self.lease(&mut room, hash, state.id, key, now, lease)?
            } else {
                LeaseState::NotNeeded
            };
            return Ok(LeasedRead { read, lease });
        }
    }

    /// Says who fills the key: the holder of the open lease, else the caller.
    fn lease(
        &self,
        room: &mut Room,
        hash: u64,
        namespace: u32,
        key: &Key,
        now: u64,
        lease: LeaseMs,
    ) -> Result<LeaseState, CacheError> {
        if let Some(open) = room.leases.open(hash, namespace, key.as_str(), now) {
            return Ok(LeaseState::Held {
                token: open.token,
                left_ms: open.until_ms.saturating_sub(now),
            });
        }
        if self.leases.load(Ordering::Relaxed) >= LEASES_MAX {
            return Err(CacheError::Crowded {
                what: "open leases",
                max: LEASES_MAX,
            });
        }
        let token = LeaseToken::new(self.next_version());
        let until_ms = now.saturating_add(lease.get());
        let grown = room
            .leases
            .give(hash, namespace, key.as_str(), token, until_ms);
        self.leases.fetch_add(grown, Ordering::Relaxed);
        Ok(LeaseState::Granted { token })
    }

    /// Something that completes when that lease ends, and when it ends by itself; `None` where it is not open.
    pub(super) fn end_of_lease(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
    ) -> Option<(watch::Receiver<()>, u64)> {
        let state = self.namespaces.find(&space.scope)?;
        let hash = self.hash(state.id, key.as_str());
        let room = self.room(hash)?;
        let now = self.clock.monotonic_ms();
        let open = room.leases.open(hash, state.id, key.as_str(), now)?;
        (open.token == token).then(|| (open.end(), open.until_ms))
    }

    pub(super) fn end_lease_now(&self, space: &Space, key: &Key, token: LeaseToken) -> bool {
        let Some(state) = self.namespaces.find(&space.scope) else {
            return false;
        };
        let hash = self.hash(state.id, key.as_str());
        let now = self.clock.monotonic_ms();
        let Some(mut room) = self.room(hash) else {
            return false;
        };
        let open = room.leases.open(hash, state.id, key.as_str(), now);
        if open.is_none_or(|open| open.token != token) {
            return false;
        }
        let ended = room.leases.end(hash, state.id, key.as_str());
        self.leases.fetch_sub(ended, Ordering::Relaxed);
        true
    }

    /// Gives the namespace another number, wakes who waits for its leases, and lets the sweeper free the rest. Every room is
    /// locked once in between: a change under way has then either been made under the old number, or sees that it is old.
    pub(super) fn begin_anew(&self, space: &Space) -> Result<i64, CacheError> {
        self.namespaces.find_or_add(&space.scope)?;
        let version = self.next_version();
        if let Some(old) = self.namespaces.begin_anew(&space.scope) {
            for room in &self.rooms {
                let ended = Mutex::lock(room)
                    .leases
                    .end_where(|namespace, _| namespace == old.id);
                self.leases.fetch_sub(ended, Ordering::Relaxed);
            }
            self.namespaces.retire(old.id);
        }
        Ok(version)
    }
}

fn value_len(entry: &Entry) -> u64 {
    u64::try_from(entry.value_bytes().len()).unwrap_or(u64::MAX)
}

/// The item of a live value; none of a negative entry.
fn item(entry: &Entry, now: u64) -> Result<Option<ScanItem>, CacheError> {
    if entry.is_negative() {
        return Ok(None);
    }
    Ok(Some(ScanItem {
        key: Key::parse(&String::from_utf8_lossy(entry.key()))?,
        version: entry.version(),
        ttl_ms: entry.expires_ms().map(|at| at.saturating_sub(now)),
        value_bytes: value_len(entry),
    }))
}

fn place(index: usize, after: Option<u64>) -> ScanPlace {
    match after {
        Some(hash) => ScanPlace(format!("{index}.{hash:x}")),
        None => ScanPlace(index.to_string()),
    }
}

fn parse_place(place: &ScanPlace) -> Result<(usize, Option<u64>), CacheError> {
    let (index, after) = match place.0.split_once('.') {
        Some((index, hash)) => (index, u64::from_str_radix(hash, 16).map(Some)),
        None => (place.0.as_str(), Ok(None)),
    };
    match (index.parse(), after) {
        (Ok(index), Ok(after)) if index < SHARDS => Ok((index, after)),
        _ => {
            Err(plinth_core::Error::invalid("cursor", "is not one that this scan returned").into())
        }
    }
}
