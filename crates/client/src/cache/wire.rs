//! The shapes on both wires, and their way to and from the client's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use faststr::FastStr;
use plinth_core::{Fence, WideInt};
use plinth_idl::cache as idl;
use reqwest::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};

use super::model::{
    CacheLease, CacheRead, CacheValue, ItemResult, LoadFailure, ScanItem, ScanPage, SetItem, Stored,
};
use crate::error::{ClientError, Result};

#[derive(Deserialize)]
pub(super) struct StoredBody {
    pub(super) version: WideInt,
    pub(super) expires_at_ms: Option<i64>,
}

impl From<StoredBody> for Stored {
    fn from(body: StoredBody) -> Self {
        Self {
            version: body.version.0,
            expires_at_ms: body.expires_at_ms,
        }
    }
}

#[derive(Serialize)]
pub(super) struct SetItemBody<'item> {
    pub(super) key: &'item str,
    pub(super) value_base64: String,
    pub(super) ttl_ms: Option<i64>,
    pub(super) content_type: Option<&'item str>,
    pub(super) condition: Option<&'static str>,
    pub(super) version: Option<WideInt>,
    pub(super) expires_at_ms: Option<i64>,
    pub(super) sliding_ms: Option<i64>,
    pub(super) persist: Option<bool>,
    pub(super) flags: Option<i64>,
    pub(super) tags: &'item [String],
    pub(super) known_absent: Option<bool>,
    pub(super) lease_token: Option<WideInt>,
}

#[derive(Serialize)]
pub(super) struct BatchBody<T> {
    pub(super) items: Vec<T>,
    pub(super) atomic: bool,
    pub(super) fence: Option<serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct ResultsBody {
    pub(super) results: Vec<ItemResultBody>,
}

#[derive(Deserialize)]
pub(super) struct ItemResultBody {
    pub(super) key: String,
    pub(super) code: u16,
    pub(super) version: Option<WideInt>,
    pub(super) message: Option<String>,
    pub(super) deleted: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct ItemsBody {
    pub(super) items: Vec<ItemBody>,
    #[serde(default)]
    pub(super) degraded: bool,
}

#[derive(Deserialize)]
pub(super) struct ItemBody {
    found: bool,
    value_base64: Option<String>,
    content_type: Option<String>,
    version: Option<WideInt>,
    ttl_ms: Option<i64>,
    freshness: Option<String>,
    age_ms: Option<i64>,
    flags: Option<i64>,
    tags: Option<Vec<String>>,
    #[serde(default)]
    known_absent: bool,
    code: Option<u16>,
    message: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct TouchedBody {
    pub(super) item: ItemBody,
}

#[derive(Deserialize)]
pub(super) struct LeasedBody {
    pub(super) item: ItemBody,
    pub(super) lease_token: Option<WideInt>,
    pub(super) held_ms: Option<i64>,
    #[serde(default)]
    pub(super) degraded: bool,
}

#[derive(Deserialize)]
pub(super) struct StampBody {
    pub(super) version: WideInt,
}

#[derive(Deserialize)]
pub(super) struct ReleasedBody {
    pub(super) released: bool,
}

#[derive(Deserialize)]
pub(super) struct DeletedBody {
    pub(super) deleted: bool,
}

#[derive(Deserialize)]
pub(super) struct PresentBody {
    pub(super) present: Vec<bool>,
}

pub(super) fn text(text: &str) -> FastStr {
    FastStr::new(text)
}

pub(super) fn text_option(text: Option<&str>) -> Option<FastStr> {
    text.map(FastStr::new)
}

pub(super) fn entry_path<'path>(namespace: &'path str, key: &'path str) -> [&'path str; 5] {
    ["v1", "cache", namespace, "entries", key]
}

pub(super) fn version_tag(version: i64) -> String {
    format!("\"{version}\"")
}

/// The lock of a change.
pub(super) fn fence(fence: Option<&Fence>) -> Option<plinth_idl::common::Fence> {
    fence.map(crate::fence::thrift)
}

/// The same as JSON.
pub(super) fn fence_json(fence: Option<&Fence>) -> Option<serde_json::Value> {
    fence.map(crate::fence::json)
}

/// The same as parameters of a query.
pub(super) fn fence_query(fence: Option<&Fence>) -> Vec<(&'static str, String)> {
    fence.map_or_else(Vec::new, |fence| {
        vec![
            ("fence.name", fence.name.to_string()),
            ("fence.token", fence.token.to_string()),
        ]
    })
}

/// What a read tells on whichever wire.
#[derive(Default)]
struct ReadParts {
    found: bool,
    value: Option<Bytes>,
    content_type: Option<String>,
    version: Option<i64>,
    ttl_ms: Option<i64>,
    is_stale: bool,
    age_ms: Option<i64>,
    flags: Option<i64>,
    tags: Vec<String>,
    known_absent: bool,
    degraded: bool,
    failure: Option<LoadFailure>,
}

impl ReadParts {
    /// Errors: an answer that says `found` without a value.
    fn into_read(self) -> Result<CacheRead> {
        let mut read = CacheRead {
            value: None,
            known_absent: self.known_absent,
            ttl_ms: self.ttl_ms,
            degraded: self.degraded,
            failure: self.failure,
        };
        if !self.found {
            return Ok(read);
        }
        let (Some(value), Some(content_type), Some(version)) =
            (self.value, self.content_type, self.version)
        else {
            return Err(ClientError::malformed(
                "a value without its bytes, type or version",
            ));
        };
        read.value = Some(CacheValue {
            value,
            content_type,
            version,
            ttl_ms: self.ttl_ms,
            is_stale: self.is_stale,
            age_ms: self.age_ms.unwrap_or(0),
            flags: self.flags.unwrap_or(0),
            tags: self.tags,
        });
        Ok(read)
    }
}

fn texts(tags: Option<Vec<FastStr>>) -> Vec<String> {
    let tags = tags.into_iter().flatten();
    tags.map(|tag| tag.to_string()).collect()
}

fn is_stale(freshness: Option<&str>) -> bool {
    freshness == Some("stale")
}

pub(super) fn read_reply(reply: idl::CacheGetResponse) -> Result<CacheRead> {
    let parts = ReadParts {
        found: reply.found,
        value: reply.value,
        content_type: reply.content_type.map(|text| text.to_string()),
        version: reply.version,
        ttl_ms: reply.ttl_ms,
        is_stale: is_stale(reply.freshness.as_deref()),
        age_ms: reply.age_ms,
        flags: reply.flags,
        tags: texts(reply.tags),
        known_absent: reply.known_absent.unwrap_or(false),
        degraded: reply.degraded.unwrap_or(false),
        failure: None,
    };
    parts.into_read()
}

pub(super) fn read_item(item: idl::CacheItem, degraded: Option<bool>) -> Result<CacheRead> {
    let parts = ReadParts {
        found: item.found,
        value: item.value,
        content_type: item.content_type.map(|text| text.to_string()),
        version: item.version,
        ttl_ms: item.ttl_ms,
        is_stale: is_stale(item.freshness.as_deref()),
        age_ms: item.age_ms,
        flags: item.flags,
        tags: texts(item.tags),
        known_absent: item.known_absent.unwrap_or(false),
        degraded: degraded.unwrap_or(false),
        failure: item.code.map(|code| LoadFailure {
            code: u16::try_from(code).unwrap_or(u16::MAX),
            message: item
                .message
                .map(|text| text.to_string())
                .unwrap_or_default(),
        }),
    };
    parts.into_read()
}

/// A value that came as a body, with the rest in its headers.
pub(super) fn read_headers(headers: &HeaderMap, body: Bytes) -> Result<CacheRead> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name| text(name).and_then(|number| number.parse().ok());
    let tag = |part: &str| {
        percent_encoding::percent_decode_str(part.trim())
            .decode_utf8_lossy()
            .into_owned()
    };
    let parts = ReadParts {
        found: true,
        value: Some(body),
        content_type: text(header::CONTENT_TYPE.as_str()).map(str::to_owned),
        version: text(header::ETAG.as_str()).and_then(|tag| tag.trim_matches('"').parse().ok()),
        ttl_ms: number("plinth-ttl-ms"),
        is_stale: is_stale(text("plinth-freshness")),
        age_ms: number("plinth-age-ms"),
        flags: number("plinth-flags"),
        tags: text(TAGS).map_or_else(Vec::new, |tags| tags.split(',').map(tag).collect()),
        known_absent: false,
        degraded: text("plinth-degraded") == Some("true"),
        failure: None,
    };
    parts.into_read()
}

/// The refusal of a read that found no value.
pub(super) fn read_absent(error: &ClientError) -> CacheRead {
    let says = |fact: &str| error.details.get(fact).map(String::as_str) == Some("true");
    CacheRead {
        value: None,
        known_absent: says("known_absent"),
        ttl_ms: error.details.get("ttl_ms").and_then(|ttl| ttl.parse().ok()),
        degraded: says("degraded"),
        failure: None,
    }
}

/// The header with the tags of a value.
pub(super) const TAGS: &str = "plinth-tags";

/// Tags as they stand in their header.
pub(super) fn tags_header(tags: &[String]) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let parts = tags.iter();
    let parts = parts.map(|tag| utf8_percent_encode(tag, NON_ALPHANUMERIC).to_string());
    parts.collect::<Vec<_>>().join(",")
}

pub(super) fn lease_of(lease_token: Option<i64>, held_ms: Option<i64>) -> CacheLease {
    match (lease_token, held_ms) {
        (Some(token), _) => CacheLease::Granted { token },
        (None, Some(left_ms)) => CacheLease::Held { left_ms },
        (None, None) => CacheLease::NotNeeded,
    }
}

pub(super) fn thrift_item(item: &SetItem) -> idl::CacheSetItem {
    let options = &item.options;
    idl::CacheSetItem {
        key: text(&item.key),
        value: item.value.clone(),
        ttl_ms: options.ttl_ms,
        content_type: text_option(options.content_type.as_deref()),
        condition: text_option(options.condition.word()),
        version: options.condition.version(),
        expires_at_ms: options.expires_at_ms,
        sliding_ms: options.sliding_ms,
        persist: options.persist(),
        flags: options.flags(),
        tags: thrift_tags(&options.tags),
        known_absent: options.known_absent(),
        lease_token: options.lease_token,
    }
}

pub(super) fn thrift_tags(tags: &[String]) -> Option<Vec<FastStr>> {
    (!tags.is_empty()).then(|| tags.iter().map(|tag| text(tag)).collect())
}

pub(super) fn http_item(item: &SetItem) -> SetItemBody<'_> {
    let options = &item.options;
    SetItemBody {
        key: &item.key,
        value_base64: BASE64.encode(&item.value),
        ttl_ms: options.ttl_ms,
        content_type: options.content_type.as_deref(),
        condition: options.condition.word(),
        version: options.condition.version().map(WideInt),
        expires_at_ms: options.expires_at_ms,
        sliding_ms: options.sliding_ms,
        persist: options.persist(),
        flags: options.flags(),
        tags: &options.tags,
        known_absent: options.known_absent(),
        lease_token: options.lease_token.map(WideInt),
    }
}

impl ItemBody {
    pub(super) fn into_read(self, degraded: bool) -> Result<CacheRead> {
        let decode = |text: String| BASE64.decode(text).map_err(ClientError::malformed);
        let parts = ReadParts {
            found: self.found,
            value: self.value_base64.map(decode).transpose()?.map(Bytes::from),
            content_type: self.content_type,
            version: self.version.map(|version| version.0),
            ttl_ms: self.ttl_ms,
            is_stale: is_stale(self.freshness.as_deref()),
            age_ms: self.age_ms,
            flags: self.flags,
            tags: self.tags.unwrap_or_default(),
            known_absent: self.known_absent,
            degraded,
            failure: self.code.map(|code| LoadFailure {
                code,
                message: self.message.unwrap_or_default(),
            }),
        };
        parts.into_read()
    }
}

impl From<idl::CacheScanResponse> for ScanPage {
    fn from(reply: idl::CacheScanResponse) -> Self {
        let item = |item: idl::CacheScanItem| ScanItem {
            key: item.key.to_string(),
            version: item.version,
            ttl_ms: item.ttl_ms,
            value_bytes: item.value_bytes,
        };
        Self {
            items: reply.items.into_iter().map(item).collect(),
            next_cursor: reply.next_cursor.map(|cursor| cursor.to_string()),
        }
    }
}

impl From<idl::CacheItemResult> for ItemResult {
    fn from(result: idl::CacheItemResult) -> Self {
        Self {
            key: result.key.to_string(),
            code: u16::try_from(result.code).unwrap_or(u16::MAX),
            version: result.version,
            message: result.message.map(|text| text.to_string()),
            deleted: result.deleted,
        }
    }
}

impl From<ItemResultBody> for ItemResult {
    fn from(body: ItemResultBody) -> Self {
        Self {
            key: body.key,
            code: body.code,
            version: body.version.map(|version| version.0),
            message: body.message,
            deleted: body.deleted,
        }
    }
}
