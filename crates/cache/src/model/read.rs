//! What a read finds.

use super::name::Tags;
use super::value::Value;

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A live value.
    Found(Found),
    /// The knowledge that there is none.
    KnownAbsent(KnownAbsent),
    /// Nothing.
    Absent,
}

impl Read {
    /// The live value, where there is one.
    #[must_use]
    pub fn found(self) -> Option<Found> {
        match self {
            Self::Found(found) => Some(found),
            Self::KnownAbsent(_) | Self::Absent => None,
        }
    }

    /// Whether it is a live value.
    #[must_use]
    pub const fn is_found(&self) -> bool {
        matches!(self, Self::Found(_))
    }

    /// Whether somebody should fill or refresh it: there is nothing, or a stale value.
    #[must_use]
    pub const fn needs_filling(&self) -> bool {
        match self {
            Self::Found(found) => matches!(found.freshness(), Freshness::Stale),
            Self::KnownAbsent(_) => false,
            Self::Absent => true,
        }
    }
}

/// A live value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Value,
    /// Its version.
    pub version: i64,
    /// Milliseconds left; `None` does not expire.
    pub ttl_ms: Option<u64>,
    /// Milliseconds until it is stale; 0 once it is, `None` where it is fresh to its end.
    pub fresh_ms: Option<u64>,
    /// Milliseconds since it was stored.
    pub age_ms: u64,
    /// Whether a read moves its end.
    pub expiring: Expiring,
    /// The tags by which it can be invalidated.
    pub tags: Tags,
}

impl Found {
    /// Whether it is fresh or stale.
    #[must_use]
    pub const fn freshness(&self) -> Freshness {
        match self.fresh_ms {
            Some(0) => Freshness::Stale,
            _ => Freshness::Fresh,
        }
    }
}

/// Whether a value is as new as its namespace wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It may be served, marked so, while it is refreshed.
    Stale,
}

impl Freshness {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
        }
    }
}

/// Whether a read moves the end of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiring {
    /// It does not.
    Fixed,
    /// It does; a near cache must not answer for it.
    Sliding,
}

/// The knowledge that there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownAbsent {
    /// Milliseconds until it is forgotten; `None` does not expire.
    pub ttl_ms: Option<u64>,
}

/// An answer of a backend, and whether it is what the backend can do at its best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// The answer.
    pub answer: T,
    /// Whether it comes from a layer that stands in for one that is away.
    pub degraded: bool,
    /// Whether it was kept in this process, near, and the engine was not asked.
    pub near: bool,
}

impl<T> Reply<T> {
    /// An answer of the backend itself.
    pub const fn full(answer: T) -> Self {
        Self {
            answer,
            degraded: false,
            near: false,
        }
    }

    /// An answer of the backend itself, from near where that is so.
    pub fn from_near(answer: T, near: bool) -> Self {
        Self {
            near,
            ..Self::full(answer)
        }
    }

    /// An answer that is less than what the backend gives at its best, where that is so.
    pub fn degraded(answer: T, degraded: bool) -> Self {
        Self {
            degraded,
            ..Self::full(answer)
        }
    }

    /// The same answer in another form.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Reply<U> {
        Reply {
            answer: form(self.answer),
            degraded: self.degraded,
            near: self.near,
        }
    }
}
