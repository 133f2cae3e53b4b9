//! The cache.

use bytes::Bytes;
use faststr::FastStr;
use plinth_core::WideInt;
use plinth_idl::cache as idl;
use reqwest::{Method, StatusCode, header};

mod model;
mod wire;

pub use self::model::{
    CacheStats, CacheValue, ItemResult, SetCondition, SetItem, SetOptions, Stored,
};
use self::wire::{
    BatchBody, DeletedBody, ItemBody, ItemsBody, PresentBody, ResultsBody, StoredBody, entry_path,
    found, http_item, text, text_option, thrift_item, version_tag,
};
use crate::Client;
use crate::error::{ClientError, Result};
use crate::retry::Repeat;
use crate::transport::Transport;

/// The header with the milliseconds that a value has left.
const TTL_MS: &str = "plinth-ttl-ms";
/// The number of the error of an absent key.
const KEY_NOT_FOUND: u16 = plinth_core::ErrorCode::CacheKeyNotFound.number();

/// The cache operations of a client.
#[derive(Clone, Copy)]
pub struct CacheClient<'client> {
    client: &'client Client,
}

impl<'client> CacheClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }

    pub(crate) const fn client(&self) -> &'client Client {
        self.client
    }

    /// Stores one value. Repeated on a lost answer only where it has no condition: then a second store is the same store.
    ///
    /// Errors: 1001, 1006 where the condition does not hold, 1007.
    pub async fn set(
        &self,
        namespace: &str,
        key: &str,
        value: impl Into<Bytes>,
        options: SetOptions,
    ) -> Result<Stored> {
        let value = value.into();
        let repeat = match options.condition {
            SetCondition::Always => Repeat::Safe,
            _ => Repeat::Never,
        };
        self.client
            .run(repeat, || {
                self.set_once(namespace, key, value.clone(), &options)
            })
            .await
    }

    async fn set_once(
        &self,
        namespace: &str,
        key: &str,
        value: Bytes,
        options: &SetOptions,
    ) -> Result<Stored> {
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::CacheSetRequest {
                    namespace_name: text(namespace),
                    key: text(key),
                    value,
                    ttl_ms: options.ttl_ms,
                    content_type: text_option(options.content_type.as_deref()),
                    condition: text_option(options.condition.word()),
                    version: options.condition.version(),
                    ..Default::default()
                };
                let reply = thrift.call(thrift.api().cache_set(request)).await?;
                Ok(Stored {
                    version: reply.version,
                    expires_at_ms: reply.expires_at_ms,
                })
            }
            Transport::Http(http) => {
                let mut request = http
                    .request(Method::PUT, &entry_path(namespace, key))
                    .body(value);
                if let Some(ttl_ms) = options.ttl_ms {
                    request = request.query(&[("ttl_ms", ttl_ms)]);
                }
                if let Some(content_type) = &options.content_type {
                    request = request.header(header::CONTENT_TYPE, content_type);
                }
                request = match options.condition {
                    SetCondition::Always => request,
                    SetCondition::Absent => request.header(header::IF_NONE_MATCH, "*"),
                    SetCondition::Present => request.header(header::IF_MATCH, "*"),
                    SetCondition::Version(version) => {
                        request.header(header::IF_MATCH, version_tag(version))
                    }
                };
                http.json::<StoredBody>(request).await.map(Stored::from)
            }
        }
    }

    /// Reads one value; `None` where the key is absent.
    pub async fn get(&self, namespace: &str, key: &str) -> Result<Option<CacheValue>> {
        self.client
            .run(Repeat::Safe, || self.get_once(namespace, key))
            .await
    }

    async fn get_once(&self, namespace: &str, key: &str) -> Result<Option<CacheValue>> {
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::CacheGetRequest {
                    namespace_name: text(namespace),
                    key: text(key),
                    ..Default::default()
                };
                let reply = thrift.call(thrift.api().cache_get(request)).await?;
                if !reply.found {
                    return Ok(None);
                }
                found(reply.value, reply.content_type, reply.version, reply.ttl_ms).map(Some)
            }
            Transport::Http(http) => {
                let request = http.request(Method::GET, &entry_path(namespace, key));
                let (headers, body) = match http.send(request).await {
                    Ok((StatusCode::OK, headers, body)) => (headers, body),
                    Ok((status, ..)) => return Err(ClientError::malformed(status)),
                    Err(error) if error.code == KEY_NOT_FOUND => return Ok(None),
                    Err(error) => return Err(error),
                };
                let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
                let version = header(header::ETAG.as_str())
                    .and_then(|tag| tag.trim_matches('"').parse().ok());
                let ttl_ms = header(TTL_MS).and_then(|ttl| ttl.parse().ok());
                let content_type = header(header::CONTENT_TYPE.as_str()).map(FastStr::new);
                found(Some(body), content_type, version, ttl_ms).map(Some)
            }
        }
    }

    /// Deletes one entry and says whether there was one.
    ///
    /// Errors: with a version, 2002 where the key is absent and 1006 where another version is stored.
    pub async fn delete(&self, namespace: &str, key: &str, version: Option<i64>) -> Result<bool> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheDeleteRequest {
                        namespace_name: text(namespace),
                        key: text(key),
                        version,
                        ..Default::default()
                    };
                    Ok(thrift
                        .call(thrift.api().cache_delete(request))
                        .await?
                        .deleted)
                }
                Transport::Http(http) => {
                    let mut request = http.request(Method::DELETE, &entry_path(namespace, key));
                    if let Some(version) = version {
                        request = request.header(header::IF_MATCH, version_tag(version));
                    }
                    Ok(http.json::<DeletedBody>(request).await?.deleted)
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }

    /// Stores many values: all or nothing where `atomic`, else with a status for each item.
    pub async fn batch_set(
        &self,
        namespace: &str,
        items: &[SetItem],
        atomic: bool,
    ) -> Result<Vec<ItemResult>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheBatchSetRequest {
                        namespace_name: text(namespace),
                        items: items.iter().map(thrift_item).collect(),
                        atomic: Some(atomic),
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().cache_batch_set(request)).await?;
                    Ok(reply.results.into_iter().map(ItemResult::from).collect())
                }
                Transport::Http(http) => {
                    let items = items.iter().map(http_item).collect();
                    let path = ["v1", "cache", namespace, "batch-set"];
                    let request = http
                        .request(Method::POST, &path)
                        .json(&BatchBody { items, atomic });
                    let reply: ResultsBody = http.json(request).await?;
                    Ok(reply.results.into_iter().map(ItemResult::from).collect())
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }

    /// Reads many keys at one instant; one answer for each, in order.
    pub async fn batch_get(
        &self,
        namespace: &str,
        keys: &[&str],
    ) -> Result<Vec<Option<CacheValue>>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheBatchGetRequest {
                        namespace_name: text(namespace),
                        keys: keys.iter().map(|key| text(key)).collect(),
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().cache_batch_get(request)).await?;
                    let value = |item: idl::CacheItem| {
                        let live = item.found.then(|| {
                            found(item.value, item.content_type, item.version, item.ttl_ms)
                        });
                        live.transpose()
                    };
                    reply.items.into_iter().map(value).collect()
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "batch-get"];
                    let body = serde_json::json!({ "keys": keys });
                    let reply: ItemsBody = http
                        .json(http.request(Method::POST, &path).json(&body))
                        .await?;
                    reply.items.into_iter().map(ItemBody::into_value).collect()
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Deletes many entries (key, and the version that must be stored where one is named).
    pub async fn batch_delete(
        &self,
        namespace: &str,
        items: &[(&str, Option<i64>)],
        atomic: bool,
    ) -> Result<Vec<ItemResult>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let item = |(key, version): &(&str, Option<i64>)| idl::CacheDeleteItem {
                        key: text(key),
                        version: *version,
                    };
                    let request = idl::CacheBatchDeleteRequest {
                        namespace_name: text(namespace),
                        items: items.iter().map(item).collect(),
                        atomic: Some(atomic),
                        ..Default::default()
                    };
                    let reply = thrift
                        .call(thrift.api().cache_batch_delete(request))
                        .await?;
                    Ok(reply.results.into_iter().map(ItemResult::from).collect())
                }
                Transport::Http(http) => {
                    let item = |(key, version): &(&'_ str, Option<i64>)| {
                        serde_json::json!({
                            "key": key, "version": version.map(WideInt),
                        })
                    };
                    let items = items.iter().map(item).collect::<Vec<_>>();
                    let path = ["v1", "cache", namespace, "batch-delete"];
                    let request = http
                        .request(Method::POST, &path)
                        .json(&BatchBody { items, atomic });
                    let reply: ResultsBody = http.json(request).await?;
                    Ok(reply.results.into_iter().map(ItemResult::from).collect())
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }

    /// Tells which keys are present, in order.
    pub async fn exists(&self, namespace: &str, keys: &[&str]) -> Result<Vec<bool>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheExistsRequest {
                        namespace_name: text(namespace),
                        keys: keys.iter().map(|key| text(key)).collect(),
                        ..Default::default()
                    };
                    Ok(thrift
                        .call(thrift.api().cache_exists(request))
                        .await?
                        .present)
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "exists"];
                    let body = serde_json::json!({ "keys": keys });
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<PresentBody>(request).await?.present)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Changes the expiry of one entry; `None` ends it. Errors: 2002 where the key is absent, 1006 where another version
    /// is stored.
    pub async fn expire(
        &self,
        namespace: &str,
        key: &str,
        ttl_ms: Option<i64>,
        version: Option<i64>,
    ) -> Result<Stored> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheExpireRequest {
                        namespace_name: text(namespace),
                        key: text(key),
                        ttl_ms,
                        version,
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().cache_expire(request)).await?;
                    Ok(Stored {
                        version: reply.version,
                        expires_at_ms: reply.expires_at_ms,
                    })
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "entries", key, "expiry"];
                    let body =
                        serde_json::json!({ "ttl_ms": ttl_ms, "version": version.map(WideInt) });
                    let request = http.request(Method::PUT, &path).json(&body);
                    http.json::<StoredBody>(request).await.map(Stored::from)
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }

    /// Numbers of a namespace.
    pub async fn stats(&self, namespace: &str) -> Result<CacheStats> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheStatsRequest {
                        namespace_name: text(namespace),
                        ..Default::default()
                    };
                    thrift
                        .call(thrift.api().cache_stats(request))
                        .await
                        .map(CacheStats::from)
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "stats"];
                    http.json(http.request(Method::GET, &path)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
