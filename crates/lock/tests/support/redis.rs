//! Instances whose locks are in Redis.

use std::ops::Deref;
use std::sync::Arc;

use plinth_core::{SharedClock, SystemClock};
use plinth_lock::Wakes;
use plinth_lock::backend::redis::RedisLocks;
use plinth_lock::backend::shared::{SharedBackend, SharedOptions};
use plinth_redis_link::{RedisLink, RedisSettings, RedisUrl};
use plinth_store::Epochs;

use super::instance::Instance;

/// A link that is quick to see that something is wrong.
pub(crate) fn link(url: &str) -> Arc<RedisLink> {
    let settings = RedisSettings {
        url: RedisUrl::new(url),
        command_timeout_ms: 500,
        heartbeat_ms: 100,
        reconnect_first_ms: 10,
        reconnect_max_ms: 50,
        ..RedisSettings::default()
    };
    RedisLink::start(&settings).expect("starts")
}

/// One instance with a link of its own, on the clocks of the machine.
#[derive(Clone)]
pub(crate) struct OnRedis {
    calls: Instance,
    pub(crate) link: Arc<RedisLink>,
}

impl Deref for OnRedis {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.calls
    }
}

impl OnRedis {
    pub(crate) fn start(url: &str, epochs: &Arc<dyn Epochs>) -> Self {
        let clock: SharedClock = SystemClock::shared();
        let (wakes, link) = (Arc::new(Wakes::default()), link(url));
        let locks = RedisLocks::start(Arc::clone(&link), "locks", Arc::clone(epochs), &wakes);
        let backend = SharedBackend::new(SharedOptions {
            name: "redis",
            changes: Some(locks.changes()),
            records: locks,
            clock: Arc::clone(&clock),
            epochs: None,
            wakes: Arc::clone(&wakes),
            locks_per_tenant_max: 100,
        });
        let calls = Instance::over(Arc::new(backend), wakes, clock);
        Self { calls, link }
    }
}
