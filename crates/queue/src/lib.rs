//! The message queue block: exchanges, bindings, durable queues, leases, retries, dead letters.
//!
//! **Promises.** A publish is answered after the commit that holds the message in every queue it was routed to; a batch is
//! one transaction. A message is handed out only after the commit that counts the attempt, and is delivered again until
//! it is acknowledged, expires, or reaches the queue's maximum of attempts: then it stands in the dead-letter queue,
//! with the history of its attempts, in the same transaction that took it from its queue. Higher priorities go first,
//! equal ones in the order of publishing; messages of one ordering key go one at a time, in order. Delivery is at least
//! once: consumers must be idempotent.
//!
//! **On failure.** Nothing is answered that is not durable; where a commit's fate is unknown the error says so, and a
//! repeat with the same idempotency key gets the first answer. A lease that ends returns its message and a later ack is
//! refused (2105). After a restart every lease that was held gets one full lease time more. Times of delay and lease run
//! on the monotonic clock, so a jump of the wall clock moves nothing.
//!
//! **Limits.** All of them stand in [`model::limits`].
//!
//! Definitions (queues, exchanges, bindings, subscriptions) live in the control plane; messages live in the backend.

pub mod backend;
pub mod error;
pub mod model;
mod routing;
mod service;
mod topology;

pub use error::QueueError;
pub use service::{Flow, QueueService, QueueServiceParts};
