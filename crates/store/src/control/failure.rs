//! What a failure of the control database means to a caller.

use plinth_core::{Error, ErrorCode};
use plinth_security::tls::handshake_fault;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// When a failure struck, which decides what is known of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// While reading.
    Read,
    /// Inside a transaction before its commit: a lost connection rolls it back.
    Uncommitted,
    /// In a statement that commits by itself, or in the commit: a lost connection leaves the effect unknown.
    Commit,
}

/// How long a caller should wait before it comes back, in milliseconds.
const RETRY_AFTER_MS: u64 = 500;

/// The error for a caller.
pub(super) fn error(cause: DbErr, phase: Phase) -> Error {
    let kind = kind_of(&cause);
    let error = match kind {
        Kind::Away => Error::new(ErrorCode::DependencyUnavailable, away(&cause)),
        Kind::Busy => Error::new(
            ErrorCode::Overloaded,
            "the control database is busy; try again later",
        )
        .retry_after_ms(RETRY_AFTER_MS),
        Kind::Collided => {
            Error::conflict("it was changed at the same time; try again").retriable(true)
        }
        Kind::Fault => return Error::internal(cause),
    };
    // A refused connection cannot have carried a statement; one that broke may have.
    let lost_in_commit = kind == Kind::Away && phase == Phase::Commit && !is_before_sending(&cause);
    let error = error.with_source(cause);
    if lost_in_commit {
        error.outcome_unknown()
    } else {
        error
    }
}

/// Whether trying the whole transaction again can help: it lost against a concurrent one and was rolled back.
pub(super) fn is_collision(cause: &DbErr) -> bool {
    kind_of(cause) == Kind::Collided
}

/// Whether a unique key exists already.
pub(super) fn is_duplicate(cause: &DbErr) -> bool {
    matches!(cause.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether something that is referred to is absent.
pub(super) fn is_dangling(cause: &DbErr) -> bool {
    matches!(
        cause.sql_err(),
        Some(SqlErr::ForeignKeyConstraintViolation(_))
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Away,
    Busy,
    Collided,
    Fault,
}

fn kind_of(cause: &DbErr) -> Kind {
    if matches!(cause, DbErr::ConnectionAcquire(_)) {
        return Kind::Away;
    }
    match sqlx_cause(cause) {
        Some(sqlx::Error::Database(refusal)) => kind_of_refusal(refusal.as_ref()),
        Some(
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed,
        ) => Kind::Away,
        _ => Kind::Fault,
    }
}

/// What a caller is told of a control database that cannot be used. Names and addresses stay in the log.
fn away(cause: &DbErr) -> &'static str {
    let login = |refusal: &dyn DatabaseError| {
        let number = refusal
            .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
            .map(sqlx::mysql::MySqlDatabaseError::number);
        matches!(number, Some(1044 | 1045 | 1049))
            || refusal
                .code()
                .is_some_and(|code| code.starts_with("28") || code == "3D000")
    };
    match sqlx_cause(cause) {
        Some(sqlx::Error::Tls(_)) => "the control database does not speak TLS as its URL demands",
        Some(sqlx::Error::Io(error)) if handshake_fault(error).is_some() => {
            "the TLS handshake with the control database failed; the log says why"
        }
        Some(sqlx::Error::Database(refusal)) if login(refusal.as_ref()) => {
            "the control database refuses the login of its URL; the log says why"
        }
        _ => "the control database is away; try again later",
    }
}

fn sqlx_cause(cause: &DbErr) -> Option<&sqlx::Error> {
    match cause {
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => Some(inner),
        _ => None,
    }
}

/// Whether the failure struck before a statement was sent.
fn is_before_sending(cause: &DbErr) -> bool {
    matches!(cause, DbErr::ConnectionAcquire(_) | DbErr::Conn(_))
}

/// Reads the code by which each product refuses: SQLSTATE of PostgreSQL (appendix A of its manual), the error numbers of
/// MariaDB, the extended result codes of SQLite.
fn kind_of_refusal(refusal: &dyn DatabaseError) -> Kind {
    if let Some(refusal) = refusal.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return match refusal.number() {
            // Too many connections, shutdown in progress, access denied, unknown database, read-only, disk full.
            1040 | 1053 | 1044 | 1045 | 1049 | 1290 | 1792 | 1021 => Kind::Away,
            // Lock wait time-out, deadlock, record changed since last read (MariaDB's snapshot isolation).
            1205 | 1213 | 1020 => Kind::Collided,
            _ => Kind::Fault,
        };
    }
    let code = refusal.code().unwrap_or_default();
    if refusal
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
    {
        return match code.get(..2) {
            // Serialization failure and deadlock.
            Some("40") => Kind::Collided,
            // Connection, authorization, database name, resources, operator intervention, system error.
            Some("08" | "28" | "3D" | "53" | "57" | "58") => Kind::Away,
            // Read-only transaction: a standby.
            _ if code == "25006" => Kind::Away,
            _ => Kind::Fault,
        };
    }
    // The low byte of SQLite's extended code is the primary one.
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => Kind::Busy,
        // Permission, read-only, I/O, full, cannot open.
        Ok(3 | 8 | 10 | 13 | 14) => Kind::Away,
        _ => Kind::Fault,
    }
}
