//! The keys that are read most: a space-saving sketch (Metwally, Agrawal, El Abbadi: Efficient computation of frequent and
//! top-k elements in data streams, ICDT 2005). Bounded however many keys there are; a key that takes more than one in
//! [`TRACKED_KEYS_MAX`] of the reads is certainly in it.

use parking_lot::Mutex;

use crate::model::{HOT_KEYS_TOLD_MAX, HotKey, HotKeys, Key};

/// Most keys that one namespace keeps an eye on.
const TRACKED_KEYS_MAX: usize = 64;
/// After how many reads all counts are halved, so that what was hot long ago fades.
const HALVED_AFTER_READS: u64 = 1 << 20;

struct Tracked {
    key: Key,
    /// What it was read at most.
    most: u64,
    /// By how much that may be too high: what the key before it in this place had.
    over: u64,
}

#[derive(Default)]
struct Tracking {
    keys: Vec<Tracked>,
    reads: u64,
}

/// The sketch of one namespace.
#[derive(Default)]
pub(super) struct HotSketch(Mutex<Tracking>);

impl HotSketch {
    /// Counts reads of a key, unless somebody else is just counting: a sample more or less tells the same.
    pub(super) fn note<'keys>(&self, keys: impl Iterator<Item = &'keys Key>, weight: u64) {
        if let Some(mut tracking) = self.0.try_lock() {
            keys.for_each(|key| tracking.note(key, weight));
        }
    }

    /// The keys that certainly were read, those that were read most first.
    pub(super) fn hottest(&self) -> HotKeys {
        let tracking = self.0.lock();
        let told = |tracked: &Tracked| HotKey {
            key: tracked.key.clone(),
            reads_min: tracked.most.saturating_sub(tracked.over),
            reads_max: tracked.most,
        };
        let mut keys: Vec<HotKey> = tracking.keys.iter().map(told).collect();
        let reads = tracking.reads;
        drop(tracking);
        keys.retain(|key| key.reads_min > 0);
        keys.sort_by(|a, b| {
            let counts = |key: &HotKey| (key.reads_min, key.reads_max);
            counts(b).cmp(&counts(a)).then_with(|| a.key.cmp(&b.key))
        });
        keys.truncate(HOT_KEYS_TOLD_MAX);
        HotKeys { reads, keys }
    }
}

impl Tracking {
    fn note(&mut self, key: &Key, weight: u64) {
        self.reads = self.reads.saturating_add(weight);
        if let Some(tracked) = self.keys.iter_mut().find(|it| it.key == *key) {
            tracked.most = tracked.most.saturating_add(weight);
        } else if self.keys.len() < TRACKED_KEYS_MAX {
            self.keys.push(Tracked {
                key: key.clone(),
                most: weight,
                over: 0,
            });
        } else if let Some(least) = self.keys.iter_mut().min_by_key(|it| it.most) {
            *least = Tracked {
                key: key.clone(),
                most: least.most.saturating_add(weight),
                over: least.most,
            };
        }
        if self.reads >= HALVED_AFTER_READS {
            self.fade();
        }
    }

    fn fade(&mut self) {
        self.reads /= 2;
        for tracked in &mut self.keys {
            tracked.most /= 2;
            tracked.over /= 2;
        }
        self.keys.retain(|tracked| tracked.most > 0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn key(index: u64) -> Key {
        Key::parse(&format!("k{index}")).expect("a key")
    }

    #[test]
    fn every_count_is_inside_its_bounds_and_no_hot_key_is_missed() {
        for seed in 0..20 {
            let mut random = rand::rngs::StdRng::seed_from_u64(seed);
            let sketch = HotSketch::default();
            let mut truth: HashMap<Key, u64> = HashMap::new();
            for _ in 0..20_000 {
                // A third of the reads go to few keys, the rest to many.
                let index = match random.random_range(0..3) {
                    0 => random.random_range(0..5),
                    _ => random.random_range(5..5_000),
                };
                let weight = random.random_range(1..=16);
                *truth.entry(key(index)).or_default() += weight;
                sketch.note(std::iter::once(&key(index)), weight);
            }
            let hottest = sketch.hottest();
            let reads: u64 = truth.values().sum();
            assert_eq!(hottest.reads, reads, "seed {seed}");
            for told in &hottest.keys {
                let real = truth[&told.key];
                assert!(
                    (told.reads_min..=told.reads_max).contains(&real),
                    "seed {seed}: {told:?}, really {real}"
                );
            }
            let first: Vec<&str> = hottest.keys.iter().map(|told| told.key.as_str()).collect();
            for hot in truth.iter().filter(|(_, real)| **real > reads / 40) {
                assert!(
                    first.contains(&hot.0.as_str()),
                    "seed {seed}: {hot:?} of {first:?}"
                );
            }
        }
    }

    #[test]
    fn it_stays_small_and_forgets_what_was_hot_long_ago() {
        let sketch = HotSketch::default();
        let note = |key: &Key, weight| sketch.note(std::iter::once(key), weight);
        note(&key(1), HALVED_AFTER_READS / 4);
        for index in 0..10_000 {
            note(&key(100 + index % 500), 16);
        }
        assert_eq!(sketch.0.lock().keys.len(), TRACKED_KEYS_MAX);
        assert_eq!(sketch.hottest().keys[0].key, key(1));
        for _ in 0..16 {
            note(&key(2), HALVED_AFTER_READS / 2);
        }
        let hottest = sketch.hottest();
        assert_eq!(hottest.keys[0].key, key(2));
        assert!(hottest.reads < HALVED_AFTER_READS);
        let share = hottest.keys.iter().find(|told| told.key == key(1));
        assert!(share.is_none_or(|told| told.reads_max < HALVED_AFTER_READS / 1_000));
    }
}
