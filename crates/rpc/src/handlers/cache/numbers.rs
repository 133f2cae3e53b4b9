//! Numbers of a namespace.

use plinth_cache::model::{HotKey, Latency, Namespace, Step};
use plinth_core::{Error, Result};
use plinth_gate::Session;
use plinth_gate::catalogue::ops;
use plinth_idl::cache::*;

use super::target;
use crate::handlers::convert::outward;
use crate::services::Services;

pub(crate) async fn stats(
    services: &Services,
    session: &Session,
    request: CacheStatsRequest,
) -> Result<CacheStatsResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        services.cache.stats(&context, namespace).await
    };
    let stats = services
        .gate
        .call(session, &ops::CACHE_STATS, target, call)
        .await?;
    let sampled = u64::try_from(stats.held.sample.len()).unwrap_or(u64::MAX);
    Ok(CacheStatsResponse {
        hits: outward(stats.hits),
        misses: outward(stats.misses),
        hit_rate: stats.hit_rate(),
        sets: outward(stats.sets),
        deletes: outward(stats.deletes),
        expired: outward(stats.held.expired),
        evicted: outward(stats.held.evicted),
        keys: outward(stats.held.keys),
        bytes: outward(stats.held.bytes),
        bytes_max: outward(stats.held.bytes_max.unwrap_or(0)),
        backend: services.cache.backend_name().into(),
        stale_hits: Some(outward(stats.stale_hits)),
        negative_hits: Some(outward(stats.negative_hits)),
        loads: Some(outward(stats.loads.loads)),
        load_errors: Some(outward(stats.loads.errors)),
        load_us_total: Some(outward(stats.loads.total_us)),
        load_us_max: Some(outward(stats.loads.max_us)),
        near_hits: Some(outward(stats.near_hits)),
        latencies: Some(stats.latencies.iter().map(latency).collect()),
        sampled: Some(outward(sampled)),
        sizes: Some(stats.held.sizes().into_iter().map(step).collect()),
        lives: Some(stats.held.lives().into_iter().map(step).collect()),
        base_resp: None,
    })
}

fn latency(latency: &Latency) -> CacheLatency {
    CacheLatency {
        operation: latency.operation.into(),
        calls: outward(latency.calls),
        p50_us: latency.p50_us,
        p95_us: latency.p95_us,
        p99_us: latency.p99_us,
        max_us: latency.max_us,
    }
}

fn step(step: Step) -> CacheStep {
    CacheStep {
        up_to: step.up_to.map(outward),
        entries: outward(step.entries),
    }
}

pub(crate) async fn hot_keys(
    services: &Services,
    session: &Session,
    request: CacheHotKeysRequest,
) -> Result<CacheHotKeysResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        Ok::<_, Error>(services.cache.hot_keys(&context, namespace))
    };
    let hottest = services
        .gate
        .call(session, &ops::CACHE_HOT_KEYS, target, call)
        .await?;
    let key = |hot: HotKey| CacheHotKey {
        key: hot.key.as_str().to_owned().into(),
        reads_min: outward(hot.reads_min),
        reads_max: outward(hot.reads_max),
    };
    Ok(CacheHotKeysResponse {
        reads: outward(hottest.reads),
        keys: hottest.keys.into_iter().map(key).collect(),
        base_resp: None,
    })
}
