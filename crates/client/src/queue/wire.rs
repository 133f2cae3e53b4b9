//! The shapes of Thrift to and from the client's own; HTTP uses the client's own as they are.

use faststr::FastStr;
use plinth_idl::queue as idl;
use serde::Deserialize;

use super::model::*;

pub(super) fn text(text: &str) -> FastStr {
    FastStr::new(text)
}

pub(super) fn text_option(text: Option<&str>) -> Option<FastStr> {
    text.map(FastStr::new)
}

pub(super) fn texts(texts: &[&str]) -> Vec<FastStr> {
    texts.iter().map(FastStr::new).collect()
}

fn owned(text: Option<FastStr>) -> Option<String> {
    text.map(|text| text.to_string())
}

#[derive(Deserialize)]
pub(super) struct PublishedBody {
    pub(super) published: Published,
}

#[derive(Deserialize)]
pub(super) struct PublishedBatchBody {
    pub(super) published: Vec<Published>,
}

#[derive(Deserialize)]
pub(super) struct MessagesBody {
    pub(super) messages: Vec<QueueMessage>,
}

#[derive(Deserialize)]
pub(super) struct ItemsBody {
    pub(super) items: Vec<Settled>,
}

#[derive(Deserialize)]
pub(super) struct CreatedBody {
    pub(super) created: bool,
}

#[derive(Deserialize)]
pub(super) struct RemovedBody {
    pub(super) removed: bool,
}

#[derive(Deserialize)]
pub(super) struct PurgedBody {
    pub(super) purged: i64,
}

impl From<&PublishMessage> for idl::QueuePublishMessage {
    fn from(message: &PublishMessage) -> Self {
        let headers = message.headers.as_ref().map(|headers| {
            headers
                .iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect()
        });
        Self {
            exchange: text_option(message.exchange.as_deref()),
            routing_key: text(&message.routing_key),
            body: message.body.clone(),
            content_type: text_option(message.content_type.as_deref()),
            headers,
            priority: message.priority,
            delay_ms: message.delay_ms,
            deliver_at_ms: message.deliver_at_ms,
            ttl_ms: message.ttl_ms,
            message_id: text_option(message.message_id.as_deref()),
            ordering_key: text_option(message.ordering_key.as_deref()),
            traceparent: text_option(message.traceparent.as_deref()),
        }
    }
}

impl From<idl::QueuePublished> for Published {
    fn from(published: idl::QueuePublished) -> Self {
        Self {
            message_id: published.message_id.to_string(),
            queues: published.queues.iter().map(FastStr::to_string).collect(),
            duplicate: published.duplicate,
        }
    }
}

impl From<idl::QueueMessage> for QueueMessage {
    fn from(message: idl::QueueMessage) -> Self {
        Self {
            message_id: message.message_id.to_string(),
            queue: message.queue.to_string(),
            exchange: message.exchange.to_string(),
            routing_key: message.routing_key.to_string(),
            body: message.body,
            content_type: message.content_type.to_string(),
            headers: message
                .headers
                .into_iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            priority: message.priority,
            attempt: message.attempt,
            published_at_ms: message.published_at_ms,
            state: message.state.to_string(),
            receipt: owned(message.receipt),
            lease_until_ms: message.lease_until_ms,
            deliver_at_ms: message.deliver_at_ms,
            expires_at_ms: message.expires_at_ms,
            ordering_key: owned(message.ordering_key),
            traceparent: owned(message.traceparent),
            history: message.history.into_iter().map(Into::into).collect(),
            dead_letter: message.dead_letter.map(Into::into),
        }
    }
}

impl From<idl::QueueAttempt> for QueueAttempt {
    fn from(attempt: idl::QueueAttempt) -> Self {
        Self {
            attempt: attempt.attempt,
            queue: attempt.queue.to_string(),
            leased_at_ms: attempt.leased_at_ms,
            ended_at_ms: attempt.ended_at_ms,
            consumer: attempt.consumer.to_string(),
            outcome: attempt.outcome.to_string(),
            error: owned(attempt.error),
        }
    }
}

impl From<idl::QueueDeadLetter> for QueueDeadLetter {
    fn from(dead: idl::QueueDeadLetter) -> Self {
        Self {
            queue: dead.queue.to_string(),
            reason: dead.reason.to_string(),
            at_ms: dead.at_ms,
        }
    }
}

impl From<idl::QueueSettled> for Settled {
    fn from(settled: idl::QueueSettled) -> Self {
        Self {
            receipt: settled.receipt.to_string(),
            settled: settled.settled,
            code: settled.code,
            message: owned(settled.message),
        }
    }
}

impl From<&QueueOptions> for idl::QueueOptions {
    fn from(options: &QueueOptions) -> Self {
        Self {
            max_length: options.max_length,
            max_bytes: options.max_bytes,
            on_full: text_option(options.on_full.as_deref()),
            ttl_ms: options.ttl_ms,
            max_attempts: options.max_attempts,
            backoff: options.backoff.as_ref().map(|backoff| idl::QueueBackoff {
                immediate_tries: backoff.immediate_tries,
                initial_ms: backoff.initial_ms,
                max_ms: backoff.max_ms,
                multiplier: backoff.multiplier,
            }),
            dead_letter_queue: text_option(options.dead_letter_queue.as_deref()),
            priorities: options.priorities,
            dedup_window_ms: options.dedup_window_ms,
        }
    }
}

impl From<idl::QueueOptions> for QueueOptions {
    fn from(options: idl::QueueOptions) -> Self {
        Self {
            max_length: options.max_length,
            max_bytes: options.max_bytes,
            on_full: owned(options.on_full),
            ttl_ms: options.ttl_ms,
            max_attempts: options.max_attempts,
            backoff: options.backoff.map(|backoff| QueueBackoff {
                immediate_tries: backoff.immediate_tries,
                initial_ms: backoff.initial_ms,
                max_ms: backoff.max_ms,
                multiplier: backoff.multiplier,
            }),
            dead_letter_queue: owned(options.dead_letter_queue),
            priorities: options.priorities,
            dedup_window_ms: options.dedup_window_ms,
        }
    }
}

impl From<idl::QueueDepth> for QueueDepth {
    fn from(depth: idl::QueueDepth) -> Self {
        Self {
            queue: depth.queue.to_string(),
            ready: depth.ready,
            leased: depth.leased,
            delayed: depth.delayed,
            dead: depth.dead,
            bytes: depth.bytes,
            oldest_age_ms: depth.oldest_age_ms,
            publish_rate: depth.publish_rate,
            deliver_rate: depth.deliver_rate,
            ack_rate: depth.ack_rate,
            consumers: depth.consumers,
        }
    }
}

impl From<idl::QueueGetQueueInfoResponse> for QueueInfo {
    fn from(info: idl::QueueGetQueueInfoResponse) -> Self {
        Self {
            depth: info.depth.into(),
            options: info.options.into(),
            bindings: info.bindings.into_iter().map(Into::into).collect(),
            subscriptions: info.subscriptions.into_iter().map(Into::into).collect(),
            created_at_ms: info.created_at_ms,
        }
    }
}

impl From<idl::QueueBinding> for QueueBinding {
    fn from(binding: idl::QueueBinding) -> Self {
        Self {
            exchange: binding.exchange.to_string(),
            exchange_type: binding.exchange_type.to_string(),
            queue: binding.queue.to_string(),
            routing_key: binding.routing_key.to_string(),
        }
    }
}

impl From<idl::QueueSubscription> for QueueSubscription {
    fn from(subscription: idl::QueueSubscription) -> Self {
        Self {
            subscription: subscription.subscription.to_string(),
            prefetch: subscription.prefetch,
            lease_ms: subscription.lease_ms,
            mode: subscription.mode.to_string(),
            url: owned(subscription.url),
        }
    }
}
