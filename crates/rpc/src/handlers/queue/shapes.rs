//! The structs of the IDL to and from the block's own.

use faststr::FastStr;
use plinth_idl::queue as idl;
use plinth_queue::model::{
    Attempt, BackoffOptions, Binding, DeadLetter, Message, PublishMessage, Published, QueueDepth,
    QueueOptions, Settled, SubscriptionInfo,
};

use crate::handlers::convert::{text, text_map};

fn shared(value: Option<String>) -> Option<FastStr> {
    value.map(FastStr::from)
}

pub(super) fn publish_message(message: idl::QueuePublishMessage) -> PublishMessage {
    PublishMessage {
        exchange: text(message.exchange),
        routing_key: message.routing_key.to_string(),
        body: message.body,
        content_type: text(message.content_type),
        headers: message.headers.map(text_map),
        priority: message.priority,
        delay_ms: message.delay_ms,
        deliver_at_ms: message.deliver_at_ms,
        ttl_ms: message.ttl_ms,
        message_id: text(message.message_id),
        ordering_key: text(message.ordering_key),
        traceparent: text(message.traceparent),
    }
}

pub(super) fn published(published: Published) -> idl::QueuePublished {
    idl::QueuePublished {
        message_id: published.message_id.into(),
        queues: published.queues.into_iter().map(Into::into).collect(),
        duplicate: published.duplicate,
    }
}

pub(super) fn message(message: Message) -> idl::QueueMessage {
    idl::QueueMessage {
        message_id: message.message_id.into(),
        queue: message.queue.into(),
        exchange: message.exchange.into(),
        routing_key: message.routing_key.into(),
        body: message.body,
        content_type: message.content_type.into(),
        headers: message
            .headers
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        priority: message.priority,
        attempt: message.attempt,
        published_at_ms: message.published_at_ms,
        state: message.state.into(),
        receipt: shared(message.receipt),
        lease_until_ms: message.lease_until_ms,
        deliver_at_ms: message.deliver_at_ms,
        expires_at_ms: message.expires_at_ms,
        ordering_key: shared(message.ordering_key),
        traceparent: shared(message.traceparent),
        history: message.history.into_iter().map(attempt).collect(),
        dead_letter: message.dead_letter.map(dead_letter),
    }
}

fn attempt(attempt: Attempt) -> idl::QueueAttempt {
    idl::QueueAttempt {
        attempt: attempt.attempt,
        queue: attempt.queue.into(),
        leased_at_ms: attempt.leased_at_ms,
        ended_at_ms: attempt.ended_at_ms,
        consumer: attempt.consumer.into(),
        outcome: attempt.outcome.into(),
        error: shared(attempt.error),
    }
}

fn dead_letter(dead: DeadLetter) -> idl::QueueDeadLetter {
    idl::QueueDeadLetter {
        queue: dead.queue.into(),
        reason: dead.reason.into(),
        at_ms: dead.at_ms,
    }
}

pub(super) fn settled(settled: Settled) -> idl::QueueSettled {
    idl::QueueSettled {
        receipt: settled.receipt.into(),
        settled: settled.settled,
        code: settled.code,
        message: shared(settled.message),
    }
}

pub(super) fn options_in(options: idl::QueueOptions) -> QueueOptions {
    QueueOptions {
        max_length: options.max_length,
        max_bytes: options.max_bytes,
        on_full: text(options.on_full),
        ttl_ms: options.ttl_ms,
        max_attempts: options.max_attempts,
        backoff: options.backoff.map(|backoff| BackoffOptions {
            immediate_tries: backoff.immediate_tries,
            initial_ms: backoff.initial_ms,
            max_ms: backoff.max_ms,
            multiplier: backoff.multiplier,
        }),
        dead_letter_queue: text(options.dead_letter_queue),
        priorities: options.priorities,
        dedup_window_ms: options.dedup_window_ms,
    }
}

pub(super) fn options_out(options: QueueOptions) -> idl::QueueOptions {
    idl::QueueOptions {
        max_length: options.max_length,
        max_bytes: options.max_bytes,
        on_full: shared(options.on_full),
        ttl_ms: options.ttl_ms,
        max_attempts: options.max_attempts,
        backoff: options.backoff.map(|backoff| idl::QueueBackoff {
            immediate_tries: backoff.immediate_tries,
            initial_ms: backoff.initial_ms,
            max_ms: backoff.max_ms,
            multiplier: backoff.multiplier,
        }),
        dead_letter_queue: shared(options.dead_letter_queue),
        priorities: options.priorities,
        dedup_window_ms: options.dedup_window_ms,
    }
}

pub(super) fn depth(depth: QueueDepth) -> idl::QueueDepth {
    idl::QueueDepth {
        queue: depth.queue.into(),
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

pub(super) fn binding(binding: Binding) -> idl::QueueBinding {
    idl::QueueBinding {
        exchange: binding.exchange.into(),
        exchange_type: binding.exchange_type.into(),
        queue: binding.queue.into(),
        routing_key: binding.routing_key.into(),
    }
}

pub(super) fn subscription(subscription: SubscriptionInfo) -> idl::QueueSubscription {
    idl::QueueSubscription {
        subscription: subscription.subscription.into(),
        prefetch: subscription.prefetch,
        lease_ms: subscription.lease_ms,
        mode: subscription.mode.into(),
        url: shared(subscription.url),
    }
}
