//! One shard: a slab of entries and a hash table of indices into it.

use hashbrown::HashTable;
use rand::Rng as _;

use super::sketch::Sketch;
use crate::model::Value;

/// Bytes that an entry costs beside its key and value: slab slot, table slot, allocations.
const ENTRY_OVERHEAD_BYTES: u64 = 128;
/// How many entries an eviction compares.
const EVICTION_SAMPLE: usize = 8;

/// A stored value.
pub(super) struct Entry {
    pub(super) namespace: u32,
    pub(super) key: Box<str>,
    pub(super) value: Value,
    pub(super) version: i64,
    /// On the monotonic clock: from this millisecond on the entry is gone.
    pub(super) expires_ms: Option<u64>,
}

impl Entry {
    /// What the entry counts against the memory bound.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.key.len() + self.value.bytes.len())
            .unwrap_or(u64::MAX)
            .saturating_add(ENTRY_OVERHEAD_BYTES)
    }

    fn is_expired(&self, now: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= now)
    }
}

/// What is left to count of an entry that was removed.
pub(super) struct Taken {
    pub(super) namespace: u32,
    pub(super) bytes: u64,
}

/// What a read finds.
pub(super) enum Lookup<'shard> {
    /// A live entry.
    Live(&'shard Entry),
    /// An entry whose time had come; it is removed now.
    Expired(Taken),
    /// Nothing.
    Absent,
}

struct Slot {
    hash: u64,
    entry: Entry,
}

/// A part of the keys.
#[derive(Default)]
pub(super) struct Shard {
    table: HashTable<u32>,
    /// Dense: a removal moves the last slot into the gap, so that any index can be sampled.
    slots: Vec<Slot>,
    sketch: Sketch,
    sweep_from: usize,
    bytes: u64,
}

impl Shard {
    fn find(&self, hash: u64, namespace: u32, key: &str) -> Option<usize> {
        let slots = &self.slots;
        self.table
            .find(hash, |index| {
                slot_at(slots, *index).is_some_and(|slot| {
                    slot.hash == hash
                        && slot.entry.namespace == namespace
                        && *slot.entry.key == *key
                })
            })
            .and_then(|index| usize::try_from(*index).ok())
    }

    pub(super) fn get(&mut self, hash: u64, namespace: u32, key: &str, now: u64) -> Lookup<'_> {
        self.sketch.note(hash);
        let Some(index) = self.find(hash, namespace, key) else {
            return Lookup::Absent;
        };
        if self
            .slots
            .get(index)
            .is_some_and(|slot| slot.entry.is_expired(now))
        {
            return self.take(index).map_or(Lookup::Absent, Lookup::Expired);
        }
        self.slots
            .get(index)
            .map_or(Lookup::Absent, |slot| Lookup::Live(&slot.entry))
    }

    /// The version of a live entry.
    pub(super) fn version(&self, hash: u64, namespace: u32, key: &str, now: u64) -> Option<i64> {
        let slot = self.slots.get(self.find(hash, namespace, key)?)?;
        (!slot.entry.is_expired(now)).then_some(slot.entry.version)
    }

    /// What its entries count against the memory bound.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Stores an entry and returns what it replaced.
    pub(super) fn insert(&mut self, hash: u64, entry: Entry) -> Option<Taken> {
        self.sketch.note(hash);
        self.bytes = self.bytes.saturating_add(entry.bytes());
        if let Some(index) = self.find(hash, entry.namespace, &entry.key) {
            let slot = self.slots.get_mut(index)?;
            let replaced = std::mem::replace(&mut slot.entry, entry);
            self.bytes = self.bytes.saturating_sub(replaced.bytes());
            return Some(Taken {
                namespace: replaced.namespace,
                bytes: replaced.bytes(),
            });
        }
        // A shard would need 2³² entries of over 128 bytes each; the memory bound comes first.
        let index = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot { hash, entry });
        let slots = &self.slots;
        self.table.insert_unique(hash, index, |index| {
            slot_at(slots, *index).map_or(0, |slot| slot.hash)
        });
        None
    }

    pub(super) fn remove(&mut self, hash: u64, namespace: u32, key: &str) -> Option<Taken> {
        self.find(hash, namespace, key)
            .and_then(|index| self.take(index))
    }

    pub(super) fn set_expiry(
        &mut self,
        hash: u64,
        namespace: u32,
        key: &str,
        version: i64,
        expires_ms: Option<u64>,
    ) {
        let index = self.find(hash, namespace, key);
        if let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) {
            slot.entry.version = version;
            slot.entry.expires_ms = expires_ms;
        }
    }

    /// Looks at the next `slots_max` slots and removes what expired.
    pub(super) fn sweep(&mut self, now: u64, slots_max: usize) -> Vec<Taken> {
        let mut freed = Vec::new();
        for _ in 0..slots_max.min(self.slots.len()) {
            if self.sweep_from >= self.slots.len() {
                self.sweep_from = 0;
            }
            let expired = self
                .slots
                .get(self.sweep_from)
                .is_some_and(|slot| slot.entry.is_expired(now));
            if expired {
                // The last slot moves here and is looked at next.
                freed.extend(self.take(self.sweep_from));
            } else {
                self.sweep_from += 1;
            }
        }
        freed
    }

    /// Removes one entry: an expired one of the sample, else the least frequently used, of equals the oldest. Says whether
    /// it had expired.
    pub(super) fn evict_one(&mut self, now: u64) -> Option<(Taken, bool)> {
        if self.slots.is_empty() {
            return None;
        }
        let mut random = rand::rng();
        let victim = (0..EVICTION_SAMPLE)
            .map(|_| random.random_range(0..self.slots.len()))
            .filter_map(|index| self.slots.get(index).map(|slot| (index, slot)))
            .min_by_key(|(_, slot)| {
                let alive = !slot.entry.is_expired(now);
                (alive, self.sketch.estimate(slot.hash), slot.entry.version)
            })
            .map(|(index, slot)| (index, slot.entry.is_expired(now)));
        let (index, expired) = victim?;
        self.take(index).map(|taken| (taken, expired))
    }

    fn take(&mut self, index: usize) -> Option<Taken> {
        let last = self.slots.len().checked_sub(1)?;
        self.unlink(index);
        if index != last {
            self.relink(last, index);
        }
        let slot = self.slots.swap_remove(index);
        self.bytes = self.bytes.saturating_sub(slot.entry.bytes());
        Some(Taken {
            namespace: slot.entry.namespace,
            bytes: slot.entry.bytes(),
        })
    }

    /// Removes the table's pointer to a slot.
    fn unlink(&mut self, index: usize) {
        let (Some(slot), Ok(number)) = (self.slots.get(index), u32::try_from(index)) else {
            return;
        };
        if let Ok(found) = self
            .table
            .find_entry(slot.hash, |candidate| *candidate == number)
        {
            found.remove();
        }
    }

    /// Points the table at the place that a slot is about to move to.
    fn relink(&mut self, from: usize, to: usize) {
        let (Some(slot), Ok(from), Ok(to)) =
            (self.slots.get(from), u32::try_from(from), u32::try_from(to))
        else {
            return;
        };
        if let Some(pointer) = self
            .table
            .find_mut(slot.hash, |candidate| *candidate == from)
        {
            *pointer = to;
        }
    }
}

fn slot_at(slots: &[Slot], index: u32) -> Option<&Slot> {
    slots.get(usize::try_from(index).ok()?)
}
