//! What the database operations give and take; as JSON it has the form of the HTTP interface.

use plinth_core::{Fence, SecretString, WideInt};
use serde::{Deserialize, Serialize};

use super::value::DbValue;

/// A database to register. No `Debug`: it holds a secret.
#[derive(Clone, Default)]
pub struct DbRegistration {
    /// `sqlite`, `postgres`, or `mariadb` (also for MySQL).
    pub engine: String,
    /// The address without a password; for SQLite a path below the server's database directory.
    pub url: String,
    /// The password of the user in `url`.
    pub secret: Option<SecretString>,
    /// Certificates in PEM that sign the server's own, beside the public authorities.
    pub tls_ca: Option<String>,
    /// Refuse statements that write.
    pub read_only: bool,
    /// The pool; the server's defaults where absent.
    pub pool: DbPoolOptions,
    /// From which time on a statement counts as slow, in milliseconds.
    pub slow_query_threshold_ms: Option<i64>,
    /// The version that the definition must have; 0: it must not exist yet.
    pub if_version: Option<i64>,
}

/// How connections are pooled; the server's defaults where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DbPoolOptions {
    /// Connections kept open while idle.
    pub min_connections: Option<i32>,
    /// Most connections.
    pub max_connections: Option<i32>,
    /// Longest wait for a free connection, in milliseconds.
    pub acquire_timeout_ms: Option<i64>,
    /// Age at which a connection is replaced, in milliseconds.
    pub max_lifetime_ms: Option<i64>,
    /// Idle time after which a connection is closed, in milliseconds.
    pub idle_timeout_ms: Option<i64>,
}

/// The state of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbPoolStatus {
    /// Open connections.
    pub connections: i64,
    /// Of these, idle ones.
    pub idle: i64,
    /// Callers that wait for a connection.
    pub waiting: i64,
    /// Statements and transactions that hold a connection.
    pub in_use: i64,
    /// Connections opened since registration.
    pub opened: i64,
    /// Connections handed out since registration.
    pub acquired: i64,
    /// Waits that ended without a connection.
    pub acquire_timeouts: i64,
    /// `closed`, `open` or `half_open`.
    pub breaker: String,
}

/// A registered database, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbDatabase {
    /// Its name in the tenant.
    pub database: String,
    /// `sqlite`, `postgres` or `mariadb`.
    pub engine: String,
    /// The address.
    pub url: String,
    /// Whether a secret is stored.
    pub has_secret: bool,
    /// Whether statements that write are refused.
    pub read_only: bool,
    /// The pool's settings.
    pub pool: DbPoolOptions,
    /// From which time on a statement counts as slow, in milliseconds.
    pub slow_query_threshold_ms: i64,
    /// The version of the definition.
    pub version: WideInt,
    /// When it was registered, in Unix milliseconds.
    pub created_at_ms: i64,
    /// When it was last changed, in Unix milliseconds.
    pub updated_at_ms: i64,
    /// The pool on the instance that answered; absent where nothing has used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_status: Option<DbPoolStatus>,
    /// Certificates in PEM that sign the server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
}

/// What registering did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbRegistered {
    /// The definition as stored.
    pub info: DbDatabase,
    /// Whether it is new.
    pub created: bool,
}

/// A page of databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbDatabasePage {
    /// By name.
    pub databases: Vec<DbDatabase>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What removing did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbRemoved {
    /// Whether it was registered.
    pub removed: bool,
    /// Statements that were cut off.
    pub aborted: i64,
}

/// One statement to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DbStatement {
    /// Exactly one statement; every placeholder is `?`.
    pub sql: String,
    /// One for each `?`.
    pub params: Vec<DbValue>,
    /// Longest run time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<i64>,
    /// Most rows of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<i32>,
    /// Most bytes of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<i64>,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl DbStatement {
    /// A statement with its values.
    #[must_use]
    pub fn new(sql: impl Into<String>, params: Vec<DbValue>) -> Self {
        Self {
            sql: sql.into(),
            params,
            ..Self::default()
        }
    }
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbColumn {
    /// Its name.
    pub name: String,
    /// The engine's word for its type.
    pub type_name: String,
}

/// One row of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbRow {
    /// In the order of the columns.
    pub values: Vec<DbValue>,
}

/// What a statement did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbResult {
    /// Empty where the statement returns no rows.
    pub columns: Vec<DbColumn>,
    /// The rows.
    pub rows: Vec<DbRow>,
    /// Rows that the statement changed.
    pub rows_affected: i64,
    /// Whether rows are missing because of a limit.
    pub truncated: bool,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// The key generated by the last INSERT, on SQLite and MariaDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_insert_id: Option<WideInt>,
    /// Time at the database, in microseconds.
    pub elapsed_us: i64,
}

/// One step of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DbStep {
    /// Exactly one statement.
    pub sql: String,
    /// One for each `?`.
    pub params: Vec<DbValue>,
    /// The step must change exactly this many rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_rows_affected: Option<i64>,
    /// The step must return at least this many rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_rows_min: Option<i64>,
    /// The step must return at most this many rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_rows_max: Option<i64>,
    /// Most rows of the step's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<i32>,
}

impl DbStep {
    /// A step with its values.
    #[must_use]
    pub fn new(sql: impl Into<String>, params: Vec<DbValue>) -> Self {
        Self {
            sql: sql.into(),
            params,
            ..Self::default()
        }
    }

    /// The step must change exactly so many rows.
    #[must_use]
    pub const fn changing(mut self, rows: i64) -> Self {
        self.expect_rows_affected = Some(rows);
        self
    }
}

/// How a transaction runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DbTransactionOptions {
    /// `read_committed`, `repeatable_read` or `serializable`.
    pub isolation: Option<String>,
    /// Longest run time of all attempts, in milliseconds.
    pub timeout_ms: Option<i64>,
    /// Attempts in all where it loses against a concurrent transaction.
    pub max_attempts: Option<i32>,
    /// The idempotency key; one is made up where absent.
    pub request_id: Option<String>,
    /// The grant of a lock under which it is made: refused (1006) where a later grant has written.
    pub fence: Option<Fence>,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbStepResult {
    /// Empty where the statement returns no rows.
    pub columns: Vec<DbColumn>,
    /// The rows.
    pub rows: Vec<DbRow>,
    /// Rows that the statement changed.
    pub rows_affected: i64,
    /// The key generated by the last INSERT, on SQLite and MariaDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_insert_id: Option<WideInt>,
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbTransactionResult {
    /// One for each step.
    pub results: Vec<DbStepResult>,
    /// How often it was begun.
    pub attempts: i32,
    /// Whether this is the first answer again.
    pub repeated: bool,
    /// Time at the database, in microseconds.
    pub elapsed_us: i64,
}
