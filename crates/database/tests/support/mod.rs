//! What the tests of this block share: a service on the three engines.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: one that fails fails its test"
)]

use std::sync::Arc;

use plinth_core::{CallContext, Deadline, MetricSink, SystemClock};
use plinth_database::model::{
    EngineKind, PoolOptions, PoolStatus, QueryReply, QueryRequest, RegisterDatabaseRequest, Step,
    TransactionReply, TransactionRequest, Value,
};
use plinth_database::{DatabaseError, DatabaseService, DatabaseSettings};
use plinth_store::Definitions;
use plinth_store::memory::MemoryDefinitions;
use plinth_testkit::calls::{call_of, keyed};
use plinth_testkit::services::{MARIADB_VARIABLE, POSTGRES_VARIABLE, service_url};

/// Most bytes of a SQLite file in tests.
pub(crate) const SQLITE_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The name that every test database is registered under.
pub(crate) const DB: &str = "shop";

struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

/// A service with one registered database.
pub(crate) struct Bench {
    pub(crate) service: Arc<DatabaseService>,
    pub(crate) engine: EngineKind,
    directory: Arc<tempfile::TempDir>,
    /// Where PostgreSQL and MariaDB are; tables of one test carry its own suffix.
    suffix: String,
}

/// The address of an engine for tests, and its password; `None` where it is not up.
pub(crate) fn address(engine: EngineKind) -> Option<(String, Option<String>)> {
    let variable = match engine {
        EngineKind::Sqlite => return Some(("test/shop.db".to_owned(), None)),
        EngineKind::Postgres => POSTGRES_VARIABLE,
        EngineKind::Mariadb => MARIADB_VARIABLE,
    };
    let text = service_url(variable)?;
    let (scheme, rest) = text.split_once("://")?;
    let (user, rest) = rest.split_once('@')?;
    let (user, secret) = match user.split_once(':') {
        Some((user, secret)) => (user, Some(secret.to_owned())),
        None => (user, None),
    };
    let scheme = if engine == EngineKind::Postgres {
        "postgres"
    } else {
        scheme
    };
    Some((format!("{scheme}://{user}@{rest}"), secret))
}

/// The engines that are up. In CI a missing one fails the test.
pub(crate) fn engines() -> Vec<EngineKind> {
    EngineKind::ALL
        .into_iter()
        .filter(|engine| address(*engine).is_some())
        .collect()
}

/// A context of a caller in a tenant.
pub(crate) fn context_in(tenant: &str, key: Option<&str>, deadline_ms: u64) -> CallContext {
    let mut call = call_of(tenant, "db.execute_transaction").expect("is a name");
    if let Some(key) = key {
        call = keyed(call, key).expect("is a key");
    }
    CallContext {
        deadline: Deadline::after_ms(deadline_ms),
        ..call
    }
}

/// A context with enough time.
pub(crate) fn context() -> CallContext {
    context_in("test", None, 60_000)
}

impl Bench {
    /// A service with the engine's database registered with default pool.
    pub(crate) async fn new(engine: EngineKind) -> Self {
        Self::with_pool(engine, PoolOptions::default()).await
    }

    /// A service with the engine's database registered with a pool.
    pub(crate) async fn with_pool(engine: EngineKind, pool: PoolOptions) -> Self {
        Self::on_clock(engine, pool, SystemClock::shared()).await
    }

    /// A service on a clock, with the engine's database registered with a pool.
    pub(crate) async fn on_clock(
        engine: EngineKind,
        pool: PoolOptions,
        clock: plinth_core::SharedClock,
    ) -> Self {
        let definitions = Arc::new(MemoryDefinitions::new(Arc::clone(&clock)));
        Self::made_of(engine, pool, clock, definitions).await
    }

    /// A service over definitions of the test's own, with the engine's database registered.
    pub(crate) async fn on_definitions(
        engine: EngineKind,
        definitions: Arc<dyn Definitions>,
    ) -> Self {
        let clock = SystemClock::shared();
        Self::made_of(engine, PoolOptions::default(), clock, definitions).await
    }

    async fn made_of(
        engine: EngineKind,
        pool: PoolOptions,
        clock: plinth_core::SharedClock,
        definitions: Arc<dyn Definitions>,
    ) -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("makes a directory"));
        let service = Arc::new(DatabaseService::new(DatabaseSettings {
            sqlite_directory: directory.path().join("databases"),
            sqlite_file_bytes_max: SQLITE_FILE_BYTES,
            definitions,
            clock,
            metrics: Arc::new(NoMetrics),
        }));
        let bench = Self {
            service,
            engine,
            directory,
            suffix: format!("{:08x}", rand_suffix()),
        };
        bench.register(pool, false).await;
        bench
    }

    /// Another instance over the same definitions and files.
    pub(crate) fn another(&self, definitions: Arc<dyn Definitions>) -> DatabaseService {
        DatabaseService::new(DatabaseSettings {
            sqlite_directory: self.sqlite_directory(),
            sqlite_file_bytes_max: SQLITE_FILE_BYTES,
            definitions,
            clock: SystemClock::shared(),
            metrics: Arc::new(NoMetrics),
        })
    }

    /// Registers the engine's database anew.
    pub(crate) async fn register(&self, pool: PoolOptions, read_only: bool) {
        self.service
            .register_database(&context(), DB, self.definition(pool, read_only))
            .await
            .unwrap_or_else(|error| panic!("{:?}: registering: {error}", self.engine));
    }

    /// The request that registers the engine's database.
    pub(crate) fn definition(&self, pool: PoolOptions, read_only: bool) -> RegisterDatabaseRequest {
        let (url, secret) = address(self.engine).expect("is up");
        RegisterDatabaseRequest {
            engine: self.engine.as_str().to_owned(),
            url,
            secret: secret.map(plinth_core::SecretString::new),
            tls_ca: None,
            read_only: Some(read_only),
            pool: Some(pool),
            slow_query_threshold_ms: Some(0),
            if_version: None,
        }
    }

    /// A table name of this test's own.
    pub(crate) fn table(&self, name: &str) -> String {
        format!("{name}_{}", self.suffix)
    }

    /// The directory of SQLite files.
    pub(crate) fn sqlite_directory(&self) -> std::path::PathBuf {
        self.directory.path().join("databases")
    }

    /// Runs a statement.
    pub(crate) async fn query(
        &self,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<QueryReply, DatabaseError> {
        let request = QueryRequest {
            sql: sql.to_owned(),
            params,
            ..QueryRequest::default()
        };
        self.service.execute_query(&context(), DB, request).await
    }

    /// Runs a statement that must succeed.
    pub(crate) async fn run(&self, sql: &str, params: Vec<Value>) -> QueryReply {
        self.query(sql, params)
            .await
            .unwrap_or_else(|error| panic!("{:?}: {sql}: {error}", self.engine))
    }

    /// Runs a statement that must be refused, and returns the refusal.
    pub(crate) async fn refused(&self, sql: &str, params: Vec<Value>) -> plinth_core::Error {
        match self.query(sql, params).await {
            Ok(reply) => panic!("{:?}: {sql} was not refused: {reply:?}", self.engine),
            Err(error) => error.into(),
        }
    }

    /// The one cell of a result.
    pub(crate) async fn cell(&self, sql: &str, params: Vec<Value>) -> Value {
        self.run(sql, params).await.rows[0].values[0].clone()
    }

    /// Runs a transaction.
    pub(crate) async fn transact(
        &self,
        steps: Vec<Step>,
        key: Option<&str>,
    ) -> Result<TransactionReply, DatabaseError> {
        let request = TransactionRequest {
            steps,
            ..TransactionRequest::default()
        };
        self.service
            .execute_transaction(&context_in("test", key, 60_000), DB, request)
            .await
    }

    /// The pool now.
    pub(crate) async fn pool(&self) -> PoolStatus {
        let listed = self
            .service
            .list_databases(
                &context(),
                plinth_database::model::ListDatabasesRequest::default(),
            )
            .await
            .expect("lists");
        listed.databases[0].pool_status.clone().expect("is at work")
    }

    /// Drops tables and closes the service.
    pub(crate) async fn end(self, tables: &[&str]) {
        for table in tables {
            let table = self.table(table);
            self.run(&format!("drop table if exists {table}"), vec![])
                .await;
        }
        self.service.close().await;
    }
}

/// A step.
pub(crate) fn step(sql: &str, params: Vec<Value>) -> Step {
    Step {
        sql: sql.to_owned(),
        params,
        ..Step::default()
    }
}

/// Text.
pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn rand_suffix() -> u32 {
    let nanos = std::time::Instant::now();
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&(std::process::id(), format!("{nanos:?}")), &mut hasher);
    u32::try_from(std::hash::Hasher::finish(&hasher) & 0xffff_ffff).expect("is masked")
}
