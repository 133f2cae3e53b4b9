//! The JSON bodies of the `cache` block, and their way to and from the block's own types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use plinth_cache::ItemResults;
use plinth_cache::model::{
    Change, Condition, Expiry, ExpiryFields, ItemFields, ItemRead, PutFields, Read, ReadFields,
    Stored,
};
use plinth_core::{Error, Fence, Result, WideInt};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Conditions, VersionCondition};

/// What may be said about a value beside its bytes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SetQuery {
    /// Milliseconds until the value is gone. Absent: it does not expire.
    ttl_ms: Option<i64>,
    /// When the value is gone, Unix milliseconds, kept to the millisecond.
    expires_at_ms: Option<i64>,
    /// Milliseconds after the last read or write until the value is gone, at least 10; never past `ttl_ms`, or one day.
    sliding_ms: Option<i64>,
    /// True: no expiry.
    persist: Option<bool>,
    /// What the caller wants to remember beside the value: 0 to 4,294,967,295. Default 0.
    flags: Option<i64>,
    /// True: the knowledge that there is no value is stored. The body is then empty.
    known_absent: Option<bool>,
    /// The lease that this value fills; 2007 where it has ended.
    lease_token: Option<i64>,
    /// The lock under which it is stored.
    #[serde(rename = "fence.name")]
    fence_name: Option<String>,
    /// The token of its grant, beside `fence.name`.
    #[serde(rename = "fence.token")]
    fence_token: Option<i64>,
}

impl SetQuery {
    /// The fields of the put, beside its bytes, their type, the tags and the condition.
    pub(super) fn into_parts(self) -> Result<(PutFields, Option<Fence>)> {
        let fence = fence_of(self.fence_name, self.fence_token)?;
        let fields = PutFields {
            flags: self.flags,
            expiry: ExpiryFields {
                ttl_ms: self.ttl_ms,
                expires_at_ms: self.expires_at_ms,
                sliding_ms: self.sliding_ms,
                persist: self.persist,
            },
            known_absent: self.known_absent,
            lease_token: self.lease_token,
            ..PutFields::default()
        };
        Ok((fields, fence))
    }
}

/// The lock under which something is done.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FenceQuery {
    /// The lock under which it is done.
    #[serde(rename = "fence.name")]
    name: Option<String>,
    /// The token of its grant, beside `fence.name`.
    #[serde(rename = "fence.token")]
    token: Option<i64>,
}

impl FenceQuery {
    pub(super) fn parse(self) -> Result<Option<Fence>> {
        fence_of(self.name, self.token)
    }
}

fn fence_of(name: Option<String>, token: Option<i64>) -> Result<Option<Fence>> {
    match (name, token) {
        (None, None) => Ok(None),
        (Some(name), Some(token)) => Fence::parse(&name, token).map(Some),
        (None, Some(_)) => Err(Error::invalid(
            "fence.name",
            "is required beside `fence.token`",
        )),
        (Some(_), None) => Err(Error::invalid(
            "fence.token",
            "is required beside `fence.name`",
        )),
    }
}

/// Under which grant of which lock a write is made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheFence {
    /// Name of the lock, 1 to 128 bytes.
    name: String,
    /// Token of the grant, at least 1.
    #[schema(value_type = String)]
    token: WideInt,
}

impl CacheFence {
    pub(super) fn parse(fence: Option<Self>) -> Result<Option<Fence>> {
        fence
            .map(|fence| Fence::parse(&fence.name, fence.token.0))
            .transpose()
    }
}

/// How to read a value.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct GetQuery {
    /// False: only what is stored, nothing is loaded.
    pub(super) load: Option<bool>,
}

/// Which definitions to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NamespacesQuery {
    /// What the names begin with. Default: all.
    pub(super) prefix: Option<String>,
    /// Where to go on: `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// 1 to 1,000, default 100.
    pub(super) limit: Option<i64>,
}

/// Which keys to walk.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ScanQuery {
    /// What the keys begin with. Default: all.
    pub(super) prefix: Option<String>,
    /// Where to go on: `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// 1 to 1,000, default 100. A page may hold fewer and still have a next one.
    pub(super) limit: Option<i64>,
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
    /// Milliseconds from now until the value is gone. No expiry named: it no longer expires.
    pub(super) ttl_ms: Option<i64>,
    /// When the value is gone, Unix milliseconds, kept to the millisecond.
    pub(super) expires_at_ms: Option<i64>,
    /// Milliseconds after the last read or write until the value is gone; never past `ttl_ms`, or one day.
    pub(super) sliding_ms: Option<i64>,
    /// Only where this version is stored.
    #[schema(value_type = Option<String>)]
    pub(super) version: Option<WideInt>,
    /// The lock under which it is changed.
    pub(super) fence: Option<CacheFence>,
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
    /// When the value is gone, Unix milliseconds, kept to the millisecond.
    pub(super) expires_at_ms: Option<i64>,
    /// Milliseconds after the last read or write until the value is gone; never past `ttl_ms`, or one day.
    pub(super) sliding_ms: Option<i64>,
    /// True: no expiry.
    pub(super) persist: Option<bool>,
    /// What the caller wants to remember beside the value: 0 to 4,294,967,295. Default 0.
    pub(super) flags: Option<i64>,
    /// Tags by which the entry can be invalidated: at most 16 of 1 to 128 bytes.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// True: the knowledge that there is no value is stored; `value_base64` is then empty.
    pub(super) known_absent: Option<bool>,
    /// The lease that this value fills; 2007 where it has ended.
    #[schema(value_type = Option<String>)]
    pub(super) lease_token: Option<WideInt>,
}

/// Many values.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheBatchSetBody {
    /// 1 to 1,000 items, no key twice.
    pub(super) items: Vec<CacheSetItem>,
    /// All or nothing (default), or a status for each item.
    pub(super) atomic: Option<bool>,
    /// The lock under which all of it is done.
    pub(super) fence: Option<CacheFence>,
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
    /// The lock under which all of it is done.
    pub(super) fence: Option<CacheFence>,
}

/// Keys to read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheBatchGetBody {
    /// 1 to 1,000 keys.
    pub(super) keys: Vec<String>,
    /// False: only what is stored, nothing is loaded.
    pub(super) load: Option<bool>,
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
    pub(super) ttl_ms: Option<i64>,
    /// `fresh`, or `stale`: still live, to be refreshed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) freshness: Option<&'static str>,
    /// Milliseconds since the value was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_ms: Option<i64>,
    /// As it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flags: Option<i64>,
    /// The tags of the entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<String>>,
    /// True: it is known that there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) known_absent: Option<bool>,
    /// The value had to be loaded and could not be: the number of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<u16>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// The values, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheItems {
    /// One for each key.
    pub(super) items: Vec<CacheItem>,
    /// True: the answer comes from a layer that stands in for a backend that is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) degraded: Option<bool>,
}

/// Which keys are present, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(super) struct CachePresence {
    /// One for each key.
    pub(super) present: Vec<bool>,
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

/// Bytes from their text form. Errors: 1001 naming `field`.
pub(super) fn base64(field: &str, text: &str) -> Result<Bytes> {
    BASE64
        .decode(text)
        .map(Bytes::from)
        .map_err(|error| Error::invalid(field, format!("is not base64: {error}")))
}

pub(super) fn put(item: CacheSetItem) -> Result<Change<Expiry>> {
    let fields = PutFields {
        value: base64("value_base64", &item.value_base64)?,
        content_type: item.content_type,
        flags: item.flags,
        expiry: ExpiryFields {
            ttl_ms: item.ttl_ms,
            expires_at_ms: item.expires_at_ms,
            sliding_ms: item.sliding_ms,
            persist: item.persist,
        },
        condition: item.condition,
        version: item.version.map(|version| version.0),
        tags: item.tags,
        known_absent: item.known_absent,
        lease_token: item.lease_token.map(|token| token.0),
    };
    fields.into_change(&item.key)
}

pub(super) fn item(key: String, read: Read) -> CacheItem {
    let fields = ReadFields::from(read);
    CacheItem {
        key,
        found: fields.found,
        value_base64: fields.value.map(|bytes| BASE64.encode(bytes)),
        content_type: fields
            .content_type
            .map(|content_type| content_type.as_str().to_owned()),
        version: fields.version.map(WideInt),
        ttl_ms: fields.ttl_ms,
        freshness: fields.freshness,
        age_ms: fields.age_ms,
        flags: fields.flags,
        tags: fields.tags,
        known_absent: fields.known_absent,
        code: None,
        message: None,
    }
}

pub(super) fn item_read(key: String, answer: ItemRead) -> CacheItem {
    let (code, message) = answer.failure_fields();
    CacheItem {
        code,
        message,
        ..item(key, answer.read)
    }
}

pub(super) fn item_results(results: ItemResults) -> CacheItemResults {
    let result = |result| {
        let fields = ItemFields::from(result);
        CacheItemResult {
            key: fields.key,
            code: fields.code,
            version: fields.version.map(WideInt),
            message: fields.message,
            deleted: fields.deleted,
        }
    };
    CacheItemResults {
        results: results.into_iter().map(result).collect(),
    }
}
