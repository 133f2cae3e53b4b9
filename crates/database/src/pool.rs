//! Connections to one database, reused, bounded and counted.
//!
//! The pool is our own, over `sqlx` connections, because a lease must know its connection's server-side identity: a
//! caller who goes away in the middle of a statement leaves a lease that is **dropped while busy**, and its statement is
//! then stopped at the server before the connection closes. The permit is given back only after that, so that the
//! number of connections at the server never passes the limit, and none leaks, however calls end.

mod lease;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use plinth_core::{Deadline, MetricSink, SharedClock};
use plinth_resilience::{Breaker, BreakerConfig, BreakerError, BreakerState};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use lease::Lease;

use crate::backend::{Backend, Connection};
use crate::error::{BackendError, DatabaseError};
use crate::model::{PoolOptions, PoolStatus};

/// A connection idle for longer is asked whether it is alive before it is handed out, in milliseconds.
const LIVENESS_AFTER_IDLE_MS: u64 = 1_000;
/// How long that question may take, in milliseconds.
const PING_TIMEOUT_MS: u64 = 1_000;
/// How often idle connections are looked after, in milliseconds.
const UPKEEP_INTERVAL_MS: u64 = 1_000;
/// How much of its lifetime a connection may lose by jitter, in percent.
const LIFETIME_JITTER_PERCENT: u64 = 10;
/// The breaker around connecting: it fails fast after three failures of four attempts, and tries again soon.
const BREAKER: BreakerConfig = BreakerConfig {
    window_calls: 20,
    calls_min: 3,
    failure_percent: 75,
    open_ms: 2_000,
    trial_calls: 1,
};

/// The pool's numbers, checked.
#[derive(Clone, Copy, Debug)]
struct Limits {
    min: usize,
    max: usize,
    acquire_timeout_ms: u64,
    max_lifetime_ms: u64,
    idle_timeout_ms: u64,
}

impl Limits {
    fn of(options: &PoolOptions) -> Self {
        let count = |number: Option<i32>, default: usize| {
            number
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(default)
        };
        let millis = |number: Option<i64>, default: u64| {
            number
                .and_then(|number| u64::try_from(number).ok())
                .unwrap_or(default)
        };
        Self {
            min: count(options.min_connections, 0),
            max: count(options.max_connections, 10).max(1),
            acquire_timeout_ms: millis(options.acquire_timeout_ms, 5_000),
            max_lifetime_ms: millis(options.max_lifetime_ms, 1_800_000),
            idle_timeout_ms: millis(options.idle_timeout_ms, 600_000),
        }
    }
}

/// A pool.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

/// What leases, upkeep and the pool share.
struct Shared {
    name: String,
    backend: Arc<dyn Backend>,
    limits: Limits,
    permits: Arc<Semaphore>,
    idle: Mutex<VecDeque<Parked>>,
    breaker: Breaker,
    clock: SharedClock,
    metrics: Arc<dyn MetricSink>,
    /// No more leases are given.
    closing: CancellationToken,
    /// Statements that still run are to be stopped.
    abort: CancellationToken,
    tasks: TaskTracker,
    open: AtomicI64,
    waiting: AtomicI64,
    in_use: AtomicI64,
    opened: AtomicU64,
    acquired: AtomicU64,
    timeouts: AtomicU64,
    aborted: AtomicU64,
}

/// A connection with its dates on the monotonic clock. Counts itself as open until it is dropped.
struct Slot {
    connection: Box<dyn Connection>,
    expires_ms: u64,
    counter: OpenCounter,
}

/// One open connection in the count.
struct OpenCounter(Arc<Shared>);

impl Drop for OpenCounter {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An idle connection.
struct Parked {
    slot: Slot,
    since_ms: u64,
}

/// Counts a caller while it waits.
struct Counted<'a>(&'a AtomicI64);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicI64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool without connections: nothing is opened before it is needed, so a database that is down stops no start.
    pub(crate) fn new(
        name: &str,
        backend: Arc<dyn Backend>,
        options: &PoolOptions,
        clock: SharedClock,
        metrics: Arc<dyn MetricSink>,
    ) -> Self {
        let limits = Limits::of(options);
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            backend,
            limits,
            permits: Arc::new(Semaphore::new(limits.max)),
            idle: Mutex::new(VecDeque::with_capacity(limits.max)),
            breaker: Breaker::new(name, BREAKER, Arc::clone(&clock)),
            clock,
            metrics,
            closing: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
            open: AtomicI64::new(0),
            waiting: AtomicI64::new(0),
            in_use: AtomicI64::new(0),
            opened: AtomicU64::new(0),
            acquired: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
        });
        tokio::spawn(upkeep(Arc::downgrade(&shared), shared.closing.clone()));
        Self { shared }
    }

    /// Hands out a connection: an idle one, or a new one, within the acquire time-out and the deadline.
    pub(crate) async fn acquire(&self, deadline: Deadline) -> Result<Lease, DatabaseError> {
        let shared = &self.shared;
        let began_ms = shared.clock.monotonic_ms();
        let limit =
            Duration::from_millis(shared.limits.acquire_timeout_ms).min(deadline.remaining());
        let _waiting = Counted::new(&shared.waiting);
        let connecting = AtomicBool::new(false);
        let outcome = tokio::time::timeout(limit, shared.lease(&connecting)).await;
        let waited_ms = shared.clock.monotonic_ms().saturating_sub(began_ms);
        shared.metrics.observe(
            "plinth_db_acquire_seconds",
            &[("database", &shared.name)],
            seconds(waited_ms),
        );
        match outcome {
            Ok(lease) => lease,
            Err(_elapsed) => {
                shared.timeouts.fetch_add(1, Ordering::Relaxed);
                Err(if deadline.remaining().is_zero() {
                    DatabaseError::Deadline {
                        message: "the deadline passed while waiting for a connection",
                        outcome_unknown: false,
                    }
                } else if connecting.load(Ordering::Relaxed) {
                    DatabaseError::Connection {
                        database: shared.name.clone(),
                        message: format!("it gave no connection within {waited_ms} ms"),
                        outcome_unknown: false,
                        retry_after_ms: None,
                    }
                } else {
                    DatabaseError::PoolExhausted {
                        database: shared.name.clone(),
                        waited_ms,
                    }
                })
            }
        }
    }

    /// The state now.
    pub(crate) fn status(&self) -> PoolStatus {
        let shared = &self.shared;
        let count = |counter: &AtomicU64| {
            i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
        };
        PoolStatus {
            connections: shared.open.load(Ordering::Relaxed),
            idle: i64::try_from(shared.idle.lock().len()).unwrap_or(i64::MAX),
            waiting: shared.waiting.load(Ordering::Relaxed),
            in_use: shared.in_use.load(Ordering::Relaxed),
            opened: count(&shared.opened),
            acquired: count(&shared.acquired),
            acquire_timeouts: count(&shared.timeouts),
            breaker: self.breaker_word().to_owned(),
        }
    }

    fn breaker_word(&self) -> &'static str {
        match self.shared.breaker.state() {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }

    /// Gives no more leases, waits for those that are out, then stops what still runs. Returns how many were stopped.
    pub(crate) async fn close(&self, drain: Duration) -> u64 {
        let shared = &self.shared;
        shared.closing.cancel();
        shared.permits.close();
        let parked: Vec<Parked> = shared.idle.lock().drain(..).collect();
        for parked in parked {
            shared.dispose(parked.slot);
        }
        shared.tasks.close();
        if tokio::time::timeout(drain, shared.tasks.wait())
            .await
            .is_err()
        {
            shared.abort.cancel();
            // Each stop has its own time limit, so this ends.
            shared.tasks.wait().await;
        }
        shared.aborted.load(Ordering::Relaxed)
    }
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

impl Shared {
    /// An idle connection, or a new one; `connecting` is set once it is waited for.
    async fn lease(self: &Arc<Self>, connecting: &AtomicBool) -> Result<Lease, DatabaseError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_closed| self.closed())?;
        while let Some(slot) = self.unpark() {
            if let Some(slot) = self.alive(slot).await {
                return Ok(Lease::new(Arc::clone(self), slot, permit, true));
            }
        }
        connecting.store(true, Ordering::Relaxed);
        let (hand_over, opened) = oneshot::channel();
        self.tasks
            .spawn(open_beside(Arc::clone(self), permit, hand_over));
        let (slot, permit) = opened.await.map_err(|_gone| self.closed())??;
        Ok(Lease::new(Arc::clone(self), slot, permit, false))
    }

    fn closed(&self) -> DatabaseError {
        DatabaseError::Closed {
            database: self.name.clone(),
            outcome_unknown: false,
        }
    }

    /// Takes the idle connection that was used last; expired ones are closed on the way.
    fn unpark(self: &Arc<Self>) -> Option<Parked> {
        loop {
            let parked = self.idle.lock().pop_back()?;
            if parked.slot.expires_ms > self.clock.monotonic_ms() {
                return Some(parked);
            }
            self.dispose(parked.slot);
        }
    }

    async fn alive(self: &Arc<Self>, parked: Parked) -> Option<Slot> {
        let mut slot = parked.slot;
        let idle_ms = self.clock.monotonic_ms().saturating_sub(parked.since_ms);
        if idle_ms <= LIVENESS_AFTER_IDLE_MS {
            return Some(slot);
        }
        let limit = Duration::from_millis(PING_TIMEOUT_MS);
        match tokio::time::timeout(limit, slot.connection.ping()).await {
            Ok(Ok(())) => Some(slot),
            // Dropping it closes its socket; it would not answer a goodbye either.
            _ => None,
        }
    }

    /// Opens a connection within the acquire time-out: a host that swallows everything is away like one that refuses.
    async fn connect(self: &Arc<Self>) -> Result<Slot, DatabaseError> {
        let limit_ms = self.limits.acquire_timeout_ms;
        let attempt = async {
            let limit = Duration::from_millis(limit_ms);
            match tokio::time::timeout(limit, self.backend.connect()).await {
                Ok(connected) => connected,
                Err(_elapsed) => Err(BackendError::Connection {
                    message: format!("it did not answer within {limit_ms} ms"),
                    source: None,
                }),
            }
        };
        let connected = tokio::select! {
            connected = self.breaker.call(BackendError::is_connection, attempt) => connected,
            () = self.closing.cancelled() => return Err(self.closed()),
        };
        let connection = connected.map_err(|error| match error {
            BreakerError::Open { retry_after_ms, .. } => DatabaseError::Connection {
                database: self.name.clone(),
                message: "it failed too often and is left alone for a while".to_owned(),
                outcome_unknown: false,
                retry_after_ms: Some(retry_after_ms),
            },
            BreakerError::Failed(error) => {
                DatabaseError::from_backend(error, &self.name, None, false)
            }
        })?;
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.metrics.add(
            "plinth_db_connections_opened_total",
            &[("database", &self.name)],
            1,
        );
        let jitter_ms = self.limits.max_lifetime_ms * LIFETIME_JITTER_PERCENT / 100;
        let shortened_by = rand::random_range(0..=jitter_ms);
        Ok(Slot {
            connection,
            expires_ms: self.clock.monotonic_ms() + self.limits.max_lifetime_ms - shortened_by,
            counter: OpenCounter(Arc::clone(self)),
        })
    }

    /// Puts a clean connection back. Returns it where it is not wanted any more.
    fn park(&self, slot: Slot) -> Option<Slot> {
        let now_ms = self.clock.monotonic_ms();
        if self.closing.is_cancelled() || slot.expires_ms <= now_ms {
            return Some(slot);
        }
        self.idle.lock().push_back(Parked {
            slot,
            since_ms: now_ms,
        });
        None
    }

    /// Closes a connection beside the caller, within a time limit.
    fn dispose(&self, slot: Slot) {
        self.tasks.spawn(lease::say_goodbye(slot));
    }

    fn report(&self) {
        let labels = [("database", self.name.as_str())];
        let gauge = |name: &'static str, value: i64| {
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts of connections are small"
            )]
            self.metrics.set(name, &labels, value as f64);
        };
        gauge(
            "plinth_db_pool_connections",
            self.open.load(Ordering::Relaxed),
        );
        gauge("plinth_db_pool_in_use", self.in_use.load(Ordering::Relaxed));
        gauge(
            "plinth_db_pool_waiting",
            self.waiting.load(Ordering::Relaxed),
        );
    }

    /// Closes idle connections past their time and opens missing ones.
    async fn look_after(self: &Arc<Self>) {
        let now_ms = self.clock.monotonic_ms();
        let gone: Vec<Parked> = {
            let mut idle = self.idle.lock();
            let spare = idle.len().saturating_sub(self.limits.min);
            let mut idle_out = 0;
            let (gone, kept) = idle.drain(..).partition(|parked: &Parked| {
                let too_old = parked.slot.expires_ms <= now_ms;
                let too_idle = idle_out < spare
                    && now_ms.saturating_sub(parked.since_ms) > self.limits.idle_timeout_ms;
                idle_out += usize::from(too_idle);
                too_old || too_idle
            });
            *idle = kept;
            gone.into()
        };
        for parked in gone {
            self.dispose(parked.slot);
        }
        let open = usize::try_from(self.open.load(Ordering::Relaxed)).unwrap_or(0);
        for _missing in open..self.limits.min {
            let Ok(_permit) = Arc::clone(&self.permits).try_acquire_owned() else {
                return;
            };
            // A database that is away is tried again at the next look.
            let Ok(slot) = self.connect().await else {
                return;
            };
            if let Some(slot) = self.park(slot) {
                self.dispose(slot);
            }
        }
        self.report();
    }
}

/// Opens a connection for a caller, and goes on when that caller has gone: whether the database answers is known in the end,
/// however short the deadlines of its callers are. What nobody takes is kept for the next.
async fn open_beside(
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    hand_over: oneshot::Sender<Result<(Slot, OwnedSemaphorePermit), DatabaseError>>,
) {
    let opened = shared.connect().await.map(|slot| (slot, permit));
    if let Err(Ok((slot, _permit))) = hand_over.send(opened)
        && let Some(unwanted) = shared.park(slot)
    {
        shared.dispose(unwanted);
    }
}

/// Looks after a pool until it closes or is dropped.
async fn upkeep(pool: std::sync::Weak<Shared>, closing: CancellationToken) {
    loop {
        let Some(shared) = pool.upgrade() else {
            return;
        };
        shared.look_after().await;
        let clock = Arc::clone(&shared.clock);
        drop(shared);
        let next_ms = clock.monotonic_ms() + UPKEEP_INTERVAL_MS;
        tokio::select! {
            () = clock.sleep_until_monotonic(next_ms) => {}
            () = closing.cancelled() => return,
        }
    }
}
