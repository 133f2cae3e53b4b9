//! One stored entry, and its times on the monotonic clock.

use plinth_core::Clock;

use super::tags::TagStamps;
use crate::backend::Looking;
use crate::model::{End, Expiring, Found, KnownAbsent, Life, Read, TTL_MS_MAX, Value};

/// Bytes that an entry costs beside its key and value: slab slot, table slot, allocations.
const ENTRY_OVERHEAD_BYTES: u64 = 128;
/// Bytes that the parts cost which few entries have.
const RARE_OVERHEAD_BYTES: u64 = 80;
/// Bytes that one tag of an entry costs; the tag itself is counted once for the namespace.
const TAG_REFERENCE_BYTES: u64 = 8;

/// A stored entry.
pub(super) struct Entry {
    pub(super) namespace: u32,
    pub(super) key: Box<str>,
    /// `None` is the knowledge that there is none.
    pub(super) value: Option<Value>,
    pub(super) version: i64,
    pub(super) created_ms: u64,
    /// From this millisecond on the entry is gone.
    pub(super) expires_ms: Option<u64>,
    rare: Option<Box<Rare>>,
}

/// What few entries have.
struct Rare {
    fresh_until_ms: Option<u64>,
    sliding: Option<SlidingEnd>,
    tags: TagStamps,
}

#[derive(Clone, Copy)]
struct SlidingEnd {
    idle_ms: u64,
    /// The end that no read moves.
    limit_ms: Option<u64>,
}

impl Entry {
    /// Makes an entry that lives from now on.
    pub(super) fn new(
        namespace: u32,
        key: &str,
        value: Option<Value>,
        times: Times,
        tags: TagStamps,
    ) -> Self {
        let mut entry = Self {
            namespace,
            key: key.into(),
            value,
            version: 0,
            created_ms: times.now_ms,
            expires_ms: None,
            rare: None,
        };
        entry.set_times(times, tags);
        entry
    }

    /// Gives the entry a new life and leaves its tags alone.
    pub(super) fn renew(&mut self, times: Times) {
        let tags = self
            .rare
            .take()
            .map_or_else(TagStamps::default, |rare| rare.tags);
        self.set_times(times, tags);
    }

    fn set_times(&mut self, times: Times, tags: TagStamps) {
        self.expires_ms = times.expires_ms();
        self.rare = (times.is_rare() || !tags.is_empty()).then(|| {
            Box::new(Rare {
                fresh_until_ms: times.fresh_until_ms,
                sliding: times.idle_ms.map(|idle_ms| SlidingEnd {
                    idle_ms,
                    limit_ms: times.end_ms,
                }),
                tags,
            })
        });
    }

    /// What the entry counts against the memory bound.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_if(None, None)
    }

    /// What it would count with another value, other times, or both.
    pub(super) fn bytes_if(&self, value_len: Option<usize>, times: Option<&Times>) -> u64 {
        let value_len = value_len.unwrap_or_else(|| self.value_len());
        let rare = match (self.rare.as_ref(), times) {
            (rare, None) => rare.map(|rare| rare.tags.len()),
            (rare, Some(times)) => {
                let tags = rare.map_or(0, |rare| rare.tags.len());
                (times.is_rare() || tags > 0).then_some(tags)
            }
        };
        size(self.key.len(), value_len, rare)
    }

    /// Bytes of its value; 0 for a negative entry.
    pub(super) fn value_len(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.bytes.len())
    }

    /// Whether nobody can read it any more.
    pub(super) fn is_dead(&self, now: u64) -> bool {
        self.is_expired(now)
            || self
                .rare
                .as_ref()
                .is_some_and(|rare| !rare.tags.hold(self.version))
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= now)
    }

    /// Reads a live entry; a sliding end moves where it is read.
    pub(super) fn read(&mut self, now: u64, looking: Looking) -> Read {
        let sliding = self.rare.as_ref().and_then(|rare| rare.sliding);
        if let (Some(sliding), Looking::Reading) = (sliding, looking) {
            self.expires_ms = sliding_end(now, sliding.idle_ms, sliding.limit_ms);
        }
        self.seen(now)
    }

    /// What a reader sees of a live entry.
    pub(super) fn seen(&self, now: u64) -> Read {
        let left = |at: u64| at.saturating_sub(now);
        let ttl_ms = self.expires_ms.map(left);
        let Some(value) = &self.value else {
            return Read::KnownAbsent(KnownAbsent { ttl_ms });
        };
        let rare = self.rare.as_deref();
        Read::Found(Found {
            value: value.clone(),
            version: self.version,
            ttl_ms,
            fresh_ms: rare.and_then(|rare| rare.fresh_until_ms).map(left),
            age_ms: now.saturating_sub(self.created_ms),
            expiring: match rare.and_then(|rare| rare.sliding) {
                Some(_) => Expiring::Sliding,
                None => Expiring::Fixed,
            },
            tags: rare.map_or_else(Default::default, |rare| rare.tags.names()),
        })
    }
}

/// When an entry that is stored now will be stale and gone, on the monotonic clock.
#[derive(Clone, Copy)]
pub(super) struct Times {
    now_ms: u64,
    end_ms: Option<u64>,
    idle_ms: Option<u64>,
    fresh_until_ms: Option<u64>,
}

impl Times {
    /// Counts a life from now on. An end on the wall clock is as far away as the wall clock says now: a later jump of it
    /// neither shortens nor lengthens the life.
    pub(super) fn of(life: Life, now_ms: u64, clock: &dyn Clock) -> Self {
        let end_ms = match life.end {
            End::Never => None,
            End::After(ttl) => Some(now_ms.saturating_add(ttl.get_ms())),
            End::At(at) => {
                let left = at.0.saturating_sub(clock.now().0).max(0);
                Some(now_ms.saturating_add(left.unsigned_abs().min(TTL_MS_MAX)))
            }
        };
        Self {
            now_ms,
            end_ms,
            idle_ms: life.idle.map(|idle| idle.get_ms()),
            fresh_until_ms: life.fresh_ms.map(|fresh| now_ms.saturating_add(fresh)),
        }
    }

    /// When the entry is gone if nobody reads it.
    pub(super) fn expires_ms(&self) -> Option<u64> {
        match self.idle_ms {
            Some(idle_ms) => sliding_end(self.now_ms, idle_ms, self.end_ms),
            None => self.end_ms,
        }
    }

    /// Whether the entry needs the parts that few have.
    pub(super) const fn is_rare(&self) -> bool {
        self.idle_ms.is_some() || self.fresh_until_ms.is_some()
    }
}

/// What an entry of these lengths counts; `tags` is their number where it has the parts that few have.
fn size(key_len: usize, value_len: usize, tags: Option<usize>) -> u64 {
    let wide = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let rare = tags.map_or(0, |tags| {
        RARE_OVERHEAD_BYTES.saturating_add(wide(tags).saturating_mul(TAG_REFERENCE_BYTES))
    });
    wide(key_len)
        .saturating_add(wide(value_len))
        .saturating_add(ENTRY_OVERHEAD_BYTES)
        .saturating_add(rare)
}

fn sliding_end(now: u64, idle_ms: u64, limit_ms: Option<u64>) -> Option<u64> {
    let idle_end = now.saturating_add(idle_ms);
    Some(limit_ms.map_or(idle_end, |limit| limit.min(idle_end)))
}
