//! What can go wrong in the cache.

use plinth_core::{Error, ErrorCode, Outcome};
use plinth_store::StoreError;

use crate::backend::Capability;

/// A cause, each with its code.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The request breaks a rule; the error names the field.
    #[error("{0}")]
    Invalid(Error),
    /// A change of one key was refused.
    #[error("{refusal}")]
    Refused {
        /// Place of the change in its batch; `None` for a change of its own.
        item: Option<usize>,
        /// Why.
        refusal: Refusal,
    },
    /// The stored value is encoded and cannot be changed in place.
    #[error("the stored value is encoded")]
    Encoded {
        /// The version stored now.
        version: i64,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyOfAnother,
    /// One more namespace would pass the limit of the instance.
    #[error("the instance already holds {max} namespaces")]
    TooManyNamespaces {
        /// The limit.
        max: usize,
    },
    /// One more lease or one more waiting caller would pass a limit of the instance.
    #[error("the instance already holds {max} {what}")]
    Crowded {
        /// Of what there are too many.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// One more lease would pass the limit of the namespace.
    #[error("the namespace already holds {max} open leases")]
    TooManyLeases {
        /// The limit.
        max: usize,
    },
    /// One more fence would pass the limit of the namespace.
    #[error("the namespace already holds {max} fences")]
    TooManyFences {
        /// The limit.
        max: usize,
    },
    /// The engine behind the backend cannot be reached, or refused.
    #[error("{}: {cause}", fault.as_str())]
    Engine {
        /// What is the matter.
        fault: EngineFault,
        /// What is known of the effect.
        outcome: Outcome,
        /// The cause, for the log.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The backend cannot do it.
    #[error("the {backend} backend cannot do {}", capability.as_str())]
    Unsupported {
        /// Which backend.
        backend: &'static str,
        /// What it cannot do.
        capability: Capability,
    },
}

/// What is the matter with the engine behind a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineFault {
    /// It cannot be reached, or its answer did not come.
    Away,
    /// Too many commands wait for it.
    Overloaded,
    /// Its memory is full.
    Full,
    /// It takes no writes now: it is a replica, loads its data, or cannot save.
    Unready,
    /// It refused what it should not refuse, or answered what was not asked.
    Failed,
}

impl EngineFault {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Away => "the cache's engine cannot be reached",
            Self::Overloaded => "too many commands wait for the cache's engine",
            Self::Full => "the memory of the cache's engine is full",
            Self::Unready => "the cache's engine takes no writes now",
            Self::Failed => "the cache's engine refused the command",
        }
    }

    const fn code(self) -> ErrorCode {
        match self {
            Self::Away => ErrorCode::CacheConnection,
            Self::Overloaded | Self::Full => ErrorCode::Overloaded,
            Self::Unready => ErrorCode::DependencyUnavailable,
            Self::Failed => ErrorCode::CacheOperation,
        }
    }
}

/// Why a change of one key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A key that had to be present is absent.
    #[error("key is absent")]
    KeyNotFound,
    /// A condition did not hold.
    #[error("{field}: {reason}")]
    Condition {
        /// The field that holds the condition.
        field: &'static str,
        /// What was found instead.
        reason: &'static str,
        /// The version stored now, where there is one.
        stored: Option<i64>,
    },
    /// The stored value is no decimal 64-bit integer.
    #[error("the stored value is no decimal 64-bit integer")]
    NotANumber,
    /// The sum would leave its bounds.
    #[error("the sum would leave {min}..={max}")]
    OutOfBounds {
        /// What the counter stands at.
        number: i64,
        /// The lowest allowed.
        min: i64,
        /// The highest allowed.
        max: i64,
    },
    /// The value would grow past its limit.
    #[error("the value would have {bytes} bytes, at most {max} are allowed")]
    ValueTooLarge {
        /// Bytes that it would have.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The lease is no longer open, or what it would fill was invalidated meanwhile.
    #[error("the lease has ended")]
    LeaseLost,
    /// A quota would be passed.
    #[error("the {whose} already holds {held} {unit} of at most {max}")]
    Quota {
        /// `namespace` or `tenant`.
        whose: &'static str,
        /// `keys` or `bytes`.
        unit: &'static str,
        /// What it holds now.
        held: u64,
        /// The limit.
        max: u64,
    },
}

impl CacheError {
    /// A refusal of the change at a place of its call.
    #[must_use]
    pub const fn refused(item: usize, refusal: Refusal) -> Self {
        Self::Refused {
            item: Some(item),
            refusal,
        }
    }

    /// The same refusal, of the change at another place of its call.
    #[must_use]
    pub(crate) fn at(mut self, place: usize) -> Self {
        if let Self::Refused { item, .. } = &mut self {
            *item = Some(place);
        }
        self
    }

    /// The same refusal, of a change that was no part of a batch.
    #[must_use]
    pub(crate) fn alone(mut self) -> Self {
        if let Self::Refused { item, .. } = &mut self {
            *item = None;
        }
        self
    }
}

impl From<CacheError> for Error {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Invalid(error) => error,
            CacheError::Refused { item, refusal } => refused(item, &refusal),
            CacheError::Encoded { version } => {
                Self::conflict("the value is being changed by others; try again")
                    .with_detail("stored_version", version.to_string())
                    .retriable(true)
            }
            CacheError::TooManyNamespaces { max } => Self::new(
                ErrorCode::TooLarge,
                format!("the instance already holds {max} namespaces; reuse one or raise cache.namespaces_max"),
            )
            .with_violation("namespace_name", "is one namespace too many"),
            CacheError::Crowded { what, max } => Self::new(
                ErrorCode::Overloaded,
                format!("the instance already holds {max} {what}"),
            ),
            CacheError::TooManyLeases { max } => Self::new(
                ErrorCode::Overloaded,
                format!("the namespace already holds {max} open leases"),
            ),
            CacheError::KeyOfAnother => StoreError::IdempotencyConflict.into(),
            CacheError::TooManyFences { max } => Self::too_large(
                "fence.name",
                format!("is one too many: the namespace already holds {max} fences"),
            ),
            CacheError::Engine { fault, outcome, cause } => {
                let error = Self::new(fault.code(), fault.as_str()).with_source(cause);
                match outcome {
                    Outcome::Unknown => error.outcome_unknown(),
                    Outcome::NotApplied => error,
                }
            }
            CacheError::Unsupported { backend, capability } => Self::unsupported(format!(
                "the {backend} backend of the cache cannot do {}",
                capability.as_str()
            )),
        }
    }
}

fn refused(item: Option<usize>, refusal: &Refusal) -> Error {
    let path = |field: &str| {
        item.map_or_else(
            || field.to_owned(),
            |index| format!("items[{index}].{field}"),
        )
    };
    let named = |code, field: &str, reason: String| {
        let path = path(field);
        Error::new(code, format!("{path}: {reason}")).with_violation(path, reason)
    };
    let reason = match refusal {
        Refusal::Condition { reason, .. } => (*reason).to_owned(),
        other => other.to_string(),
    };
    match refusal {
        Refusal::KeyNotFound => named(ErrorCode::CacheKeyNotFound, "key", reason),
        Refusal::Condition { field, stored, .. } => {
            let refusal = named(ErrorCode::PreconditionFailed, field, reason);
            match stored {
                Some(version) => refusal.with_detail("stored_version", version.to_string()),
                None => refusal,
            }
        }
        Refusal::NotANumber => named(ErrorCode::CacheNotANumber, "key", reason),
        Refusal::OutOfBounds { number, .. } => named(ErrorCode::CacheOutOfBounds, "delta", reason)
            .with_detail("number", number.to_string()),
        Refusal::ValueTooLarge { .. } => named(ErrorCode::TooLarge, "value", reason),
        Refusal::LeaseLost => named(ErrorCode::CacheLeaseLost, "lease_token", reason),
        Refusal::Quota { .. } => Error::new(
            ErrorCode::CacheQuota,
            item.map_or_else(
                || reason.clone(),
                |index| format!("items[{index}]: {reason}"),
            ),
        ),
    }
}

impl From<Error> for CacheError {
    fn from(error: Error) -> Self {
        Self::Invalid(error)
    }
}
