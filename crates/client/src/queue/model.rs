//! What a caller says and is told. The names are those of the HTTP interface, so these types are its bodies too.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes as base 64 text.
mod base64_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64
            .decode(text)
            .map(Bytes::from)
            .map_err(|_| de::Error::custom("expected padded base 64 text"))
    }
}

/// A message to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishMessage {
    /// Exchange that routes it; `None` routes to the queue named by the key.
    pub exchange: Option<String>,
    /// Routing key.
    pub routing_key: String,
    /// Payload.
    #[serde(rename = "body_base64", with = "base64_text")]
    pub body: Bytes,
    /// Media type of the payload.
    pub content_type: Option<String>,
    /// Headers.
    pub headers: Option<BTreeMap<String, String>>,
    /// 0 to 9; higher goes first.
    pub priority: Option<i32>,
    /// Wait before it can be received, in milliseconds.
    pub delay_ms: Option<i64>,
    /// When it can be received at the earliest, Unix milliseconds.
    pub deliver_at_ms: Option<i64>,
    /// Life from now, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// Id for deduplication.
    pub message_id: Option<String>,
    /// Messages of one key are delivered in order, one at a time.
    pub ordering_key: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

impl PublishMessage {
    /// A message straight to a queue.
    pub fn to_queue(queue: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            routing_key: queue.into(),
            body: body.into(),
            ..Self::default()
        }
    }

    /// A message to an exchange.
    pub fn to_exchange(
        exchange: impl Into<String>,
        routing_key: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            exchange: Some(exchange.into()),
            ..Self::to_queue(routing_key, body)
        }
    }
}

/// What became of a published message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its id.
    pub message_id: String,
    /// Queues that hold it.
    pub queues: Vec<String>,
    /// Whether every queue had seen the id before: nothing was stored.
    pub duplicate: bool,
}

/// One attempt at a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAttempt {
    /// Number in its queue, from 1.
    pub attempt: i32,
    /// Queue in which it happened.
    pub queue: String,
    /// When it was leased, Unix milliseconds.
    pub leased_at_ms: i64,
    /// When it ended, Unix milliseconds.
    pub ended_at_ms: i64,
    /// Who had it.
    pub consumer: String,
    /// `retry`, `dead` or `lease_expired`.
    pub outcome: String,
    /// What the consumer said.
    pub error: Option<String>,
}

/// Where a dead letter came from and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDeadLetter {
    /// Queue that gave it up.
    pub queue: String,
    /// `max_attempts`, `rejected` or `dropped`.
    pub reason: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// A message as consumers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMessage {
    /// Its id.
    pub message_id: String,
    /// Queue that holds it.
    pub queue: String,
    /// Exchange that it was published to; empty for the default one.
    pub exchange: String,
    /// Routing key that it was published with.
    pub routing_key: String,
    /// Payload.
    #[serde(rename = "body_base64", with = "base64_text")]
    pub body: Bytes,
    /// Media type of the payload.
    pub content_type: String,
    /// Headers as published.
    pub headers: BTreeMap<String, String>,
    /// 0 to 9.
    pub priority: i32,
    /// Deliveries so far, this one included.
    pub attempt: i32,
    /// When it was published, Unix milliseconds.
    pub published_at_ms: i64,
    /// `ready`, `delayed` or `leased`.
    pub state: String,
    /// Names this delivery in ack, retry and dead; absent in peek.
    pub receipt: Option<String>,
    /// When the lease ends, Unix milliseconds.
    pub lease_until_ms: Option<i64>,
    /// When it becomes ready, Unix milliseconds.
    pub deliver_at_ms: Option<i64>,
    /// When it expires, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// Its ordering key.
    pub ordering_key: Option<String>,
    /// W3C trace context of the message.
    pub traceparent: Option<String>,
    /// Attempts that failed, oldest first.
    pub history: Vec<QueueAttempt>,
    /// For a dead letter: its origin.
    pub dead_letter: Option<QueueDeadLetter>,
}

/// What to receive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReceiveOptions {
    /// Subscription whose prefetch and lease are the defaults.
    pub subscription: Option<String>,
    /// Messages at most.
    pub max: Option<i32>,
    /// How long to wait for the first one, in milliseconds.
    pub wait_ms: Option<i64>,
    /// How long the messages are held, in milliseconds.
    pub lease_ms: Option<i64>,
    /// Name of this consumer for the history.
    pub consumer: Option<String>,
}

/// What became of one receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The receipt.
    pub receipt: String,
    /// Whether it was settled.
    pub settled: bool,
    /// The number of the error where it was not: 2105 when the lease had ended.
    pub code: Option<i32>,
    /// Why it was not.
    pub message: Option<String>,
}

/// Waits between attempts; what is `None` takes its default, or was never named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueBackoff {
    /// Failed attempts that are repeated at once.
    pub immediate_tries: Option<i32>,
    /// Upper bound of the first wait, in milliseconds.
    pub initial_ms: Option<i64>,
    /// Upper bound of every wait, in milliseconds.
    pub max_ms: Option<i64>,
    /// Growth of the bound.
    pub multiplier: Option<f64>,
}

/// Options of a queue; what is `None` takes its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueOptions {
    /// Most messages in the queue.
    pub max_length: Option<i64>,
    /// Most bytes of bodies and headers.
    pub max_bytes: Option<i64>,
    /// `reject` or `drop_oldest`.
    pub on_full: Option<String>,
    /// Life of a message, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// Deliveries before the dead-letter queue.
    pub max_attempts: Option<i32>,
    /// Waits between attempts.
    pub backoff: Option<QueueBackoff>,
    /// Where failed messages go; empty for nowhere.
    pub dead_letter_queue: Option<String>,
    /// Whether messages with a higher priority go first.
    pub priorities: Option<bool>,
    /// How long a message id is remembered, in milliseconds.
    pub dedup_window_ms: Option<i64>,
}

/// A declared queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreatedQueue {
    /// Whether it was new.
    pub created: bool,
    /// The options in force.
    pub options: QueueOptions,
}

/// A deleted queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedQueue {
    /// Whether there was one.
    pub removed: bool,
    /// Messages that went with it.
    pub messages: i64,
}

/// Depths and rates of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueDepth {
    /// Its name.
    pub queue: String,
    /// Messages that can be received now.
    pub ready: i64,
    /// Messages held by consumers.
    pub leased: i64,
    /// Messages that wait for their time, or for an earlier one of their ordering key.
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
    /// Consumers that wait.
    pub consumers: i32,
}

/// A page of queues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueuePage {
    /// The queues, by name.
    pub queues: Vec<QueueDepth>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// A binding of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueBinding {
    /// The exchange.
    pub exchange: String,
    /// `direct`, `topic` or `fanout`.
    pub exchange_type: String,
    /// The queue.
    pub queue: String,
    /// Routing key or pattern.
    pub routing_key: String,
}

/// A subscription of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSubscription {
    /// Its name.
    pub subscription: String,
    /// Messages handed out at most at a time.
    pub prefetch: i32,
    /// Lease of a delivery, in milliseconds.
    pub lease_ms: i64,
    /// `polled` or `webhook`.
    pub mode: String,
    /// Where it pushes to.
    pub url: Option<String>,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueInfo {
    /// Depths and rates.
    pub depth: QueueDepth,
    /// The options in force.
    pub options: QueueOptions,
    /// Bindings that lead to it.
    pub bindings: Vec<QueueBinding>,
    /// Subscriptions that read it.
    pub subscriptions: Vec<QueueSubscription>,
    /// When it was created, Unix milliseconds.
    pub created_at_ms: i64,
}

/// A page of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagePage {
    /// The messages, in the order of publishing.
    pub messages: Vec<QueueMessage>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Where a pushing subscription delivers to.
#[derive(Clone, Serialize)]
pub struct QueueWebhook {
    /// Absolute http or https URL.
    pub url: String,
    /// Secret that signs each delivery, 16 to 256 bytes.
    pub secret: String,
}

/// Shows the URL and never the secret.
impl std::fmt::Debug for QueueWebhook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("QueueWebhook")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A durable subscription to declare.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionOptions {
    /// Queue that it reads.
    pub queue: String,
    /// Messages handed out at most at a time.
    pub prefetch: Option<i32>,
    /// Lease of a delivery, in milliseconds.
    pub lease_ms: Option<i64>,
    /// Where to push; `None` is polled.
    pub webhook: Option<QueueWebhook>,
}
