//! What can go wrong in the lock block, each cause with its code.

use plinth_core::{Error, ErrorCode};
use plinth_store::StoreError;

/// A failure of the lock block.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A request was refused, or the control plane failed; it already is what a caller is told.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The lock is in use as another kind of lock.
    #[error("the lock is in use as {}; wait until it is free, or take another name", kind(*size))]
    OtherKind {
        /// The size of the semaphore that it is; `None` for a lock that is exclusive or shared.
        size: Option<i32>,
    },
    /// The owner holds it already.
    #[error(
        "the owner holds it already and would wait for itself; ask with `reentrant`, or as another owner"
    )]
    HeldByItself,
    /// The owner holds it shared and asks for all of it.
    #[error(
        "the owner holds it shared and would wait for itself; release that first, then acquire it exclusively"
    )]
    Upgrade,
    /// A wait that would never end.
    #[error("waiting would close a circle: {circle}; release what you hold and begin anew")]
    Deadlock {
        /// Who waits for whom.
        circle: String,
    },
    /// It was taken until the wait ended.
    #[error("lock {lock} was taken{}; wait longer or come back later", until(*waited_ms))]
    NotAcquired {
        /// Which lock.
        lock: String,
        /// How long it was waited for, in milliseconds.
        waited_ms: i64,
        /// Some of those who hold it.
        holders: Vec<String>,
        /// How many came earlier and still wait.
        ahead: usize,
    },
    /// A limit of the block.
    #[error("there are {most} {limit} already, which is the most; come back later")]
    Limit {
        /// Of what: `waiters`, `holds`, `locks`, `waits`.
        limit: &'static str,
        /// The limit.
        most: usize,
    },
    /// The service is stopping.
    #[error("the locks are stopping")]
    Stopping,
    /// The counter of tokens is used up.
    #[error("the tokens of this epoch are used up; a restart takes a new one")]
    TokensUsedUp,
    /// The engine refused or failed.
    #[error("the lock store failed")]
    Store(#[from] StoreError),
    /// A record was written by a newer release.
    #[error("the record of a lock has version {found}, this release knows {known}")]
    Newer {
        /// The version found.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Something stored cannot be read back.
    #[error("stored data cannot be read")]
    Corrupt(#[source] serde_json::Error),
    /// A task of ours ended before it could answer.
    #[error("a task ended before it could answer")]
    Lost,
}

impl LockError {
    /// A failure of the control database that keeps the locks: 2601 where it is away.
    pub(crate) fn database(cause: Error) -> Self {
        Self::Refused(unreachable_backend(cause))
    }
}

fn kind(size: Option<i32>) -> String {
    match size {
        Some(size) => format!("a semaphore of {size} permits"),
        None => "an exclusive or shared lock".to_owned(),
    }
}

fn until(waited_ms: i64) -> String {
    if waited_ms == 0 {
        String::new()
    } else {
        format!(" for the {waited_ms} ms of the wait")
    }
}

impl From<rusqlite::Error> for LockError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How long a caller should wait before it comes back to a limit, in milliseconds.
const LIMIT_RETRY_AFTER_MS: u64 = 1_000;

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        let message = error.to_string();
        match error {
            LockError::Refused(error) => error,
            LockError::Store(error) => unreachable_backend(error.into()),
            LockError::OtherKind { size } => {
                Self::conflict(message).with_detail("in_use_as", kind(size))
            }
            LockError::HeldByItself | LockError::Upgrade => {
                Self::new(ErrorCode::LockDeadlock, message)
            }
            LockError::Deadlock { circle } => {
                Self::new(ErrorCode::LockDeadlock, message).with_detail("circle", circle)
            }
            LockError::NotAcquired {
                lock,
                waited_ms,
                holders,
                ahead,
            } => Self::new(ErrorCode::LockNotAcquired, message)
                .with_detail("lock", lock)
                .with_detail("waited_ms", waited_ms.to_string())
                .with_detail("holders", holders.join(", "))
                .with_detail("ahead", ahead.to_string()),
            LockError::Limit { limit, .. } => Self::new(ErrorCode::LockLimit, message)
                .with_detail("limit", limit)
                .retry_after_ms(LIMIT_RETRY_AFTER_MS),
            LockError::Stopping => Self::new(ErrorCode::DependencyUnavailable, message),
            LockError::TokensUsedUp | LockError::Newer { .. } | LockError::Corrupt(_) => {
                Self::internal(error)
            }
            LockError::Lost => Self::internal(error).outcome_unknown(),
        }
    }
}

/// What a backend that is away means to a caller: 2601, with what is known of the effect.
pub(crate) fn unreachable_backend(error: Error) -> Error {
    if error.code() != ErrorCode::DependencyUnavailable {
        return error;
    }
    let outcome = error.outcome();
    let told = Error::new(
        ErrorCode::LockConnection,
        "the lock backend cannot be reached; nothing is assumed to be held",
    )
    .with_source(error);
    match outcome {
        plinth_core::Outcome::NotApplied => told,
        plinth_core::Outcome::Unknown => told.outcome_unknown(),
    }
}
