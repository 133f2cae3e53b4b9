//! What can go wrong in the queue block, each cause with its code.

use plinth_core::{Error, ErrorCode};
use plinth_store::StoreError;

use crate::model::QueueName;

/// A failure of the queue block.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// A request was refused, or the control plane failed; it already is what a caller is told.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The queue does not exist.
    #[error("queue {queue} does not exist; create it first")]
    QueueAbsent {
        /// Which one.
        queue: String,
    },
    /// The subscription does not exist on this queue.
    #[error("queue {queue} has no subscription {subscription}")]
    SubscriptionAbsent {
        /// The queue.
        queue: String,
        /// The subscription.
        subscription: String,
    },
    /// No binding takes the message.
    #[error(
        "no queue takes routing key {routing_key:?} of exchange {exchange:?}; bind one, or create the queue"
    )]
    Unroutable {
        /// The exchange; empty for the default one.
        exchange: String,
        /// The key.
        routing_key: String,
    },
    /// The queue is at a limit and refuses.
    #[error("queue {queue} is at its {limit}; try again when messages have been consumed")]
    Full {
        /// Which queue.
        queue: String,
        /// `max_length` or `max_bytes`.
        limit: &'static str,
    },
    /// A message is larger than all that one of its queues may hold.
    #[error(
        "the message has {bytes} bytes with its headers, and queue {queue} holds at most {max_bytes} in all: make it smaller, or the queue larger"
    )]
    NeverFits {
        /// Which message of the publish.
        index: usize,
        /// Which queue.
        queue: String,
        /// Its size.
        bytes: i64,
        /// The queue's `max_bytes`.
        max_bytes: i64,
    },
    /// So many of the oldest messages must go before a message fits that others have filled the queue again meanwhile.
    #[error("queue {queue} is filled faster than its oldest messages are dropped; try again")]
    Crowded {
        /// Which queue.
        queue: QueueName,
    },
    /// To find the queues of a publish would take too long.
    #[error(
        "the publish would be compared with more than {steps_max} words of patterns: publish fewer messages at a time, or bind shorter patterns"
    )]
    RoutingTooLong {
        /// The limit.
        steps_max: u64,
    },
    /// It is declared otherwise already.
    #[error("{kind} {name} exists with another declaration: {difference}")]
    Different {
        /// `queue`, `exchange` or `subscription`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The first difference, with both values.
        difference: String,
    },
    /// It cannot go while something else needs it.
    #[error("queue {queue} is the dead-letter queue of {user}; delete that one first")]
    InUse {
        /// Which queue.
        queue: String,
        /// Who needs it.
        user: String,
    },
    /// The queue has nowhere to put dead letters.
    #[error("queue {queue} is declared without a dead-letter queue")]
    NoDeadLetterQueue {
        /// Which queue.
        queue: String,
    },
    /// A tenant's number of definitions is at its limit.
    #[error("the tenant has {most} {kind} already, which is the most")]
    TooMany {
        /// What kind.
        kind: &'static str,
        /// The limit.
        most: usize,
    },
    /// Too many receives wait already.
    #[error("{most} receives wait on {place} already; come back later")]
    TooManyWaiters {
        /// `this queue` or `this instance`.
        place: &'static str,
        /// The limit.
        most: usize,
    },
    /// The service is stopping.
    #[error("the queue is stopping")]
    Stopping,
    /// The engine refused or failed.
    #[error("the message store failed")]
    Store(#[from] StoreError),
    /// Something stored cannot be read back.
    #[error("stored data cannot be read")]
    Corrupt(#[source] serde_json::Error),
    /// A task of ours ended before it could answer.
    #[error("a task ended before it could answer")]
    Lost(#[source] tokio::task::JoinError),
}

impl From<rusqlite::Error> for QueueError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How long a publisher should wait before it comes back to a queue that was full, in milliseconds.
const FULL_RETRY_AFTER_MS: u64 = 1_000;

impl From<QueueError> for Error {
    fn from(error: QueueError) -> Self {
        let message = error.to_string();
        match error {
            QueueError::Refused(error) => error,
            QueueError::Store(error) => error.into(),
            QueueError::QueueAbsent { queue } => {
                Self::not_found(message).with_detail("queue", queue)
            }
            QueueError::SubscriptionAbsent { .. } => Self::not_found(message),
            QueueError::Unroutable { .. } => Self::new(ErrorCode::QueueUnroutable, message),
            QueueError::Full { limit, .. } => Self::new(ErrorCode::QueueFull, message)
                .with_detail("limit", limit)
                .retry_after_ms(FULL_RETRY_AFTER_MS),
            QueueError::NeverFits { index, .. } => {
                Self::too_large(format!("messages[{index}]"), message)
            }
            QueueError::Crowded { .. } => {
                Self::new(ErrorCode::QueueFull, message).retry_after_ms(FULL_RETRY_AFTER_MS)
            }
            QueueError::RoutingTooLong { .. } => Self::too_large("routing_key", message),
            QueueError::Different { difference, .. } => {
                Self::conflict(message).with_detail("difference", difference)
            }
            QueueError::InUse { .. }
            | QueueError::NoDeadLetterQueue { .. }
            | QueueError::TooMany { .. } => Self::conflict(message),
            QueueError::TooManyWaiters { .. } => {
                Self::new(ErrorCode::Overloaded, message).retry_after_ms(FULL_RETRY_AFTER_MS)
            }
            QueueError::Stopping => Self::new(ErrorCode::DependencyUnavailable, message),
            QueueError::Corrupt(_) => Self::internal(error),
            QueueError::Lost(_) => Self::internal(error).outcome_unknown(),
        }
    }
}
