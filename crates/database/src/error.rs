//! What can go wrong, each cause with its code.

use plinth_core::{Error, ErrorCode};
use plinth_security::tls::handshake_fault;

/// Why an engine did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// It cannot be reached, or the connection broke.
    #[error("the database cannot be reached: {message}")]
    Connection {
        message: String,
        #[source]
        source: Option<sqlx::Error>,
    },
    /// It refused the statement.
    #[error("{message}")]
    Refused {
        /// What the engine says about the caller's own statement.
        message: String,
        /// The engine's code.
        code: Option<String>,
    },
    /// A unique key is taken.
    #[error("{message}")]
    UniqueViolation {
        message: String,
        code: Option<String>,
    },
    /// It lost against a concurrent transaction.
    #[error("{message}")]
    Serialization { message: String },
    /// It was cancelled.
    #[error("the statement was cancelled at the server")]
    Cancelled,
    /// A parameter does not fit the place it stands at.
    #[error("parameter {index}: {message}")]
    Param { index: usize, message: String },
    /// One row alone is larger than the answer may be.
    #[error("one row has more than {bytes_max} bytes")]
    RowTooLarge { bytes_max: usize },
    /// A value of the answer is not what its type promises.
    #[error("a value of the result cannot be read: {message}")]
    Unreadable {
        message: String,
        /// The statement was read to its end all the same: the engine has done it.
        applied: bool,
    },
    /// The engine does not allow it on a connection of ours.
    #[error("{message}")]
    Forbidden { message: String },
    /// A value or a row is longer than the engine takes.
    #[error("a value or a row has more than {bytes_max} bytes")]
    ValueTooLarge { bytes_max: u32 },
    /// The file is as large as it may be, or its disk is full.
    #[error("the file has its {bytes_max} bytes, or the disk is full")]
    Full { bytes_max: u64, code: String },
    /// A variable of the process's own environment would reach the server.
    #[error("{variable} is set for the process")]
    Environment { variable: &'static str },
    /// The pool is being closed, because the database is removed or its definition was replaced.
    #[error("the database is being removed or was registered anew")]
    Closing,
}

impl BackendError {
    pub(crate) fn connection(source: sqlx::Error) -> Self {
        let message = match &source {
            sqlx::Error::Database(database) => database.message().to_owned(),
            sqlx::Error::Io(error) => match handshake_fault(error) {
                Some(fault) => format!("the TLS handshake failed: {fault}"),
                None => error.kind().to_string(),
            },
            sqlx::Error::Tls(fault) => format!("TLS failed: {fault}"),
            sqlx::Error::Protocol(_) => "it does not speak the expected protocol".to_owned(),
            _ => "the connection broke".to_owned(),
        };
        Self::Connection {
            message,
            source: Some(source),
        }
    }

    /// A value that cannot be read, of a statement that may still run.
    pub(crate) fn unreadable(source: sqlx::error::BoxDynError) -> Self {
        Self::Unreadable {
            message: source.to_string(),
            applied: false,
        }
    }

    /// Whether the database, and not the request, is to blame.
    pub(crate) const fn is_connection(&self) -> bool {
        matches!(self, Self::Connection { .. })
    }

    /// Maps what `sqlx` says; `classify` knows the engine's codes.
    pub(crate) fn from_sqlx(
        error: sqlx::Error,
        classify: impl FnOnce(&dyn sqlx::error::DatabaseError, String) -> Self,
    ) -> Self {
        match error {
            sqlx::Error::Database(database) => {
                let message = database.message().to_owned();
                classify(database.as_ref(), message)
            }
            sqlx::Error::Encode(source) => Self::Refused {
                message: source.to_string(),
                code: None,
            },
            sqlx::Error::ColumnDecode { source, .. } | sqlx::Error::Decode(source) => {
                Self::unreadable(source)
            }
            other => Self::connection(other),
        }
    }
}

/// What can go wrong in this block.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A refusal in the vocabulary of all blocks.
    #[error(transparent)]
    Refused(#[from] Error),
    /// No such database in the tenant.
    #[error("no database {0:?} is registered; register it first")]
    Unknown(String),
    /// It cannot be reached.
    #[error("the database {database:?} cannot be reached: {message}")]
    Connection {
        /// Its name.
        database: String,
        /// What is known of the reason.
        message: String,
        /// Whether a write may have been applied.
        outcome_unknown: bool,
        /// When to come back, where the breaker is open, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// No connection became free in time.
    #[error("no connection to {database:?} became free within {waited_ms} ms")]
    PoolExhausted {
        /// Its name.
        database: String,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The engine refused the statement.
    #[error("{message}")]
    Query {
        /// What the engine says.
        message: String,
        /// The engine's code.
        engine_code: Option<String>,
        /// The field at fault, where there is one: `steps[3]`.
        field: Option<String>,
    },
    /// The answer holds a value that is not what its type promises.
    #[error("{message}")]
    Unreadable {
        /// What is wrong, and whether the statement was done.
        message: String,
        /// The field at fault, where there is one: `steps[3]`.
        field: Option<String>,
        /// Whether the statement wrote and was done.
        applied: bool,
    },
    /// The pool was closed under a call: the database is being removed or was registered anew.
    #[error("{database:?} is being removed or was registered anew; the call was stopped")]
    Closed {
        /// Its name.
        database: String,
        /// Whether a write may have been applied.
        outcome_unknown: bool,
    },
    /// The transaction lost against concurrent ones in every attempt.
    #[error("lost against concurrent transactions in {attempts} attempts: {message}")]
    Serialization {
        /// Attempts made.
        attempts: u32,
        /// What the engine says.
        message: String,
    },
    /// A condition of a step did not hold; all was rolled back.
    #[error("{field}: {message}; the transaction was rolled back")]
    Condition {
        /// The step.
        field: String,
        /// What was expected and what came.
        message: String,
    },
    /// A limit of the answer was passed.
    #[error("{field}: {message}")]
    TooLarge {
        /// The field that sets the limit.
        field: String,
        /// The limit.
        message: String,
    },
    /// The time ran out.
    #[error("{message}")]
    Deadline {
        /// What was under way.
        message: &'static str,
        /// Whether a write may have been applied.
        outcome_unknown: bool,
    },
    /// The connection broke during COMMIT.
    #[error(
        "the connection to {database:?} broke during commit; whether it was applied is not known"
    )]
    CommitUnknown {
        /// Its name.
        database: String,
        /// Whether a repeat with the same key is safe.
        idempotent: bool,
    },
    /// The same key was used for other steps.
    #[error("request_id was used for another transaction")]
    KeyReused,
}

impl DatabaseError {
    /// Gives an engine's error its place: the database, the field at fault, and whether a write was under way.
    pub(crate) fn from_backend(
        error: BackendError,
        database: &str,
        field: Option<&str>,
        writing: bool,
    ) -> Self {
        let at = |inner: &str| match field {
            Some(field) => format!("{field}.{inner}"),
            None => inner.to_owned(),
        };
        match error {
            BackendError::Connection { message, source } => {
                tracing::warn!(db.name = database, error = ?source, "database connection failed");
                Self::Connection {
                    database: database.to_owned(),
                    message,
                    outcome_unknown: writing,
                    retry_after_ms: None,
                }
            }
            BackendError::Refused { message, code }
            | BackendError::UniqueViolation { message, code } => Self::Query {
                message,
                engine_code: code,
                field: field.map(str::to_owned),
            },
            BackendError::Serialization { message } => Self::Serialization {
                attempts: 1,
                message,
            },
            BackendError::Cancelled => Self::Query {
                message: "the statement was cancelled at the server".to_owned(),
                engine_code: None,
                field: field.map(str::to_owned),
            },
            BackendError::Param { index, message } => {
                Self::Refused(Error::invalid(at(&format!("params[{index}]")), message))
            }
            BackendError::RowTooLarge { bytes_max } => Self::TooLarge {
                field: at("max_bytes"),
                message: format!("one row alone has more than {bytes_max} bytes"),
            },
            BackendError::Unreadable { message, applied } => {
                let applied = applied && writing;
                let done = if applied {
                    "; the statement was applied"
                } else {
                    ""
                };
                Self::Unreadable {
                    message: format!("a value of the result cannot be read: {message}{done}"),
                    field: field.map(str::to_owned),
                    applied,
                }
            }
            BackendError::Forbidden { message } => {
                Self::Refused(Error::invalid(at("sql"), message))
            }
            BackendError::ValueTooLarge { bytes_max } => Self::TooLarge {
                field: at("sql"),
                message: format!("makes a value or a row of more than {bytes_max} bytes"),
            },
            BackendError::Full { bytes_max, code } => Self::Refused(
                Error::new(
                    ErrorCode::RateLimited,
                    format!(
                        "the file of {database:?} is at its limit of {bytes_max} bytes, or the disk is full; nothing was written"
                    ),
                )
                .retriable(false)
                .with_detail("engine_code", code),
            ),
            BackendError::Environment { variable } => Self::Connection {
                database: database.to_owned(),
                message: format!(
                    "{variable} is set for Plinth's own process and would be sent there; start Plinth without it"
                ),
                outcome_unknown: false,
                retry_after_ms: None,
            },
            BackendError::Closing => Self::Closed {
                database: database.to_owned(),
                outcome_unknown: writing,
            },
        }
    }
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        let message = error.to_string();
        let unknown = |base: Self, unknown: bool| {
            if unknown {
                base.outcome_unknown()
            } else {
                base
            }
        };
        match error {
            DatabaseError::Refused(error) => error,
            DatabaseError::Unknown(_) => Self::not_found(message),
            DatabaseError::Connection {
                outcome_unknown,
                retry_after_ms,
                ..
            } => {
                let base = Self::new(ErrorCode::DatabaseConnection, message);
                let base = match retry_after_ms {
                    Some(delay_ms) => base.retry_after_ms(delay_ms),
                    None => base,
                };
                unknown(base, outcome_unknown)
            }
            DatabaseError::PoolExhausted { .. } => {
                Self::new(ErrorCode::DatabasePoolExhausted, message)
            }
            DatabaseError::Query {
                engine_code, field, ..
            } => {
                let mut base = Self::new(
                    if field.is_some() {
                        ErrorCode::DatabaseTransaction
                    } else {
                        ErrorCode::DatabaseQuery
                    },
                    match &field {
                        Some(field) => {
                            format!("{field}: {message}; the transaction was rolled back")
                        }
                        None => message.clone(),
                    },
                );
                if let Some(code) = engine_code {
                    base = base.with_detail("engine_code", code);
                }
                match field {
                    Some(field) => base.with_violation(field, message),
                    None => base,
                }
            }
            DatabaseError::Unreadable { field, applied, .. } => {
                let code = if field.is_some() {
                    ErrorCode::DatabaseTransaction
                } else {
                    ErrorCode::DatabaseQuery
                };
                let base = match field {
                    Some(field) => {
                        let told = format!("{field}: {message}; the transaction was rolled back");
                        Self::new(code, told).with_violation(field, message)
                    }
                    None => Self::new(code, message),
                };
                unknown(base, applied).retriable(false)
            }
            DatabaseError::Closed {
                outcome_unknown, ..
            } => unknown(
                Self::new(ErrorCode::DatabaseConnection, message).retriable(!outcome_unknown),
                outcome_unknown,
            ),
            DatabaseError::Serialization { .. } => {
                Self::new(ErrorCode::DatabaseSerialization, message)
            }
            DatabaseError::Condition {
                field,
                message: what,
            } => Self::precondition(message).with_violation(field, what),
            DatabaseError::TooLarge {
                field,
                message: what,
            } => Self::too_large(field, what),
            DatabaseError::Deadline {
                outcome_unknown, ..
            } => unknown(
                Self::new(ErrorCode::DeadlineExceeded, message).retriable(!outcome_unknown),
                outcome_unknown,
            ),
            DatabaseError::CommitUnknown { idempotent, .. } => {
                Self::new(ErrorCode::DatabaseConnection, message)
                    .outcome_unknown()
                    .retriable(idempotent)
            }
            DatabaseError::KeyReused => Self::conflict(message),
        }
    }
}
