//! The JSON bodies of the `cache` block, and their way to and from the block's own types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plinth_cache::model::{
    Change, ChangeKind, Changed, Condition, Content, Expiry, ExpiryFields, Key, Put, Read, Stats,
    Stored, Tags, Value,
};
use plinth_cache::{CacheError, ItemResults};
use plinth_core::{Error, Result, WideInt};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Conditions, VersionCondition};

/// What may be said about a value beside its bytes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SetQuery {
    /// Milliseconds until the value is gone. Absent: it does not expire.
    pub(super) ttl_ms: Option<i64>,
}

/// A value was stored, or its expiry changed.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheStored {
    /// The new version.
    #[schema(value_type = String)]
    pub(super) version: WideInt,
    /// When it is gone, Unix milliseconds; absent where it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at_ms: Option<i64>,
}

impl From<Stored> for CacheStored {
    fn from(stored: Stored) -> Self {
        Self {
            version: WideInt(stored.version),
            expires_at_ms: stored.expires_at_ms,
        }
    }
}

/// Whether there was an entry.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheDeleted {
    /// Whether there was an entry to delete.
    pub(super) deleted: bool,
}

/// A new expiry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheExpireBody {
    /// Milliseconds from now until the value is gone. Absent: it no longer expires.
    pub(super) ttl_ms: Option<i64>,
    /// Only where this version is stored.
    #[schema(value_type = Option<String>)]
    pub(super) version: Option<WideInt>,
}

/// One value of a batch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheSetItem {
    /// The key.
    pub(super) key: String,
    /// The value, in base64 (RFC 4648, padded).
    pub(super) value_base64: String,
    /// Milliseconds until it is gone. Absent: it does not expire.
    pub(super) ttl_ms: Option<i64>,
    /// Its media type.
    pub(super) content_type: Option<String>,
    /// `always` (default), `absent`, `present` or `version`.
    pub(super) condition: Option<String>,
    /// The version that must be stored, for the condition `version`.
    #[schema(value_type = Option<String>)]
    pub(super) version: Option<WideInt>,
}

/// Many values.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheBatchSetBody {
    /// 1 to 1,000 items, no key twice.
    pub(super) items: Vec<CacheSetItem>,
    /// All or nothing (default), or a status for each item.
    pub(super) atomic: Option<bool>,
}

/// How one item of a batch ended.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheItemResult {
    /// The key.
    pub(super) key: String,
    /// 0 where it was done, else the number of the error.
    pub(super) code: u16,
    /// The new version, where a value was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) version: Option<WideInt>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// Whether there was an entry to delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<bool>,
}

/// How each item ended, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheItemResults {
    /// One for each item.
    pub(super) results: Vec<CacheItemResult>,
}

/// One entry to delete.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheDeleteItem {
    /// The key.
    pub(super) key: String,
    /// Only where this version is stored.
    #[schema(value_type = Option<String>)]
    pub(super) version: Option<WideInt>,
}

/// Many entries to delete.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheBatchDeleteBody {
    /// 1 to 1,000 items, no key twice.
    pub(super) items: Vec<CacheDeleteItem>,
    /// All or nothing (default), or a status for each item.
    pub(super) atomic: Option<bool>,
}

/// Keys to look at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheKeysBody {
    /// 1 to 1,000 keys.
    pub(super) keys: Vec<String>,
}

/// One value of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheItem {
    /// The key.
    pub(super) key: String,
    /// Whether a live value is stored.
    pub(super) found: bool,
    /// The value, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_base64: Option<String>,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) version: Option<WideInt>,
    /// Milliseconds left; absent where it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl_ms: Option<u64>,
}

/// The values, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheItems {
    /// One for each key.
    pub(super) items: Vec<CacheItem>,
}

/// Which keys are present, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(super) struct CachePresence {
    /// One for each key.
    pub(super) present: Vec<bool>,
}

/// Numbers of a namespace since the start of the instance.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheStats {
    /// Reads that found a live value.
    pub(super) hits: u64,
    /// Reads that found none.
    pub(super) misses: u64,
    /// hits ÷ (hits + misses); 0 where nothing was read.
    pub(super) hit_rate: f64,
    /// Values stored.
    pub(super) sets: u64,
    /// Entries deleted by callers.
    pub(super) deletes: u64,
    /// Entries removed because their time had come.
    pub(super) expired: u64,
    /// Entries removed to stay inside the memory bound.
    pub(super) evicted: u64,
    /// Entries held now.
    pub(super) keys: u64,
    /// Bytes of keys, values and bookkeeping held now.
    pub(super) bytes: u64,
    /// The memory bound that all namespaces share, in bytes.
    pub(super) bytes_max: u64,
    /// Which backend holds the values: `memory`.
    pub(super) backend: &'static str,
}

impl CacheStats {
    pub(super) fn new(stats: &Stats, backend: &'static str) -> Self {
        Self {
            hits: stats.hits,
            misses: stats.misses,
            hit_rate: stats.hit_rate(),
            sets: stats.sets,
            deletes: stats.deletes,
            expired: stats.held.expired,
            evicted: stats.held.evicted,
            keys: stats.held.keys,
            bytes: stats.held.bytes,
            bytes_max: stats.held.bytes_max.unwrap_or(0),
            backend,
        }
    }
}

pub(super) fn set_condition(conditions: Conditions) -> Result<Condition> {
    match (conditions.if_match, conditions.if_none_match) {
        (None, None) => Ok(Condition::Always),
        (Some(VersionCondition::Any), None) => Ok(Condition::Present),
        (Some(VersionCondition::Version(version)), None) => Ok(Condition::Version(version)),
        (None, Some(VersionCondition::Any)) => Ok(Condition::Absent),
        (None, Some(VersionCondition::Version(_))) => Err(Error::invalid(
            "if-none-match",
            "must be *: a value is stored where the key is absent",
        )),
        (Some(_), Some(_)) => Err(Error::invalid("if-none-match", "does not go with if-match")),
    }
}

pub(super) fn delete_condition(conditions: Conditions) -> Result<Option<i64>> {
    match (conditions.if_match, conditions.if_none_match) {
        (None, None) => Ok(None),
        (Some(VersionCondition::Version(version)), None) => Ok(Some(version)),
        (Some(VersionCondition::Any), None) => {
            Err(Error::invalid("if-match", "must be one quoted version"))
        }
        (_, Some(_)) => Err(Error::invalid("if-none-match", "does not go with a delete")),
    }
}

pub(super) fn expiry(ttl_ms: Option<i64>) -> Result<Expiry> {
    Expiry::parse(ExpiryFields {
        ttl_ms,
        ..ExpiryFields::default()
    })
}

pub(super) fn put(item: CacheSetItem) -> Result<Change<Expiry>> {
    let bytes = BASE64
        .decode(&item.value_base64)
        .map_err(|error| Error::invalid("value_base64", format!("is not base64: {error}")))?;
    let version = item.version.map(|version| version.0);
    Ok(Change {
        key: Key::parse(&item.key)?,
        kind: ChangeKind::Put(Put {
            content: Content::Value(Value::parse(
                bytes.into(),
                item.content_type.as_deref(),
                None,
            )?),
            life: expiry(item.ttl_ms)?,
            condition: Condition::parse(item.condition.as_deref(), version)?,
            tags: Tags::default(),
            lease: None,
        }),
    })
}

pub(super) fn item(key: String, read: Read) -> CacheItem {
    let Some(found) = read.found() else {
        return CacheItem {
            key,
            found: false,
            value_base64: None,
            content_type: None,
            version: None,
            ttl_ms: None,
        };
    };
    CacheItem {
        key,
        found: true,
        value_base64: Some(BASE64.encode(&found.value.bytes)),
        content_type: Some(found.value.content_type.as_str().to_owned()),
        version: Some(WideInt(found.version)),
        ttl_ms: found.ttl_ms,
    }
}

pub(super) fn item_results(results: ItemResults) -> CacheItemResults {
    let result = |(key, outcome): (Key, Result<Changed, CacheError>)| {
        let done = CacheItemResult {
            key: key.as_str().to_owned(),
            code: 0,
            version: None,
            message: None,
            deleted: None,
        };
        match outcome {
            Ok(
                Changed::Stored(stored)
                | Changed::Counted { stored, .. }
                | Changed::Appended { stored, .. },
            ) => CacheItemResult {
                version: Some(WideInt(stored.version)),
                ..done
            },
            Ok(Changed::Touched(_)) => done,
            Ok(Changed::Deleted { existed }) => CacheItemResult {
                deleted: Some(existed),
                ..done
            },
            Err(error) => {
                let error = Error::from(error);
                let message = Some(error.message().to_owned());
                CacheItemResult {
                    code: error.code().number(),
                    message,
                    ..done
                }
            }
        }
    };
    CacheItemResults {
        results: results.into_iter().map(result).collect(),
    }
}
