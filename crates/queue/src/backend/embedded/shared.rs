//! What the callers and the timer share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use plinth_core::{MetricSink, SharedClock};
use plinth_security::Entropy;
use plinth_store::Engine;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::axis::Axis;
use super::registry::{Moved, Registry};
use super::work::{Effects, Work};
use crate::backend::QueueSpec;
use crate::error::QueueError;
use crate::model::limits;

/// How often what nobody waits for is tidied up, in milliseconds.
const HOUSEKEEPING_MS: i64 = 60_000;
/// Wait after a failure of the timer's own transaction, in milliseconds.
const FAILURE_PAUSE_MS: i64 = 1_000;
/// Message ids of a deleted queue that one transaction forgets.
const FORGOTTEN_MAX: i32 = 1_000;

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) axis: Axis,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<dyn MetricSink>,
    registry: RwLock<Arc<Registry>>,
    /// When the timer must run next; `i64::MAX` for never.
    next_due: AtomicI64,
    /// Wakes the timer when `next_due` has become earlier.
    earlier: Notify,
}

impl Shared {
    pub(super) fn new(
        engine: Engine,
        clock: SharedClock,
        entropy: Arc<dyn Entropy>,
        metrics: Arc<dyn MetricSink>,
    ) -> Self {
        Self {
            engine,
            axis: Axis::new(clock),
            entropy,
            metrics,
            registry: RwLock::default(),
            // The first run of the timer finds out what is due.
            next_due: AtomicI64::new(i64::MIN),
            earlier: Notify::new(),
        }
    }

    pub(super) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read())
    }

    pub(super) fn change_registry(&self, change: impl FnOnce(&mut Registry)) {
        let mut registry = self.registry.write();
        change(Arc::make_mut(&mut registry));
    }

    /// Runs work as one transaction and applies its effects, also where the caller goes away meanwhile.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.write(work).await })
            .await
            .map_err(QueueError::Lost)?
    }

    /// As [`Shared::run`], for tasks of our own, which nobody cancels.
    pub(super) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let shared = Arc::clone(self);
        let (value, effects) = self
            .engine
            .write(move |transaction| {
                let registry = shared.registry();
                let mut begun = Work::new(
                    transaction,
                    shared.axis.now(),
                    registry,
                    shared.entropy.as_ref(),
                );
                let value = work(&mut begun)?;
                Ok::<_, QueueError>((value, begun.finish()?))
            })
            .await?;
        self.apply(&effects);
        Ok(value)
    }

    fn apply(&self, effects: &Effects) {
        let registry = self.registry();
        for (queue, count) in &effects.ready {
            if let Some(queue) = registry.by_id(*queue) {
                for _ in 0..(*count).min(limits::WAITERS_PER_QUEUE_MAX) {
                    queue.arrivals.notify_one();
                }
            }
        }
        let at = self.axis.now().at;
        let mut total = Moved::default();
        for (queue, moved) in &effects.moved {
            total.published = total.published.saturating_add(moved.published);
            total.delivered = total.delivered.saturating_add(moved.delivered);
            total.acked = total.acked.saturating_add(moved.acked);
            if let Some(queue) = registry.by_id(*queue) {
                queue.rates.lock().count(at, *moved);
            }
        }
        self.count("queue_messages_published_total", u64::from(total.published));
        self.count("queue_messages_delivered_total", u64::from(total.delivered));
        self.count("queue_messages_acked_total", u64::from(total.acked));
        self.count("queue_messages_dead_lettered_total", effects.dead);
        self.count("queue_messages_expired_total", effects.expired);
        if let Some(due) = effects.next_due {
            self.wake_timer_at(due);
        }
    }

    fn count(&self, name: &'static str, delta: u64) {
        if delta > 0 {
            self.metrics.add(name, &[], delta);
        }
    }

    fn wake_timer_at(&self, due: i64) {
        if self.next_due.fetch_min(due, Ordering::AcqRel) > due {
            self.earlier.notify_one();
        }
    }

    /// Lets time do its work, exactly when something is due, until it is cancelled.
    pub(super) async fn run_timer(self: Arc<Self>, cancel: CancellationToken) {
        let mut tidy_at = self.axis.now().at;
        loop {
            let due = self.next_due.load(Ordering::Acquire).min(tidy_at);
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.earlier.notified() => continue,
                () = self.axis.sleep_until(due) => {}
            }
            // Whatever becomes due from here on lowers it again; what is in the file is asked for below.
            self.next_due.store(i64::MAX, Ordering::Release);
            let now = self.axis.now().at;
            let tidies = now >= tidy_at;
            match self.write(move |work| work.tick(tidies)).await {
                Ok(has_more) if tidies && !has_more => {
                    tidy_at = now.saturating_add(HOUSEKEEPING_MS)
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "the queue's timer failed; it tries again");
                    self.wake_timer_at(now.saturating_add(FAILURE_PAUSE_MS));
                    tidy_at = tidy_at.max(now.saturating_add(FAILURE_PAUSE_MS));
                }
            }
        }
    }
}

impl Work<'_> {
    /// What the timer does. Returns whether there is more to tidy up.
    fn tick(&mut self, tidies: bool) -> Result<bool, QueueError> {
        self.advance()?;
        self.effects.next_due = self.earliest_due()?;
        if tidies { self.forget_ids() } else { Ok(false) }
    }

    /// Gives every lease that was held when the process ended one full time more.
    pub(super) fn renew_leases(&mut self) -> Result<(), QueueError> {
        self.tx
            .prepare_cached(
                "UPDATE message SET due = ?1 + lease_ms WHERE due IS NOT NULL AND state = 2",
            )?
            .execute([self.now.at])?;
        Ok(())
    }

    /// The number of a queue, made where it is new; a queue that was condemned lives again.
    pub(super) fn declare_queue(&self, spec: &QueueSpec) -> Result<i64, QueueError> {
        let id = self
            .tx
            .prepare_cached(
                "INSERT INTO queue (uid, tenant, name) VALUES (?1, ?2, ?3)
                 ON CONFLICT (uid) DO UPDATE SET condemned = 0 RETURNING id",
            )?
            .query_row(
                (&spec.uid, spec.key.tenant.as_str(), spec.key.name.as_str()),
                |row| row.get(0),
            )?;
        Ok(id)
    }

    pub(super) fn condemn(&self, queue: i64) -> Result<(), QueueError> {
        self.tx
            .prepare_cached("UPDATE queue SET condemned = 1 WHERE id = ?1")?
            .execute([queue])?;
        Ok(())
    }

    /// Queues that were condemned in an earlier run and not opened in this one.
    pub(super) fn condemned(&self) -> Result<Vec<i64>, QueueError> {
        let mut statement = self
            .tx
            .prepare_cached("SELECT id FROM queue WHERE condemned = 1")?;
        let ids = statement
            .query_map([], |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        Ok(ids
            .into_iter()
            .filter(|id| self.registry.by_id(*id).is_none())
            .collect())
    }

    /// Forgets message ids of a queue that goes. Returns whether there may be more.
    pub(super) fn forget_queue_ids(&self, queue: i64) -> Result<bool, QueueError> {
        let forgotten = self
            .tx
            .prepare_cached(
                "DELETE FROM seen WHERE queue = ?1 AND message_id IN
                 (SELECT message_id FROM seen WHERE queue = ?1 LIMIT ?2)",
            )?
            .execute((queue, FORGOTTEN_MAX))?;
        Ok(forgotten >= usize::try_from(FORGOTTEN_MAX).unwrap_or(1))
    }

    pub(super) fn drop_queue(&self, queue: i64) -> Result<(), QueueError> {
        self.tx
            .prepare_cached("DELETE FROM queue WHERE id = ?1")?
            .execute([queue])?;
        Ok(())
    }
}
