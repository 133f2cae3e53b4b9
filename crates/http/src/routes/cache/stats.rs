//! The statistics of a namespace.

use axum::extract::State;
use plinth_cache::model::{Namespace, Stats};
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
    OpenApiRouter::new().routes(routes!(stats))
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
    /// Which backend holds the values: `memory`.
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
