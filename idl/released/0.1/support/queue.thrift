// The structs of the queue block.
//
// Names of queues, exchanges and subscriptions hold letters, digits, '.', '_', '-' and ':', begin with a letter, a digit
// or '_', and have at most 120 bytes. Times ending in `_at_ms` are milliseconds since 1970-01-01T00:00:00Z.
namespace go support.queue
namespace py support.queue
namespace java support.queue
namespace js support.queue

include "../base.thrift"

// How long a failed message waits before its next attempt: first `immediate_tries` without a wait, then a random time
// between 0 and min(max_ms, initial_ms × multiplier^n) ("full jitter"). A field left out takes its default.
struct QueueBackoff {
    // Failed attempts that are repeated at once, 0 to 100. Default 0.
    1: optional i32 immediate_tries
    // Upper bound of the first wait, 1 to 86,400,000 ms. Default 1,000.
    2: optional i64 initial_ms
    // Upper bound of every wait, `initial_ms` to 604,800,000 ms. Default 300,000.
    3: optional i64 max_ms
    // Growth of the bound for each further failure, 1.0 to 10.0. Default 2.0.
    4: optional double multiplier
}

// Options of a queue. A field left out takes its default.
struct QueueOptions {
    // Most messages in the queue, in any state; 1 to 1,000,000,000. Default: no limit.
    1: optional i64 max_length
    // Most bytes of bodies and headers in the queue; 1 to 2^50. Default: no limit.
    2: optional i64 max_bytes
    // What happens to a publish at a limit: `reject` (error 2106) or `drop_oldest` (the oldest ready message goes to the
    // dead-letter queue). Default `reject`.
    3: optional string on_full
    // Life of a message from its publish, 1 to 31,536,000,000 ms; what expires goes. Default: no expiry.
    4: optional i64 ttl_ms
    // Deliveries before a message goes to the dead-letter queue, 1 to 10,000. Default 16.
    5: optional i32 max_attempts
    // Waits between attempts.
    6: optional QueueBackoff backoff
    // Where failed messages go; created with the queue when it is absent. Default `<queue>.dead`. Empty means that this
    // queue is itself an end: messages are tried for ever and `dead` is refused.
    7: optional string dead_letter_queue
    // Whether messages with a higher priority go first. Default true.
    8: optional bool priorities
    // How long a message id is remembered, 0 to 604,800,000 ms; 0 switches deduplication off. Default 600,000.
    9: optional i64 dedup_window_ms
}

// One message to publish.
struct QueuePublishMessage {
    // Exchange that routes it; empty or absent is the default exchange, which routes to the queue named by the key.
    1: optional string exchange
    // Routing key, at most 255 bytes; words parted by '.' for topic exchanges.
    2: required string routing_key
    // Payload, at most 1,048,576 bytes.
    3: required binary body
    // Media type of the payload, at most 255 bytes. Default `application/octet-stream`.
    4: optional string content_type
    // At most 64 entries; name at most 128 bytes, value at most 4,096, together at most 32,768.
    5: optional map<string, string> headers
    // 0 to 9; higher goes first. Default 0.
    6: optional i32 priority
    // Wait before it can be received, 0 to 31,536,000,000 ms. Not together with `deliver_at_ms`.
    7: optional i64 delay_ms
    // When it can be received at the earliest. A past time means at once.
    8: optional i64 deliver_at_ms
    // Life from now, 1 to 31,536,000,000 ms; the shorter of this and the queue's counts.
    9: optional i64 ttl_ms
    // Caller's id, 1 to 128 visible ASCII characters: a second message with it inside a queue's dedup window is not stored
    // again. Default: one is made.
    10: optional string message_id
    // Messages of one key are delivered in order, one at a time; 1 to 128 bytes.
    11: optional string ordering_key
    // W3C trace context of the message. Default: the one of the request.
    12: optional string traceparent
}

// What became of one published message. It is on disk when this is returned.
struct QueuePublished {
    // Its id.
    1: required string message_id
    // Queues that hold it, by name.
    2: required list<string> queues
    // Whether every queue had already seen the id: nothing was stored.
    3: required bool duplicate
}

struct QueuePublishRequest {
    // The message.
    1: required QueuePublishMessage message
    // Idempotency key: a repeat with the same message gets the first answer. 1 to 128 visible ASCII characters.
    254: optional string request_id
    255: optional base.Base base
}

struct QueuePublishResponse {
    // What became of it.
    1: required QueuePublished published
    255: optional base.BaseResp base_resp
}

struct QueuePublishBatchRequest {
    // 1 to 1,000 messages: all or nothing.
    1: required list<QueuePublishMessage> messages
    // Idempotency key: a repeat with the same messages gets the first answer. 1 to 128 visible ASCII characters.
    254: optional string request_id
    255: optional base.Base base
}

struct QueuePublishBatchResponse {
    // What became of each, in the order of the request.
    1: required list<QueuePublished> published
    255: optional base.BaseResp base_resp
}

// Where a pushing subscription delivers to.
struct QueueWebhook {
    // Absolute http or https URL, at most 2,048 bytes. Private addresses are refused unless the server's settings allow
    // them; redirects are not followed.
    1: required string url
    // Secret that signs each delivery, 16 to 256 bytes. It is never shown again.
    2: required string secret
}

struct QueueSubscribeRequest {
    // Name of the subscription.
    1: required string subscription
    // Queue that it reads.
    2: required string queue
    // Messages handed out at most at a time, 1 to 256. Default 16.
    3: optional i32 prefetch
    // Lease of a delivery, 100 (`webhook`: 15,000) to 43,200,000 ms. Default 30,000.
    4: optional i64 lease_ms
    // `polled` (read by receive) or `webhook` (pushed). Default `polled`.
    5: optional string mode
    // Where to push; required for `webhook`, refused for `polled`.
    6: optional QueueWebhook webhook
    255: optional base.Base base
}

struct QueueSubscribeResponse {
    // Whether it was new; the same declaration again changes nothing, a different one is a conflict (1005).
    1: required bool created
    255: optional base.BaseResp base_resp
}

struct QueueUnsubscribeRequest {
    // Name of the subscription.
    1: required string subscription
    255: optional base.Base base
}

struct QueueUnsubscribeResponse {
    // Whether there was one.
    1: required bool removed
    255: optional base.BaseResp base_resp
}

// One attempt at a message.
struct QueueAttempt {
    // Number of the attempt in its queue, from 1.
    1: required i32 attempt
    // Queue in which it happened.
    2: required string queue
    // When it was leased.
    3: required i64 leased_at_ms
    // When it ended.
    4: required i64 ended_at_ms
    // Who had it.
    5: required string consumer
    // `retry`, `dead`, `lease_expired`.
    6: required string outcome
    // What the consumer said; at most 1,024 bytes.
    7: optional string error
}

// Where a dead letter came from and why.
struct QueueDeadLetter {
    // Queue that gave it up.
    1: required string queue
    // `max_attempts`, `rejected`, `dropped`.
    2: required string reason
    // When.
    3: required i64 at_ms
}

// A message as consumers see it.
struct QueueMessage {
    // Its id.
    1: required string message_id
    // Queue that holds it.
    2: required string queue
    // Exchange that it was published to; empty for the default exchange.
    3: required string exchange
    // Routing key that it was published with.
    4: required string routing_key
    // Payload.
    5: required binary body
    // Media type of the payload.
    6: required string content_type
    // Headers as published.
    7: required map<string, string> headers
    // 0 to 9.
    8: required i32 priority
    // Deliveries so far, this one included.
    9: required i32 attempt
    // When it was published.
    10: required i64 published_at_ms
    // `ready`, `delayed` or `leased`.
    11: required string state
    // Names this delivery in ack, retry and dead; absent in peek.
    12: optional string receipt
    // When the lease ends; absent unless leased.
    13: optional i64 lease_until_ms
    // When it becomes ready; absent unless delayed.
    14: optional i64 deliver_at_ms
    // When it expires.
    15: optional i64 expires_at_ms
    // Its ordering key.
    16: optional string ordering_key
    // W3C trace context of the message.
    17: optional string traceparent
    // Attempts that failed, oldest first; the last 64.
    18: required list<QueueAttempt> history
    // For a dead letter: its origin.
    19: optional QueueDeadLetter dead_letter
}

struct QueueReceiveRequest {
    // Queue to read.
    1: required string queue
    // Subscription of that queue whose prefetch and lease are the defaults.
    2: optional string subscription
    // Messages at most, 1 to 256. Default 1, or the subscription's prefetch.
    3: optional i32 max
    // How long to wait for the first message, 0 to 60,000 ms. Default 0.
    4: optional i64 wait_ms
    // How long the messages are held for this consumer, 100 to 43,200,000 ms. Default 30,000, or the subscription's.
    5: optional i64 lease_ms
    // Name of this consumer for the history, at most 128 bytes. Default: the principal.
    6: optional string consumer
    255: optional base.Base base
}

struct QueueReceiveResponse {
    // Leased messages, the most urgent first; empty when the wait ended. At most 8 MiB of bodies in one reply.
    1: required list<QueueMessage> messages
    255: optional base.BaseResp base_resp
}

// What became of one receipt.
struct QueueSettled {
    // The receipt.
    1: required string receipt
    // Whether it was settled.
    2: required bool settled
    // Error code where it was not: 2105 when the lease had ended.
    3: optional i32 code
    // Why it was not settled.
    4: optional string message
}

struct QueueAckRequest {
    // Queue of the receipts.
    1: required string queue
    // 1 to 1,000 receipts.
    2: required list<string> receipts
    255: optional base.Base base
}

struct QueueAckResponse {
    // One for each receipt, in the order of the request.
    1: required list<QueueSettled> items
    255: optional base.BaseResp base_resp
}

struct QueueRetryRequest {
    // Queue of the receipts.
    1: required string queue
    // 1 to 1,000 receipts.
    2: required list<string> receipts
    // Wait before the next attempt, 0 to 604,800,000 ms. Default: the queue's backoff.
    3: optional i64 after_ms
    // Why, for the history; at most 1,024 bytes.
    4: optional string reason
    255: optional base.Base base
}

struct QueueRetryResponse {
    // One for each receipt, in the order of the request.
    1: required list<QueueSettled> items
    255: optional base.BaseResp base_resp
}

struct QueueDeadRequest {
    // Queue of the receipts.
    1: required string queue
    // 1 to 1,000 receipts.
    2: required list<string> receipts
    // Why, for the history; at most 1,024 bytes.
    3: optional string reason
    255: optional base.Base base
}

struct QueueDeadResponse {
    // One for each receipt, in the order of the request.
    1: required list<QueueSettled> items
    255: optional base.BaseResp base_resp
}

struct QueueCreateQueueRequest {
    // Name of the queue.
    1: required string queue
    // Its options.
    2: optional QueueOptions options
    255: optional base.Base base
}

struct QueueCreateQueueResponse {
    // Whether it was new; the same declaration again changes nothing, a different one is a conflict (1005).
    1: required bool created
    // The options in force, defaults filled in.
    2: required QueueOptions options
    255: optional base.BaseResp base_resp
}

struct QueueDeleteQueueRequest {
    // Name of the queue.
    1: required string queue
    255: optional base.Base base
}

struct QueueDeleteQueueResponse {
    // Whether there was one. Its bindings and subscriptions go with it; its dead-letter queue stays.
    1: required bool removed
    // Messages that went with it.
    2: required i64 messages
    255: optional base.BaseResp base_resp
}

// A binding of a queue.
struct QueueBinding {
    // The exchange.
    1: required string exchange
    // `direct`, `topic` or `fanout`.
    2: required string exchange_type
    // The queue.
    3: required string queue
    // Routing key, or pattern for a topic exchange.
    4: required string routing_key
}

// A subscription of a queue, without its secret.
struct QueueSubscription {
    // Its name.
    1: required string subscription
    // Messages handed out at most at a time.
    2: required i32 prefetch
    // Lease of a delivery, in ms.
    3: required i64 lease_ms
    // `polled` or `webhook`.
    4: required string mode
    // Where it pushes to.
    5: optional string url
}

// Depths and rates of a queue.
struct QueueDepth {
    // Name of the queue.
    1: required string queue
    // Messages that can be received now.
    2: required i64 ready
    // Messages held by consumers.
    3: required i64 leased
    // Messages that wait for their time, or for an earlier one of their ordering key.
    4: required i64 delayed
    // Messages of this queue in its dead-letter queue.
    5: required i64 dead
    // Bytes of bodies and headers.
    6: required i64 bytes
    // Age of the oldest message in it, in ms; absent when it is empty.
    7: optional i64 oldest_age_ms
    // Messages published per second, over the last 60 s.
    8: required double publish_rate
    // Messages handed out per second, over the last 60 s.
    9: required double deliver_rate
    // Messages acknowledged per second, over the last 60 s.
    10: required double ack_rate
    // Consumers that wait for a message at this moment.
    11: required i32 consumers
}

struct QueueListQueuesRequest {
    // Only queues whose name begins so.
    1: optional string prefix
    // Where to go on: `next_cursor` of the page before.
    2: optional string cursor
    // Queues in a page, 1 to 1,000. Default 50.
    3: optional i32 limit
    255: optional base.Base base
}

struct QueueListQueuesResponse {
    // The page, by name.
    1: required list<QueueDepth> queues
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}

struct QueueGetQueueInfoRequest {
    // Name of the queue.
    1: required string queue
    255: optional base.Base base
}

struct QueueGetQueueInfoResponse {
    // Depths and rates.
    1: required QueueDepth depth
    // The options in force.
    2: required QueueOptions options
    // Bindings that lead to it.
    3: required list<QueueBinding> bindings
    // Subscriptions that read it.
    4: required list<QueueSubscription> subscriptions
    // When it was created.
    5: required i64 created_at_ms
    255: optional base.BaseResp base_resp
}

struct QueueBindRequest {
    // Exchange to bind to; declared when absent. Not the default exchange.
    1: required string exchange
    // `direct`, `topic` or `fanout`. Default: the type of the exchange where it exists, else `direct`. Another type than
    // the existing one is a conflict (1005).
    2: optional string exchange_type
    // Queue to bind; must exist.
    3: required string queue
    // Direct: the key itself. Topic: words parted by '.', where '*' is one word and '#' any number of words. Fanout: not
    // looked at. At most 255 bytes. Default empty.
    4: optional string routing_key
    255: optional base.Base base
}

struct QueueBindResponse {
    // Whether it was new.
    1: required bool created
    255: optional base.BaseResp base_resp
}

struct QueueUnbindRequest {
    // The exchange; it goes with its last binding.
    1: required string exchange
    // The queue.
    2: required string queue
    // The key or pattern of the binding. Default empty.
    3: optional string routing_key
    255: optional base.Base base
}

struct QueueUnbindResponse {
    // Whether there was one.
    1: required bool removed
    255: optional base.BaseResp base_resp
}

struct QueuePeekRequest {
    // Queue to look into.
    1: required string queue
    // `all`, `ready`, `delayed` or `leased`. Default `all`.
    2: optional string state
    // Where to go on: `next_cursor` of the page before.
    3: optional string cursor
    // Messages in a page, 1 to 256. Default 50. A page ends early at 8 MiB of bodies.
    4: optional i32 limit
    255: optional base.Base base
}

struct QueuePeekResponse {
    // The page, in the order of publishing.
    1: required list<QueueMessage> messages
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}

struct QueuePurgeRequest {
    // Queue to purge.
    1: required string queue
    // `ready`, `delayed`, `leased`, `all` (these three), or `dead` (messages of this queue in its dead-letter queue).
    // Default `all`. Settling a purged lease is refused with 2105.
    2: optional string state
    255: optional base.Base base
}

struct QueuePurgeResponse {
    // Messages deleted.
    1: required i64 purged
    255: optional base.BaseResp base_resp
}
