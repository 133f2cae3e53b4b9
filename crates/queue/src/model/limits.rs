//! Named limits of the queue block, each with its unit.

/// Longest name of a queue, exchange or subscription, in bytes; leaves room for `.dead` in a name of the house.
pub const NAME_BYTES_MAX: usize = 120;
/// Longest routing key or binding pattern, in bytes.
pub const ROUTING_KEY_BYTES_MAX: usize = 255;
/// Largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest media type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Most headers of a message.
pub const HEADERS_MAX: usize = 64;
/// Longest name of a header, in bytes.
pub const HEADER_NAME_BYTES_MAX: usize = 128;
/// Longest value of a header, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 4_096;
/// Names and values of all headers together, in bytes.
pub const HEADERS_BYTES_MAX: usize = 32 * 1024;
/// Highest priority.
pub const PRIORITY_MAX: i32 = 9;
/// Longest delay or life of a message, in milliseconds: 365 days.
pub const DELAY_MS_MAX: i64 = 365 * 24 * 60 * 60 * 1_000;
/// Longest message id, in bytes.
pub const MESSAGE_ID_BYTES_MAX: usize = 128;
/// Longest ordering key, in bytes.
pub const ORDERING_KEY_BYTES_MAX: usize = 128;
/// Longest trace context, in bytes.
pub const TRACEPARENT_BYTES_MAX: usize = 128;
/// Most messages of one publish batch, and most receipts of one settlement.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Bytes of bodies in one publish batch.
pub const BATCH_BYTES_MAX: usize = 12 * 1024 * 1024;
/// Most messages of one receive.
pub const RECEIVE_MAX: i32 = 256;
/// Copies that one publish stores: one for each queue that takes a message.
pub const COPIES_MAX: usize = 20_000;
/// Words of patterns that one publish may be compared with to find its queues.
pub const ROUTING_STEPS_MAX: u64 = 16_000_000;
/// Bytes of bodies that one publish stores, all copies together.
pub const COPIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bodies, headers and histories of attempts in one reply of receive or peek, in bytes; the first message is always given.
pub const REPLY_BYTES_MAX: i64 = 8 * 1024 * 1024;
/// Shortest lease, in milliseconds.
pub const LEASE_MS_MIN: i64 = 100;
/// Longest lease, in milliseconds: 12 hours.
pub const LEASE_MS_MAX: i64 = 12 * 60 * 60 * 1_000;
/// Lease where the consumer names none, in milliseconds.
pub const LEASE_MS_DEFAULT: i64 = 30_000;
/// Longest name of a consumer, in bytes.
pub const CONSUMER_BYTES_MAX: usize = 128;
/// Longest reason of a retry or a rejection, in bytes.
pub const REASON_BYTES_MAX: usize = 1_024;
/// Longest receipt, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 64;
/// Longest wait of a retry, longest wait of a backoff, longest dedup window, in milliseconds: 7 days.
pub const RETRY_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Longest first wait of a backoff, in milliseconds: one day.
pub const BACKOFF_INITIAL_MS_MAX: i64 = 24 * 60 * 60 * 1_000;
/// Most immediate tries.
pub const IMMEDIATE_TRIES_MAX: i32 = 100;
/// Largest growth of a backoff.
pub const BACKOFF_MULTIPLIER_MAX: f64 = 10.0;
/// Most deliveries before the dead-letter queue.
pub const ATTEMPTS_MAX: i32 = 10_000;
/// Deliveries before the dead-letter queue where the queue names no number.
pub const ATTEMPTS_DEFAULT: i32 = 16;
/// Attempts kept in a message's history; the oldest go first.
pub const HISTORY_MAX: i64 = 64;
/// Largest `max_length`, in messages.
pub const QUEUE_LENGTH_MAX: i64 = 1_000_000_000;
/// Largest `max_bytes`, in bytes.
pub const QUEUE_BYTES_MAX: i64 = 1 << 50;
/// How long a message id is remembered where the queue names no window, in milliseconds.
pub const DEDUP_WINDOW_MS_DEFAULT: i64 = 600_000;
/// Most messages of one page of peek.
pub const PEEK_MAX: i64 = 256;
/// Messages in a page of peek where the caller names no number.
pub const PEEK_DEFAULT: i64 = 50;
/// Messages handed out at most at a time to a subscription that names no number.
pub const PREFETCH_DEFAULT: i32 = 16;
/// Longest URL of a webhook, in bytes.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;
/// Shortest secret of a webhook, in bytes.
pub const WEBHOOK_SECRET_BYTES_MIN: usize = 16;
/// Longest secret of a webhook, in bytes.
pub const WEBHOOK_SECRET_BYTES_MAX: usize = 256;
/// Shortest lease of a pushing subscription, in milliseconds: longer than one delivery may last.
pub const WEBHOOK_LEASE_MS_MIN: i64 = 15_000;
/// Webhook deliveries in flight in the whole process.
pub const WEBHOOKS_IN_FLIGHT_MAX: usize = 128;
/// Webhook deliveries of one tenant in flight: a part of the above, so that receivers that hang leave room for others.
pub const WEBHOOKS_PER_TENANT_MAX: usize = 32;
/// Most queues of a tenant.
pub const QUEUES_PER_TENANT_MAX: usize = 10_000;
/// Most bindings of one exchange.
pub const BINDINGS_PER_EXCHANGE_MAX: usize = 1_000;
/// Most exchanges of a tenant.
pub const EXCHANGES_PER_TENANT_MAX: usize = 1_000;
/// Most subscriptions of a tenant.
pub const SUBSCRIPTIONS_PER_TENANT_MAX: usize = 1_000;
/// Receives that wait on one queue.
pub const WAITERS_PER_QUEUE_MAX: usize = 1_024;
/// Receives that wait in the whole process.
pub const WAITERS_MAX: usize = 10_000;
