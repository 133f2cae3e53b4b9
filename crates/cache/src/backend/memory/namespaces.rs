//! The namespaces of all tenants, with what they hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use plinth_core::TenantId;

use super::fences::Fences;
use super::tags::TagTable;
use crate::error::{CacheError, Refusal};
use crate::model::{Held, Quota, Scope};

/// Numbers of namespaces that were cleared and still have entries to be swept.
pub(super) type Retired = HashSet<u32>;

/// Most namespaces that one look forgets.
const FORGOTTEN_MAX: usize = 1_000;

/// One namespace from its beginning, or its last clear, on.
pub(super) struct NamespaceState {
    /// Its number, part of every key. A clear gives the namespace another one, which makes every entry unreachable in one
    /// step; the sweeper frees them.
    pub(super) id: u32,
    pub(super) tags: TagTable,
    pub(super) lasting: Arc<Lasting>,
    usage: Usage,
    tenant: Arc<Usage>,
    retired: AtomicBool,
}

/// What of a namespace outlives a clear.
#[derive(Default)]
pub(super) struct Lasting {
    pub(super) fences: Mutex<Fences>,
    pub(super) expired: AtomicU64,
    pub(super) evicted: AtomicU64,
}

/// Keys and bytes that are held.
#[derive(Default)]
struct Usage {
    keys: AtomicU64,
    bytes: AtomicU64,
}

/// By how much keys and bytes change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Growth {
    pub(super) keys: i64,
    pub(super) bytes: i64,
}

impl Growth {
    /// The growth where an entry of one size takes the place of another; `None` is no entry.
    pub(super) fn between(before: Option<u64>, after: Option<u64>) -> Self {
        let count = |bytes: Option<u64>| i64::from(bytes.is_some());
        let size = |bytes: Option<u64>| i64::try_from(bytes.unwrap_or(0)).unwrap_or(i64::MAX);
        Self {
            keys: count(after) - count(before),
            bytes: size(after).saturating_sub(size(before)),
        }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            keys: self.keys.saturating_add(other.keys),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    const fn undone(self) -> Self {
        Self {
            keys: self.keys.saturating_neg(),
            bytes: self.bytes.saturating_neg(),
        }
    }
}

impl Usage {
    fn add(&self, growth: Growth) {
        shift(&self.keys, growth.keys);
        shift(&self.bytes, growth.bytes);
    }

    /// Takes the growth where it stays within the quota; what does not grow always does.
    fn reserve(&self, growth: Growth, quota: Quota, whose: &'static str) -> Result<(), Refusal> {
        let refusal = |unit, held: u64, delta: i64, max: Option<u64>| match max {
            Some(max) if delta > 0 && held > max => Err(Refusal::Quota {
                whose,
                unit,
                held: held.saturating_sub(delta.unsigned_abs()),
                max,
            }),
            _ => Ok(()),
        };
        let keys = shift(&self.keys, growth.keys);
        let bytes = shift(&self.bytes, growth.bytes);
        refusal("keys", keys, growth.keys, quota.keys_max)
            .and_then(|()| refusal("bytes", bytes, growth.bytes, quota.bytes_max))
            .inspect_err(|_| self.add(growth.undone()))
    }
}

/// Adds to a counter and returns what it then holds.
fn shift(counter: &AtomicU64, delta: i64) -> u64 {
    if delta >= 0 {
        let delta = delta.unsigned_abs();
        counter
            .fetch_add(delta, Ordering::Relaxed)
            .wrapping_add(delta)
    } else {
        let delta = delta.unsigned_abs();
        counter
            .fetch_sub(delta, Ordering::Relaxed)
            .wrapping_sub(delta)
    }
}

impl NamespaceState {
    fn new(id: u32, tenant: Arc<Usage>, lasting: Arc<Lasting>) -> Self {
        Self {
            id,
            tags: TagTable::default(),
            lasting,
            usage: Usage::default(),
            tenant,
            retired: AtomicBool::new(false),
        }
    }

    /// Counts a growth within the quotas of the namespace and of its tenant. Errors: a quota would be passed; nothing is
    /// counted then.
    pub(super) fn reserve(
        &self,
        growth: Growth,
        namespace: Quota,
        tenant: Quota,
    ) -> Result<(), Refusal> {
        self.usage.reserve(growth, namespace, "namespace")?;
        self.tenant
            .reserve(growth, tenant, "tenant")
            .inspect_err(|_| self.usage.add(growth.undone()))
    }

    /// Counts one entry less.
    pub(super) fn removed(&self, bytes: u64) {
        let growth = Growth::between(Some(bytes), None);
        self.usage.add(growth);
        self.tenant.add(growth);
    }

    /// Keys and bytes that it holds.
    pub(super) fn held(&self) -> (u64, u64) {
        (
            self.usage.keys.load(Ordering::Relaxed),
            self.usage.bytes.load(Ordering::Relaxed),
        )
    }

    /// What of it is counted as it goes.
    pub(super) fn numbers(&self) -> Held {
        let (keys, bytes) = self.held();
        Held {
            keys,
            bytes,
            expired: self.lasting.expired.load(Ordering::Relaxed),
            evicted: self.lasting.evicted.load(Ordering::Relaxed),
        }
    }

    /// Whether it holds neither a key nor, as far as can be told at once, a fence.
    fn is_idle(&self) -> bool {
        let fences = || self.lasting.fences.try_lock();
        self.held().0 == 0 && fences().is_some_and(|fences| fences.is_empty())
    }

    /// Whether a clear, or the sweeper, has given the namespace another number.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
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
    by_id: HashMap<u32, Arc<NamespaceState>>,
    tenants: HashMap<TenantId, Arc<Usage>>,
    retired: Arc<Retired>,
    next_id: u32,
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
        if table.by_scope.len() >= self.max {
            return Err(CacheError::TooManyNamespaces { max: self.max });
        }
        Ok(table.begin(scope, Arc::default()))
    }

    /// Gives a namespace another number and returns what it was until now.
    pub(super) fn begin_anew(&self, scope: &Scope) -> Option<Arc<NamespaceState>> {
        let mut table = self.table.write();
        let old = table.by_scope.get(scope).cloned()?;
        old.retired.store(true, Ordering::Release);
        table.begin(scope, Arc::clone(&old.lasting));
        Some(old)
    }

    /// Lets the sweeper free what has a number that nobody uses any more.
    pub(super) fn retire(&self, id: u32) {
        Arc::make_mut(&mut self.table.write().retired).insert(id);
    }

    /// The numbers whose entries are to be freed.
    pub(super) fn retired(&self) -> Arc<Retired> {
        Arc::clone(&self.table.read().retired)
    }

    /// Forgets the numbers whose entries are freed. Returns the bytes that their tags held.
    pub(super) fn forget_empty(&self) -> u64 {
        if self.table.read().retired.is_empty() {
            return 0;
        }
        let mut table = self.table.write();
        let Table { by_id, retired, .. } = &mut *table;
        let mut freed = 0_u64;
        Arc::make_mut(retired).retain(|id| {
            let holds = by_id.get(id).is_some_and(|state| state.held().0 > 0);
            if !holds {
                freed += by_id.remove(id).map_or(0, |state| state.tags.bytes());
            }
            holds
        });
        freed
    }

    /// Forgets the tags that no entry carries, where namespaces have lost their entries. Returns the bytes that they held.
    pub(super) fn forget_unused_tags(&self) -> u64 {
        let table = self.table.read();
        let tagged = table.by_id.values().filter(|state| state.tags.has_any());
        let tagged: Vec<Arc<NamespaceState>> = tagged.cloned().collect();
        // Looking through many tags takes long: nobody waits for the table meanwhile.
        drop(table);
        let freed = tagged.iter().map(|state| {
            let (keys, _) = state.held();
            state.tags.forget_unused(keys)
        });
        freed.sum()
    }

    /// Whether more than half of the places are taken, some of them by namespaces that hold nothing.
    pub(super) fn has_idle(&self) -> bool {
        let table = self.table.read();
        let crowded = table.by_scope.len().saturating_mul(2) > self.max;
        crowded && table.by_scope.values().any(|state| state.is_idle())
    }

    /// Forgets namespaces that hold no key, fence or lease, so that others find a place. The caller holds every room locked:
    /// no change is under way, and the next one finds that the namespace has another number. Returns the bytes that their
    /// tags held.
    pub(super) fn forget_idle(&self, leased: &HashSet<u32>) -> u64 {
        let mut table = self.table.write();
        let idle = |state: &NamespaceState| state.is_idle() && !leased.contains(&state.id);
        let found = table.by_scope.iter().filter(|(_, state)| idle(state));
        let scopes: Vec<Scope> = found
            .map(|(scope, _)| scope.clone())
            .take(FORGOTTEN_MAX)
            .collect();
        let mut freed = 0_u64;
        for scope in scopes {
            let Some(state) = table.by_scope.get(&scope).cloned() else {
                continue;
            };
            // Not waited for: who writes under a fence may wait for a room.
            let Some(mut fences) = state.lasting.fences.try_lock() else {
                continue;
            };
            if !fences.is_empty() {
                continue;
            }
            fences.leave();
            state.retired.store(true, Ordering::Release);
            table.by_scope.remove(&scope);
            table.by_id.remove(&state.id);
            freed = freed.saturating_add(state.tags.bytes());
        }
        freed
    }

    /// Runs `work` on the namespace of a number.
    pub(super) fn with(&self, id: u32, work: impl FnOnce(&NamespaceState)) {
        if let Some(state) = self.table.read().by_id.get(&id) {
            work(state);
        }
    }
}

impl Table {
    fn begin(&mut self, scope: &Scope, lasting: Arc<Lasting>) -> Arc<NamespaceState> {
        while self.by_id.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let tenant = Arc::clone(self.tenants.entry(scope.tenant.clone()).or_default());
        let state = Arc::new(NamespaceState::new(self.next_id, tenant, lasting));
        self.by_id.insert(state.id, Arc::clone(&state));
        self.by_scope.insert(scope.clone(), Arc::clone(&state));
        self.next_id = self.next_id.wrapping_add(1);
        state
    }
}
