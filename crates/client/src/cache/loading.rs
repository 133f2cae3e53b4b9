//! Loaders of namespaces, and loads that callers ask for.

use std::fmt;

use faststr::FastStr;
use plinth_core::WideInt;
use plinth_idl::cache as idl;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::CacheClient;
use super::wire::{text, text_option};
use crate::error::Result;
use crate::retry::Repeat;
use crate::transport::Transport;

/// Where the values of a namespace come from that are not there, and how they are loaded.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderSettings {
    /// `sql` (a query on a registered database) or `http` (a signed callback).
    pub kind: String,
    /// With `sql`: the name of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// With `sql`: one statement that only reads, with one `?` for each parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// With `sql`: what the parameters are, each `key` or `part:N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Vec<String>>,
    /// With `sql`: what separates the parts of a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// With `sql`: `column` or `row`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// With `http`: where to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// With `http`: signs each request; never shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How long a load may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_timeout_ms: Option<i64>,
    /// How long a read that found a stale value waits for the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_timeout_ms: Option<i64>,
    /// What a read is told whose load failed: `error` or `absent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<String>,
    /// How long a failed load is remembered at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_ttl_ms: Option<i64>,
    /// Most loads that one instance makes at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loads_max: Option<i64>,
    /// After how many hundredths of its life a value that is read is loaded anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_percent: Option<i64>,
    /// Keys to load ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Vec<String>>,
    /// How often the keys of `warm_up` are loaded anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_every_ms: Option<i64>,
}

impl LoaderSettings {
    /// A query on a registered database, with the key as its only parameter.
    #[must_use]
    pub fn sql(database: &str, sql: &str) -> Self {
        Self {
            kind: "sql".to_owned(),
            database: Some(database.to_owned()),
            sql: Some(sql.to_owned()),
            ..Self::default()
        }
    }

    /// A signed callback.
    #[must_use]
    pub fn http(url: &str, secret: &str) -> Self {
        Self {
            kind: "http".to_owned(),
            url: Some(url.to_owned()),
            secret: Some(secret.to_owned()),
            ..Self::default()
        }
    }
}

/// Shows everything but the secret.
impl fmt::Debug for LoaderSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoaderSettings")
            .field("kind", &self.kind)
            .field("database", &self.database)
            .field("sql", &self.sql)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// How the load of one key ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLoad {
    /// The key.
    pub key: String,
    /// 0 where it was done, else the number of the error.
    pub code: u16,
    /// `loaded`, `present` (a fresh value was there) or `absent` (the source has none; that is remembered).
    pub state: Option<String>,
    /// The version of the value, where there is one.
    pub version: Option<WideInt>,
    /// Why it was not done.
    pub message: Option<String>,
}

impl From<&LoaderSettings> for idl::CacheLoaderSettings {
    fn from(loader: &LoaderSettings) -> Self {
        let option = |text: &Option<String>| text_option(text.as_deref());
        let texts = |texts: &Option<Vec<String>>| {
            let texts = texts.as_ref()?;
            Some(texts.iter().map(|each| text(each)).collect())
        };
        Self {
            kind: text(&loader.kind),
            database: option(&loader.database),
            sql: option(&loader.sql),
            params: texts(&loader.params),
            separator: option(&loader.separator),
            value: option(&loader.value),
            url: option(&loader.url),
            secret: option(&loader.secret),
            hard_timeout_ms: loader.hard_timeout_ms,
            soft_timeout_ms: loader.soft_timeout_ms,
            on_error: option(&loader.on_error),
            error_ttl_ms: loader.error_ttl_ms,
            loads_max: loader.loads_max,
            refresh_percent: loader.refresh_percent,
            warm_up: texts(&loader.warm_up),
            refresh_every_ms: loader.refresh_every_ms,
        }
    }
}

impl From<idl::CacheLoaderSettings> for LoaderSettings {
    fn from(loader: idl::CacheLoaderSettings) -> Self {
        let own = |text: Option<FastStr>| text.map(|text| text.to_string());
        let texts = |texts: Option<Vec<FastStr>>| {
            let texts = texts?;
            Some(texts.iter().map(FastStr::to_string).collect())
        };
        Self {
            kind: loader.kind.to_string(),
            database: own(loader.database),
            sql: own(loader.sql),
            params: texts(loader.params),
            separator: own(loader.separator),
            value: own(loader.value),
            url: own(loader.url),
            secret: own(loader.secret),
            hard_timeout_ms: loader.hard_timeout_ms,
            soft_timeout_ms: loader.soft_timeout_ms,
            on_error: own(loader.on_error),
            error_ttl_ms: loader.error_ttl_ms,
            loads_max: loader.loads_max,
            refresh_percent: loader.refresh_percent,
            warm_up: texts(loader.warm_up),
            refresh_every_ms: loader.refresh_every_ms,
        }
    }
}

impl From<idl::CacheKeyLoad> for KeyLoad {
    fn from(load: idl::CacheKeyLoad) -> Self {
        Self {
            key: load.key.to_string(),
            code: u16::try_from(load.code).unwrap_or(u16::MAX),
            state: load.state.map(|state| state.to_string()),
            version: load.version.map(WideInt),
            message: load.message.map(|message| message.to_string()),
        }
    }
}

#[derive(Deserialize)]
struct LoadsBody {
    results: Vec<KeyLoad>,
}

impl CacheClient<'_> {
    /// Loads keys anew, whatever stands under them. One outcome for each, in order.
    ///
    /// Errors: 1004 where the namespace has no loader.
    pub async fn refresh(&self, namespace: &str, keys: &[&str]) -> Result<Vec<KeyLoad>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheRefreshRequest {
                        namespace_name: text(namespace),
                        keys: keys.iter().map(|key| text(key)).collect(),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().cache_refresh(request)).await?;
                    Ok(reply.results.into_iter().map(KeyLoad::from).collect())
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "refresh"];
                    let body = json!({ "keys": keys });
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<LoadsBody>(request).await?.results)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Loads those of the keys under which nothing fresh stands; without keys those of the loader's warm-up list. One outcome
    /// for each, in order; what the deadline cut off has code 1010.
    ///
    /// Errors: 1004 where the namespace has no loader, 1001 where it has no warm-up list either.
    pub async fn preload(&self, namespace: &str, keys: &[&str]) -> Result<Vec<KeyLoad>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let names = keys.iter().map(|key| text(key)).collect();
                    let request = idl::CachePreloadRequest {
                        namespace_name: text(namespace),
                        keys: (!keys.is_empty()).then_some(names),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().cache_preload(request)).await?;
                    Ok(reply.results.into_iter().map(KeyLoad::from).collect())
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "preload"];
                    let body = json!({ "keys": keys });
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<LoadsBody>(request).await?.results)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
