//! What a caller of the client is told.

use std::collections::BTreeMap;

use plinth_core::{ErrorCode, Outcome};
use serde::{Deserialize, Serialize};

pub use plinth_core::FieldViolation;

/// The result of a call.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// A refusal or failure: Plinth's own, or that of the way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct ClientError {
    /// The number, as in the error reference.
    pub code: u16,
    /// The name of the number: `INVALID_ARGUMENT`.
    pub reason: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// What is known of the effect.
    pub outcome: Outcome,
    /// The refused fields.
    pub violations: Vec<FieldViolation>,
    /// When to come back, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Facts that a program can read.
    pub details: BTreeMap<String, String>,
    /// The trace, to be found in Plinth's log.
    pub trace_id: Option<String>,
}

impl ClientError {
    /// An error that the client itself finds.
    pub(crate) fn own(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::from(plinth_core::Error::new(code, message))
    }

    /// The way to Plinth broke: the effect is unknown unless the request never left.
    pub(crate) fn transport(message: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            outcome,
            ..Self::own(ErrorCode::DependencyUnavailable, message)
        }
    }

    /// An answer that this client cannot read.
    pub(crate) fn malformed(what: impl std::fmt::Display) -> Self {
        Self {
            outcome: Outcome::Unknown,
            ..Self::own(
                ErrorCode::Internal,
                format!("the answer cannot be read: {what}; is the server of another version?"),
            )
        }
    }
}

impl From<plinth_core::Error> for ClientError {
    fn from(error: plinth_core::Error) -> Self {
        Self {
            code: error.code().number(),
            reason: error.code().reason().to_owned(),
            message: error.message().to_owned(),
            retriable: error.is_retriable(),
            outcome: error.outcome(),
            violations: error.violations().to_vec(),
            retry_after_ms: error.retry_after(),
            details: error.details().clone(),
            trace_id: None,
        }
    }
}
