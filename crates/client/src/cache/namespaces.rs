//! What administrators say about namespaces.

use plinth_core::WideInt;
use plinth_idl::cache as idl;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::wire::{DeletedBody, text, text_option};
use super::{CacheClient, LoaderSettings};
use crate::error::Result;
use crate::retry::Repeat;
use crate::transport::Transport;

/// How the values of a namespace live. What is not named is as in a namespace without a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceSettings {
    /// Milliseconds to live of a value whose caller names no expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_ttl_ms: Option<i64>,
    /// Milliseconds after the last read or write until a value is gone whose caller names no expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_sliding_ms: Option<i64>,
    /// How long a sliding expiry lasts at most where its caller names no maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_max_ms: Option<i64>,
    /// By how many hundredths a `ttl_ms` is shortened at most, by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_percent: Option<i64>,
    /// After how many hundredths of its fixed life a value is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_percent: Option<i64>,
    /// Milliseconds to live of a negative entry whose caller names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_ttl_ms: Option<i64>,
    /// Most keys that it may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_max: Option<i64>,
    /// Most bytes that it may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<i64>,
    /// How long values are kept: `none` or `zstd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Where values come from that are not there; needs `default_ttl_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<LoaderSettings>,
    /// Where the keys lie: `together` or `spread`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
}

/// A namespace with its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceInfo {
    /// Its name.
    pub namespace_name: String,
    /// How its values live.
    pub settings: NamespaceSettings,
    /// 1 at first, one more with each change.
    #[serde(with = "crate::wide")]
    pub version: i64,
    /// When it was defined, Unix milliseconds.
    pub created_at_ms: i64,
    /// When it was last changed, Unix milliseconds.
    pub updated_at_ms: i64,
}

/// A page of definitions, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespacePage {
    /// The namespaces that have a definition.
    pub namespaces: Vec<NamespaceInfo>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<String>,
}

impl From<&NamespaceSettings> for idl::CacheNamespaceSettings {
    fn from(settings: &NamespaceSettings) -> Self {
        Self {
            default_ttl_ms: settings.default_ttl_ms,
            default_sliding_ms: settings.default_sliding_ms,
            sliding_max_ms: settings.sliding_max_ms,
            jitter_percent: settings.jitter_percent,
            fresh_percent: settings.fresh_percent,
            negative_ttl_ms: settings.negative_ttl_ms,
            keys_max: settings.keys_max,
            bytes_max: settings.bytes_max,
            codec: text_option(settings.codec.as_deref()),
            loader: settings.loader.as_ref().map(Into::into),
            placement: text_option(settings.placement.as_deref()),
        }
    }
}

impl From<idl::CacheNamespace> for NamespaceInfo {
    fn from(info: idl::CacheNamespace) -> Self {
        let settings = info.settings;
        Self {
            namespace_name: info.namespace_name.to_string(),
            settings: NamespaceSettings {
                default_ttl_ms: settings.default_ttl_ms,
                default_sliding_ms: settings.default_sliding_ms,
                sliding_max_ms: settings.sliding_max_ms,
                jitter_percent: settings.jitter_percent,
                fresh_percent: settings.fresh_percent,
                negative_ttl_ms: settings.negative_ttl_ms,
                keys_max: settings.keys_max,
                bytes_max: settings.bytes_max,
                codec: settings.codec.map(|codec| codec.to_string()),
                loader: settings.loader.map(Into::into),
                placement: settings.placement.map(|placement| placement.to_string()),
            },
            version: info.version,
            created_at_ms: info.created_at_ms,
            updated_at_ms: info.updated_at_ms,
        }
    }
}

impl CacheClient<'_> {
    /// Defines a namespace, or changes its definition; values that are there keep their lives. `if_version` names the version
    /// that must stand, 0 for none.
    ///
    /// Errors: 1001 naming the field below `settings`; 1006 where `if_version` does not hold.
    pub async fn define_namespace(
        &self,
        namespace: &str,
        settings: &NamespaceSettings,
        if_version: Option<i64>,
    ) -> Result<NamespaceInfo> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheDefineNamespaceRequest {
                        namespace_name: text(namespace),
                        settings: settings.into(),
                        if_version,
                        base: None,
                    };
                    let call = thrift.api().cache_define_namespace(request);
                    Ok(thrift.call(call).await?.info.into())
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "definition"];
                    let body =
                        json!({ "settings": settings, "if_version": if_version.map(WideInt) });
                    http.json(http.request(Method::PUT, &path).json(&body))
                        .await
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }

    /// Shows the definition of a namespace. Errors: 1004 where it has none.
    pub async fn get_namespace(&self, namespace: &str) -> Result<NamespaceInfo> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheGetNamespaceRequest {
                        namespace_name: text(namespace),
                        base: None,
                    };
                    let call = thrift.api().cache_get_namespace(request);
                    Ok(thrift.call(call).await?.info.into())
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "definition"];
                    http.json(http.request(Method::GET, &path)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Lists the namespaces that have a definition, by name.
    pub async fn list_namespaces(
        &self,
        prefix: Option<&str>,
        cursor: Option<&str>,
        limit: Option<i64>,
    ) -> Result<NamespacePage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheListNamespacesRequest {
                        prefix: text_option(prefix),
                        cursor: text_option(cursor),
                        limit,
                        base: None,
                    };
                    let call = thrift.api().cache_list_namespaces(request);
                    let reply = thrift.call(call).await?;
                    Ok(NamespacePage {
                        namespaces: reply.namespaces.into_iter().map(Into::into).collect(),
                        next_cursor: reply.next_cursor.map(|cursor| cursor.to_string()),
                    })
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::GET, &["v1", "cache"])
                        .query(&[("prefix", prefix), ("cursor", cursor)])
                        .query(&[("limit", limit)]);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Removes the definition of a namespace and says whether there was one. Its values stay, each with the life it has.
    pub async fn delete_namespace(&self, namespace: &str) -> Result<bool> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheDeleteNamespaceRequest {
                        namespace_name: text(namespace),
                        base: None,
                    };
                    let call = thrift.api().cache_delete_namespace(request);
                    Ok(thrift.call(call).await?.deleted)
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "definition"];
                    let request = http.request(Method::DELETE, &path);
                    Ok(http.json::<DeletedBody>(request).await?.deleted)
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }
}
