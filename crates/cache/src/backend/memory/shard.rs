//! One shard: a slab of entries and a hash table of indices into it.

use hashbrown::HashTable;
use rand::Rng as _;

use super::entry::Entry;
use super::namespaces::Retired;
use super::sketch::Sketch;
use super::slab::{Slab, Slot};

/// How many entries an eviction compares.
const EVICTION_SAMPLE: usize = 8;

/// By how much a range of hashes grows where it held too few entries.
const RANGE_GROWTH: u64 = 8;

/// What is left to count of an entry that was removed.
pub(super) struct Taken {
    pub(super) namespace: u32,
    pub(super) bytes: u64,
    /// Whether its time had come.
    pub(super) expired: bool,
    /// Whether nobody could read it any more.
    pub(super) dead: bool,
}

/// What a read finds.
pub(super) enum Lookup<'shard> {
    /// A live entry.
    Live(&'shard mut Entry),
    /// An entry that nobody can read any more; it is removed now.
    Dead(Taken),
    /// Nothing.
    Absent,
}

/// A part of the keys.
#[derive(Default)]
pub(super) struct Shard {
    table: HashTable<u32>,
    slots: Slab,
    sketch: Sketch,
    sweep_from: usize,
    bytes: u64,
}

impl Shard {
    fn find(&self, hash: u64, namespace: u32, key: &[u8]) -> Option<usize> {
        let slots = &self.slots;
        self.table
            .find(hash, |index| {
                slot_at(slots, *index).is_some_and(|slot| {
                    slot.hash == hash
                        && slot.entry.namespace() == namespace
                        && slot.entry.key() == key
                })
            })
            .and_then(|index| usize::try_from(*index).ok())
    }

    /// Reads an entry and remembers that it was asked for.
    pub(super) fn get(&mut self, hash: u64, namespace: u32, key: &str, now: u64) -> Lookup<'_> {
        self.sketch.note(hash);
        let Some(index) = self.find(hash, namespace, key.as_bytes()) else {
            return Lookup::Absent;
        };
        let dead = self
            .slots
            .get(index)
            .is_some_and(|slot| slot.entry.is_dead(now));
        if dead {
            return self.take(index, now).map_or(Lookup::Absent, Lookup::Dead);
        }
        self.slots
            .get_mut(index)
            .map_or(Lookup::Absent, |slot| Lookup::Live(&mut slot.entry))
    }

    /// Looks at what is stored, dead or alive.
    pub(super) fn peek(&self, hash: u64, namespace: u32, key: &str) -> Option<&Entry> {
        let index = self.find(hash, namespace, key.as_bytes())?;
        self.slots.get(index).map(|slot| &slot.entry)
    }

    /// Changes what is stored, where the entry's size is known to the caller before and after.
    pub(super) fn change(
        &mut self,
        hash: u64,
        namespace: u32,
        key: &str,
        change: impl FnOnce(&mut Entry),
    ) {
        let index = self.find(hash, namespace, key.as_bytes());
        if let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) {
            let before = slot.entry.bytes();
            change(&mut slot.entry);
            self.bytes = self
                .bytes
                .saturating_sub(before)
                .saturating_add(slot.entry.bytes());
        }
    }

    /// What its entries count against the memory bound.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many entries it holds, dead ones included.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Stores an entry in place of what was there.
    pub(super) fn insert(&mut self, hash: u64, entry: Entry) {
        self.sketch.note(hash);
        self.bytes = self.bytes.saturating_add(entry.bytes());
        if let Some(index) = self.find(hash, entry.namespace(), entry.key()) {
            if let Some(slot) = self.slots.get_mut(index) {
                let replaced = std::mem::replace(&mut slot.entry, entry);
                self.bytes = self.bytes.saturating_sub(replaced.bytes());
            }
            return;
        }
        // A shard would need 2³² entries of over 70 bytes each; the memory bound comes first.
        let Ok(index) = u32::try_from(self.slots.len()) else {
            return;
        };
        self.slots.push(Slot { hash, entry });
        let slots = &self.slots;
        self.table.insert_unique(hash, index, |index| {
            slot_at(slots, *index).map_or(0, |slot| slot.hash)
        });
    }

    /// Removes what is stored, dead or alive.
    pub(super) fn remove(&mut self, hash: u64, namespace: u32, key: &str) {
        if let Some(index) = self.find(hash, namespace, key.as_bytes()) {
            self.take(index, 0);
        }
    }

    /// Looks at the next `slots_max` slots and removes what nobody can read any more.
    pub(super) fn sweep(&mut self, now: u64, slots_max: usize, retired: &Retired) -> Vec<Taken> {
        let mut freed = Vec::new();
        for _ in 0..slots_max.min(self.slots.len()) {
            if self.sweep_from >= self.slots.len() {
                self.sweep_from = 0;
            }
            let dead = self.slots.get(self.sweep_from).is_some_and(|slot| {
                slot.entry.is_dead(now) || retired.contains(&slot.entry.namespace())
            });
            if dead {
                // The last slot moves here and is looked at next.
                freed.extend(self.take(self.sweep_from, now));
            } else {
                self.sweep_from += 1;
            }
        }
        freed
    }

    /// Removes one entry: a dead one of the sample, else the least frequently used, of equals the oldest.
    pub(super) fn evict_one(&mut self, now: u64, retired: &Retired) -> Option<Taken> {
        if self.slots.is_empty() {
            return None;
        }
        let mut random = rand::rng();
        let (index, dead) = (0..EVICTION_SAMPLE)
            .map(|_| random.random_range(0..self.slots.len()))
            .filter_map(|index| self.slots.get(index).map(|slot| (index, slot)))
            .map(|(index, slot)| {
                let dead = slot.entry.is_dead(now) || retired.contains(&slot.entry.namespace());
                (index, slot, dead)
            })
            .min_by_key(|(_, slot, dead)| {
                (!dead, self.sketch.estimate(slot.hash), slot.entry.version())
            })
            .map(|(index, _, dead)| (index, dead))?;
        let mut taken = self.take(index, now)?;
        taken.dead = dead;
        Some(taken)
    }

    /// The live entries of a namespace whose hash lies above `after`, in ascending order of their hash, about `limit` of
    /// them: entries of one hash are never torn apart. With them the hash to go on after; `None` at the end of the shard.
    ///
    /// The hashes are spread evenly, so the range that is likely to hold enough is looked through, and a wider one where it
    /// did not: what is looked at closely is about what is found, not the whole shard.
    pub(super) fn page(
        &self,
        namespace: u32,
        prefix: &str,
        after: Option<u64>,
        limit: usize,
        now: u64,
    ) -> (Vec<(u64, &Entry)>, Option<u64>) {
        let mut found: Vec<(u64, &Entry)> = Vec::new();
        let mut from = after.map_or(Some(0), |after| after.checked_add(1));
        let mut width = self.likely_width(limit);
        while let Some(first) = from {
            let last = first.saturating_add(width);
            found.extend(
                self.slots
                    .iter()
                    .filter(|slot| {
                        (first..=last).contains(&slot.hash)
                            && slot.entry.namespace() == namespace
                            && slot.entry.key().starts_with(prefix.as_bytes())
                            && !slot.entry.is_dead(now)
                    })
                    .map(|slot| (slot.hash, &slot.entry)),
            );
            if found.len() >= limit {
                found.sort_unstable_by_key(|(hash, _)| *hash);
                let place = limit.checked_sub(1).and_then(|last| found.get(last));
                let end = place.map_or(last, |(hash, _)| *hash);
                found.retain(|(hash, _)| *hash <= end);
                return (found, Some(end));
            }
            from = last.checked_add(1);
            width = width.saturating_mul(RANGE_GROWTH);
        }
        found.sort_unstable_by_key(|(hash, _)| *hash);
        (found, None)
    }

    /// The width of a range of hashes that is likely to hold twice as many entries as are wanted.
    fn likely_width(&self, limit: usize) -> u64 {
        let (wanted, held) = (limit.saturating_mul(2).max(1), self.slots.len().max(1));
        let parts = u64::try_from(held.div_ceil(wanted)).unwrap_or(1);
        u64::MAX / parts.max(1)
    }

    /// An entry at random, dead or alive, and its place.
    pub(super) fn random(&self) -> Option<(usize, &Entry)> {
        if self.slots.is_empty() {
            return None;
        }
        let index = rand::rng().random_range(0..self.slots.len());
        self.slots.get(index).map(|slot| (index, &slot.entry))
    }

    fn take(&mut self, index: usize, now: u64) -> Option<Taken> {
        let last = self.slots.len().checked_sub(1)?;
        self.unlink(index);
        if index != last {
            self.relink(last, index);
        }
        let slot = self.slots.swap_remove(index)?;
        self.bytes = self.bytes.saturating_sub(slot.entry.bytes());
        Some(Taken {
            namespace: slot.entry.namespace(),
            bytes: slot.entry.bytes(),
            expired: slot.entry.is_expired(now),
            dead: true,
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

fn slot_at(slots: &Slab, index: u32) -> Option<&Slot> {
    slots.get(usize::try_from(index).ok()?)
}
