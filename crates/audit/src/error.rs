//! What can go wrong, each cause with its code.

use std::io;

use plinth_core::{Error, ErrorCode};
use plinth_store::StoreError;

use crate::tree::NoteError;

/// Why the audit block refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The request is refused; the error names the field.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The engine of the log or of the index failed.
    #[error("the engine failed")]
    Store(#[from] StoreError),
    /// A record could not be made durable.
    #[error("the record could not be made durable")]
    Append(#[source] Box<AuditError>),
    /// A file of the log cannot be read or written.
    #[error("the file {path} failed")]
    File {
        /// Which file, under the log's directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is stored cannot be what was written.
    #[error("{location} {message}")]
    Tampered {
        /// File, or table and row.
        location: String,
        /// What is wrong with it.
        message: String,
    },
    /// The key of the log cannot be used.
    #[error("{0}")]
    Key(String),
    /// A note of ours cannot be opened, or a name is no key name.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The index has not reached the records that were acknowledged before the query began.
    #[error("the index is {records} records behind the log")]
    IndexBehind {
        /// How many records are missing.
        records: u64,
    },
    /// The record stands in no checkpoint yet.
    #[error("no checkpoint holds the record yet")]
    NotIntegrated,
    /// The caller's deadline passed while the work ran.
    #[error("the deadline passed")]
    Deadline,
    /// Another verification of this log is running.
    #[error("a verification is running")]
    Busy,
    /// The service has been closed.
    #[error("the audit service is closed")]
    Closed,
}

impl AuditError {
    /// What is stored at a place cannot be what was written.
    pub(crate) fn tampered(location: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Tampered {
            location: location.into(),
            message: message.into(),
        }
    }

    /// A leaf cannot be what was written.
    pub(crate) fn malformed(leaf: u64, message: impl Into<String>) -> Self {
        Self::tampered(format!("leaf {leaf}"), message)
    }

    /// A file of the log failed.
    pub(crate) fn file(path: &str, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

impl From<rusqlite::Error> for AuditError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        let (code, message) = match error {
            AuditError::Refused(error) => return error,
            AuditError::Append(cause) => return from_append(*cause),
            AuditError::Store(cause) => {
                return recode(cause.into(), ErrorCode::AuditQuery, "the query failed");
            }
            AuditError::File { .. } | AuditError::Key(_) | AuditError::Note(_) => {
                return Self::internal(error);
            }
            AuditError::Tampered { .. } => (
                ErrorCode::AuditTampered,
                "the log does not verify; run audit.verify",
            ),
            AuditError::IndexBehind { .. } => (
                ErrorCode::Overloaded,
                "the index is catching up with the log; try again later",
            ),
            AuditError::NotIntegrated => (
                ErrorCode::Overloaded,
                "the record is durable but stands in no checkpoint yet; try again later",
            ),
            AuditError::Deadline => (
                ErrorCode::DeadlineExceeded,
                "the deadline passed; narrow the filter or allow more time",
            ),
            AuditError::Busy => (
                ErrorCode::Overloaded,
                "a verification of this log is running; try again later",
            ),
            AuditError::Closed => (
                ErrorCode::DependencyUnavailable,
                "the instance is shutting down",
            ),
        };
        Self::new(code, message).with_source(error)
    }
}

/// A failed write: a refusal stays what it is, a fault of ours is 2301, and then nobody knows whether the commit reached
/// the disk.
fn from_append(cause: AuditError) -> Error {
    let message = "the record could not be made durable";
    match cause {
        AuditError::Refused(error) => error,
        AuditError::Store(cause) => recode(cause.into(), ErrorCode::AuditLog, message),
        cause => Error::new(ErrorCode::AuditLog, message)
            .with_source(cause)
            .outcome_unknown(),
    }
}

/// Gives a fault of ours the code of what was being done; what says more than that stays as it is.
fn recode(error: Error, code: ErrorCode, message: &str) -> Error {
    if error.code() != ErrorCode::Internal {
        return error;
    }
    let unknown = error.outcome() == plinth_core::Outcome::Unknown;
    let recoded = Error::new(code, message).with_source(error);
    if unknown {
        recoded.outcome_unknown()
    } else {
        recoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stays_what_it_is_and_a_failed_write_is_unknown() {
        let refusal = AuditError::Append(Box::new(Error::invalid("entry", "is bad").into()));
        assert_eq!(Error::from(refusal).code(), ErrorCode::InvalidArgument);
        let failure = AuditError::Append(Box::new(AuditError::Closed));
        let error = Error::from(failure);
        assert_eq!(error.code(), ErrorCode::AuditLog);
        assert_eq!(error.outcome(), plinth_core::Outcome::Unknown);
        let conflict = AuditError::Append(Box::new(StoreError::IdempotencyConflict.into()));
        assert_eq!(Error::from(conflict).code(), ErrorCode::Conflict);
        let tampered = Error::from(AuditError::tampered("tile/0/000", "is missing"));
        assert_eq!(tampered.code(), ErrorCode::AuditTampered);
    }
}
