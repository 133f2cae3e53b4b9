//! What callers did to each namespace since the start: the same for every backend.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::model::{BackendStats, Changed, Freshness, LoadStats, Read, Scope, Stats};

/// Most namespaces that are counted each for itself; what comes later is counted together and shown by none.
const COUNTED_NAMESPACES_MAX: usize = 10_000;

/// The counters of one namespace.
#[derive(Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    stale_hits: AtomicU64,
    negative_hits: AtomicU64,
    sets: AtomicU64,
    deletes: AtomicU64,
    loads: AtomicU64,
    load_errors: AtomicU64,
    load_us: AtomicU64,
    load_us_max: AtomicU64,
}

impl Counters {
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

    /// Puts them beside what the backend holds.
    pub(super) fn with(&self, held: BackendStats) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            stale_hits: read(&self.stale_hits),
            negative_hits: read(&self.negative_hits),
            sets: read(&self.sets),
            deletes: read(&self.deletes),
            loads: LoadStats {
                loads: read(&self.loads),
                errors: read(&self.load_errors),
                total_us: read(&self.load_us),
                max_us: read(&self.load_us_max),
            },
            held,
        }
    }
}

/// The counters of all namespaces.
#[derive(Default)]
pub(super) struct CountersTable {
    by_scope: RwLock<HashMap<Scope, Arc<Counters>>>,
    rest: Arc<Counters>,
}

impl CountersTable {
    pub(super) fn of(&self, scope: &Scope) -> Arc<Counters> {
        if let Some(counters) = self.by_scope.read().get(scope) {
            return Arc::clone(counters);
        }
        let mut by_scope = self.by_scope.write();
        if by_scope.len() >= COUNTED_NAMESPACES_MAX && !by_scope.contains_key(scope) {
            return Arc::clone(&self.rest);
        }
        Arc::clone(by_scope.entry(scope.clone()).or_default())
    }
}
