//! Changes beside storing and deleting: expiries, counters, growing values; and what concerns a namespace as a whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use plinth_core::WideInt;
use plinth_idl::cache as idl;
use reqwest::Method;
use serde_json::json;

use super::CacheClient;
use super::model::{
    AppendOptions, Appended, CacheRead, Counted, ExpiryOptions, IncrementOptions, ScanPage, Stored,
};
use super::wire::{
    StampBody, StoredBody, TouchedBody, fence, fence_json, read_item, text, text_option,
};
use crate::error::Result;
use crate::request_id;
use crate::retry::Repeat;
use crate::transport::Transport;
use crate::transport::http::idempotent;

impl CacheClient<'_> {
    /// Changes the expiry of one entry; none named ends it. Errors: 2002 where the key is absent, 1006 where another version
    /// is stored.
    pub async fn expire(
        &self,
        namespace: &str,
        key: &str,
        expiry: ExpiryOptions,
        version: Option<i64>,
    ) -> Result<Stored> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheExpireRequest {
                        namespace_name: text(namespace),
                        key: text(key),
                        ttl_ms: expiry.ttl_ms,
                        version,
                        expires_at_ms: expiry.expires_at_ms,
                        sliding_ms: expiry.sliding_ms,
                        fence: fence(self.fence),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().cache_expire(request)).await?;
                    Ok(Stored {
                        version: reply.version,
                        expires_at_ms: reply.expires_at_ms,
                    })
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "entries", key, "expiry"];
                    let body = json!({
                        "ttl_ms": expiry.ttl_ms, "expires_at_ms": expiry.expires_at_ms,
                        "sliding_ms": expiry.sliding_ms, "version": version.map(WideInt),
                        "fence": fence_json(self.fence),
                    });
                    let request = http.request(Method::PUT, &path).json(&body);
                    http.json::<StoredBody>(request).await.map(Stored::from)
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }

    /// Reads one value and gives it a new expiry. Repeated on a lost answer: a second touch begins the same life anew.
    pub async fn get_and_touch(
        &self,
        namespace: &str,
        key: &str,
        expiry: ExpiryOptions,
    ) -> Result<CacheRead> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheGetAndTouchRequest {
                        namespace_name: text(namespace),
                        key: text(key),
                        ttl_ms: expiry.ttl_ms,
                        expires_at_ms: expiry.expires_at_ms,
                        sliding_ms: expiry.sliding_ms,
                        persist: expiry.persist,
                        fence: fence(self.fence),
                        base: None,
                    };
                    let call = thrift.api().cache_get_and_touch(request);
                    read_item(thrift.call(call).await?.item, None)
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "entries", key, "touch"];
                    let body = json!({
                        "ttl_ms": expiry.ttl_ms, "expires_at_ms": expiry.expires_at_ms,
                        "sliding_ms": expiry.sliding_ms, "persist": expiry.persist,
                        "fence": fence_json(self.fence),
                    });
                    let request = http.request(Method::POST, &path).json(&body);
                    http.json::<TouchedBody>(request)
                        .await?
                        .item
                        .into_read(false)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Adds to a counter. Repeated on a lost answer under the same idempotency key, which counts once.
    ///
    /// Errors: 1005 where the key was used for another request, 2002 where it is absent and nothing says what it counts from, 2005 where the value is no number, 2006 where
    /// the sum would leave its bounds.
    pub async fn increment(
        &self,
        namespace: &str,
        key: &str,
        options: &IncrementOptions,
    ) -> Result<Counted> {
        let request_id = request_id(options.request_id.clone());
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheIncrementRequest {
                        namespace_name: text(namespace),
                        key: text(key),
                        delta: Some(options.delta),
                        initial: options.initial,
                        min: options.min,
                        max: options.max,
                        ttl_ms: options.expiry.ttl_ms,
                        expires_at_ms: options.expiry.expires_at_ms,
                        sliding_ms: options.expiry.sliding_ms,
                        persist: options.expiry.persist,
                        renew: Some(options.renew),
                        fence: fence(self.fence),
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let call = thrift.api().cache_increment(request);
                    let reply = thrift.call(call).await?;
                    Ok(Counted {
                        number: reply.number,
                        version: reply.version,
                        expires_at_ms: reply.expires_at_ms,
                    })
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "entries", key, "increment"];
                    let wide = |number: Option<i64>| number.map(WideInt);
                    let body = json!({
                        "delta": WideInt(options.delta), "initial": wide(options.initial),
                        "min": wide(options.min), "max": wide(options.max), "renew": options.renew,
                        "ttl_ms": options.expiry.ttl_ms, "expires_at_ms": options.expiry.expires_at_ms,
                        "sliding_ms": options.expiry.sliding_ms, "persist": options.expiry.persist,
                        "fence": fence_json(self.fence),
                    });
                    let request = http.request(Method::POST, &path).json(&body);
                    http.json(idempotent(request, &request_id)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Adds bytes at the end of a value. Repeated on a lost answer, as [`CacheClient::increment`].
    ///
    /// Errors: 1005 where the key was used for another request, 1006 where the condition does not hold, 1007 where it would grow too large.
    pub async fn append(
        &self,
        namespace: &str,
        key: &str,
        bytes: impl Into<Bytes>,
        options: &AppendOptions,
    ) -> Result<Appended> {
        let bytes = bytes.into();
        let request_id = request_id(options.request_id.clone());
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheAppendRequest {
                        namespace_name: text(namespace),
                        key: text(key),
                        value: bytes.clone(),
                        content_type: text_option(options.content_type.as_deref()),
                        condition: text_option(options.condition.word()),
                        version: options.condition.version(),
                        ttl_ms: options.expiry.ttl_ms,
                        expires_at_ms: options.expiry.expires_at_ms,
                        sliding_ms: options.expiry.sliding_ms,
                        persist: options.expiry.persist,
                        renew: Some(options.renew),
                        fence: fence(self.fence),
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().cache_append(request)).await?;
                    Ok(Appended {
                        length: reply.length,
                        version: reply.version,
                        expires_at_ms: reply.expires_at_ms,
                    })
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "entries", key, "append"];
                    let body = json!({
                        "value_base64": BASE64.encode(&bytes), "content_type": options.content_type,
                        "condition": options.condition.word(),
                        "version": options.condition.version().map(WideInt), "renew": options.renew,
                        "ttl_ms": options.expiry.ttl_ms, "expires_at_ms": options.expiry.expires_at_ms,
                        "sliding_ms": options.expiry.sliding_ms, "persist": options.expiry.persist,
                        "fence": fence_json(self.fence),
                    });
                    let request = http.request(Method::POST, &path).json(&body);
                    http.json(idempotent(request, &request_id)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Walks the keys of a namespace: one page, from `cursor` on. A key that is present from the first page to the last is
    /// seen at least once.
    pub async fn scan(
        &self,
        namespace: &str,
        prefix: Option<&str>,
        cursor: Option<&str>,
        limit: Option<i64>,
    ) -> Result<ScanPage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheScanRequest {
                        namespace_name: text(namespace),
                        prefix: text_option(prefix),
                        cursor: text_option(cursor),
                        limit,
                        base: None,
                    };
                    let call = thrift.api().cache_scan(request);
                    thrift.call(call).await.map(ScanPage::from)
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "entries"];
                    let request = http
                        .request(Method::GET, &path)
                        .query(&[("prefix", prefix), ("cursor", cursor)])
                        .query(&[("limit", limit)]);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Removes everything of a namespace and revokes its leases. Returns a version: what was stored with a lower one is gone.
    pub async fn clear(&self, namespace: &str) -> Result<i64> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheClearRequest {
                        namespace_name: text(namespace),
                        fence: fence(self.fence),
                        base: None,
                    };
                    Ok(thrift
                        .call(thrift.api().cache_clear(request))
                        .await?
                        .version)
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "clear"];
                    let body = json!({ "fence": fence_json(self.fence) });
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<StampBody>(request).await?.version.0)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Makes every entry absent that carries one of the tags. Returns a version: what was stored with a lower one and carries
    /// one of them is absent.
    pub async fn invalidate_tags(&self, namespace: &str, tags: &[&str]) -> Result<i64> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheInvalidateTagsRequest {
                        namespace_name: text(namespace),
                        tags: tags.iter().map(|tag| text(tag)).collect(),
                        fence: fence(self.fence),
                        base: None,
                    };
                    let call = thrift.api().cache_invalidate_tags(request);
                    Ok(thrift.call(call).await?.version)
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "invalidate-tags"];
                    let body = json!({ "tags": tags, "fence": fence_json(self.fence) });
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<StampBody>(request).await?.version.0)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
