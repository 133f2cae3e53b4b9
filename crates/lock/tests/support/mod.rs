//! A lock service over a backend, with a clock that stands still until it is told to move.

use std::sync::Arc;

use plinth_core::{
    CallContext, Error, ErrorCode, ManualClock, MetricSink, PrincipalId, SharedClock, TimestampMs,
};
use plinth_lock::backend::Backend;
use plinth_lock::backend::redis::RedisLocks;
use plinth_lock::backend::shared::{SharedBackend, SharedOptions};
use plinth_lock::backend::sqlite::{SqliteBackend, SqliteOptions};
use plinth_lock::model::{
    AcquireReply, AcquireRequest, LockAsk, LockClaim, LockGrant, ReleaseRequest, RenewRequest,
};
use plinth_lock::{LockError, LockService, LockServiceParts, Wakes};
use plinth_redis_link::RedisLink;
use plinth_store::epochs::MemoryEpochs;
use plinth_store::{ControlStore, EngineLimits, EngineLocation, Epochs};
use plinth_testkit::calls::{self, call_of};

use self::database::ManualDatabase;

pub(crate) mod database;
pub(crate) mod instance;
pub(crate) mod redis;

/// The tenant of most tests.
pub(crate) const TENANT: &str = "shop";
/// Locks of a tenant that the fixtures allow.
pub(crate) const LOCKS_MAX: u32 = 20;

/// Nobody listens to numbers here.
pub(crate) struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

/// What outlives a service: the clock, and the epochs of the control plane.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) epochs: Arc<dyn Epochs>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            clock: ManualClock::starting_at(TimestampMs(1_000_000)),
            epochs: Arc::new(MemoryEpochs::default()),
        }
    }
}

/// Where locks are kept, beyond the end of a service.
#[derive(Clone)]
pub(crate) enum Place {
    /// The embedded engine.
    Sqlite(EngineLocation),
    /// The control database, whose clock shows what the world's does.
    Control(Arc<ControlStore>),
    /// Redis, whose clock shows the same, under keys of its own.
    Redis(Arc<RedisLink>, String),
}

impl Place {
    /// A service over it.
    pub(crate) async fn open(&self, world: &World) -> Fixture {
        match self {
            Self::Sqlite(location) => Fixture::sqlite(location.clone(), world).await,
            Self::Control(store) => {
                let wakes = Arc::new(Wakes::default());
                let backend = SharedBackend::new(SharedOptions {
                    name: "control",
                    records: ManualDatabase::over(Arc::clone(store) as _, &world.clock),
                    clock: world.clock.clone(),
                    epochs: Some(Arc::clone(&world.epochs)),
                    changes: None,
                    wakes: Arc::clone(&wakes),
                    locks_per_tenant_max: LOCKS_MAX,
                });
                Fixture::over(Arc::new(backend), wakes, world)
            }
            Self::Redis(link, prefix) => {
                let wakes = Arc::new(Wakes::default());
                let epochs = Arc::clone(&world.epochs);
                let locks = RedisLocks::start(Arc::clone(link), prefix, epochs, &wakes);
                let backend = SharedBackend::new(SharedOptions {
                    name: "redis",
                    changes: Some(locks.changes()),
                    records: ManualDatabase::over(locks, &world.clock),
                    clock: world.clock.clone(),
                    epochs: None,
                    wakes: Arc::clone(&wakes),
                    locks_per_tenant_max: LOCKS_MAX,
                });
                Fixture::over(Arc::new(backend), wakes, world)
            }
        }
    }
}

/// A service, and the clock that it runs by.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) service: LockService,
    pub(crate) clock: Arc<ManualClock>,
}

impl Fixture {
    /// A service over the embedded backend.
    pub(crate) async fn sqlite(location: EngineLocation, world: &World) -> Self {
        let shared: SharedClock = world.clock.clone();
        let wakes = Arc::new(Wakes::default());
        let backend = SqliteBackend::open(SqliteOptions {
            location,
            limits: EngineLimits::default(),
            clock: shared,
            epochs: Arc::clone(&world.epochs),
            metrics: Arc::new(NoMetrics),
            wakes: Arc::clone(&wakes),
            locks_per_tenant_max: LOCKS_MAX,
        })
        .await
        .expect("the backend opens");
        Self::over(Arc::new(backend), wakes, world)
    }

    /// A service over any backend.
    pub(crate) fn over(backend: Arc<dyn Backend>, wakes: Arc<Wakes>, world: &World) -> Self {
        let clock: SharedClock = world.clock.clone();
        let service = LockService::start(LockServiceParts {
            backend,
            wakes,
            clock,
            metrics: Arc::new(NoMetrics),
        });
        Self {
            service,
            clock: Arc::clone(&world.clock),
        }
    }

    /// Tries once for one lock.
    pub(crate) async fn take(&self, ask: LockAsk, owner: &str) -> Result<LockGrant, LockError> {
        let reply = self.acquire(vec![ask], owner, |_| {}).await?;
        Ok(reply.grants[0].clone())
    }

    /// Acquires, as a change of the request says.
    pub(crate) async fn acquire(
        &self,
        locks: Vec<LockAsk>,
        owner: &str,
        change: impl FnOnce(&mut AcquireRequest),
    ) -> Result<AcquireReply, LockError> {
        self.acquire_as(&context(TENANT), locks, owner, change)
            .await
    }

    /// Acquires under a context of its own.
    pub(crate) async fn acquire_as(
        &self,
        context: &CallContext,
        locks: Vec<LockAsk>,
        owner: &str,
        change: impl FnOnce(&mut AcquireRequest),
    ) -> Result<AcquireReply, LockError> {
        let mut request = AcquireRequest {
            locks,
            owner: owner.to_owned(),
            lease_ms: Some(1_000),
            ..AcquireRequest::default()
        };
        change(&mut request);
        self.service.acquire(context, request).await
    }

    /// Begins to wait for one lock, and returns once the wait is in the queue.
    pub(crate) async fn wait_for(
        &self,
        ask: LockAsk,
        owner: &str,
        wait_ms: i64,
    ) -> tokio::task::JoinHandle<Result<AcquireReply, LockError>> {
        let (this, name, owner) = (self.clone(), ask.lock.clone(), owner.to_owned());
        let waits_before = self.waiters(&name).await.len();
        let waiting = tokio::spawn(async move {
            this.acquire(vec![ask], &owner, |request| request.wait_ms = Some(wait_ms))
                .await
        });
        while self.waiters(&name).await.len() == waits_before && !waiting.is_finished() {
            tokio::task::yield_now().await;
        }
        waiting
    }

    /// Who waits for a lock, in order.
    pub(crate) async fn waiters(&self, lock: &str) -> Vec<String> {
        let info = self
            .service
            .get(&context(TENANT), lock)
            .await
            .expect("is read");
        info.waiters
            .into_iter()
            .map(|waiter| waiter.owner)
            .collect()
    }

    /// Who holds a lock, the earliest first.
    pub(crate) async fn holders(&self, lock: &str) -> Vec<String> {
        let info = self
            .service
            .get(&context(TENANT), lock)
            .await
            .expect("is read");
        info.holders
            .into_iter()
            .map(|holder| holder.owner)
            .collect()
    }

    /// Renews one grant, and says whether it is held.
    pub(crate) async fn renew(&self, grant: &LockGrant, owner: &str) -> bool {
        let request = RenewRequest {
            owner: owner.to_owned(),
            claims: vec![claim(grant)],
            lease_ms: None,
        };
        let reply = self.service.renew(&context(TENANT), request).await;
        let item = reply.expect("is answered").items.remove(0);
        assert_eq!(item.code.is_none(), item.held);
        item.held
    }

    /// Releases one grant, and says whether it was held.
    pub(crate) async fn release(&self, grant: &LockGrant, owner: &str) -> bool {
        let request = ReleaseRequest {
            owner: owner.to_owned(),
            claims: vec![claim(grant)],
        };
        let reply = self.service.release(&context(TENANT), request).await;
        reply.expect("is answered").items.remove(0).code.is_none()
    }
}

/// What names a grant.
pub(crate) fn claim(grant: &LockGrant) -> LockClaim {
    LockClaim {
        lock: grant.lock.clone(),
        token: grant.token,
        depth: Some(grant.depth),
    }
}

/// All of a lock.
pub(crate) fn exclusive(lock: &str) -> LockAsk {
    LockAsk {
        lock: lock.to_owned(),
        ..LockAsk::default()
    }
}

/// A lock together with others.
pub(crate) fn shared(lock: &str) -> LockAsk {
    LockAsk {
        mode: Some("shared".to_owned()),
        ..exclusive(lock)
    }
}

/// Permits of a semaphore.
pub(crate) fn permits(lock: &str, count: i32, of: i32) -> LockAsk {
    LockAsk {
        mode: Some("permits".to_owned()),
        permits: Some(count),
        permits_max: Some(of),
        ..exclusive(lock)
    }
}

/// The code that a caller would be told.
pub(crate) fn code<T>(outcome: Result<T, LockError>) -> u16 {
    match outcome {
        Ok(_) => 0,
        Err(error) => told(error).code().number(),
    }
}

/// What a caller would be told.
pub(crate) fn told(error: LockError) -> Error {
    error.into()
}

/// The code of a lock that was taken until the wait ended.
pub(crate) const TAKEN: u16 = ErrorCode::LockNotAcquired.number();

/// A call of a tenant.
pub(crate) fn context(tenant: &str) -> CallContext {
    call_of(tenant, "lock.acquire").expect("a tenant")
}

/// A call under an idempotency key.
pub(crate) fn keyed(key: &str) -> CallContext {
    calls::keyed(context(TENANT), key).expect("a key")
}

/// The same call of another principal of its tenant.
pub(crate) fn of_another(mut call: CallContext) -> CallContext {
    call.caller.principal.id = PrincipalId::parse("another").expect("a name");
    call
}
