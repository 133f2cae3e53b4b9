//! One stored entry, and its times on the monotonic clock.

use bytes::Bytes;
use plinth_core::Clock;

use super::packed::{INLINE_BYTES_MAX, Numbers, Packed};
use super::tags::TagStamps;
use crate::backend::Looking;
use crate::model::{Encoding, End, Expiring, Found, KnownAbsent, Life, Read, TTL_MS_MAX, Value};

/// Bytes that an entry costs beside its packed bytes: its place in the slab, its place in the table at a usual load, and what
/// the allocator adds.
const ENTRY_OVERHEAD_BYTES: u64 = 44;
/// Bytes that the parts cost which few entries have.
const RICH_OVERHEAD_BYTES: u64 = 160;
/// Bytes that one tag of an entry costs; the tag itself is counted once for the namespace.
const TAG_REFERENCE_BYTES: u64 = 8;

/// A stored entry: 16 bytes, and one allocation behind them for nearly all.
pub(super) struct Entry(Body);

enum Body {
    /// All of it is packed.
    Lean(Packed),
    /// It has a large value, or one of the parts that few have.
    Rich(Box<Rich>),
}

struct Rich {
    packed: Packed,
    /// A value that is too large to be packed.
    large: Option<Bytes>,
    rare: Option<Rare>,
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

impl Body {
    fn new(packed: Packed, large: Option<Bytes>, rare: Option<Rare>) -> Self {
        if large.is_none() && rare.is_none() {
            return Self::Lean(packed);
        }
        Self::Rich(Box::new(Rich {
            packed,
            large,
            rare,
        }))
    }

    fn into_parts(self) -> (Packed, Option<Bytes>, Option<Rare>) {
        match self {
            Self::Lean(packed) => (packed, None, None),
            Self::Rich(rich) => (rich.packed, rich.large, rich.rare),
        }
    }
}

impl Entry {
    /// Makes an entry that lives from now on; `None` is the knowledge that there is no value.
    pub(super) fn new(
        namespace: u32,
        key: &str,
        value: Option<Value>,
        times: Times,
        tags: TagStamps,
    ) -> Self {
        let numbers = Numbers {
            version: 0,
            created_ms: times.now_ms,
            expires_ms: times.expires_ms(),
            namespace,
        };
        let packed = Packed::new(numbers, key.as_bytes(), value.as_ref());
        let large = value.and_then(large);
        Self(Body::new(packed, large, times.rare(tags)))
    }

    /// Gives the entry a new life and leaves its tags alone.
    pub(super) fn renew(&mut self, times: Times) {
        self.rebuild(|packed, large, rare| {
            let mut packed = packed;
            packed.set_expires_ms(times.expires_ms());
            let tags = rare.map_or_else(TagStamps::default, |rare| rare.tags);
            (packed, large, times.rare(tags))
        });
    }

    /// Puts another value in place of the one that is there.
    pub(super) fn set_value(&mut self, value: Value) {
        self.rebuild(|packed, _, rare| {
            let packed = Packed::new(packed.numbers(), packed.key(), Some(&value));
            (packed, large(value), rare)
        });
    }

    fn rebuild(
        &mut self,
        change: impl FnOnce(
            Packed,
            Option<Bytes>,
            Option<Rare>,
        ) -> (Packed, Option<Bytes>, Option<Rare>),
    ) {
        let empty = Body::Lean(Packed::default());
        let (packed, large, rare) = std::mem::replace(&mut self.0, empty).into_parts();
        let (packed, large, rare) = change(packed, large, rare);
        self.0 = Body::new(packed, large, rare);
    }

    fn packed(&self) -> &Packed {
        match &self.0 {
            Body::Lean(packed) => packed,
            Body::Rich(rich) => &rich.packed,
        }
    }

    fn packed_mut(&mut self) -> &mut Packed {
        match &mut self.0 {
            Body::Lean(packed) => packed,
            Body::Rich(rich) => &mut rich.packed,
        }
    }

    fn large(&self) -> Option<&Bytes> {
        match &self.0 {
            Body::Lean(_) => None,
            Body::Rich(rich) => rich.large.as_ref(),
        }
    }

    fn rare(&self) -> Option<&Rare> {
        match &self.0 {
            Body::Lean(_) => None,
            Body::Rich(rich) => rich.rare.as_ref(),
        }
    }

    pub(super) fn namespace(&self) -> u32 {
        self.packed().namespace()
    }

    pub(super) fn key(&self) -> &[u8] {
        self.packed().key()
    }

    pub(super) fn version(&self) -> i64 {
        self.packed().version()
    }

    pub(super) fn set_version(&mut self, version: i64) {
        self.packed_mut().set_version(version);
    }

    /// From this millisecond on the entry is gone.
    pub(super) fn expires_ms(&self) -> Option<u64> {
        self.packed().expires_ms()
    }

    /// Whether it is the knowledge that there is no value.
    pub(super) fn is_negative(&self) -> bool {
        self.packed().is_negative()
    }

    /// The value; `None` where it is a negative entry.
    pub(super) fn value(&self) -> Option<Value> {
        self.value_by(Bytes::copy_from_slice)
    }

    fn value_by(&self, copy: impl FnOnce(&[u8]) -> Bytes) -> Option<Value> {
        self.packed().value(self.large(), copy)
    }

    /// The bytes of the value, encoded as [`Entry::encoding`] says; empty for a negative entry.
    pub(super) fn value_bytes(&self) -> &[u8] {
        match self.large() {
            Some(large) => large,
            None => self.packed().inline(),
        }
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.packed().encoding()
    }

    /// What the entry counts against the memory bound.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_if(None, None)
    }

    /// What it would count with another value of the same type and flags, other times, or both.
    pub(super) fn bytes_if(&self, value_len: Option<usize>, times: Option<&Times>) -> u64 {
        let value_len = value_len.unwrap_or_else(|| self.value_bytes().len());
        let rare = match (self.rare(), times) {
            (rare, None) => rare.map(|rare| rare.tags.len()),
            (rare, Some(times)) => {
                let tags = rare.map_or(0, |rare| rare.tags.len());
                (times.is_rare() || tags > 0).then_some(tags)
            }
        };
        size(self.packed().rest_len(), value_len, rare)
    }

    /// Whether nobody can read it any more.
    pub(super) fn is_dead(&self, now: u64) -> bool {
        self.is_expired(now)
            || self
                .rare()
                .is_some_and(|rare| !rare.tags.hold(self.version()))
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expires_ms().is_some_and(|at| at <= now)
    }

    /// Reads a live entry; a sliding end moves where it is read. A value that stands in the entry is handed to `copy`.
    pub(super) fn read(
        &mut self,
        now: u64,
        looking: Looking,
        copy: impl FnOnce(&[u8]) -> Bytes,
    ) -> Read {
        let sliding = self.rare().and_then(|rare| rare.sliding);
        if let (Some(sliding), Looking::Reading) = (sliding, looking) {
            let end = sliding_end(now, sliding.idle_ms, sliding.limit_ms);
            self.packed_mut().set_expires_ms(end);
        }
        self.seen_by(now, copy)
    }

    /// What a reader sees of a live entry.
    pub(super) fn seen(&self, now: u64) -> Read {
        self.seen_by(now, Bytes::copy_from_slice)
    }

    fn seen_by(&self, now: u64, copy: impl FnOnce(&[u8]) -> Bytes) -> Read {
        let left = |at: u64| at.saturating_sub(now);
        let ttl_ms = self.expires_ms().map(left);
        let Some(value) = self.value_by(copy) else {
            return Read::KnownAbsent(KnownAbsent { ttl_ms });
        };
        let rare = self.rare();
        Read::Found(Found {
            value,
            version: self.version(),
            ttl_ms,
            fresh_ms: rare.and_then(|rare| rare.fresh_until_ms).map(left),
            age_ms: now.saturating_sub(self.packed().created_ms()),
            expiring: match rare.and_then(|rare| rare.sliding) {
                Some(_) => Expiring::Sliding,
                None => Expiring::Fixed,
            },
            tags: rare.map_or_else(Default::default, |rare| rare.tags.names()),
        })
    }
}

/// The bytes of a value that is kept beside the packed bytes.
fn large(value: Value) -> Option<Bytes> {
    (value.bytes.len() > INLINE_BYTES_MAX).then_some(value.bytes)
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

    /// The parts that few entries have, where this one needs them.
    fn rare(&self, tags: TagStamps) -> Option<Rare> {
        (self.is_rare() || !tags.is_empty()).then(|| Rare {
            fresh_until_ms: self.fresh_until_ms,
            sliding: self.idle_ms.map(|idle_ms| SlidingEnd {
                idle_ms,
                limit_ms: self.end_ms,
            }),
            tags,
        })
    }

    /// Whether the entry needs the parts that few have.
    pub(super) const fn is_rare(&self) -> bool {
        self.idle_ms.is_some() || self.fresh_until_ms.is_some()
    }
}

/// What an entry of these lengths counts; `tags` is their number where it has the parts that few have.
fn size(rest_len: usize, value_len: usize, tags: Option<usize>) -> u64 {
    let wide = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let rich = if tags.is_some() || value_len > INLINE_BYTES_MAX {
        RICH_OVERHEAD_BYTES
    } else {
        0
    };
    wide(rest_len)
        .saturating_add(wide(value_len))
        .saturating_add(ENTRY_OVERHEAD_BYTES)
        .saturating_add(rich)
        .saturating_add(wide(tags.unwrap_or(0)).saturating_mul(TAG_REFERENCE_BYTES))
}

fn sliding_end(now: u64, idle_ms: u64, limit_ms: Option<u64>) -> Option<u64> {
    let idle_end = now.saturating_add(idle_ms);
    Some(limit_ms.map_or(idle_end, |limit| limit.min(idle_end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_two_words() {
        assert_eq!(size_of::<Entry>(), 16);
    }
}
