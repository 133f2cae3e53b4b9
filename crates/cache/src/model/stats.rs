//! What a backend counts. What callers did is counted by the service, the same for every backend.

use super::expiry::TTL_MS_MAX;
use super::name::Key;
use super::value::VALUE_BYTES_MAX;

/// Most entries that one look at sizes and lives samples.
pub const SAMPLE_ENTRIES_MAX: usize = 1_000;

/// Most hot keys that one answer tells.
pub const HOT_KEYS_TOLD_MAX: usize = 20;
/// Where the steps end in which sizes of values are told, in bytes.
const SIZE_STEPS_BYTES: &[u64] = &[
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    VALUE_BYTES_MAX as u64,
];
/// Where the steps end in which remaining lives are told, in milliseconds.
const TTL_STEPS_MS: &[u64] = &[
    1_000,
    10_000,
    60_000,
    600_000,
    3_600_000,
    6 * 3_600_000,
    24 * 3_600_000,
    7 * 24 * 3_600_000,
    30 * 24 * 3_600_000,
    TTL_MS_MAX,
];

/// What a backend knows of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendStats {
    /// Entries held now, negative ones included.
    pub keys: u64,
    /// Bytes of keys, values and bookkeeping held now.
    pub bytes: u64,
    /// The memory bound that all namespaces share; `None` where the backend does not know one.
    pub bytes_max: Option<u64>,
    /// Entries removed because their time had come.
    pub expired: u64,
    /// Entries removed to stay inside the memory bound.
    pub evicted: u64,
    /// Its connections; `None` where it has none.
    pub connections: Option<Connections>,
    /// Some entries, taken at random: at most [`SAMPLE_ENTRIES_MAX`].
    pub sample: Vec<EntrySample>,
}

/// The connections of a backend to its engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// Commands whose answer is awaited now.
    pub in_flight: u64,
    /// Connections made anew since the start.
    pub reconnects: u64,
}

/// Size and life of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySample {
    /// Bytes of its value as it is stored.
    pub value_bytes: u64,
    /// Milliseconds left; `None` does not expire.
    pub ttl_ms: Option<u64>,
}

/// How many entries of a sample lie in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the step ends, in bytes or milliseconds; `None` is the step of what does not expire.
    pub up_to: Option<u64>,
    /// Entries in it.
    pub entries: u64,
}

impl BackendStats {
    /// The sample by the sizes of its values: every step, also the empty ones.
    #[must_use]
    pub fn sizes(&self) -> Vec<Step> {
        steps(
            SIZE_STEPS_BYTES,
            self.sample.iter().map(|it| it.value_bytes),
        )
    }

    /// The sample by what its entries have left to live: every step, at the end that of what does not expire.
    #[must_use]
    pub fn lives(&self) -> Vec<Step> {
        let mut lives = steps(TTL_STEPS_MS, self.sample.iter().filter_map(|it| it.ttl_ms));
        let endless = self.sample.iter().filter(|it| it.ttl_ms.is_none()).count();
        lives.push(Step {
            up_to: None,
            entries: u64::try_from(endless).unwrap_or(u64::MAX),
        });
        lives
    }
}

fn steps(ends: &[u64], numbers: impl Iterator<Item = u64>) -> Vec<Step> {
    let mut steps: Vec<Step> = ends
        .iter()
        .map(|end| Step {
            up_to: Some(*end),
            entries: 0,
        })
        .collect();
    for number in numbers {
        let at = ends.partition_point(|end| *end < number);
        if let Some(step) = steps.get_mut(at.min(ends.len().saturating_sub(1))) {
            step.entries += 1;
        }
    }
    steps
}

/// What a backend that counts in this process knows at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Entries held now.
    pub keys: u64,
    /// Bytes held now.
    pub bytes: u64,
    /// Entries removed because their time had come.
    pub expired: u64,
    /// Entries removed to stay inside the memory bound.
    pub evicted: u64,
}

/// How long the backend took to answer calls of one kind. All but the first calls are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// `get`, `batch_get`, `change` or `batch_change`.
    pub operation: &'static str,
    /// About how many calls were answered.
    pub calls: u64,
    /// What half of them took at most, in microseconds.
    pub p50_us: f64,
    /// What 95 of 100 took at most.
    pub p95_us: f64,
    /// What 99 of 100 took at most.
    pub p99_us: f64,
    /// The longest that was seen.
    pub max_us: f64,
}

/// The keys of a namespace that are read most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotKeys {
    /// Reads of all keys, about; older ones count less.
    pub reads: u64,
    /// At most [`HOT_KEYS_TOLD_MAX`], those that were read most first.
    pub keys: Vec<HotKey>,
}

/// One key that is read much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotKey {
    /// The key.
    pub key: Key,
    /// Of the reads it had at least so many, about.
    pub reads_min: u64,
    /// And at most so many.
    pub reads_max: u64,
}

/// Numbers of a namespace since the start of the instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Reads that found a live value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Of the hits, those whose value was stale.
    pub stale_hits: u64,
    /// Of the misses, those of which it was known that there is no value.
    pub negative_hits: u64,
    /// Of the reads, those that were answered from near.
    pub near_hits: u64,
    /// Values stored, counted or grown.
    pub sets: u64,
    /// Entries deleted by callers.
    pub deletes: u64,
    /// What the loader did.
    pub loads: LoadStats,
    /// How long the backend took; only kinds that were called.
    pub latencies: Vec<Latency>,
    /// What the backend knows.
    pub held: BackendStats,
}

/// What the loader of a namespace did since the start of the instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadStats {
    /// How often it was asked.
    pub loads: u64,
    /// How often it failed.
    pub errors: u64,
    /// How long it took in all, in microseconds.
    pub total_us: u64,
    /// How long it took at most, in microseconds.
    pub max_us: u64,
}

impl Stats {
    /// hits ÷ (hits + misses); 0 where nothing was read.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let reads = self.hits.saturating_add(self.misses);
        if reads == 0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio for people; 52 bits are enough"
        )]
        let rate = self.hits as f64 / reads as f64;
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_a_sample_is_in_the_step_that_ends_at_or_after_it() {
        let entry = |value_bytes, ttl_ms| EntrySample {
            value_bytes,
            ttl_ms,
        };
        let held = BackendStats {
            sample: vec![
                entry(0, None),
                entry(64, Some(0)),
                entry(65, Some(1_000)),
                entry(u64::MAX, Some(1_001)),
            ],
            ..BackendStats::default()
        };
        let told = |steps: Vec<Step>| {
            let full = steps.into_iter().filter(|step| step.entries > 0);
            full.map(|step| (step.up_to, step.entries))
                .collect::<Vec<_>>()
        };
        let largest = u64::try_from(VALUE_BYTES_MAX).expect("fits");
        assert_eq!(
            told(held.sizes()),
            [(Some(64), 2), (Some(256), 1), (Some(largest), 1)]
        );
        assert_eq!(
            told(held.lives()),
            [(Some(1_000), 2), (Some(10_000), 1), (None, 1)]
        );
        assert_eq!(
            BackendStats::default().lives().len(),
            TTL_STEPS_MS.len() + 1
        );
    }
}
