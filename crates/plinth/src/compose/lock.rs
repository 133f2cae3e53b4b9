//! The locks on their backend.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use plinth_lock::backend::Backend;
use plinth_lock::backend::redis::RedisLocks;
use plinth_lock::backend::shared::{SharedBackend, SharedOptions};
use plinth_lock::backend::sqlite::{SqliteBackend, SqliteOptions};
use plinth_lock::{LockBackend, LockService, LockServiceParts, Wakes};
use plinth_redis_link::RedisLink;
use plinth_store::{ControlStore, EngineLimits, WriteCondition};

use super::{Handles, Keeping, LOCK_FILE, location};
use crate::data_dir::DataDir;
use crate::settings::Settings;

/// Makes the locks on the backend that the settings name, and what tells whether their file can be written, where they have one.
///
/// Errors: the file cannot be used, or the backend is Redis and there is none.
pub(super) async fn open_lock(
    settings: &Settings,
    (place, keeping): (&DataDir, &Keeping),
    handles: &Handles,
    link: Option<&Arc<RedisLink>>,
    control: &Arc<ControlStore>,
) -> Result<(Arc<LockService>, Option<WriteCondition>)> {
    let wakes = Arc::new(Wakes::default());
    let locks_per_tenant_max = settings.lock.locks_per_tenant_max;
    let on_control = || SharedOptions {
        name: "control",
        records: Arc::clone(control) as _,
        clock: Arc::clone(&handles.clock),
        epochs: Some(Arc::clone(control) as _),
        changes: None,
        wakes: Arc::clone(&wakes),
        locks_per_tenant_max,
    };
    let mut writes = None;
    let backend: Arc<dyn Backend> = match (settings.lock.backend, link) {
        (LockBackend::Sqlite, _) => {
            let opened = SqliteBackend::open(SqliteOptions {
                location: location(place, keeping, LOCK_FILE),
                limits: EngineLimits::default(),
                clock: Arc::clone(&handles.clock),
                epochs: Arc::clone(control) as _,
                metrics: handles.sink(),
                wakes: Arc::clone(&wakes),
                locks_per_tenant_max,
            });
            let opened = opened.await.context("cannot open the locks")?;
            writes = Some(opened.write_condition());
            handles.health.component("lock").up();
            Arc::new(opened)
        }
        (LockBackend::Control, _) => Arc::new(SharedBackend::new(on_control())),
        (LockBackend::Redis, Some(link)) => {
            let (link, prefix) = (Arc::clone(link), &settings.lock.key_prefix);
            let locks = RedisLocks::start(link, prefix, Arc::clone(control) as _, &wakes);
            Arc::new(SharedBackend::new(SharedOptions {
                name: "redis",
                changes: Some(locks.changes()),
                records: locks,
                epochs: None,
                ..on_control()
            }))
        }
        (LockBackend::Redis, None) => bail!("lock.backend is `redis`, but there is none"),
    };
    let service = LockService::start(LockServiceParts {
        backend,
        wakes,
        clock: Arc::clone(&handles.clock),
        metrics: handles.sink(),
    });
    Ok((Arc::new(service), writes))
}
