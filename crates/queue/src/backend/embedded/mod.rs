//! The embedded engine: one SQLite file, one writer that commits groups.
//!
//! Whatever changes runs as one transaction on [`work::Work`]; its effects outside the file (wake-ups, timers, rates) are
//! applied after the commit, in a task of their own, so that a caller who goes away leaves nothing half-done.

mod advance;
mod axis;
mod consume;
mod dead;
mod look;
mod publish;
mod receipt;
mod registry;
mod row;
mod schema;
mod shared;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use plinth_core::access::IdempotencyScope;
use plinth_core::{MetricSink, Result as CoreResult, SharedClock};
use plinth_security::Entropy;
use plinth_store::{
    Engine, EngineLimits, EngineLocation, EngineOptions, WriteCondition, idempotency,
};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::look::Purged;
use self::publish::Demand;
use self::receipt::Receipt;
use self::registry::{OpenQueue, Rates};
use self::shared::Shared;
use super::{
    Backend, Capabilities, DeliveryEnded, Depth, LeaseRequest, PeekPage, PublishBatch, QueueKey,
    QueueSpec, SettleOutcome, Settlement,
};
use crate::error::QueueError;
use crate::model::{Message, Published, QueueName, StateFilter};

/// Commits that drop the oldest of one queue for one publish; what they have dropped stays dropped.
const ROOM_COMMITS_MAX: usize = 10_000;
/// How often one publish comes back after room was made; other publishers come in between.
const ROOM_TRIES_MAX: usize = 8;

/// How the embedded engine is opened.
pub struct EmbeddedOptions {
    /// Where the data is.
    pub location: EngineLocation,
    /// Limits of the writer and the readers.
    pub limits: EngineLimits,
    /// Time.
    pub clock: SharedClock,
    /// Randomness for tokens and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Where numbers go.
    pub metrics: Arc<dyn MetricSink>,
}

/// The embedded engine.
pub struct EmbeddedBackend {
    shared: Arc<Shared>,
    is_file: bool,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl EmbeddedBackend {
    /// Opens the file and gives every lease that was held one full time more. Queues are opened by their definitions.
    ///
    /// Errors: the file cannot be opened, or is of a later release.
    pub async fn open(options: EmbeddedOptions) -> Result<Self, QueueError> {
        let is_file = matches!(options.location, EngineLocation::File(_));
        let EmbeddedOptions {
            location,
            limits,
            clock,
            entropy,
            metrics,
        } = options;
        let engine_options = EngineOptions {
            name: "queue",
            location,
            migrations: schema::MIGRATIONS,
            metrics: Arc::clone(&metrics),
            limits,
        };
        let engine = tokio::task::spawn_blocking(move || Engine::open(engine_options))
            .await
            .map_err(QueueError::Lost)??;
        let shared = Arc::new(Shared::new(engine, clock, entropy, metrics));
        shared.write(|work| work.renew_leases()).await?;
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Arc::clone(&shared).run_timer(cancel.clone()));
        Ok(Self {
            shared,
            is_file,
            cancel,
            tasks,
        })
    }

    /// Commits so far, for tests and figures.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.engine.commits()
    }

    /// Whether the disk takes what is written.
    #[must_use]
    pub fn write_condition(&self) -> WriteCondition {
        self.shared.engine.write_condition()
    }

    fn open_queue(&self, key: &QueueKey) -> Result<Arc<OpenQueue>, QueueError> {
        self.shared
            .registry()
            .by_key(key)
            .cloned()
            .ok_or_else(|| QueueError::QueueAbsent {
                queue: key.name.to_string(),
            })
    }

    async fn publish_now(&self, batch: &Arc<PublishBatch>) -> Result<Vec<Published>, QueueError> {
        let batch = Arc::clone(batch);
        self.shared
            .run(move |work| {
                let transaction = work.tx;
                idempotency::once(transaction, batch.scope.as_ref(), |_| work.publish(&batch))
            })
            .await
    }

    /// Drops the oldest of a queue, commit by commit, until a batch has room there.
    async fn make_room(&self, queue: &QueueName, batch: &PublishBatch) -> Result<(), QueueError> {
        let demand = Demand::of(batch, queue);
        let queue = self.open_queue(&QueueKey {
            tenant: batch.tenant.clone(),
            name: queue.clone(),
        })?;
        for _ in 0..ROOM_COMMITS_MAX {
            let queue = Arc::clone(&queue);
            let has_room = self
                .shared
                .run(move |work| work.make_room_for(&queue, demand))
                .await?;
            if has_room {
                break;
            }
        }
        Ok(())
    }

    /// Runs steps of a purge until there is nothing more.
    async fn purge_all(
        &self,
        queue: i64,
        filter: StateFilter,
        ended: &DeliveryEnded,
    ) -> Result<i64, QueueError> {
        let end = self.shared.run(move |work| work.end_of(queue)).await?;
        let (mut total, mut after) = (0_i64, 0);
        loop {
            let step = self
                .shared
                .run(move |work| match filter {
                    StateFilter::Dead => work.purge_dead_step(queue),
                    other => work.purge_step(queue, other, after, end),
                })
                .await?;
            let Purged {
                count,
                ended: receipts,
                next,
            } = step;
            for receipt in receipts {
                ended(&receipt.encode());
            }
            total = total.saturating_add(count);
            match next {
                Some(next) => after = next,
                None => return Ok(total),
            }
        }
    }

    /// Deletes everything of a queue that is not open any more.
    async fn drop_rows(&self, queue: i64, ended: &DeliveryEnded) -> Result<i64, QueueError> {
        let deleted = self.purge_all(queue, StateFilter::All, ended).await?;
        while self
            .shared
            .run(move |work| work.forget_queue_ids(queue))
            .await?
        {}
        self.shared.run(move |work| work.drop_queue(queue)).await?;
        Ok(deleted)
    }
}

#[async_trait]
impl Backend for EmbeddedBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            priorities: true,
            delays: true,
            ordering_keys: true,
            transactions: true,
            durable: self.is_file,
        }
    }

    async fn open_queues(&self, specs: Vec<QueueSpec>) -> Result<(), QueueError> {
        let opened = self
            .shared
            .run(move |work| {
                specs
                    .into_iter()
                    .map(|spec| Ok((work.declare_queue(&spec)?, spec)))
                    .collect::<Result<Vec<_>, QueueError>>()
            })
            .await?;
        self.shared.change_registry(|registry| {
            for (id, spec) in opened {
                if registry.by_id(id).is_none() {
                    registry.insert(OpenQueue {
                        id,
                        spec,
                        arrivals: Arc::new(Notify::new()),
                        rates: Mutex::new(Rates::new()),
                    });
                }
            }
        });
        Ok(())
    }

    async fn condemn_queue(&self, queue: &QueueKey) -> Result<(), QueueError> {
        let queue = self.open_queue(queue)?;
        self.shared.run(move |work| work.condemn(queue.id)).await
    }

    async fn delete_queue(
        &self,
        queue: &QueueKey,
        ended: DeliveryEnded,
    ) -> Result<i64, QueueError> {
        let mut removed = None;
        self.shared
            .change_registry(|registry| removed = registry.remove(queue));
        let Some(removed) = removed else {
            return Err(QueueError::QueueAbsent {
                queue: queue.name.to_string(),
            });
        };
        // Whoever waits for this queue learns that it is gone.
        removed.arrivals.notify_waiters();
        self.drop_rows(removed.id, &ended).await
    }

    async fn delete_condemned(&self) -> Result<(), QueueError> {
        // Of an earlier run: nobody holds anything of them.
        let ended: DeliveryEnded = Arc::new(|_| {});
        for queue in self.shared.run(|work| work.condemned()).await? {
            let messages = self.drop_rows(queue, &ended).await?;
            tracing::info!(
                messages,
                "deleted what was left of a queue whose deletion had been cut off"
            );
        }
        Ok(())
    }

    async fn publish(&self, batch: PublishBatch) -> Result<Vec<Published>, QueueError> {
        let batch = Arc::new(batch);
        for _ in 0..ROOM_TRIES_MAX {
            match self.publish_now(&batch).await {
                Err(QueueError::Crowded { queue }) => self.make_room(&queue, &batch).await?,
                published => return published,
            }
        }
        self.publish_now(&batch).await
    }

    async fn recall(&self, scope: IdempotencyScope) -> Result<Option<Vec<Published>>, QueueError> {
        // On the writer, so that a first publish that is on its way there is found.
        self.shared
            .engine
            .write(move |transaction| Ok(idempotency::recall(transaction, &scope)?))
            .await
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<Message>, QueueError> {
        let queue = self.open_queue(&request.queue)?;
        let (answer, given) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let of_lease = Arc::clone(&queue);
            let leased = shared
                .write(move |work| work.lease(&of_lease, &request))
                .await;
            if let Err(Ok(messages)) = answer.send(leased) {
                // The consumer went away while its lease was being committed: nobody saw these.
                take_back(&shared, queue, &messages).await;
            }
        });
        given.await.map_err(|_| QueueError::Stopping)?
    }

    async fn settle(&self, settlement: Settlement) -> Result<Vec<SettleOutcome>, QueueError> {
        let queue = self.open_queue(&settlement.queue)?;
        let receipts = decoded(&settlement.receipts)?;
        self.shared
            .run(move |work| work.settle(&queue, &receipts, &settlement.verdict))
            .await
    }

    async fn hand_back(&self, queue: &QueueKey, receipts: &[String]) -> Result<(), QueueError> {
        let queue = self.open_queue(queue)?;
        let receipts = decoded(receipts)?;
        self.shared
            .run(move |work| work.take_back(&queue, &receipts))
            .await
    }

    async fn depth(&self, queue: &QueueKey) -> Result<Depth, QueueError> {
        let queue = self.open_queue(queue)?;
        let now = self.shared.axis.now();
        let id = queue.id;
        let mut depth = self
            .shared
            .engine
            .read(move |connection| look::depth(connection, id, now))
            .await?;
        let rates = queue.rates.lock().per_second(now.at);
        (depth.publish_rate, depth.deliver_rate, depth.ack_rate) = rates;
        Ok(depth)
    }

    async fn peek(
        &self,
        queue: &QueueKey,
        filter: StateFilter,
        after: i64,
        limit: i64,
    ) -> Result<PeekPage, QueueError> {
        let queue = self.open_queue(queue)?;
        let now = self.shared.axis.now();
        self.shared
            .engine
            .read(move |connection| look::peek(connection, &queue, filter, after, limit, now))
            .await
    }

    async fn purge(
        &self,
        queue: &QueueKey,
        filter: StateFilter,
        ended: DeliveryEnded,
    ) -> Result<i64, QueueError> {
        let queue = self.open_queue(queue)?;
        self.purge_all(queue.id, filter, &ended).await
    }

    fn arrivals(&self, queue: &QueueKey) -> Result<Arc<Notify>, QueueError> {
        Ok(Arc::clone(&self.open_queue(queue)?.arrivals))
    }

    async fn close(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.shared.engine.close().await;
    }
}

/// Errors: 1001 naming the first text that is no receipt.
fn decoded(receipts: &[String]) -> CoreResult<Vec<Receipt>> {
    let texts = receipts.iter().enumerate();
    texts
        .map(|(index, text)| Receipt::decode(index, text))
        .collect()
}

async fn take_back(shared: &Arc<Shared>, queue: Arc<OpenQueue>, messages: &[Message]) {
    let receipts: Vec<Receipt> = messages
        .iter()
        .filter_map(|message| Receipt::decode(0, message.receipt.as_deref()?).ok())
        .collect();
    if receipts.is_empty() {
        return;
    }
    if let Err(error) = shared
        .write(move |work| work.take_back(&queue, &receipts))
        .await
    {
        tracing::warn!(%error, "messages that nobody received come back when their lease ends");
    }
}
