//! What keeps messages and leases them: a small required core, plus declared capabilities.

pub mod embedded;

use std::sync::Arc;

use async_trait::async_trait;
use plinth_core::access::IdempotencyScope;
use plinth_core::{TenantId, TimestampMs};
use tokio::sync::Notify;

use crate::error::QueueError;
use crate::model::{Message, NewMessage, Published, QueueName, QueuePolicy, StateFilter};

/// A queue of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: QueueName,
}

/// A queue as a backend must know it.
#[derive(Clone, Debug)]
pub struct QueueSpec {
    /// Which queue.
    pub key: QueueKey,
    /// Its birth: a queue that was deleted and created again is another one.
    pub uid: String,
    /// Its options.
    pub policy: Arc<QueuePolicy>,
}

/// What a backend can do beyond the required core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Higher priorities go first across everything that is ready.
    pub priorities: bool,
    /// Delays to the millisecond.
    pub delays: bool,
    /// One message in flight for each ordering key.
    pub ordering_keys: bool,
    /// Several messages in one transaction.
    pub transactions: bool,
    /// Everything survives a restart of the process.
    pub durable: bool,
}

/// A message with the queues that take it.
#[derive(Clone, Debug)]
pub struct RoutedMessage {
    /// The message.
    pub message: NewMessage,
    /// Its id: the caller's, or one that was made.
    pub message_id: String,
    /// When it was published.
    pub published_at: TimestampMs,
    /// At least one queue.
    pub queues: Vec<QueueName>,
}

/// Messages that are stored all or not at all.
#[derive(Clone, Debug)]
pub struct PublishBatch {
    /// Whose they are.
    pub tenant: TenantId,
    /// At least one.
    pub messages: Vec<RoutedMessage>,
    /// The caller's idempotency key, whose record commits with the messages.
    pub scope: Option<IdempotencyScope>,
}

/// Asks for messages to hold.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// Of which queue.
    pub queue: QueueKey,
    /// At most so many.
    pub max: i32,
    /// For how long, in milliseconds.
    pub lease_ms: i64,
    /// Who holds them.
    pub consumer: String,
}

/// What a consumer says of the messages it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Ack,
    /// Again, later.
    Retry {
        /// Wait before the next attempt, in milliseconds; `None` is the queue's backoff.
        after_ms: Option<i64>,
        /// Why.
        reason: Option<String>,
    },
    /// Never again.
    Dead {
        /// Why.
        reason: Option<String>,
    },
}

/// What a consumer says of some deliveries.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The queue of the receipts.
    pub queue: QueueKey,
    /// The deliveries.
    pub receipts: Vec<String>,
    /// What is said of all of them.
    pub verdict: Verdict,
}

/// What became of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleOutcome {
    /// It is settled.
    Settled,
    /// Its lease had ended: the message is not this consumer's any more.
    LeaseLost,
}

/// What a queue holds and how fast it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Depth {
    /// Messages that can be received now.
    pub ready: i64,
    /// Messages that consumers hold.
    pub leased: i64,
    /// Messages that wait for their time or for an earlier one of their ordering key.
    pub delayed: i64,
    /// Messages of this queue in its dead-letter queue.
    pub dead: i64,
    /// Bytes of bodies and headers.
    pub bytes: i64,
    /// Age of the oldest message, in milliseconds.
    pub oldest_age_ms: Option<i64>,
    /// Messages published per second, over the last minute.
    pub publish_rate: f64,
    /// Messages handed out per second, over the last minute.
    pub deliver_rate: f64,
    /// Messages acknowledged per second, over the last minute.
    pub ack_rate: f64,
}

/// A page of messages that are looked at without a lease.
#[derive(Clone, Debug)]
pub struct PeekPage {
    /// In the order of publishing.
    pub messages: Vec<Message>,
    /// Where to go on; `None` at the end.
    pub next: Option<i64>,
}

/// Is told the receipt of each delivery that ended because its message was deleted.
pub type DeliveryEnded = Arc<dyn Fn(&str) + Send + Sync>;

/// What keeps messages. "Done" means durable by the backend's own definition.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What it can do beyond the required core.
    fn capabilities(&self) -> Capabilities;
    /// Makes queues known; their messages of an earlier run are there again. Opening again changes nothing.
    async fn open_queues(&self, specs: Vec<QueueSpec>) -> Result<(), QueueError>;
    /// Notes durably that a queue is about to be deleted, so that a crash in the middle does not leave its messages.
    async fn condemn_queue(&self, queue: &QueueKey) -> Result<(), QueueError>;
    /// Deletes a queue and its messages, and returns their number.
    async fn delete_queue(&self, queue: &QueueKey, ended: DeliveryEnded)
    -> Result<i64, QueueError>;
    /// Deletes what a crash left of queues that were condemned and not opened again.
    async fn delete_condemned(&self) -> Result<(), QueueError>;
    /// Stores messages, all or none, and returns after they are durable.
    async fn publish(&self, batch: PublishBatch) -> Result<Vec<Published>, QueueError>;
    /// The answer that was stored under an idempotency key; `None` where there is none. For a publish that is refused before
    /// it comes to [`Backend::publish`]. Errors: 1005 where the key was used for another request.
    async fn recall(&self, scope: IdempotencyScope) -> Result<Option<Vec<Published>>, QueueError>;
    /// Leases messages that are ready now, after the commit that counts the attempt. Does not wait.
    async fn lease(&self, request: LeaseRequest) -> Result<Vec<Message>, QueueError>;
    /// Settles deliveries; one outcome for each receipt. Errors: 1001 where a receipt is none of ours.
    async fn settle(&self, settlement: Settlement) -> Result<Vec<SettleOutcome>, QueueError>;
    /// Takes deliveries back that nobody was given: as if they had never been leased, so that the attempt does not count. A
    /// lease that has ended is passed over. Errors: 1001 where a receipt is none of ours.
    async fn hand_back(&self, queue: &QueueKey, receipts: &[String]) -> Result<(), QueueError>;
    /// What a queue holds.
    async fn depth(&self, queue: &QueueKey) -> Result<Depth, QueueError>;
    /// Messages after a place, without a lease.
    async fn peek(
        &self,
        queue: &QueueKey,
        filter: StateFilter,
        after: i64,
        limit: i64,
    ) -> Result<PeekPage, QueueError>;
    /// Deletes messages that were there when it began, and returns their number.
    async fn purge(
        &self,
        queue: &QueueKey,
        filter: StateFilter,
        ended: DeliveryEnded,
    ) -> Result<i64, QueueError>;
    /// Is notified once for each message that becomes ready, after its commit.
    fn arrivals(&self, queue: &QueueKey) -> Result<Arc<Notify>, QueueError>;
    /// Ends its tasks and closes its files.
    async fn close(&self);
}
