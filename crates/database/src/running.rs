//! One registered database at work on this instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use plinth_core::{Deadline, MetricSink, SharedClock, TenantId};
use plinth_store::Definition;

use crate::backend::{
    Backend, Execution, MariadbBackend, PostgresBackend, ResultSet, SqliteBackend,
};
use crate::error::DatabaseError;
use crate::model::{DatabaseDefinition, DatabaseInfo, Endpoint, EngineKind, Value};
use crate::pool::{Lease, Pool};
use crate::service::DatabaseSettings;
use crate::slow::{Run, SlowLog};
use crate::sql::Statement;

/// Bytes of taken-apart statements that are kept for one database.
const STATEMENT_CACHE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A database with its pool, its statements and what it has run.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) definition: DatabaseDefinition,
    pub(crate) stored: Stored,
    pub(crate) pool: Pool,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) slow: Arc<SlowLog>,
    pub(crate) idempotency_table: tokio::sync::OnceCell<()>,
    /// Set once the table of fences is known to be there.
    pub(crate) fence_table: tokio::sync::OnceCell<()>,
    statements: Cache<String, Arc<Statement>>,
    clock: SharedClock,
    metrics: Arc<dyn MetricSink>,
    /// When the definition was last compared with the control plane, on the monotonic clock.
    checked_ms: AtomicU64,
}

/// The dates and version of a stored definition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) version: i64,
    pub(crate) created_at_ms: i64,
    pub(crate) updated_at_ms: i64,
}

impl Stored {
    /// Whether it takes the place of another of the same name: of one definition only a later version does. A definition
    /// that was removed and made anew counts its versions from 1 again, and is told by its date.
    pub(crate) const fn replaces(self, other: Self) -> bool {
        self.created_at_ms != other.created_at_ms || self.version > other.version
    }
}

impl From<&Definition> for Stored {
    fn from(definition: &Definition) -> Self {
        Self {
            version: definition.version,
            created_at_ms: definition.created_at.0,
            updated_at_ms: definition.updated_at.0,
        }
    }
}

impl Database {
    /// Makes it ready; nothing is opened yet. Errors: a stored address that does not parse any more.
    pub(crate) fn new(
        tenant: &TenantId,
        name: &str,
        definition: DatabaseDefinition,
        stored: Stored,
        slow: Arc<SlowLog>,
        settings: &DatabaseSettings,
    ) -> plinth_core::Result<Self> {
        let secret = definition.secret.as_deref();
        let authorities = definition.tls_ca.as_deref();
        let endpoint = Endpoint::parse(definition.engine, &definition.url)?;
        let backend: Arc<dyn Backend> = match (&endpoint, definition.engine) {
            (Endpoint::File(path), _) => Arc::new(SqliteBackend::new(
                settings.sqlite_directory.join(tenant.as_str()),
                path.clone(),
                definition.read_only,
                settings.sqlite_file_bytes_max,
            )),
            (Endpoint::Network(server), EngineKind::Mariadb) => Arc::new(MariadbBackend::new(
                server,
                secret,
                authorities,
                definition.read_only,
            )),
            (Endpoint::Network(server), _) => Arc::new(PostgresBackend::new(
                server,
                secret,
                authorities,
                definition.read_only,
            )),
        };
        let clock = Arc::clone(&settings.clock);
        let metrics = Arc::clone(&settings.metrics);
        Ok(Self {
            name: name.to_owned(),
            pool: Pool::new(
                name,
                Arc::clone(&backend),
                &definition.pool,
                Arc::clone(&clock),
                Arc::clone(&metrics),
            ),
            definition,
            stored,
            backend,
            slow,
            idempotency_table: tokio::sync::OnceCell::new(),
            fence_table: tokio::sync::OnceCell::new(),
            statements: Cache::builder()
                .max_capacity(STATEMENT_CACHE_BYTES_MAX)
                .weigher(|sql: &String, statement: &Arc<Statement>| {
                    u32::try_from(sql.len() + statement.weight_bytes()).unwrap_or(u32::MAX)
                })
                .build(),
            checked_ms: AtomicU64::new(clock.monotonic_ms()),
            clock,
            metrics,
        })
    }

    pub(crate) fn engine(&self) -> EngineKind {
        self.definition.engine
    }

    /// Whether the definition is to be compared with the control plane again.
    pub(crate) fn is_stale(&self, fresh_ms: u64) -> bool {
        let age = self
            .clock
            .monotonic_ms()
            .saturating_sub(self.checked_ms.load(Ordering::Relaxed));
        age > fresh_ms
    }

    pub(crate) fn mark_fresh(&self) {
        self.checked_ms
            .store(self.clock.monotonic_ms(), Ordering::Relaxed);
    }

    /// Takes a statement apart, once. Errors: 1001 and 1007 naming `sql`.
    pub(crate) fn statement(&self, sql: &str) -> plinth_core::Result<Arc<Statement>> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known);
        }
        let statement = Arc::new(Statement::parse(sql, self.engine())?);
        self.statements
            .insert(sql.to_owned(), Arc::clone(&statement));
        Ok(statement)
    }

    /// Refuses a statement that writes where the database is read-only.
    pub(crate) fn check_access(&self, statement: &Statement) -> plinth_core::Result<()> {
        if self.definition.read_only && statement.access == crate::sql::Access::Write {
            return Err(plinth_core::Error::new(
                plinth_core::ErrorCode::Forbidden,
                format!("the database {:?} is registered read-only", self.name),
            ));
        }
        Ok(())
    }

    /// Runs a statement on a lease until the deadline; past it the lease is dropped, which stops the server.
    pub(crate) async fn run(
        &self,
        lease: &mut Lease,
        execution: Execution<'_>,
        deadline: Deadline,
        field: Option<&str>,
    ) -> Result<ResultSet, DatabaseError> {
        // Inside a transaction nothing is applied before COMMIT.
        let writing = execution.statement.access != crate::sql::Access::Read && field.is_none();
        self.run_as(lease, execution, deadline, field, writing)
            .await
    }

    async fn run_as(
        &self,
        lease: &mut Lease,
        execution: Execution<'_>,
        deadline: Deadline,
        field: Option<&str>,
        writing: bool,
    ) -> Result<ResultSet, DatabaseError> {
        match tokio::time::timeout_at(deadline.instant().into(), lease.run(execution)).await {
            Ok(Ok(set)) => Ok(set),
            Ok(Err(error)) => Err(DatabaseError::from_backend(
                error, &self.name, field, writing,
            )),
            Err(_elapsed) => Err(DatabaseError::Deadline {
                message: "the deadline passed; the statement is being stopped at the server",
                outcome_unknown: writing,
            }),
        }
    }

    /// Runs a small statement of our own on a lease and returns its rows. Repeating it is harmless, or it is part of a
    /// transaction, so its outcome is never in doubt.
    pub(crate) async fn own(
        &self,
        lease: &mut Lease,
        sql: &str,
        params: &[Value],
        deadline: Deadline,
    ) -> Result<Vec<Vec<Value>>, DatabaseError> {
        let statement = self.statement(sql)?;
        let set = self
            .run_as(
                lease,
                Execution::own(&statement, params),
                deadline,
                None,
                false,
            )
            .await?;
        Ok(set.rows)
    }

    /// Notes an execution in the slow log and in the metrics.
    pub(crate) fn note(
        &self,
        statement: &Arc<Statement>,
        elapsed_us: i64,
        outcome: Option<&ResultSet>,
    ) {
        let slow = elapsed_us >= self.definition.slow_query_threshold_ms * 1_000;
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.slow.record(
            statement,
            self.engine(),
            Run {
                elapsed_us,
                slow,
                failed: outcome.is_none(),
                rows_returned: outcome.map_or(0, |set| count(set.rows.len())),
                rows_affected: outcome.map_or(0, |set| {
                    i64::try_from(set.rows_affected).unwrap_or(i64::MAX)
                }),
                at_ms: self.clock.now().0,
            },
        );
        let labels = [
            ("database", self.name.as_str()),
            ("outcome", if outcome.is_some() { "ok" } else { "error" }),
        ];
        #[expect(
            clippy::cast_precision_loss,
            reason = "times in microseconds are small"
        )]
        let seconds = elapsed_us as f64 / 1e6;
        self.metrics
            .observe("plinth_db_statement_seconds", &labels, seconds);
    }

    /// What is shown of it.
    pub(crate) fn info(&self) -> DatabaseInfo {
        info(
            &self.name,
            &self.definition,
            self.stored,
            Some(self.pool.status()),
        )
    }
}

/// What is shown of a definition.
pub(crate) fn info(
    name: &str,
    definition: &DatabaseDefinition,
    stored: Stored,
    pool_status: Option<crate::model::PoolStatus>,
) -> DatabaseInfo {
    DatabaseInfo {
        database: name.to_owned(),
        engine: definition.engine.as_str().to_owned(),
        url: definition.url.clone(),
        has_secret: definition.secret.is_some(),
        read_only: definition.read_only,
        pool: definition.pool,
        slow_query_threshold_ms: definition.slow_query_threshold_ms,
        version: plinth_core::WideInt(stored.version),
        created_at_ms: stored.created_at_ms,
        updated_at_ms: stored.updated_at_ms,
        pool_status,
        tls_ca: definition.tls_ca.clone(),
    }
}
