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
    /// Milliseconds until it is gone; `None` does not expire.
    pub ttl_ms: Option<i64>,
    /// Its media type.
    pub content_type: Option<String>,
    /// When it may be stored.
    pub condition: SetCondition,
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

/// Numbers of a namespace since the start of the instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Reads that found a live value.
    pub hits: i64,
    /// Reads that found none.
    pub misses: i64,
    /// hits ÷ (hits + misses).
    pub hit_rate: f64,
    /// Values stored.
    pub sets: i64,
    /// Entries deleted by callers.
    pub deletes: i64,
    /// Entries removed because their time had come.
    pub expired: i64,
    /// Entries removed to stay inside the memory bound.
    pub evicted: i64,
    /// Entries held now.
    pub keys: i64,
    /// Bytes held now.
    pub bytes: i64,
    /// The memory bound, in bytes.
    pub bytes_max: i64,
    /// Which backend holds the values.
    pub backend: String,
}
