//! The stamps of a namespace's tags.
//!
//! An entry points at the stamps of its tags, so that a read compares numbers and looks nothing up. A stamp that no entry
//! points at is forgotten: the next put with that tag makes a new one, above every version that was given before.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::model::{LeaseToken, Tag, Tags};

/// Most tags of one namespace that entries carry.
pub(super) const TAGS_PER_NAMESPACE_MAX: usize = 1_000_000;
/// With fewer tags than this nothing is forgotten.
const KEPT_MIN: usize = 1_024;
/// So many more tags come, where there is hardly room, until the unused ones are looked for again.
const FORGET_STEP_MIN: usize = TAGS_PER_NAMESPACE_MAX / 64;
/// Bytes that a tag costs beside its name: two table slots and the stamp.
const TAG_OVERHEAD_BYTES: u64 = 112;

/// A tag with the version of its last invalidation.
struct TagStamp {
    name: Tag,
    stamp: AtomicI64,
}

/// The stamps of one entry's tags.
#[derive(Clone, Default)]
pub(super) struct TagStamps(Option<Box<[Arc<TagStamp>]>>);

impl TagStamps {
    fn as_slice(&self) -> &[Arc<TagStamp>] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether no tag was invalidated since a version.
    pub(super) fn hold(&self, version: i64) -> bool {
        self.as_slice()
            .iter()
            .all(|tag| tag.stamp.load(Ordering::Acquire) < version)
    }

    pub(super) fn names(&self) -> Tags {
        self.as_slice().iter().map(|tag| tag.name.clone()).collect()
    }
}

/// The namespace has too many tags.
#[derive(Debug)]
pub(super) struct TooManyTags;

/// All tags of a namespace.
#[derive(Default)]
pub(super) struct TagTable {
    known: Mutex<Known>,
    /// The version of the last invalidation of any tag.
    last: AtomicI64,
    /// Held shared from the look at what stands to the change that leans on it, so that no invalidation comes in between.
    steady: RwLock<()>,
    /// How many tags are known, for who only asks whether there are any.
    count: AtomicUsize,
}

#[derive(Default)]
struct Known {
    stamps: HashMap<Tag, Arc<TagStamp>>,
    /// At this many tags those that no entry points at are forgotten.
    forget_at: usize,
    /// The most keys that the namespace was seen to hold since then.
    keys_seen: u64,
}

impl TagTable {
    /// Keeps invalidations out until it is dropped. Taken after the locks of shards, and never twice by one call.
    pub(super) fn keep_steady(&self) -> RwLockReadGuard<'_, ()> {
        self.steady.read()
    }

    /// Finds the stamps of an entry's tags and makes those that are missing, by a version that was just given. Returns
    /// them with the bytes by which the table has grown or shrunk.
    pub(super) fn stamps(
        &self,
        tags: &Tags,
        version: impl Fn() -> i64,
    ) -> Result<(TagStamps, i64), TooManyTags> {
        if tags.is_empty() {
            return Ok((TagStamps::default(), 0));
        }
        let mut known = self.known.lock();
        let mut grown = known.make_room(tags.as_slice().len())?;
        let stamps = tags
            .as_slice()
            .iter()
            .map(|tag| {
                if let Some(stamp) = known.stamps.get(tag) {
                    return Arc::clone(stamp);
                }
                let stamp = Arc::new(TagStamp {
                    name: tag.clone(),
                    stamp: AtomicI64::new(version()),
                });
                known.stamps.insert(tag.clone(), Arc::clone(&stamp));
                grown = grown.saturating_add_unsigned(cost(tag));
                stamp
            })
            .collect();
        self.count.store(known.stamps.len(), Ordering::Relaxed);
        Ok((TagStamps(Some(stamps)), grown))
    }

    /// Whether a lease was given after every invalidation of these tags. A tag without a stamp may have been invalidated by
    /// any invalidation.
    pub(super) fn allow(&self, tags: &Tags, lease: LeaseToken) -> bool {
        let last = self.last.load(Ordering::Acquire);
        if tags.is_empty() || last < lease.get() {
            return true;
        }
        let known = self.known.lock();
        tags.as_slice().iter().all(|tag| {
            known
                .stamps
                .get(tag)
                .map_or(last, |tag| tag.stamp.load(Ordering::Acquire))
                < lease.get()
        })
    }

    /// Stamps the tags with a version, which makes what carries them absent. A tag that no entry carries needs no stamp.
    pub(super) fn invalidate(&self, tags: &Tags, version: impl Fn() -> i64) -> i64 {
        let _alone = self.steady.write();
        let known = self.known.lock();
        let version = version();
        for tag in tags.as_slice() {
            if let Some(tag) = known.stamps.get(tag) {
                tag.stamp.fetch_max(version, Ordering::AcqRel);
            }
        }
        self.last.fetch_max(version, Ordering::AcqRel);
        version
    }

    /// Whether it knows any tag.
    pub(super) fn has_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Forgets the tags that no entry carries, where the keys of the namespace have become half of what they were, or none: what
    /// is put there no more would keep them for good. Returns the bytes that they held.
    pub(super) fn forget_unused(&self, keys: u64) -> u64 {
        let mut known = self.known.lock();
        known.keys_seen = known.keys_seen.max(keys);
        if keys.saturating_mul(2) > known.keys_seen {
            return 0;
        }
        known.keys_seen = keys;
        let freed = known.forget();
        self.count.store(known.stamps.len(), Ordering::Relaxed);
        freed
    }

    /// Bytes that its tags cost.
    pub(super) fn bytes(&self) -> u64 {
        self.known.lock().stamps.keys().map(cost).sum()
    }
}

impl Known {
    /// Forgets tags that no entry points at, where there are many. Returns the change in bytes.
    fn make_room(&mut self, more: usize) -> Result<i64, TooManyTags> {
        let freed = if self.stamps.len() >= self.forget_at.max(KEPT_MIN) {
            self.forget()
        } else {
            0
        };
        if self.stamps.len().saturating_add(more) > TAGS_PER_NAMESPACE_MAX {
            return Err(TooManyTags);
        }
        Ok(0_i64.saturating_sub_unsigned(freed))
    }

    /// Forgets the tags that no entry points at. Returns the bytes that they held.
    fn forget(&mut self) -> u64 {
        let mut freed = 0_u64;
        // Only this table hands out pointers, so a stamp that it holds alone gets no new one meanwhile.
        self.stamps.retain(|tag, stamp| {
            let kept = Arc::strong_count(stamp) > 1;
            freed += if kept { 0 } else { cost(tag) };
            kept
        });
        self.stamps.shrink_to(self.stamps.len().saturating_mul(2));
        self.forget_at = forget_again_at(self.stamps.len());
        freed
    }
}

/// At how many tags those that no entry carries are looked for again: before the table is full, so that none is refused for them
/// where there is room to speak of, and never at each put.
fn forget_again_at(kept: usize) -> usize {
    let room = TAGS_PER_NAMESPACE_MAX.saturating_sub(kept) / 2;
    kept.saturating_add(kept.min(room.max(FORGET_STEP_MIN)))
}

fn cost(tag: &Tag) -> u64 {
    u64::try_from(tag.as_str().len())
        .unwrap_or(u64::MAX)
        .saturating_add(TAG_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_no_entry_carries_is_forgotten_and_its_bytes_come_back() {
        let table = TagTable::default();
        let version = AtomicI64::new(0);
        let next = || version.fetch_add(1, Ordering::Relaxed) + 1;
        let mut bytes = 0_i64;
        let kept = Tags::parse(&["kept"]).expect("parses");
        let (kept_stamps, grown) = table.stamps(&kept, next).expect("has room");
        bytes += grown;
        for index in 0..KEPT_MIN * 4 {
            let tags = Tags::parse(&[format!("t{index}")]).expect("parses");
            let (_, grown) = table.stamps(&tags, next).expect("has room");
            bytes += grown;
        }
        assert_eq!(u64::try_from(bytes).expect("positive"), table.bytes());
        assert!(table.known.lock().stamps.len() <= KEPT_MIN + 1);
        assert!(table.known.lock().stamps.contains_key(&kept.as_slice()[0]));
        let stored = next();
        assert!(kept_stamps.hold(stored));
        table.invalidate(&kept, next);
        assert!(!kept_stamps.hold(stored));
    }

    #[test]
    fn no_tag_is_refused_for_those_that_nobody_carries_where_there_is_room() {
        for kept in [
            0,
            KEPT_MIN,
            TAGS_PER_NAMESPACE_MAX / 2,
            TAGS_PER_NAMESPACE_MAX / 32 * 31,
        ] {
            let next = forget_again_at(kept);
            assert!(
                (kept..TAGS_PER_NAMESPACE_MAX).contains(&next),
                "{kept}: {next}"
            );
            assert!(next >= kept + kept.min(FORGET_STEP_MIN), "{kept}: {next}");
        }
    }

    #[test]
    fn a_lease_is_lost_by_an_invalidation_of_a_tag_that_was_forgotten() {
        let table = TagTable::default();
        let tags = Tags::parse(&["a"]).expect("parses");
        table.invalidate(&tags, || 7);
        assert!(!table.allow(&tags, LeaseToken::new(6)));
        assert!(table.allow(&tags, LeaseToken::new(8)));
        assert!(table.allow(&Tags::default(), LeaseToken::new(6)));
    }
}
