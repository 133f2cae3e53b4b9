//! What can go wrong in the cache.

use plinth_core::{Error, ErrorCode};

/// A cause, each with its code.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The request breaks a rule; the error names the field.
    #[error("{0}")]
    Invalid(Error),
    /// A key that had to be present is absent.
    #[error("key is absent")]
    KeyNotFound {
        /// Place of the change in its batch; `None` for a change of its own.
        item: Option<usize>,
    },
    /// A condition of a write did not hold.
    #[error("{field}: {reason}")]
    Condition {
        /// Place of the change in its batch; `None` for a change of its own.
        item: Option<usize>,
        /// The field that holds the condition.
        field: &'static str,
        /// What was found instead.
        reason: &'static str,
        /// The version stored now, where there is one.
        stored: Option<i64>,
    },
    /// One more namespace would pass the limit of the instance.
    #[error("the instance already holds {max} namespaces")]
    TooManyNamespaces {
        /// The limit.
        max: usize,
    },
}

impl CacheError {
    /// The same refusal, of a change that was no part of a batch.
    #[must_use]
    pub(crate) fn alone(mut self) -> Self {
        if let Self::KeyNotFound { item } | Self::Condition { item, .. } = &mut self {
            *item = None;
        }
        self
    }
}

fn path(item: Option<usize>, field: &str) -> String {
    item.map_or_else(
        || field.to_owned(),
        |index| format!("items[{index}].{field}"),
    )
}

impl From<CacheError> for Error {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Invalid(error) => error,
            CacheError::KeyNotFound { item } => {
                let path = path(item, "key");
                Self::new(ErrorCode::CacheKeyNotFound, format!("{path}: key is absent"))
                    .with_violation(path, "key is absent")
            }
            CacheError::Condition { item, field, reason, stored } => {
                let path = path(item, field);
                let refusal =
                    Self::precondition(format!("{path}: {reason}")).with_violation(path, reason);
                match stored {
                    Some(version) => refusal.with_detail("stored_version", version.to_string()),
                    None => refusal,
                }
            }
            CacheError::TooManyNamespaces { max } => Self::new(
                ErrorCode::TooLarge,
                format!("the instance already holds {max} namespaces; reuse one or raise cache.namespaces_max"),
            )
            .with_violation("namespace_name", "is one namespace too many"),
        }
    }
}

impl From<Error> for CacheError {
    fn from(error: Error) -> Self {
        Self::Invalid(error)
    }
}
