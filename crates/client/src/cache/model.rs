//! What a caller says and is told.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// When a value may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCondition {
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

impl SetCondition {
    pub(super) const fn word(self) -> Option<&'static str> {
        match self {
            Self::Always => None,
            Self::Absent => Some("absent"),
            Self::Present => Some("present"),
            Self::Version(_) => Some("version"),
        }
    }

    pub(super) const fn version(self) -> Option<i64> {
        match self {
            Self::Version(version) => Some(version),
            Self::Always | Self::Absent | Self::Present => None,
        }
    }
}

/// What may be said about a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// Milliseconds until it is gone; with no expiry named at all it does not expire.
    pub ttl_ms: Option<i64>,
    /// Its media type.
    pub content_type: Option<String>,
    /// When it may be stored.
    pub condition: SetCondition,
    /// When it is gone, Unix milliseconds, kept to the millisecond.
    pub expires_at_ms: Option<i64>,
    /// Milliseconds after the last read or write until it is gone; never past `ttl_ms`, or one day.
    pub sliding_ms: Option<i64>,
    /// It does not expire, whatever the namespace says.
    pub persist: bool,
    /// What the caller wants to remember beside the value.
    pub flags: u32,
    /// Tags by which it can be invalidated: at most 16.
    pub tags: Vec<String>,
    /// There is no value: that knowledge is stored, and the bytes are empty.
    pub known_absent: bool,
    /// The lease that it fills; 2007 where that has ended.
    pub lease_token: Option<i64>,
}

impl SetOptions {
    pub(super) fn persist(&self) -> Option<bool> {
        self.persist.then_some(true)
    }

    pub(super) fn known_absent(&self) -> Option<bool> {
        self.known_absent.then_some(true)
    }

    pub(super) fn flags(&self) -> Option<i64> {
        (self.flags != 0).then_some(self.flags.into())
    }
}

/// One expiry: none named is the namespace's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiryOptions {
    /// Milliseconds to live; beside `sliding_ms` the maximum.
    pub ttl_ms: Option<i64>,
    /// The instant, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// Milliseconds to live after the last read or write.
    pub sliding_ms: Option<i64>,
    /// No expiry.
    pub persist: Option<bool>,
}

impl ExpiryOptions {
    /// So many milliseconds from now.
    #[must_use]
    pub fn after(ttl_ms: i64) -> Self {
        Self {
            ttl_ms: Some(ttl_ms),
            ..Self::default()
        }
    }
}

/// What is added to a counter.
#[derive(Clone, Debug)]
pub struct IncrementOptions {
    /// What is added; may be negative.
    pub delta: i64,
    /// What an absent counter counts from; `None` refuses an absent one (2002).
    pub initial: Option<i64>,
    /// The lowest number allowed.
    pub min: Option<i64>,
    /// The highest number allowed.
    pub max: Option<i64>,
    /// The expiry of a counter that is created.
    pub expiry: ExpiryOptions,
    /// A counter that was there gets that expiry too.
    pub renew: bool,
    /// The idempotency key; one is made up where none is given.
    pub request_id: Option<String>,
}

impl IncrementOptions {
    /// Adds, from 0 where there is no counter.
    #[must_use]
    pub fn by(delta: i64) -> Self {
        Self {
            delta,
            initial: Some(0),
            min: None,
            max: None,
            expiry: ExpiryOptions::default(),
            renew: false,
            request_id: None,
        }
    }
}

/// What is said about bytes that are added at the end of a value.
#[derive(Clone, Debug, Default)]
pub struct AppendOptions {
    /// Media type of a value that is created.
    pub content_type: Option<String>,
    /// When they may be added.
    pub condition: SetCondition,
    /// The expiry of a value that is created.
    pub expiry: ExpiryOptions,
    /// A value that was there gets that expiry too.
    pub renew: bool,
    /// The idempotency key; one is made up where none is given.
    pub request_id: Option<String>,
}

/// A counter after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The number.
    #[serde(with = "crate::wide")]
    pub number: i64,
    /// The new version.
    #[serde(with = "crate::wide")]
    pub version: i64,
    /// When it is gone, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
}

/// A value that has grown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Its bytes now.
    pub length: i64,
    /// The new version.
    #[serde(with = "crate::wide")]
    pub version: i64,
    /// When it is gone, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
}

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPage {
    /// The keys; may be fewer than asked for, even none, with a next page still to come.
    pub items: Vec<ScanItem>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<String>,
}

/// One key of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanItem {
    /// The key.
    pub key: String,
    /// Its version.
    #[serde(with = "crate::wide")]
    pub version: i64,
    /// Milliseconds left; `None` does not expire.
    pub ttl_ms: Option<i64>,
    /// Bytes of its value as it is stored.
    pub value_bytes: i64,
}

/// A value was stored, or its expiry changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The new version.
    pub version: i64,
    /// When it is gone, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
}

/// A live value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheValue {
    /// The bytes.
    pub value: Bytes,
    /// Their media type.
    pub content_type: String,
    /// The version.
    pub version: i64,
    /// Milliseconds left; `None` does not expire.
    pub ttl_ms: Option<i64>,
    /// Whether it is stale: still live, to be refreshed.
    pub is_stale: bool,
    /// Milliseconds since it was stored.
    pub age_ms: i64,
    /// What its writer remembered beside it.
    pub flags: i64,
    /// Its tags.
    pub tags: Vec<String>,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheRead {
    /// The live value.
    pub value: Option<CacheValue>,
    /// It is known that there is none (a negative entry).
    pub known_absent: bool,
    /// Milliseconds left, of a value or a negative entry.
    pub ttl_ms: Option<i64>,
    /// The answer comes from a layer that stands in for a backend that is away.
    pub degraded: bool,
    /// Why the value was not loaded, in a batch whose namespace has a loader.
    pub failure: Option<LoadFailure>,
}

/// Why a value was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadFailure {
    /// The number of the error.
    pub code: u16,
    /// What went wrong.
    pub message: String,
}

/// What a read found that is ready to fill the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheLeased {
    /// What stands under the key.
    pub read: CacheRead,
    /// Who fills it.
    pub lease: CacheLease,
}

/// Who fills a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLease {
    /// Nobody need.
    NotNeeded,
    /// The caller: a store with [`SetOptions::lease_token`] fills it.
    Granted {
        /// The token.
        token: i64,
    },
    /// Somebody else.
    Held {
        /// Milliseconds until that lease ends by itself.
        left_ms: i64,
    },
}

/// One value of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetItem {
    /// The key.
    pub key: String,
    /// The bytes.
    pub value: Bytes,
    /// What is said about them.
    pub options: SetOptions,
}

/// How one item of a batch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemResult {
    /// The key.
    pub key: String,
    /// 0 where it was done, else the number of the error.
    pub code: u16,
    /// The new version, where a value was stored.
    pub version: Option<i64>,
    /// Why it was not done.
    pub message: Option<String>,
    /// Whether there was an entry to delete.
    pub deleted: Option<bool>,
}
