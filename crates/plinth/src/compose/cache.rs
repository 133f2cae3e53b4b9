//! The cache on its backend.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use plinth_cache::backend::CacheBackend;
use plinth_cache::{CacheBackendKind, CacheService, EngineClock, MemoryCache, RedisCache};
use plinth_database::DatabaseService;
use plinth_outbound::OutboundClient;
use plinth_redis_link::RedisLink;
use plinth_store::Definitions;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Handles;
use super::loaders::Loaders;
use crate::settings::Settings;

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
            Ok(RedisCache::new(
                Arc::clone(link),
                prefix,
                EngineClock::Server,
                clock,
            ))
        }
        (CacheBackendKind::Redis, None) => bail!("cache.backend is `redis`, but there is none"),
    }
}
