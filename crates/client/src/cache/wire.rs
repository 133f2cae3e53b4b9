//! The shapes on both wires, and their way to and from the client's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use faststr::FastStr;
use plinth_core::WideInt;
use plinth_idl::cache as idl;
use serde::{Deserialize, Serialize};

use super::model::{CacheStats, CacheValue, ItemResult, SetItem, Stored};
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
}

#[derive(Serialize)]
pub(super) struct BatchBody<T> {
    pub(super) items: Vec<T>,
    pub(super) atomic: bool,
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
}

#[derive(Deserialize)]
pub(super) struct ItemBody {
    pub(super) found: bool,
    pub(super) value_base64: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) version: Option<WideInt>,
    pub(super) ttl_ms: Option<i64>,
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

pub(super) fn found(
    value: Option<Bytes>,
    content_type: Option<FastStr>,
    version: Option<i64>,
    ttl_ms: Option<i64>,
) -> Result<CacheValue> {
    let (Some(value), Some(content_type), Some(version)) = (value, content_type, version) else {
        return Err(ClientError::malformed(
            "a value without its bytes, type or version",
        ));
    };
    Ok(CacheValue {
        value,
        content_type: content_type.to_string(),
        version,
        ttl_ms,
    })
}

pub(super) fn thrift_item(item: &SetItem) -> idl::CacheSetItem {
    idl::CacheSetItem {
        key: text(&item.key),
        value: item.value.clone(),
        ttl_ms: item.options.ttl_ms,
        content_type: text_option(item.options.content_type.as_deref()),
        condition: text_option(item.options.condition.word()),
        version: item.options.condition.version(),
    }
}

pub(super) fn http_item(item: &SetItem) -> SetItemBody<'_> {
    SetItemBody {
        key: &item.key,
        value_base64: BASE64.encode(&item.value),
        ttl_ms: item.options.ttl_ms,
        content_type: item.options.content_type.as_deref(),
        condition: item.options.condition.word(),
        version: item.options.condition.version().map(WideInt),
    }
}

impl ItemBody {
    pub(super) fn into_value(self) -> Result<Option<CacheValue>> {
        if !self.found {
            return Ok(None);
        }
        let decode = |text: String| BASE64.decode(text).map_err(ClientError::malformed);
        let value = self.value_base64.map(decode).transpose()?.map(Bytes::from);
        let version = self.version.map(|version| version.0);
        found(
            value,
            self.content_type.map(FastStr::from),
            version,
            self.ttl_ms,
        )
        .map(Some)
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

impl From<idl::CacheStatsResponse> for CacheStats {
    fn from(reply: idl::CacheStatsResponse) -> Self {
        Self {
            hits: reply.hits,
            misses: reply.misses,
            hit_rate: reply.hit_rate,
            sets: reply.sets,
            deletes: reply.deletes,
            expired: reply.expired,
            evicted: reply.evicted,
            keys: reply.keys,
            bytes: reply.bytes,
            bytes_max: reply.bytes_max,
            backend: reply.backend.to_string(),
        }
    }
}
