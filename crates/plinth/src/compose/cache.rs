//! The cache on its backend.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use plinth_cache::backend::CacheBackend;
use plinth_cache::{
    CacheBackendKind, CacheService, EngineClock, MemoryCache, NearCache, NearNumbers, RedisCache,
};
use plinth_core::MetricSink;
use plinth_database::DatabaseService;
use plinth_outbound::OutboundClient;
use plinth_redis_link::RedisLink;
use plinth_store::Definitions;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Handles;
use super::loaders::Loaders;
use crate::settings::Settings;

/// Time between two looks at the numbers of the near cache, in milliseconds.
const MEASURE_EVERY_MS: u64 = 500;

/// Makes the cache on the backend that the settings name, with the tasks that keep it. Errors: it is Redis and there is none.
pub(super) async fn open_cache(
    settings: &Settings,
    handles: &Handles,
    link: Option<&Arc<RedisLink>>,
    (definitions, database): (&Arc<dyn Definitions>, &Arc<DatabaseService>),
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> Result<Arc<CacheService>> {
    let backend = open_backend(settings, handles, link, (tasks, stop))?;
    let (clock, definitions) = (Arc::clone(&handles.clock), Arc::clone(definitions));
    let outbound = OutboundClient::new(settings.outbound.clone(), Arc::clone(&clock))
        .context("cannot make the client for the callbacks of loaders")?;
    let loaders = Arc::new(Loaders {
        database: Arc::clone(database),
        outbound,
        roles: settings.access.separation.role_book(),
    });
    let cache = CacheService::new(backend, definitions, clock);
    let cache = Arc::new(cache.with_loader(loaders, handles.sink()));
    cache.load_definitions().await;
    tasks.spawn(Arc::clone(&cache).keep_warm(stop.clone()));
    tasks.spawn(Arc::clone(&cache).tell_numbers(handles.sink(), stop.clone()));
    tasks.spawn(Arc::clone(&cache).follow_definitions(stop.clone()));
    Ok(cache)
}

fn open_backend(
    settings: &Settings,
    handles: &Handles,
    link: Option<&Arc<RedisLink>>,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> Result<Arc<dyn CacheBackend>> {
    let clock = Arc::clone(&handles.clock);
    match (settings.cache.backend, link) {
        (CacheBackendKind::Memory, _) => {
            let memory = MemoryCache::new(&settings.cache, clock);
            tasks.spawn(Arc::clone(&memory).sweep_until(stop.clone()));
            handles.health.component("cache").up();
            Ok(memory)
        }
        (CacheBackendKind::Redis, Some(link)) => {
            let prefix = &settings.cache.key_prefix;
            let redis = RedisCache::new(Arc::clone(link), prefix, EngineClock::Server, clock);
            if settings.cache.near.bytes_max == 0 {
                return Ok(redis);
            }
            let near = NearCache::start(redis, &settings.cache.near);
            tasks.spawn(measure(Arc::clone(&near), handles.sink(), stop.clone()));
            Ok(near)
        }
        (CacheBackendKind::Redis, None) => bail!("cache.backend is `redis`, but there is none"),
    }
}

/// Tells the numbers of the near cache, until the instance ends.
async fn measure(near: Arc<NearCache>, metrics: Arc<dyn MetricSink>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(Duration::from_millis(MEASURE_EVERY_MS));
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = NearNumbers::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let now = near.numbers();
        #[expect(
            clippy::cast_precision_loss,
            reason = "gauges for people; 52 bits are enough"
        )]
        let gauge = |name, value: u64| metrics.set(name, &[], value as f64);
        gauge("plinth_cache_near_entries", now.entries);
        gauge("plinth_cache_near_bytes", now.bytes);
        gauge("plinth_cache_near_heard", u64::from(now.heard));
        for (name, before, after) in [
            (
                "plinth_cache_near_hits_total",
                told.hits_total,
                now.hits_total,
            ),
            (
                "plinth_cache_near_misses_total",
                told.misses_total,
                now.misses_total,
            ),
            (
                "plinth_cache_near_invalidations_total",
                told.invalidations_total,
                now.invalidations_total,
            ),
            (
                "plinth_cache_near_flushes_total",
                told.flushes_total,
                now.flushes_total,
            ),
        ] {
            metrics.add(name, &[], after.saturating_sub(before));
        }
        told = now;
    }
}
