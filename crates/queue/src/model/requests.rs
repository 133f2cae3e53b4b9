//! Requests and replies: the words of the IDL, used by the HTTP edge as they stand.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::base64_text;
use super::message::{PublishMessage, Published};
use super::options::QueueOptions;

/// Declares structs with what every request and reply has in common.
macro_rules! wire {
    ($( $(#[$meta:meta])* $name:ident as $schema:ident { $( $(#[$field_meta:meta])* $field:ident: $kind:ty, )* } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(as = $schema)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $kind, )* }
    )* };
}

wire! {
    /// Publishes one message.
    PublishRequest as QueuePublishRequest {
        /// The message.
        message: PublishMessage,
    }
    /// What became of it.
    PublishReply as QueuePublishReply {
        /// What became of it.
        published: Published,
    }
    /// Publishes many messages, all or nothing.
    PublishBatchRequest as QueuePublishBatchRequest {
        /// 1 to 1,000 messages.
        messages: Vec<PublishMessage>,
    }
    /// What became of each.
    PublishBatchReply as QueuePublishBatchReply {
        /// In the order of the request.
        published: Vec<Published>,
    }
    /// Declares a durable subscription.
    SubscribeRequest as QueueSubscribeRequest {
        /// Queue that it reads.
        queue: String,
        /// Messages handed out at most at a time, 1 to 256. Default 16.
        prefetch: Option<i32>,
        /// Lease of a delivery, 100 to 43,200,000 ms. Default 30,000.
        lease_ms: Option<i64>,
        /// `polled` or `webhook`. Default `polled`.
        mode: Option<String>,
        /// Where to push; required for `webhook`, refused for `polled`.
        webhook: Option<Webhook>,
    }
    /// Whether the subscription is new.
    SubscribeReply as QueueSubscribeReply {
        /// Whether it was new; the same declaration again changes nothing.
        created: bool,
    }
    /// Ends a subscription.
    UnsubscribeRequest as QueueUnsubscribeRequest {
        /// Name of the subscription.
        subscription: String,
    }
    /// Whether there was one.
    UnsubscribeReply as QueueUnsubscribeReply {
        /// Whether there was one.
        removed: bool,
    }
    /// One attempt at a message.
    Attempt as QueueAttempt {
        /// Number of the attempt in its queue, from 1.
        attempt: i32,
        /// Queue in which it happened.
        queue: String,
        /// When it was leased, in ms since 1970.
        leased_at_ms: i64,
        /// When it ended, in ms since 1970.
        ended_at_ms: i64,
        /// Who had it.
        consumer: String,
        /// `retry`, `dead`, `lease_expired`.
        outcome: String,
        /// What the consumer said.
        error: Option<String>,
    }
    /// Where a dead letter came from and why.
    DeadLetter as QueueDeadLetter {
        /// Queue that gave it up.
        queue: String,
        /// `max_attempts`, `rejected`, `dropped`.
        reason: String,
        /// When, in ms since 1970.
        at_ms: i64,
    }
    /// A message as consumers see it.
    Message as QueueMessage {
        /// Its id.
        message_id: String,
        /// Queue that holds it.
        queue: String,
        /// Exchange that it was published to; empty for the default exchange.
        exchange: String,
        /// Routing key that it was published with.
        routing_key: String,
        /// Payload in base 64.
        #[serde(rename = "body_base64", with = "base64_text")]
        #[schema(value_type = String, format = Byte)]
        body: Bytes,
        /// Media type of the payload.
        content_type: String,
        /// Headers as published.
        headers: BTreeMap<String, String>,
        /// 0 to 9.
        priority: i32,
        /// Deliveries so far, this one included.
        attempt: i32,
        /// When it was published, in ms since 1970.
        published_at_ms: i64,
        /// `ready`, `delayed` or `leased`.
        state: String,
        /// Names this delivery in ack, retry and dead; absent in peek.
        receipt: Option<String>,
        /// When the lease ends, in ms since 1970; absent unless leased.
        lease_until_ms: Option<i64>,
        /// When it becomes ready, in ms since 1970; absent unless delayed.
        deliver_at_ms: Option<i64>,
        /// When it expires, in ms since 1970.
        expires_at_ms: Option<i64>,
        /// Its ordering key.
        ordering_key: Option<String>,
        /// W3C trace context of the message.
        traceparent: Option<String>,
        /// Attempts that failed, oldest first; the last 64.
        history: Vec<Attempt>,
        /// For a dead letter: its origin.
        dead_letter: Option<DeadLetter>,
    }
    /// Leases messages.
    ReceiveRequest as QueueReceiveRequest {
        /// Queue to read.
        queue: String,
        /// Subscription of that queue whose prefetch and lease are the defaults.
        subscription: Option<String>,
        /// Messages at most, 1 to 256. Default 1, or the subscription's prefetch.
        max: Option<i32>,
        /// How long to wait for the first message, 0 to 60,000 ms. Default 0.
        wait_ms: Option<i64>,
        /// How long the messages are held, 100 to 43,200,000 ms. Default 30,000, or the subscription's.
        lease_ms: Option<i64>,
        /// Name of this consumer for the history, at most 128 bytes. Default: the principal.
        consumer: Option<String>,
    }
    /// Leased messages.
    ReceiveReply as QueueReceiveReply {
        /// The most urgent first; empty when the wait ended. At most 8 MiB of bodies.
        messages: Vec<Message>,
    }
    /// What became of one receipt.
    Settled as QueueSettled {
        /// The receipt.
        receipt: String,
        /// Whether it was settled.
        settled: bool,
        /// Error code where it was not: 2105 when the lease had ended.
        code: Option<i32>,
        /// Why it was not settled.
        message: Option<String>,
    }
    /// What became of each receipt.
    SettleReply as QueueSettleReply {
        /// In the order of the request.
        items: Vec<Settled>,
    }
    /// Settles leased messages as done.
    AckRequest as QueueAckRequest {
        /// Queue of the receipts.
        queue: String,
        /// 1 to 1,000 receipts.
        receipts: Vec<String>,
    }
    /// Hands leased messages back for another attempt.
    RetryRequest as QueueRetryRequest {
        /// Queue of the receipts.
        queue: String,
        /// 1 to 1,000 receipts.
        receipts: Vec<String>,
        /// Wait before the next attempt, 0 to 604,800,000 ms. Default: the queue's backoff.
        after_ms: Option<i64>,
        /// Why, for the history; at most 1,024 bytes.
        reason: Option<String>,
    }
    /// Moves leased messages to the dead-letter queue.
    DeadRequest as QueueDeadRequest {
        /// Queue of the receipts.
        queue: String,
        /// 1 to 1,000 receipts.
        receipts: Vec<String>,
        /// Why, for the history; at most 1,024 bytes.
        reason: Option<String>,
    }
    /// Declares a queue.
    CreateQueueRequest as QueueCreateQueueRequest {
        /// Its options.
        options: Option<QueueOptions>,
    }
    /// The declared queue.
    CreateQueueReply as QueueCreateQueueReply {
        /// Whether it was new; the same declaration again changes nothing.
        created: bool,
        /// The options in force, defaults filled in.
        options: QueueOptions,
    }
    /// Deletes a queue and its messages.
    DeleteQueueRequest as QueueDeleteQueueRequest {
        /// Name of the queue.
        queue: String,
    }
    /// What went.
    DeleteQueueReply as QueueDeleteQueueReply {
        /// Whether there was one.
        removed: bool,
        /// Messages that went with it.
        messages: i64,
    }
    /// A binding of a queue.
    Binding as QueueBinding {
        /// The exchange.
        exchange: String,
        /// `direct`, `topic` or `fanout`.
        exchange_type: String,
        /// The queue.
        queue: String,
        /// Routing key, or pattern for a topic exchange.
        routing_key: String,
    }
    /// A subscription of a queue, without its secret.
    SubscriptionInfo as QueueSubscription {
        /// Its name.
        subscription: String,
        /// Messages handed out at most at a time.
        prefetch: i32,
        /// Lease of a delivery, in ms.
        lease_ms: i64,
        /// `polled` or `webhook`.
        mode: String,
        /// Where it pushes to.
        url: Option<String>,
    }
    /// Depths and rates of a queue.
    QueueDepth as QueueDepth {
        /// Name of the queue.
        queue: String,
        /// Messages that can be received now.
        ready: i64,
        /// Messages held by consumers.
        leased: i64,
        /// Messages that wait for their time, or for an earlier one of their ordering key.
        delayed: i64,
        /// Messages of this queue in its dead-letter queue.
        dead: i64,
        /// Bytes of bodies and headers.
        bytes: i64,
        /// Age of the oldest message in it, in ms; absent when it is empty.
        oldest_age_ms: Option<i64>,
        /// Messages published per second, over the last 60 s.
        publish_rate: f64,
        /// Messages handed out per second, over the last 60 s.
        deliver_rate: f64,
        /// Messages acknowledged per second, over the last 60 s.
        ack_rate: f64,
        /// Consumers that wait for a message at this moment.
        consumers: i32,
    }
    /// Lists queues.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    ListQueuesRequest as QueueListQueuesRequest {
        /// Only queues whose name begins so.
        prefix: Option<String>,
        /// Where to go on: `next_cursor` of the page before.
        cursor: Option<String>,
        /// Queues in a page, 1 to 1,000. Default 50.
        limit: Option<i64>,
    }
    /// A page of queues.
    ListQueuesReply as QueueListQueuesReply {
        /// The page, by name.
        queues: Vec<QueueDepth>,
        /// Where the next page begins; absent at the end.
        next_cursor: Option<String>,
    }
    /// Asks for one queue.
    GetQueueInfoRequest as QueueGetQueueInfoRequest {
        /// Name of the queue.
        queue: String,
    }
    /// One queue.
    QueueInfo as QueueInfo {
        /// Depths and rates.
        depth: QueueDepth,
        /// The options in force.
        options: QueueOptions,
        /// Bindings that lead to it.
        bindings: Vec<Binding>,
        /// Subscriptions that read it.
        subscriptions: Vec<SubscriptionInfo>,
        /// When it was created, in ms since 1970.
        created_at_ms: i64,
    }
    /// Binds a queue to an exchange.
    BindRequest as QueueBindRequest {
        /// Exchange to bind to; declared when absent.
        exchange: String,
        /// `direct`, `topic` or `fanout`. Default: the type of the exchange where it exists, else `direct`.
        exchange_type: Option<String>,
        /// Queue to bind; must exist.
        queue: String,
        /// The key, or the pattern of a topic. Default empty.
        routing_key: Option<String>,
    }
    /// Whether the binding is new.
    BindReply as QueueBindReply {
        /// Whether it was new.
        created: bool,
    }
    /// Removes a binding.
    UnbindRequest as QueueUnbindRequest {
        /// The exchange; it goes with its last binding.
        exchange: String,
        /// The queue.
        queue: String,
        /// The key or pattern of the binding. Default empty.
        routing_key: Option<String>,
    }
    /// Whether there was one.
    UnbindReply as QueueUnbindReply {
        /// Whether there was one.
        removed: bool,
    }
    /// Looks into a queue.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    PeekRequest as QueuePeekRequest {
        /// `all`, `ready`, `delayed` or `leased`. Default `all`.
        state: Option<String>,
        /// Where to go on: `next_cursor` of the page before.
        cursor: Option<String>,
        /// Messages in a page, 1 to 256. Default 50.
        limit: Option<i64>,
    }
    /// A page of messages.
    PeekReply as QueuePeekReply {
        /// In the order of publishing.
        messages: Vec<Message>,
        /// Where the next page begins; absent at the end.
        next_cursor: Option<String>,
    }
    /// Deletes messages of a queue.
    PurgeRequest as QueuePurgeRequest {
        /// `ready`, `delayed`, `leased`, `all` or `dead`. Default `all`.
        state: Option<String>,
    }
    /// What went.
    PurgeReply as QueuePurgeReply {
        /// Messages deleted.
        purged: i64,
    }
}

/// Where a pushing subscription delivers to.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueWebhook)]
pub struct Webhook {
    /// Absolute http or https URL, at most 2,048 bytes. Redirects are not followed.
    pub url: String,
    /// Secret that signs each delivery, 16 to 256 bytes. It is never shown again.
    pub secret: String,
}

/// Shows the URL and never the secret.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Webhook")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
