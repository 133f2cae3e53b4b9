//! The namespaces of all tenants, with their counters.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::error::CacheError;
use crate::model::{Scope, Stats};

/// The counters of one namespace.
pub(super) struct NamespaceState {
    /// Its number, part of every key.
    pub(super) id: u32,
    hits: AtomicU64,
    misses: AtomicU64,
    pub(super) sets: AtomicU64,
    pub(super) deletes: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) evicted: AtomicU64,
    keys: AtomicU64,
    bytes: AtomicU64,
}

impl NamespaceState {
    fn new(id: u32) -> Self {
        let zero = AtomicU64::default;
        Self {
            id,
            hits: zero(),
            misses: zero(),
            sets: zero(),
            deletes: zero(),
            expired: zero(),
            evicted: zero(),
            keys: zero(),
            bytes: zero(),
        }
    }

    pub(super) fn read(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn added(&self, bytes: u64) {
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn removed(&self, bytes: u64) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, bytes_max: u64) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            sets: read(&self.sets),
            deletes: read(&self.deletes),
            expired: read(&self.expired),
            evicted: read(&self.evicted),
            keys: read(&self.keys),
            bytes: read(&self.bytes),
            bytes_max,
        }
    }
}

/// All namespaces, found by scope or by number.
pub(super) struct Namespaces {
    table: RwLock<Table>,
    max: usize,
}

#[derive(Default)]
struct Table {
    by_scope: HashMap<Scope, Arc<NamespaceState>>,
    by_id: Vec<Arc<NamespaceState>>,
}

impl Namespaces {
    pub(super) fn new(max: usize) -> Self {
        Self {
            table: RwLock::default(),
            max,
        }
    }

    pub(super) fn find(&self, scope: &Scope) -> Option<Arc<NamespaceState>> {
        self.table.read().by_scope.get(scope).cloned()
    }

    pub(super) fn find_or_add(&self, scope: &Scope) -> Result<Arc<NamespaceState>, CacheError> {
        if let Some(state) = self.find(scope) {
            return Ok(state);
        }
        let mut table = self.table.write();
        if let Some(state) = table.by_scope.get(scope) {
            return Ok(Arc::clone(state));
        }
        let too_many = CacheError::TooManyNamespaces { max: self.max };
        if table.by_id.len() >= self.max {
            return Err(too_many);
        }
        let id = u32::try_from(table.by_id.len()).map_err(|_| too_many)?;
        let state = Arc::new(NamespaceState::new(id));
        table.by_id.push(Arc::clone(&state));
        table.by_scope.insert(scope.clone(), Arc::clone(&state));
        Ok(state)
    }

    /// Runs `work` on the namespace of a number that [`Namespaces::find_or_add`] gave.
    pub(super) fn with(&self, id: u32, work: impl FnOnce(&NamespaceState)) {
        let table = self.table.read();
        if let Some(state) = usize::try_from(id)
            .ok()
            .and_then(|index| table.by_id.get(index))
        {
            work(state);
        }
    }
}
