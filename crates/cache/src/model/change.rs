//! One change of one key, and what it did.

use bytes::Bytes;
use plinth_core::{Error, Fence, Result};
use serde::{Serialize, Serializer};

use super::batch::Atomicity;
use super::expiry::{Expiry, Life};
use super::lease::LeaseToken;
use super::name::{Key, Tags};
use super::once::Once;
use super::read::Read;
use super::value::{Content, ContentType};

/// When a value may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// Where the key is absent.
    Absent,
    /// Where the key is present.
    Present,
    /// Where this version is stored.
    Version(i64),
}

impl Condition {
    /// Parses the two fields that say it. Errors: 1001 naming `condition` or `version`.
    pub fn parse(word: Option<&str>, version: Option<i64>) -> Result<Self> {
        match (word, version) {
            (Some("version"), Some(version)) => Ok(Self::Version(version)),
            (Some("version"), None) => Err(Error::invalid(
                "version",
                "is required by the condition `version`",
            )),
            (_, Some(_)) => Err(Error::invalid(
                "version",
                "goes with the condition `version` only",
            )),
            (None | Some("always"), None) => Ok(Self::Always),
            (Some("absent"), None) => Ok(Self::Absent),
            (Some("present"), None) => Ok(Self::Present),
            (Some(_), None) => Err(Error::invalid(
                "condition",
                "must be `always`, `absent`, `present` or `version`",
            )),
        }
    }
}

/// One change of one key. A caller's change carries its wish for an expiry; a backend's carries the life that the service
/// made of it.
#[derive(Clone, Debug)]
pub struct Change<L = Life> {
    /// The key.
    pub key: Key,
    /// What becomes of it.
    pub kind: ChangeKind<L>,
}

impl Change<Expiry> {
    /// The same change with every wish made a life. Errors: those of `resolve`.
    pub fn resolve(
        self,
        mut resolve: impl FnMut(Expiry, Subject) -> Result<Life>,
    ) -> Result<Change> {
        let kind = match self.kind {
            ChangeKind::Put(put) => ChangeKind::Put(Put {
                life: resolve(put.life, Subject::of(&put.content))?,
                content: put.content,
                condition: put.condition,
                tags: put.tags,
                lease: put.lease,
            }),
            ChangeKind::Delete { version } => ChangeKind::Delete { version },
            ChangeKind::Expire { life, version } => ChangeKind::Expire {
                life: resolve(life, Subject::Value)?,
                version,
            },
            ChangeKind::Touch { life } => ChangeKind::Touch {
                life: resolve(life, Subject::Value)?,
            },
            ChangeKind::Increment(increment) => ChangeKind::Increment(Increment {
                created: resolve(increment.created, Subject::Value)?,
                renewed: renew(increment.renewed, &mut resolve)?,
                delta: increment.delta,
                initial: increment.initial,
                bounds: increment.bounds,
            }),
            ChangeKind::Append(append) => ChangeKind::Append(Append {
                created: resolve(append.created, Subject::Value)?,
                renewed: renew(append.renewed, &mut resolve)?,
                bytes: append.bytes,
                content_type: append.content_type,
                condition: append.condition,
            }),
        };
        Ok(Change {
            key: self.key,
            kind,
        })
    }
}

fn renew(
    expiry: Option<Expiry>,
    resolve: &mut impl FnMut(Expiry, Subject) -> Result<Life>,
) -> Result<Option<Life>> {
    expiry
        .map(|expiry| resolve(expiry, Subject::Value))
        .transpose()
}

/// Whose life it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A value's.
    Value,
    /// A negative entry's.
    KnownAbsent,
}

impl Subject {
    pub(crate) const fn of(content: &Content) -> Self {
        match content {
            Content::Value(_) => Self::Value,
            Content::KnownAbsent => Self::KnownAbsent,
        }
    }
}

/// What becomes of a key. Each of them ends an open lease on the key, unless it is the put that fills it.
#[derive(Clone, Debug)]
pub enum ChangeKind<L = Life> {
    /// A value, or the knowledge that there is none, replaces what is there.
    Put(Put<L>),
    /// The entry is deleted, a negative one as well.
    Delete {
        /// Only where this version is stored.
        version: Option<i64>,
    },
    /// The expiry of a present entry changes; an absent one is refused (2002).
    Expire {
        /// Its life from now.
        life: L,
        /// Only where this version is stored.
        version: Option<i64>,
    },
    /// The entry is read and, where it is present, given a new life.
    Touch {
        /// Its life from now.
        life: L,
    },
    /// A number is added to a counter.
    Increment(Increment<L>),
    /// Bytes are added at the end of a value.
    Append(Append<L>),
}

/// A value, or the knowledge that there is none, to be stored.
#[derive(Clone, Debug)]
pub struct Put<L = Life> {
    /// What is stored.
    pub content: Content,
    /// How long it lives.
    pub life: L,
    /// When it may be stored.
    pub condition: Condition,
    /// The tags by which it can be invalidated.
    pub tags: Tags,
    /// The lease that this put fills: refused (2007) where it is no longer open, or one of the tags was invalidated
    /// since it was given.
    pub lease: Option<LeaseToken>,
}

/// A number to be added. The stored bytes must be a decimal 64-bit integer: an optional `-`, digits, no leading zero.
#[derive(Clone, Debug, Serialize)]
pub struct Increment<L = Life> {
    /// What is added; may be negative.
    pub delta: i64,
    /// What an absent counter counts from; `None` refuses an absent one (2002).
    pub initial: Option<i64>,
    /// Where the counter must stay; a sum outside of it is refused (2006) and changes nothing.
    pub bounds: Bounds,
    /// The life of a counter that is created.
    pub created: L,
    /// A new life for one that was there; `None` leaves its expiry alone.
    pub renewed: Option<L>,
}

/// An inclusive range of 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// The lowest allowed.
    pub min: i64,
    /// The highest allowed.
    pub max: i64,
}

impl Bounds {
    /// Parses two optional ends. Errors: 1001 naming `min`.
    pub fn parse(min: Option<i64>, max: Option<i64>) -> Result<Self> {
        let (min, max) = (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX));
        if min > max {
            return Err(Error::invalid("min", "must not be above `max`"));
        }
        Ok(Self { min, max })
    }
}

/// Bytes to be added at the end of a value. The sum must stay within
/// [`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX) (1007). A stored value that is encoded is not touched: the backend answers
/// [`CacheError::Encoded`](crate::CacheError), and the service stores the whole value anew.
#[derive(Clone, Debug, Serialize)]
pub struct Append<L = Life> {
    /// The bytes.
    #[serde(serialize_with = "whole")]
    pub bytes: Bytes,
    /// The media type of a value that is created.
    pub content_type: ContentType,
    /// When they may be added.
    pub condition: Condition,
    /// The life of a value that is created.
    pub created: L,
    /// A new life for one that was there; `None` leaves its expiry alone.
    pub renewed: Option<L>,
}

/// How the changes of one call hang together, and what they must respect.
#[derive(Clone, Debug)]
pub struct Guard {
    /// All or nothing, or each alone.
    pub atomicity: Atomicity,
    /// The lock under which they are made: one that was overtaken refuses the whole call (1006). The highest token of
    /// each name is raised with the changes, in the same step, and kept without expiry, also over a clear.
    pub fence: Option<Fence>,
    /// The idempotency key of a call of one change: see [`crate::backend`].
    pub once: Option<Once>,
}

impl Guard {
    /// Changes of one batch, without a fence.
    #[must_use]
    pub const fn unfenced(atomicity: Atomicity) -> Self {
        Self {
            atomicity,
            fence: None,
            once: None,
        }
    }
}

/// Bytes in one piece, not one by one.
fn whole<S: Serializer>(bytes: &Bytes, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Something was stored, or its expiry changed.
    Stored(Stored),
    /// The entry was deleted, if there was one.
    Deleted {
        /// Whether there was a live value.
        existed: bool,
    },
    /// What was found and, where it was a value, given a new life; it tells the new version and the new remaining time.
    Touched(Read),
    /// The counter has a new number.
    Counted {
        /// The number.
        number: i64,
        /// Its version and expiry.
        stored: Stored,
    },
    /// The value has grown.
    Appended {
        /// Its bytes now.
        length: u64,
        /// Its version and expiry.
        stored: Stored,
    },
}

/// The version and the expiry after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The new version.
    pub version: i64,
    /// When it is gone at the latest, Unix milliseconds; `None` does not expire.
    pub expires_at_ms: Option<i64>,
}
