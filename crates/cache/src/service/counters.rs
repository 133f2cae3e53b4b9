//! What callers did to each namespace since the start: the same for every backend.
//!
//! Answers are counted one by one. Which keys they were for and how long they took is noted of the first of a namespace
//! and then of one in [`SAMPLED_SHARE`], by chance, so that looking costs a read next to nothing.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::RwLock;
use plinth_core::SharedClock;
use rand::Rng as _;

use self::hot::HotSketch;
use self::timing::Timings;
use crate::model::{BackendStats, Changed, Freshness, HotKeys, Key, LoadStats, Read, Scope, Stats};

mod hot;
mod timing;

/// Most namespaces that are counted each for itself; what comes later is counted together and shown by none.
const COUNTED_NAMESPACES_MAX: usize = 10_000;
/// Most namespaces whose hot keys are known: those that are used first.
const WATCHED_NAMESPACES_MAX: usize = 1_000;
/// Most namespaces that have series of their own on `/metrics`: those that are used first. The others are summed.
pub(super) const TOLD_NAMESPACES_MAX: usize = 100;
/// How many calls of a namespace are looked at one by one before they are sampled.
const EACH_CALL_MAX: u64 = 1_024;
/// One call of so many is looked at then.
const SAMPLED_SHARE: u32 = 16;

thread_local! {
    /// How many calls of this thread pass by until one is looked at.
    static PASSING: Cell<u32> = const { Cell::new(0) };
}

/// Whether it is a call's turn to be looked at. The distance varies, so that no rhythm of callers falls in with it.
fn is_turn() -> bool {
    PASSING.with(|passing| {
        let left = passing.get();
        if left > 0 {
            passing.set(left - 1);
            return false;
        }
        passing.set(rand::rng().random_range(0..=2 * (SAMPLED_SHARE - 1)));
        true
    })
}

/// A call that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Watched {
    /// For how many calls it stands.
    weight: u64,
    since_ns: u64,
}

/// Kinds of calls of the backend.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Get,
    BatchGet,
    Change,
    BatchChange,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Get, Self::BatchGet, Self::Change, Self::BatchChange];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::BatchGet => "batch_get",
            Self::Change => "change",
            Self::BatchChange => "batch_change",
        }
    }
}

#[derive(Default)]
struct AllTimings {
    get: OnceLock<Box<Timings>>,
    batch_get: OnceLock<Box<Timings>>,
    change: OnceLock<Box<Timings>>,
    batch_change: OnceLock<Box<Timings>>,
}

impl AllTimings {
    const fn of(&self, kind: Kind) -> &OnceLock<Box<Timings>> {
        match kind {
            Kind::Get => &self.get,
            Kind::BatchGet => &self.batch_get,
            Kind::Change => &self.change,
            Kind::BatchChange => &self.batch_change,
        }
    }
}

/// The counters of one namespace.
#[derive(Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    stale_hits: AtomicU64,
    negative_hits: AtomicU64,
    near_hits: AtomicU64,
    sets: AtomicU64,
    deletes: AtomicU64,
    loads: AtomicU64,
    load_errors: AtomicU64,
    load_us: AtomicU64,
    load_us_max: AtomicU64,
    timings: AllTimings,
    hot: Option<HotSketch>,
    /// Whether it has series of its own on `/metrics`.
    pub(super) is_told: bool,
}

impl Counters {
    /// Begins a call of the backend; `None` where it is not looked at.
    pub(super) fn begin(&self, clock: &SharedClock) -> Option<Watched> {
        let calls = [&self.hits, &self.misses, &self.sets];
        let calls = calls.map(|count| count.load(Ordering::Relaxed));
        let weight = match calls.into_iter().fold(0, u64::saturating_add) {
            0..EACH_CALL_MAX => 1,
            _ if is_turn() => u64::from(SAMPLED_SHARE),
            _ => return None,
        };
        Some(Watched {
            weight,
            since_ns: clock.monotonic_ns(),
        })
    }

    /// Notes how long an answer took, of a call that is looked at.
    pub(super) fn took(&self, kind: Kind, watched: Option<Watched>, clock: &SharedClock) {
        let Some(watched) = watched else {
            return;
        };
        let took_ns = clock.monotonic_ns().saturating_sub(watched.since_ns);
        let timings = self.timings.of(kind).get_or_init(Box::default);
        timings.note(took_ns, watched.weight);
    }

    /// Counts answers to reads of keys.
    pub(super) fn reads(&self, watched: Option<Watched>, keys: &[Key], reads: &[Read], near: bool) {
        reads.iter().for_each(|read| self.read(read));
        if near {
            let near = u64::try_from(reads.len()).unwrap_or(u64::MAX);
            self.near_hits.fetch_add(near, Ordering::Relaxed);
        }
        if let (Some(watched), Some(hot)) = (watched, &self.hot) {
            hot.note(keys.iter(), watched.weight);
        }
    }

    pub(super) fn read(&self, read: &Read) {
        let add = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match read {
            Read::Found(found) => {
                add(&self.hits);
                if found.freshness() == Freshness::Stale {
                    add(&self.stale_hits);
                }
            }
            Read::KnownAbsent(_) => {
                add(&self.misses);
                add(&self.negative_hits);
            }
            Read::Absent => add(&self.misses),
        }
    }

    pub(super) fn changed(&self, changed: &Changed) {
        let counter = match changed {
            Changed::Stored(_) | Changed::Counted { .. } | Changed::Appended { .. } => &self.sets,
            Changed::Deleted { existed: true } => &self.deletes,
            Changed::Deleted { existed: false } => return,
            Changed::Touched(read) => return self.read(read),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one answer of a loader.
    pub(super) fn loaded(&self, elapsed: Duration, is_good: bool) {
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.loads.fetch_add(1, Ordering::Relaxed);
        if !is_good {
            self.load_errors.fetch_add(1, Ordering::Relaxed);
        }
        self.load_us.fetch_add(elapsed_us, Ordering::Relaxed);
        self.load_us_max.fetch_max(elapsed_us, Ordering::Relaxed);
    }

    /// The keys that are read most.
    pub(super) fn hottest(&self) -> HotKeys {
        self.hot
            .as_ref()
            .map(HotSketch::hottest)
            .unwrap_or_default()
    }

    /// Puts them beside what the backend holds.
    pub(super) fn with(&self, held: BackendStats) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let timed = Kind::ALL.into_iter().filter_map(|kind| {
            let timings = self.timings.of(kind).get()?;
            Some(timings.tell(kind.as_str()))
        });
        Stats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            stale_hits: read(&self.stale_hits),
            negative_hits: read(&self.negative_hits),
            near_hits: read(&self.near_hits),
            sets: read(&self.sets),
            deletes: read(&self.deletes),
            loads: LoadStats {
                loads: read(&self.loads),
                errors: read(&self.load_errors),
                total_us: read(&self.load_us),
                max_us: read(&self.load_us_max),
            },
            latencies: timed.collect(),
            held,
        }
    }

    /// What is told on `/metrics`, each under its name.
    pub(super) fn told(&self) -> [(&'static str, u64); 7] {
        [
            ("plinth_cache_hits_total", &self.hits),
            ("plinth_cache_misses_total", &self.misses),
            ("plinth_cache_stale_hits_total", &self.stale_hits),
            ("plinth_cache_negative_hits_total", &self.negative_hits),
            ("plinth_cache_near_answers_total", &self.near_hits),
            ("plinth_cache_sets_total", &self.sets),
            ("plinth_cache_deletes_total", &self.deletes),
        ]
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

/// The counters of all namespaces.
#[derive(Default)]
pub(super) struct CountersTable {
    by_scope: RwLock<AHashMap<Scope, Arc<Counters>>>,
    rest: Arc<Counters>,
}

impl CountersTable {
    pub(super) fn of(&self, scope: &Scope) -> Arc<Counters> {
        if let Some(counters) = self.by_scope.read().get(scope) {
            return Arc::clone(counters);
        }
        let mut by_scope = self.by_scope.write();
        let known = by_scope.len();
        if known >= COUNTED_NAMESPACES_MAX && !by_scope.contains_key(scope) {
            return Arc::clone(&self.rest);
        }
        let counters = by_scope.entry(scope.clone()).or_insert_with(|| {
            Arc::new(Counters {
                hot: (known < WATCHED_NAMESPACES_MAX).then(HotSketch::default),
                is_told: known < TOLD_NAMESPACES_MAX,
                ..Counters::default()
            })
        });
        Arc::clone(counters)
    }

    /// All of them; without a scope those of the namespaces that came too late.
    pub(super) fn all(&self) -> Vec<(Option<Scope>, Arc<Counters>)> {
        let by_scope = self.by_scope.read();
        let known = by_scope.iter();
        let known = known.map(|(scope, counters)| (Some(scope.clone()), Arc::clone(counters)));
        let rest = std::iter::once((None, Arc::clone(&self.rest)));
        known.chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_call_of_the_share_is_looked_at() {
        let calls = 160_000;
        let looked = (0..calls).filter(|_| is_turn()).count();
        let expected = 160_000 / 16;
        assert!(
            (expected * 9 / 10..=expected * 11 / 10).contains(&looked),
            "{looked} of {calls}"
        );
    }
}
