//! The cache.

use bytes::Bytes;
use plinth_core::{Fence, WideInt};
use plinth_idl::cache as idl;
use reqwest::{Method, StatusCode, header};

mod changes;
mod fill;
mod leases;
mod loading;
mod model;
mod namespaces;
mod numbers;
mod wire;

pub use self::fill::{FillError, FillOptions};
pub use self::loading::{KeyLoad, LoaderSettings};
pub use self::model::{
    AppendOptions, Appended, CacheLease, CacheLeased, CacheRead, CacheValue, Counted,
    ExpiryOptions, IncrementOptions, ItemResult, LoadFailure, ScanItem, ScanPage, SetCondition,
    SetItem, SetOptions, Stored,
};
pub use self::namespaces::{NamespaceInfo, NamespacePage, NamespaceSettings};
pub use self::numbers::{CacheHotKey, CacheHotKeys, CacheLatency, CacheStats, CacheStep};
use self::wire::{
    BatchBody, DeletedBody, ItemsBody, PresentBody, ResultsBody, StoredBody, TAGS, entry_path,
    fence, fence_json, fence_query, http_item, read_absent, read_headers, read_item, read_reply,
    tags_header, text, text_option, thrift_item, thrift_tags, version_tag,
};
use crate::Client;
use crate::error::{ClientError, Result};
use crate::retry::Repeat;
use crate::transport::Transport;

/// The number of the error of an absent key.
const KEY_NOT_FOUND: u16 = plinth_core::ErrorCode::CacheKeyNotFound.number();

/// The cache operations of a client.
#[derive(Clone, Copy)]
pub struct CacheClient<'client> {
    client: &'client Client,
    fence: Option<&'client Fence>,
    load: Option<bool>,
}

impl<'client> CacheClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self {
            client,
            fence: None,
            load: None,
        }
    }

    /// The same operations under a lock: every change carries its fence, and one that was overtaken changes nothing (1006
    /// naming `fence.token`).
    #[must_use]
    pub const fn under(self, fence: &'client Fence) -> Self {
        Self {
            client: self.client,
            fence: Some(fence),
            load: self.load,
        }
    }

    /// The same operations, whose reads find only what is stored: a loader of the namespace is not asked.
    #[must_use]
    pub const fn without_loading(self) -> Self {
        Self {
            client: self.client,
            fence: self.fence,
            load: Some(false),
        }
    }

    pub(crate) const fn client(&self) -> &'client Client {
        self.client
    }

    /// Stores one value. Repeated on a lost answer only where it has no condition and fills no lease: then a second store is the
    /// same store.
    ///
    /// Errors: 1001, 1006 where the condition does not hold, 1007, 2007 where the lease has ended.
    pub async fn set(
        &self,
        namespace: &str,
        key: &str,
        value: impl Into<Bytes>,
        options: SetOptions,
    ) -> Result<Stored> {
        let value = value.into();
        let repeat = match (options.condition, options.lease_token) {
            (SetCondition::Always, None) => Repeat::Safe,
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
                    expires_at_ms: options.expires_at_ms,
                    sliding_ms: options.sliding_ms,
                    persist: options.persist(),
                    flags: options.flags(),
                    tags: thrift_tags(&options.tags),
                    known_absent: options.known_absent(),
                    lease_token: options.lease_token,
                    fence: fence(self.fence),
                    base: None,
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
                    .query(&[
                        ("ttl_ms", options.ttl_ms),
                        ("expires_at_ms", options.expires_at_ms),
                        ("sliding_ms", options.sliding_ms),
                        ("flags", options.flags()),
                        ("lease_token", options.lease_token),
                    ])
                    .query(&[
                        ("persist", options.persist()),
                        ("known_absent", options.known_absent()),
                    ])
                    .query(&fence_query(self.fence))
                    .body(value);
                if !options.tags.is_empty() {
                    request = request.header(TAGS, tags_header(&options.tags));
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
        Ok(self.read(namespace, key).await?.value)
    }

    /// Reads one value and tells what is known where there is none.
    pub async fn read(&self, namespace: &str, key: &str) -> Result<CacheRead> {
        self.client
            .run(Repeat::Safe, || self.read_once(namespace, key))
            .await
    }

    async fn read_once(&self, namespace: &str, key: &str) -> Result<CacheRead> {
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::CacheGetRequest {
                    namespace_name: text(namespace),
                    key: text(key),
                    load: self.load,
                    ..Default::default()
                };
                read_reply(thrift.call(thrift.api().cache_get(request)).await?)
            }
            Transport::Http(http) => {
                let request = http
                    .request(Method::GET, &entry_path(namespace, key))
                    .query(&[("load", self.load)]);
                match http.send(request).await {
                    Ok((StatusCode::OK, headers, body)) => read_headers(&headers, body),
                    Ok((status, ..)) => Err(ClientError::malformed(status)),
                    Err(error) if error.code == KEY_NOT_FOUND => Ok(read_absent(&error)),
                    Err(error) => Err(error),
                }
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
                        fence: fence(self.fence),
                        ..Default::default()
                    };
                    Ok(thrift
                        .call(thrift.api().cache_delete(request))
                        .await?
                        .deleted)
                }
                Transport::Http(http) => {
                    let mut request = http
                        .request(Method::DELETE, &entry_path(namespace, key))
                        .query(&fence_query(self.fence));
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
                        fence: fence(self.fence),
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().cache_batch_set(request)).await?;
                    Ok(reply.results.into_iter().map(ItemResult::from).collect())
                }
                Transport::Http(http) => {
                    let items = items.iter().map(http_item).collect();
                    let path = ["v1", "cache", namespace, "batch-set"];
                    let fence = fence_json(self.fence);
                    let request = http.request(Method::POST, &path).json(&BatchBody {
                        items,
                        atomic,
                        fence,
                    });
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
        let reads = self.batch_read(namespace, keys).await?;
        Ok(reads.into_iter().map(|read| read.value).collect())
    }

    /// Reads many keys at one instant, and tells what is known where there is no value. What a loader of the namespace had to
    /// load and could not is told in [`CacheRead::failure`].
    pub async fn batch_read(&self, namespace: &str, keys: &[&str]) -> Result<Vec<CacheRead>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheBatchGetRequest {
                        namespace_name: text(namespace),
                        keys: keys.iter().map(|key| text(key)).collect(),
                        load: self.load,
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().cache_batch_get(request)).await?;
                    let degraded = reply.degraded;
                    let items = reply.items.into_iter();
                    items.map(|item| read_item(item, degraded)).collect()
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "batch-get"];
                    let body = serde_json::json!({ "keys": keys, "load": self.load });
                    let reply: ItemsBody = http
                        .json(http.request(Method::POST, &path).json(&body))
                        .await?;
                    let degraded = reply.degraded;
                    let items = reply.items.into_iter();
                    items.map(|item| item.into_read(degraded)).collect()
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
                        fence: fence(self.fence),
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
                    let fence = fence_json(self.fence);
                    let request = http.request(Method::POST, &path).json(&BatchBody {
                        items,
                        atomic,
                        fence,
                    });
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
}
