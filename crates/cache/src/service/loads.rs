//! Loads: what is missing is fetched once, however many wait for it.
//!
//! One **flight** runs for a key at a time in this instance, in a task of its own: callers join it and may leave it. A
//! flight takes the lease of its key from the backend, so that other instances wait for it too; whatever changes the key
//! meanwhile ends the lease, and the late fill is thrown away and the key read again. A failed load is remembered for a
//! while, and a loader that fails often is left alone by its breaker.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use plinth_core::seams::{LoadRequest, LoadSource, Loaded, Loader};
use plinth_core::{
    Caller, Error, ErrorCode, MetricSink, Result, SharedClock, TenantId, TraceContext,
};
use plinth_resilience::{Breaker, BreakerConfig};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::failures::Failures;
use super::counters::CountersTable;
use super::namespaces::Rules;
use crate::backend::CacheBackend;
use crate::model::{Key, LoaderSettings, LoaderSpec, Read, Scope, Space};

mod failures;
mod flight;

pub(super) use self::failures::LoadFailure;

/// Most loads that one instance has begun and not ended, those included that wait for a place.
pub(super) const FLIGHTS_MAX: usize = 10_000;
/// Most loads that one instance makes at a time for all tenants.
const LOADS_PER_PROCESS_MAX: usize = 1_024;
/// Most loads that one instance makes at a time for one tenant.
const LOADS_PER_TENANT_MAX: usize = 256;
/// When a loader is left alone: half of its last loads failed, at least five.
const BREAKER: BreakerConfig = BreakerConfig {
    window_calls: 20,
    calls_min: 5,
    failure_percent: 50,
    open_ms: 2_000,
    trial_calls: 1,
};

/// The loader of a namespace, with what is known of it.
pub(super) struct LoaderRules {
    pub(super) settings: LoaderSettings,
    pub(super) spec: LoaderSpec,
    breaker: Breaker,
    places: Semaphore,
    failures: Mutex<Failures>,
}

impl LoaderRules {
    pub(super) fn new(settings: LoaderSettings, spec: LoaderSpec, clock: SharedClock) -> Self {
        Self {
            breaker: Breaker::new("the loader", BREAKER, clock),
            places: Semaphore::new(spec.loads_max),
            failures: Mutex::default(),
            settings,
            spec,
        }
    }
}

/// Why a key is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There is no fresh value.
    Missing,
    /// It is time for a new one; not where another instance does it already, or did it since.
    Due {
        /// The version that was there when it was time; `None` where there was no value.
        seen: Option<i64>,
    },
    /// Somebody wants a new one.
    Forced,
}

/// One key to load.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) space: Space,
    pub(super) key: Key,
    pub(super) rules: Rules,
    pub(super) loader: Arc<LoaderRules>,
    pub(super) why: Why,
}

/// How a flight ended.
#[derive(Clone)]
pub(super) enum Ended {
    /// With what stands under the key now, read at that instant of the monotonic clock.
    Read { read: Read, at_ms: u64 },
    /// With nothing.
    Failed(LoadFailure),
    /// Another instance does it.
    Skipped,
}

/// A flight that callers can join.
#[derive(Clone)]
pub(super) struct Flight {
    trace: TraceContext,
    ended: watch::Receiver<Option<Ended>>,
}

impl Flight {
    /// Whether a call comes from the load itself: it belongs to the trace that the source was given.
    pub(super) fn is_cause_of(&self, caller: &Caller) -> bool {
        self.trace.trace_id == caller.trace.trace_id
    }
}

type Spot = (Scope, Key);

/// The loads of this instance.
pub(super) struct Loads {
    pub(super) backend: Arc<dyn CacheBackend>,
    clock: SharedClock,
    pub(super) loader: Arc<dyn Loader>,
    metrics: Arc<dyn MetricSink>,
    counters: Arc<CountersTable>,
    running: Mutex<HashMap<Spot, Flight>>,
    process: Semaphore,
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Loads {
    pub(super) fn new(
        backend: Arc<dyn CacheBackend>,
        clock: SharedClock,
        counters: Arc<CountersTable>,
        stop: CancellationToken,
        (loader, metrics): (Arc<dyn Loader>, Arc<dyn MetricSink>),
    ) -> Self {
        Self {
            backend,
            clock,
            loader,
            metrics,
            counters,
            running: Mutex::default(),
            process: Semaphore::new(LOADS_PER_PROCESS_MAX),
            tenants: Mutex::default(),
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// The load of a key that is under way.
    pub(super) fn running(&self, scope: &Scope, key: &Key) -> Option<Flight> {
        let spot = (scope.clone(), key.clone());
        self.running.lock().get(&spot).cloned()
    }

    /// Joins the load of a key, or begins it. Errors: it failed a moment ago, or too many are under way.
    pub(super) fn join(self: &Arc<Self>, job: Job) -> Result<Flight, LoadFailure> {
        let spot = (job.space.scope.clone(), job.key.clone());
        let mut running = self.running.lock();
        if let Some(flight) = running.get(&spot) {
            return Ok(flight.clone());
        }
        if job.why != Why::Forced {
            let failures = job.loader.failures.lock();
            if let Some(failure) = failures.find(&job.key, self.clock.monotonic_ms()) {
                return Err(failure);
            }
        }
        if self.stop.is_cancelled() {
            return Err(LoadFailure::overloaded("the instance stops"));
        }
        if running.len() >= FLIGHTS_MAX {
            let refusal = format!("the instance already has {FLIGHTS_MAX} loads under way");
            return Err(LoadFailure::overloaded(&refusal));
        }
        let (end, ended) = watch::channel(None);
        // A trace of its own: many callers share the load, and a call that comes back in this trace is one that the load makes.
        let trace = TraceContext::begin();
        let flight = Flight { trace, ended };
        running.insert(spot, flight.clone());
        drop(running);
        self.tasks.spawn(Arc::clone(self).fly(job, trace, end));
        Ok(flight)
    }

    /// Waits for the end of a load; `None` where it has not ended by then.
    pub(super) async fn wait(&self, mut flight: Flight, until_ms: u64) -> Option<Ended> {
        let ended = async {
            match flight.ended.wait_for(Option::is_some).await {
                Ok(ended) => ended.clone(),
                Err(_gone) => None,
            }
        };
        tokio::select! {
            biased;
            ended = ended => Some(ended.unwrap_or_else(|| Ended::Failed(LoadFailure::broken()))),
            () = self.clock.sleep_until_monotonic(until_ms) => None,
        }
    }

    /// What time it is on the monotonic clock.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    /// Runs something beside the callers, until it ends or the instance stops.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Waits until no load is under way any more, after the instance was told to stop.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn places_of(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        // Those that nobody holds are at rest.
        if tenants.len() >= FLIGHTS_MAX {
            tenants.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = tenants
            .entry(tenant.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(LOADS_PER_TENANT_MAX)));
        Arc::clone(places)
    }
}

/// What stands in for loaders where there are none.
pub(super) struct NoLoader;

#[async_trait]
impl Loader for NoLoader {
    async fn check(&self, _: &Caller, _: &LoadSource, _: usize) -> Result<()> {
        Err(Error::unsupported("this instance has no loaders"))
    }

    async fn load(&self, _: LoadRequest<'_>) -> Result<Loaded> {
        Err(Error::new(
            ErrorCode::CacheLoadFailed,
            "this instance has no loaders",
        ))
    }
}

/// What stands in for the numbers of loads where nobody wants them.
pub(super) struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}
