//! The control plane: tenants, principals, API keys, roles, bindings, definitions, audit policies and idempotency records
//! on SQLite, PostgreSQL or MariaDB, through one set of SeaORM entities and migrations.
//!
//! Every call is one statement or one transaction. A control database that is away fails the calls that need it with
//! 1012; it never stops the process from starting: the schema is then brought up to date by the first call that gets
//! through.

mod access;
mod credentials;
mod definitions;
mod entity;
mod epochs;
mod failure;
mod idempotency;
mod locks;
mod migration;
mod roles;

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use plinth_core::{Error, ErrorCode, Result, SharedClock};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::sync::{OnceCell, Semaphore};

use failure::Phase;

/// Most connections to a PostgreSQL or MariaDB control database.
const CONNECTIONS_MAX: u32 = 16;
/// Most connections to a SQLite control file. One of them writes at a time.
const SQLITE_CONNECTIONS_MAX: u32 = 4;
/// Most calls on records of locks at one time, so that locks leave connections to everything else.
const LOCK_CALLS_MAX: usize = 8;
/// How long a call waits for a connection, in milliseconds; also how long a start waits for a database that is away.
const CONNECTION_WAIT_MS_MAX: u64 = 3_000;
/// How long a statement waits for SQLite's write lock, in milliseconds.
const SQLITE_BUSY_WAIT_MS_MAX: u64 = 5_000;
/// How often a call is tried again when it lost against a concurrent one.
const ATTEMPTS_MAX: u32 = 8;

/// The control plane on one database. Implements [`AccessDirectory`](plinth_core::access::AccessDirectory),
/// [`CredentialDirectory`](plinth_core::CredentialDirectory) and [`Definitions`](crate::Definitions).
pub struct ControlStore {
    database: DatabaseConnection,
    clock: SharedClock,
    /// Set once the schema is up to date.
    migrated: OnceCell<()>,
    /// Places of calls on records of locks.
    lock_calls: Semaphore,
}

impl ControlStore {
    /// Opens a control database by its URL and brings its schema up to date.
    ///
    /// | URL | is |
    /// |---|---|
    /// | `sqlite://path?mode=rwc` | a SQLite file, created where absent |
    /// | `sqlite::memory:` | SQLite in memory, gone with the store |
    /// | `postgres://user:password@host:port/database` | PostgreSQL |
    /// | `mysql://user:password@host:port/database` | MariaDB or MySQL |
    ///
    /// Errors: 1001 where the URL is none of these; 1012 where a SQLite file cannot be opened; 1013 where the schema was
    /// written by a newer release. A server that cannot be reached is not an error here: calls fail with 1012 until it is
    /// back.
    pub async fn open(url: &str, clock: SharedClock) -> Result<Self> {
        let options = connect_options(url)?;
        let database = Database::connect(options)
            .await
            .map_err(|error| failure::error(error, Phase::Read))?;
        let store = Self {
            database,
            clock,
            migrated: OnceCell::new(),
            lock_calls: Semaphore::new(LOCK_CALLS_MAX),
        };
        match store.ready().await {
            Ok(_) => Ok(store),
            Err(error) if store.is_remote() && error.code() == ErrorCode::DependencyUnavailable => {
                let cause = std::error::Error::source(&error);
                tracing::warn!(error = ?cause, "the control database is away; starting without it");
                Ok(store)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the control database answers. Errors: 1012 where it does not.
    pub async fn ping(&self) -> Result<()> {
        self.ready()
            .await?
            .ping()
            .await
            .map_err(|error| failure::error(error, Phase::Read))
    }

    /// Closes the connections. Later calls fail.
    pub async fn close(&self) {
        if let Err(error) = self.database.close_by_ref().await {
            tracing::warn!(error = %error, "the control database did not close cleanly");
        }
    }

    /// Whether the database is a product of its own, which may be away while this process runs.
    fn is_remote(&self) -> bool {
        self.database.get_database_backend() != DbBackend::Sqlite
    }

    /// The connection, with its schema up to date.
    async fn ready(&self) -> Result<&DatabaseConnection> {
        self.migrated
            .get_or_try_init(|| migration::migrate(&self.database))
            .await?;
        Ok(&self.database)
    }

    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<DatabaseTransaction> {
        begin(self.ready().await?).await
    }
}

/// Begins a transaction that writes. On SQLite it takes the write lock at once, so that it cannot fail half-way because
/// another one wrote in between.
async fn begin(database: &DatabaseConnection) -> Result<DatabaseTransaction> {
    let sqlite = database.get_database_backend() == DbBackend::Sqlite;
    let options = TransactionOptions {
        sqlite_transaction_mode: sqlite.then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    database
        .begin_with_options(options)
        .await
        .map_err(|error| failure::error(error, Phase::Uncommitted))
}

fn connect_options(url: &str) -> Result<ConnectOptions> {
    let known = ["sqlite:", "postgres:", "postgresql:", "mysql:"];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        // The URL holds a password, so it is not repeated.
        return Err(Error::invalid(
            "control.url",
            "must begin with sqlite:, postgres: or mysql:",
        ));
    }
    let mut options = ConnectOptions::new(url);
    options
        .acquire_timeout(Duration::from_millis(CONNECTION_WAIT_MS_MAX))
        // The first call connects; a database that is away must not stop the start.
        .connect_lazy(true)
        .max_connections(CONNECTIONS_MAX)
        .sqlx_logging(false);
    if url.starts_with("sqlite:") {
        sqlite_options(url, &mut options)?;
    }
    Ok(options)
}

fn sqlite_options(url: &str, options: &mut ConnectOptions) -> Result<()> {
    let parsed = SqliteConnectOptions::from_str(url)
        .map_err(|error| Error::invalid("control.url", "is not a SQLite URL").with_source(error))?;
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    if in_memory {
        // The data live as long as the one connection does.
        options
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None);
    } else {
        if url.contains("mode=rwc") {
            create_file(parsed.get_filename())?;
        }
        options.max_connections(SQLITE_CONNECTIONS_MAX);
    }
    options.map_sqlx_sqlite_opts(move |options| {
        let options = options
            .foreign_keys(true)
            .busy_timeout(Duration::from_millis(SQLITE_BUSY_WAIT_MS_MAX))
            .synchronous(SqliteSynchronous::Full);
        if in_memory {
            options
        } else {
            options.journal_mode(SqliteJournalMode::Wal)
        }
    });
    Ok(())
}

fn create_file(path: &Path) -> Result<()> {
    crate::engine::create_private(path).map_err(Error::from)
}
