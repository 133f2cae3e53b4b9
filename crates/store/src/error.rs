//! What can go wrong in the embedded engine, each cause with its code and what is known of the effect.

use std::path::PathBuf;
use std::sync::Arc;

use plinth_core::{Error, ErrorCode};
use rusqlite::ErrorCode as SqliteCode;

/// A failure of the embedded engine.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder could not be created.
    #[error("could not create {path}")]
    Create {
        /// What was to be created.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The writer thread could not be started.
    #[error("could not start the writer of {engine}")]
    Thread {
        /// Which engine.
        engine: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused a statement; nothing of the operation was kept.
    #[error("a statement failed")]
    Sqlite(#[from] rusqlite::Error),
    /// No place became free in time.
    #[error("the {engine} engine had no free {place} within {waited_ms} ms")]
    Overloaded {
        /// Which engine.
        engine: &'static str,
        /// What was waited for: `place in the write queue` or `reader`.
        place: &'static str,
        /// How long, in milliseconds.
        waited_ms: u64,
    },
    /// The engine is closing or closed.
    #[error("the {engine} engine is closed")]
    Closed {
        /// Which engine.
        engine: &'static str,
    },
    /// The group's transaction could not begin; nothing was applied.
    #[error("the group could not begin")]
    Begin(#[source] Arc<rusqlite::Error>),
    /// The group's commit failed; whether it will be there after a restart is unknown.
    #[error("the commit of the group failed")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// Another operation of the group made SQLite roll the whole transaction back; nothing was applied.
    #[error("the group was rolled back by the failure of another operation")]
    GroupRolledBack,
    /// The writer ended after it had begun with this operation.
    #[error("the writer of {engine} ended before it could answer")]
    Abandoned {
        /// Which engine.
        engine: &'static str,
    },
    /// The operation panicked; its savepoint was rolled back.
    #[error("the operation panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The file was written by a newer release.
    #[error("the file has schema version {found}, this release knows {known}: use a newer release")]
    SchemaNewer {
        /// The newest version recorded in the file.
        found: u32,
        /// The newest version that this release knows.
        known: u32,
    },
    /// The file belongs to something else.
    #[error("schema version {version} of the file is named {found:?}, expected {known:?}")]
    SchemaForeign {
        /// The version that differs.
        version: u32,
        /// The name in the file.
        found: String,
        /// The name that this release knows.
        known: &'static str,
    },
    /// The list of migrations is not numbered 1, 2, 3, …
    #[error("migration {name:?} has version {version}, expected {expected}")]
    MigrationOrder {
        /// The migration.
        name: &'static str,
        /// Its version.
        version: u32,
        /// The version that its place in the list asks for.
        expected: u32,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyConflict,
    /// The answer is larger than what is kept for a repeat.
    #[error("the answer has {bytes} bytes, at most {bytes_max} are kept for a repeat")]
    AnswerTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// An answer could not be encoded or decoded.
    #[error("the answer kept for a repeat cannot be encoded or decoded")]
    Answer(#[source] serde_json::Error),
}

impl StoreError {
    /// Whether a unique or primary key was violated: the block then knows what collided.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(
            self,
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _))
                if matches!(
                    failure.extended_code,
                    rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                        | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                        | rusqlite::ffi::SQLITE_CONSTRAINT_ROWID
                )
        )
    }
}

/// How long a caller should wait before it comes back to an engine that was full, in milliseconds.
const RETRY_AFTER_MS: u64 = 500;

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Overloaded { .. } => Self::new(
                ErrorCode::Overloaded,
                "the store is busy; try again later",
            )
            .retry_after_ms(RETRY_AFTER_MS)
            .with_source(error),
            StoreError::Closed { .. } => {
                Self::new(ErrorCode::DependencyUnavailable, "the instance is stopping")
                    .with_source(error)
            }
            StoreError::Abandoned { .. } => {
                Self::new(ErrorCode::DependencyUnavailable, "the instance is stopping")
                    .outcome_unknown()
                    .with_source(error)
            }
            StoreError::Commit(cause) => from_sqlite(cause).outcome_unknown().with_source(error),
            StoreError::Begin(cause) => from_sqlite(cause).with_source(error),
            StoreError::Sqlite(cause) => from_sqlite(cause).with_source(error),
            StoreError::GroupRolledBack => Self::new(
                ErrorCode::DependencyUnavailable,
                "the store rolled the write back; try again",
            )
            .with_source(error),
            StoreError::IdempotencyConflict => Self::conflict(
                "the idempotency key was used for another request; take a new key for a new request",
            ),
            StoreError::AnswerTooLarge { .. } => Self::new(
                ErrorCode::TooLarge,
                "the answer is too large to be kept for a repeat; ask for less, or send no idempotency key",
            )
            .with_source(error),
            StoreError::Create { .. }
            | StoreError::Thread { .. }
            | StoreError::Panicked { .. }
            | StoreError::SchemaNewer { .. }
            | StoreError::SchemaForeign { .. }
            | StoreError::MigrationOrder { .. }
            | StoreError::Answer(_) => Self::internal(error),
        }
    }
}

/// Whether it is the disk that refuses: it is full, gone, or takes no writes.
pub(crate) const fn is_of_the_disk(code: SqliteCode) -> bool {
    matches!(
        code,
        SqliteCode::DiskFull
            | SqliteCode::SystemIoFailure
            | SqliteCode::CannotOpen
            | SqliteCode::ReadOnly
            | SqliteCode::PermissionDenied
    )
}

/// The error of a SQLite failure, without its source: the disk that is full or gone is a dependency, a lock that is held
/// is load, anything else is a fault of ours.
fn from_sqlite(cause: &rusqlite::Error) -> Error {
    match cause.sqlite_error_code() {
        Some(SqliteCode::DatabaseBusy | SqliteCode::DatabaseLocked) => {
            Error::new(ErrorCode::Overloaded, "the store is busy; try again later")
                .retry_after_ms(RETRY_AFTER_MS)
        }
        Some(code) if is_of_the_disk(code) => Error::new(
            ErrorCode::DependencyUnavailable,
            "the disk of the store refuses; see the log",
        ),
        Some(SqliteCode::TooBig) => {
            Error::new(ErrorCode::TooLarge, "a value is too large for the store")
        }
        _ => Error::new(
            ErrorCode::Internal,
            "internal error; the cause is logged under the trace id",
        ),
    }
}

#[cfg(test)]
mod tests {
    use plinth_core::Outcome;

    use super::*;

    fn failure(code: std::ffi::c_int) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn each_cause_has_its_code_and_says_what_is_known_of_the_effect() {
        let full = || failure(rusqlite::ffi::SQLITE_FULL);
        let cases = [
            (StoreError::Sqlite(full()), 1012, Outcome::NotApplied),
            (
                StoreError::Begin(Arc::new(full())),
                1012,
                Outcome::NotApplied,
            ),
            (StoreError::Commit(Arc::new(full())), 1012, Outcome::Unknown),
            (StoreError::GroupRolledBack, 1012, Outcome::NotApplied),
            (
                StoreError::Closed { engine: "t" },
                1012,
                Outcome::NotApplied,
            ),
            (
                StoreError::Abandoned { engine: "t" },
                1012,
                Outcome::Unknown,
            ),
            (StoreError::IdempotencyConflict, 1005, Outcome::NotApplied),
            (
                StoreError::Panicked {
                    message: String::new(),
                },
                1013,
                Outcome::NotApplied,
            ),
            (
                StoreError::Overloaded {
                    engine: "t",
                    place: "reader",
                    waited_ms: 1,
                },
                1009,
                Outcome::NotApplied,
            ),
            (
                StoreError::Sqlite(failure(rusqlite::ffi::SQLITE_BUSY)),
                1009,
                Outcome::NotApplied,
            ),
            (
                StoreError::Sqlite(failure(rusqlite::ffi::SQLITE_CORRUPT)),
                1013,
                Outcome::NotApplied,
            ),
        ];
        for (cause, number, outcome) in cases {
            let text = cause.to_string();
            let error = Error::from(cause);
            assert_eq!(
                (error.code().number(), error.outcome()),
                (number, outcome),
                "{text}"
            );
        }
    }
}
