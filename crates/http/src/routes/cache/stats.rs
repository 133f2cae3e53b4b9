//! The statistics of a namespace, and its hot keys.

use axum::extract::State;
use plinth_cache::model::{HotKeys, Latency, Namespace, Stats, Step};
use plinth_gate::catalogue::ops;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::target;
use crate::extract::{ApiJson, ApiPath, ApiSession};
use crate::problem::ApiResult;
use crate::services::Services;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(stats))
        .routes(routes!(hot_keys))
}

/// Numbers of a namespace since the start of the instance.
#[derive(Serialize, ToSchema)]
struct CacheStats {
    /// Reads that found a live value.
    hits: u64,
    /// Reads that found none.
    misses: u64,
    /// hits ÷ (hits + misses); 0 where nothing was read.
    hit_rate: f64,
    /// Values stored.
    sets: u64,
    /// Entries deleted by callers.
    deletes: u64,
    /// Entries removed because their time had come.
    expired: u64,
    /// Entries removed to stay inside the memory bound.
    evicted: u64,
    /// Entries held now.
    keys: u64,
    /// Bytes of keys, values and bookkeeping held now.
    bytes: u64,
    /// The memory bound that all namespaces share, in bytes.
    bytes_max: u64,
    /// Which backend holds the values: `memory` or `redis`.
    backend: &'static str,
    /// Of the hits, those whose value was stale.
    stale_hits: u64,
    /// Of the misses, those of which it was known that there is no value.
    negative_hits: u64,
    /// How often the loader was asked.
    loads: u64,
    /// How often it failed.
    load_errors: u64,
    /// How long it took in all, in microseconds.
    load_us_total: u64,
    /// How long it took at most, in microseconds.
    load_us_max: u64,
    /// Of the reads, those that were answered from the near cache.
    near_hits: u64,
    /// How long the backend takes, for each kind of call that was made.
    latencies: Vec<CacheLatency>,
    /// Entries, taken at random, of which the following two tell.
    sampled: usize,
    /// How large their values are, as they are stored: steps by bytes.
    sizes: Vec<CacheStep>,
    /// How long they have left to live: steps by milliseconds, at the end that of what does not expire.
    lives: Vec<CacheStep>,
}

/// How long the backend took to answer calls of one kind. Times are never told too short, and at most a quarter too long.
#[derive(Serialize, ToSchema)]
struct CacheLatency {
    /// `get`, `batch_get`, `change` or `batch_change`.
    operation: &'static str,
    /// About how many calls were answered.
    calls: u64,
    /// What half of them took at most, in microseconds.
    p50_us: f64,
    /// What 95 of 100 took at most.
    p95_us: f64,
    /// What 99 of 100 took at most.
    p99_us: f64,
    /// The longest that was seen.
    max_us: f64,
}

impl From<&Latency> for CacheLatency {
    fn from(latency: &Latency) -> Self {
        Self {
            operation: latency.operation,
            calls: latency.calls,
            p50_us: latency.p50_us,
            p95_us: latency.p95_us,
            p99_us: latency.p99_us,
            max_us: latency.max_us,
        }
    }
}

/// How many entries lie in one step.
#[derive(Serialize, ToSchema)]
struct CacheStep {
    /// Where the step ends: what is equal to it is in it. Absent: what does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to: Option<u64>,
    /// Entries in it.
    entries: u64,
}

impl From<Step> for CacheStep {
    fn from(step: Step) -> Self {
        Self {
            up_to: step.up_to,
            entries: step.entries,
        }
    }
}

/// The keys of a namespace that are read most.
#[derive(Serialize, ToSchema)]
struct CacheHotKeys {
    /// Reads of all keys; older ones count less.
    reads: u64,
    /// At most 20, those that were read most first. A key that takes more than a sixtieth of the reads is among them as long
    /// as fewer than 20 do.
    keys: Vec<CacheHotKey>,
}

/// One key that is read much. Both numbers are estimates from a sample; they are in the unit of `reads`.
#[derive(Serialize, ToSchema)]
struct CacheHotKey {
    /// The key.
    key: String,
    /// Of the reads it had at least so many.
    reads_min: u64,
    /// And at most so many.
    reads_max: u64,
}

impl From<HotKeys> for CacheHotKeys {
    fn from(hottest: HotKeys) -> Self {
        let keys = hottest.keys.into_iter().map(|hot| CacheHotKey {
            key: hot.key.as_str().to_owned(),
            reads_min: hot.reads_min,
            reads_max: hot.reads_max,
        });
        Self {
            reads: hottest.reads,
            keys: keys.collect(),
        }
    }
}

impl CacheStats {
    fn new(stats: &Stats, backend: &'static str) -> Self {
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
            stale_hits: stats.stale_hits,
            negative_hits: stats.negative_hits,
            loads: stats.loads.loads,
            load_errors: stats.loads.errors,
            load_us_total: stats.loads.total_us,
            load_us_max: stats.loads.max_us,
            near_hits: stats.near_hits,
            latencies: stats.latencies.iter().map(CacheLatency::from).collect(),
            sampled: stats.held.sample.len(),
            sizes: stats
                .held
                .sizes()
                .into_iter()
                .map(CacheStep::from)
                .collect(),
            lives: stats
                .held
                .lives()
                .into_iter()
                .map(CacheStep::from)
                .collect(),
        }
    }
}

/// The statistics of a namespace.
#[utoipa::path(
    get, path = "/v1/cache/{namespace}/stats", operation_id = "cache.stats",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses((status = 200, description = "The statistics.", body = CacheStats)),
)]
async fn stats(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
) -> ApiResult<ApiJson<CacheStats>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move { cache.stats(&context, Namespace::parse(&namespace)?).await };
    let stats = services
        .gate
        .call(&session, &ops::CACHE_STATS, target, call)
        .await?;
    Ok(ApiJson(CacheStats::new(&stats, cache.backend_name())))
}

/// The keys of a namespace that are read most.
#[utoipa::path(
    get, path = "/v1/cache/{namespace}/hot-keys", operation_id = "cache.hot_keys",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses((status = 200, description = "The keys.", body = CacheHotKeys)),
)]
async fn hot_keys(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
) -> ApiResult<ApiJson<CacheHotKeys>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        Ok::<_, plinth_core::Error>(cache.hot_keys(&context, namespace))
    };
    let hottest = services
        .gate
        .call(&session, &ops::CACHE_HOT_KEYS, target, call)
        .await?;
    Ok(ApiJson(CacheHotKeys::from(hottest)))
}
