//! What is kept near: entries as they were read, and what makes each of them count no more.
//!
//! An entry counts while the numbers that it was kept under are still those of now: of everything (a flush), of its namespace
//! (a clear), of its tags. A key's own number stands in a stripe: whoever reads to keep takes it before the read and keeps
//! what came only where it is still the same and no change of this instance is under way, so an invalidation or a
//! change that overtakes the answer is not lost. Numbers are never given twice.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::super::entry::Stored;

/// Stripes that keys share; two keys in one only keep each other from being kept.
const STRIPES: usize = 1_024;
/// Namespaces of which something is kept; those beyond them are read from Redis.
const SPACES_MAX: usize = 10_000;
/// Tags of a namespace that are told apart; where there are more, its tagged entries are read again.
const TAGS_PER_SPACE_MAX: usize = 10_000;
/// What an entry costs beside its key and value, in bytes.
const OVERHEAD_BYTES: usize = 300;
/// No value takes more than this share of the room.
const SHARE_MAX: u64 = 8;

/// Everything that is kept.
pub(super) struct Kept {
    entries: moka::sync::Cache<Arc<str>, Arc<Entry>>,
    bytes_max: u64,
    stripes: Vec<Mutex<Stripe>>,
    hasher: RandomState,
    spaces: RwLock<HashMap<Box<str>, Arc<Space>>>,
    next: AtomicU64,
    /// The number of everything.
    all: AtomicU64,
    /// Whether every change of every primary is heard.
    heard: AtomicBool,
}

/// One entry.
pub(super) struct Entry {
    pub(super) stored: Stored,
    /// The highest version that the namespace had given before the read.
    pub(super) seen: i64,
    /// The engine's time at the read.
    pub(super) read_ms: i64,
    /// The monotonic time before the read.
    pub(super) asked_ms: u64,
    all: u64,
    in_space: u64,
    of_tags: Vec<u64>,
    space: Arc<Space>,
    bytes: u32,
}

#[derive(Default)]
struct Stripe {
    number: u64,
    /// Changes of this instance under way.
    changes: usize,
}

/// One namespace.
pub(super) struct Space {
    state: Mutex<SpaceState>,
}

struct SpaceState {
    number: u64,
    /// Clears under way.
    clears: usize,
    /// Changes with every invalidation of a tag.
    tags_number: u64,
    /// Invalidations of tags under way.
    invalidations: usize,
    tags: HashMap<Box<str>, u64>,
}

/// What was known before a read whose answer is to be kept.
pub(super) struct Marker {
    space: Arc<Space>,
    all: u64,
    in_space: u64,
    tags_number: u64,
    stripes: Vec<u64>,
}

/// What was read.
pub(super) struct Came {
    pub(super) stored: Stored,
    pub(super) seen: i64,
    pub(super) read_ms: i64,
    pub(super) asked_ms: u64,
}

impl Kept {
    pub(super) fn new(bytes_max: u64) -> Self {
        let weigh = |_: &Arc<str>, entry: &Arc<Entry>| entry.bytes;
        Self {
            entries: moka::sync::Cache::builder()
                .max_capacity(bytes_max)
                .weigher(weigh)
                // Hot keys stay while others pass by: what comes in must be asked more often than what would go for it.
                .eviction_policy(moka::policy::EvictionPolicy::tiny_lfu())
                .build(),
            bytes_max,
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            spaces: RwLock::default(),
            next: AtomicU64::new(1),
            all: AtomicU64::new(0),
            heard: AtomicBool::new(false),
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    fn stripe(&self, name: &str) -> Option<&Mutex<Stripe>> {
        let place = usize::try_from(self.hasher.hash_one(name) % STRIPES as u64).unwrap_or(0);
        self.stripes.get(place)
    }

    /// The namespace whose keys begin with a prefix. `None`: there are too many.
    pub(super) fn space(&self, prefix: &str) -> Option<Arc<Space>> {
        if let Some(space) = self.known(prefix) {
            return Some(space);
        }
        let mut spaces = self.spaces.write();
        if spaces.len() >= SPACES_MAX {
            spaces.retain(|_, space| Arc::strong_count(space) > 1);
        }
        if spaces.len() >= SPACES_MAX && !spaces.contains_key(prefix) {
            return None;
        }
        let space = spaces.entry(prefix.into()).or_insert_with(|| {
            Arc::new(Space {
                state: Mutex::new(SpaceState {
                    number: self.number(),
                    clears: 0,
                    tags_number: self.number(),
                    invalidations: 0,
                    tags: HashMap::new(),
                }),
            })
        });
        Some(Arc::clone(space))
    }

    fn known(&self, prefix: &str) -> Option<Arc<Space>> {
        self.spaces.read().get(prefix).cloned()
    }

    /// An entry that counts, whatever the time.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Entry>> {
        if !self.heard.load(Ordering::SeqCst) {
            return None;
        }
        self.last(name)
    }

    /// The same, also while changes are not heard: others may have changed it since.
    pub(super) fn last(&self, name: &str) -> Option<Arc<Entry>> {
        let entry = self.entries.get(name)?;
        self.counts(&entry).then_some(entry)
    }

    fn counts(&self, entry: &Entry) -> bool {
        if entry.all != self.all.load(Ordering::SeqCst) {
            return false;
        }
        let state = entry.space.state.lock();
        let mut tags = entry.stored.tags().iter().zip(&entry.of_tags);
        entry.in_space == state.number
            && tags.all(|(tag, number)| state.tags.get(tag.as_str()) == Some(number))
    }

    /// To be called before a read of keys of a namespace. `None`: nothing can be kept now.
    pub(super) fn mark(&self, space: &Arc<Space>, names: &[String]) -> Option<Marker> {
        if !self.heard.load(Ordering::SeqCst) {
            return None;
        }
        let all = self.all.load(Ordering::SeqCst);
        let stripes = names.iter().map(|name| {
            let stripe = self.stripe(name);
            stripe.map_or(0, |stripe| stripe.lock().number)
        });
        let stripes = stripes.collect();
        let state = space.state.lock();
        Some(Marker {
            all,
            in_space: state.number,
            tags_number: state.tags_number,
            stripes,
            space: Arc::clone(space),
        })
    }

    /// Keeps what came for the key at a place of the marked ones. Returns whether it is kept.
    pub(super) fn keep(&self, marker: &Marker, place: usize, name: &str, came: Came) -> bool {
        let bytes = name.len() + came.stored.value_bytes() + OVERHEAD_BYTES;
        let (Some(stripe), Some(marked), Ok(bytes)) = (
            self.stripe(name),
            marker.stripes.get(place),
            u32::try_from(bytes),
        ) else {
            return false;
        };
        if u64::from(bytes) > self.bytes_max / SHARE_MAX {
            return false;
        }
        let stripe = stripe.lock();
        if stripe.number != *marked || stripe.changes > 0 {
            return false;
        }
        let Some(of_tags) = self.tags_of(marker, &came.stored) else {
            return false;
        };
        let entry = Entry {
            stored: came.stored,
            seen: came.seen,
            read_ms: came.read_ms,
            asked_ms: came.asked_ms,
            all: marker.all,
            in_space: marker.in_space,
            of_tags,
            space: Arc::clone(&marker.space),
            bytes,
        };
        if !self.heard.load(Ordering::SeqCst) || !self.counts(&entry) {
            return false;
        }
        let older = self
            .entries
            .get(name)
            .is_some_and(|kept| kept.stored.version > entry.stored.version && self.counts(&kept));
        if !older {
            self.entries.insert(name.into(), Arc::new(entry));
        }
        !older
    }

    /// The numbers of an entry's tags. `None`: the namespace was cleared or a tag invalidated since the mark, or is being so.
    fn tags_of(&self, marker: &Marker, stored: &Stored) -> Option<Vec<u64>> {
        let mut state = marker.space.state.lock();
        if state.clears > 0 {
            return None;
        }
        if stored.tags().is_empty() {
            return Some(Vec::new());
        }
        if state.tags_number != marker.tags_number || state.invalidations > 0 {
            return None;
        }
        if state.tags.len() + stored.tags().len() > TAGS_PER_SPACE_MAX {
            state.tags.clear();
        }
        let tags = stored.tags().iter();
        let numbers = tags.map(|tag| {
            let number = state.tags.entry(tag.as_str().into());
            *number.or_insert_with(|| self.number())
        });
        Some(numbers.collect())
    }

    /// A key was changed by somebody.
    pub(super) fn drop_key(&self, name: &str) {
        self.at_stripe(name, |_| ());
    }

    fn at_stripe(&self, name: &str, change: impl FnOnce(&mut Stripe)) {
        if let Some(stripe) = self.stripe(name) {
            let mut stripe = stripe.lock();
            stripe.number = self.number();
            change(&mut stripe);
            self.entries.invalidate(name);
        }
    }

    /// A namespace was cleared by somebody.
    pub(super) fn drop_space(&self, prefix: &str) {
        if let Some(space) = self.known(prefix) {
            space.state.lock().number = self.number();
        }
    }

    /// A tag was invalidated by somebody.
    pub(super) fn drop_tag(&self, prefix: &str, tag: &str) {
        if let Some(space) = self.known(prefix) {
            let mut state = space.state.lock();
            state.tags_number = self.number();
            state.tags.remove(tag);
        }
    }

    /// Forgets everything, and from now on keeps something or nothing.
    pub(super) fn flush(&self, heard: bool) {
        self.heard.store(false, Ordering::SeqCst);
        self.all.store(self.number(), Ordering::SeqCst);
        self.entries.invalidate_all();
        self.heard.store(heard, Ordering::SeqCst);
    }

    /// Changes are not heard any more. What was kept before stays for [`last`](Self::last) until everything is forgotten.
    pub(super) fn deafen(&self) {
        self.heard.store(false, Ordering::SeqCst);
    }

    /// Whether something is kept now.
    pub(super) fn is_heard(&self) -> bool {
        self.heard.load(Ordering::SeqCst)
    }

    /// This instance changes keys until the answer is dropped: what is kept of them counts no more, and nothing of them is kept.
    pub(super) fn changing<'a>(&'a self, names: &'a [String]) -> impl Drop + use<'a> {
        for name in names {
            self.at_stripe(name, |stripe| stripe.changes += 1);
        }
        OnDrop(Some(move || {
            for name in names {
                self.at_stripe(name, |stripe| stripe.changes -= 1);
            }
        }))
    }

    /// This instance clears a namespace until the answer is dropped.
    pub(super) fn clearing<'a>(&'a self, space: &'a Space) -> impl Drop + use<'a> {
        let bump = move |clears: fn(usize) -> usize| {
            let mut state = space.state.lock();
            state.number = self.number();
            state.clears = clears(state.clears);
        };
        bump(|clears| clears + 1);
        OnDrop(Some(move || bump(|clears| clears - 1)))
    }

    /// This instance invalidates tags of a namespace until the answer is dropped.
    pub(super) fn invalidating<'a>(
        &'a self,
        space: &'a Space,
        tags: Vec<String>,
    ) -> impl Drop + use<'a> {
        let bump = move |tags: &[String], under_way: fn(usize) -> usize| {
            let mut state = space.state.lock();
            state.tags_number = self.number();
            state.invalidations = under_way(state.invalidations);
            for tag in tags {
                state.tags.remove(tag.as_str());
            }
        };
        bump(&tags, |under_way| under_way + 1);
        OnDrop(Some(move || bump(&tags, |under_way| under_way - 1)))
    }

    /// Entries and their bytes now; moka counts both a little late.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
