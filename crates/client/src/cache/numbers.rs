//! Numbers of a namespace.

use plinth_idl::cache as idl;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::CacheClient;
use super::wire::text;
use crate::error::Result;
use crate::retry::Repeat;
use crate::transport::Transport;

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
    /// Of the hits, those whose value was stale.
    #[serde(default)]
    pub stale_hits: i64,
    /// Of the misses, those of which it was known that there is no value.
    #[serde(default)]
    pub negative_hits: i64,
    /// How often the loader was asked.
    #[serde(default)]
    pub loads: i64,
    /// How often it failed.
    #[serde(default)]
    pub load_errors: i64,
    /// How long it took in all, in microseconds.
    #[serde(default)]
    pub load_us_total: i64,
    /// How long it took at most, in microseconds.
    #[serde(default)]
    pub load_us_max: i64,
    /// Of the reads, those that were answered from the near cache.
    #[serde(default)]
    pub near_hits: i64,
    /// How long the backend takes, for each kind of call that was made.
    #[serde(default)]
    pub latencies: Vec<CacheLatency>,
    /// Entries, taken at random, of which `sizes` and `lives` tell.
    #[serde(default)]
    pub sampled: i64,
    /// How large their values are, as they are stored: steps by bytes.
    #[serde(default)]
    pub sizes: Vec<CacheStep>,
    /// How long they have left to live: steps by milliseconds, at the end that of what does not expire.
    #[serde(default)]
    pub lives: Vec<CacheStep>,
}

/// How long the backend took to answer calls of one kind. Times are never told too short, and at most a quarter too long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheLatency {
    /// `get`, `batch_get`, `change` or `batch_change`.
    pub operation: String,
    /// About how many calls were answered.
    pub calls: i64,
    /// What half of them took at most, in microseconds.
    pub p50_us: f64,
    /// What 95 of 100 took at most.
    pub p95_us: f64,
    /// What 99 of 100 took at most.
    pub p99_us: f64,
    /// The longest that was seen.
    pub max_us: f64,
}

/// How many entries lie in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStep {
    /// Where the step ends: what is equal to it is in it. `None`: what does not expire.
    pub up_to: Option<i64>,
    /// Entries in it.
    pub entries: i64,
}

/// The keys of a namespace that are read most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHotKeys {
    /// Reads of all keys; older ones count less.
    pub reads: i64,
    /// At most 20, those that were read most first.
    pub keys: Vec<CacheHotKey>,
}

/// One key that is read much. Both numbers are estimates from a sample; they are in the unit of [`CacheHotKeys::reads`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHotKey {
    /// The key.
    pub key: String,
    /// Of the reads it had at least so many.
    pub reads_min: i64,
    /// And at most so many.
    pub reads_max: i64,
}

impl CacheClient<'_> {
    /// Numbers of a namespace.
    pub async fn stats(&self, namespace: &str) -> Result<CacheStats> {
        let call = || async {
            match self.client().transport() {
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
        self.client().run(Repeat::Safe, call).await
    }

    /// The keys of a namespace that are read most, on the instance that answers.
    pub async fn hot_keys(&self, namespace: &str) -> Result<CacheHotKeys> {
        let call = || async {
            match self.client().transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheHotKeysRequest {
                        namespace_name: text(namespace),
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().cache_hot_keys(request)).await?;
                    Ok(CacheHotKeys {
                        reads: reply.reads,
                        keys: each(Some(reply.keys)),
                    })
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "hot-keys"];
                    http.json(http.request(Method::GET, &path)).await
                }
            }
        };
        self.client().run(Repeat::Safe, call).await
    }
}

fn each<From, To: std::convert::From<From>>(items: Option<Vec<From>>) -> Vec<To> {
    items
        .unwrap_or_default()
        .into_iter()
        .map(To::from)
        .collect()
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
            stale_hits: reply.stale_hits.unwrap_or(0),
            negative_hits: reply.negative_hits.unwrap_or(0),
            loads: reply.loads.unwrap_or(0),
            load_errors: reply.load_errors.unwrap_or(0),
            load_us_total: reply.load_us_total.unwrap_or(0),
            load_us_max: reply.load_us_max.unwrap_or(0),
            near_hits: reply.near_hits.unwrap_or(0),
            latencies: each(reply.latencies),
            sampled: reply.sampled.unwrap_or(0),
            sizes: each(reply.sizes),
            lives: each(reply.lives),
        }
    }
}

impl From<idl::CacheLatency> for CacheLatency {
    fn from(latency: idl::CacheLatency) -> Self {
        Self {
            operation: latency.operation.to_string(),
            calls: latency.calls,
            p50_us: latency.p50_us,
            p95_us: latency.p95_us,
            p99_us: latency.p99_us,
            max_us: latency.max_us,
        }
    }
}

impl From<idl::CacheStep> for CacheStep {
    fn from(step: idl::CacheStep) -> Self {
        Self {
            up_to: step.up_to,
            entries: step.entries,
        }
    }
}

impl From<idl::CacheHotKey> for CacheHotKey {
    fn from(hot: idl::CacheHotKey) -> Self {
        Self {
            key: hot.key.to_string(),
            reads_min: hot.reads_min,
            reads_max: hot.reads_max,
        }
    }
}
