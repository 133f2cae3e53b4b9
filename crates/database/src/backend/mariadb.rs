//! MariaDB and MySQL.

mod values;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlQueryResult, MySqlRow, MySqlSslMode,
};
use sqlx::{
    Arguments as _, AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _,
    Executor as _, SqlSafeStr as _, Statement as _,
};

use super::{Backend, Beside, Connection, Execution, Interrupt, ResultSet, Stopper, collect};
use crate::error::BackendError;
use crate::model::{Column, Isolation, NetworkEndpoint, TlsMode};

/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 100;

/// Connects to one database of a server.
pub(crate) struct MariadbBackend {
    options: MySqlConnectOptions,
    read_only: bool,
    beside: Arc<Beside<MySqlConnection>>,
}

impl MariadbBackend {
    pub(crate) fn new(
        endpoint: &NetworkEndpoint,
        secret: Option<&str>,
        authorities: Option<&str>,
        read_only: bool,
    ) -> Self {
        let tls = match endpoint.tls {
            TlsMode::Disable => MySqlSslMode::Disabled,
            TlsMode::Prefer => MySqlSslMode::Preferred,
            TlsMode::Require => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        };
        let mut options = MySqlConnectOptions::new()
            .host(&endpoint.host)
            .port(endpoint.port)
            .username(&endpoint.user)
            .database(&endpoint.database)
            .ssl_mode(tls)
            // The session is the server's own, but for the zone: instants come and go in UTC.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(Some("+00:00".to_owned()))
            .statement_cache_capacity(STATEMENTS_KEPT)
            .disable_statement_logging();
        if let Some(secret) = secret {
            options = options.password(secret);
        }
        if let Some(authorities) = authorities {
            options = options.ssl_ca_from_pem(authorities.into());
        }
        Self {
            options,
            read_only,
            beside: Arc::default(),
        }
    }
}

#[async_trait]
impl Backend for MariadbBackend {
    async fn connect(&self) -> Result<Box<dyn Connection>, BackendError> {
        let mut inner = MySqlConnection::connect_with(&self.options)
            .await
            .map_err(|error| refused(error, self.options.get_ssl_mode()))?;
        let id: u64 = sqlx::query_scalar("SELECT CAST(CONNECTION_ID() AS UNSIGNED)")
            .fetch_one(&mut inner)
            .await
            .map_err(BackendError::connection)?;
        if self.read_only {
            (&mut inner)
                .execute(sqlx::raw_sql("SET SESSION TRANSACTION READ ONLY"))
                .await
                .map_err(BackendError::connection)?;
        }
        let killer = Arc::new(Killer {
            options: self.options.clone(),
            beside: Arc::clone(&self.beside),
            id,
        });
        Ok(Box::new(MariadbSession { inner, killer }))
    }

    fn begin(&self, isolation: Option<Isolation>, _writes: bool) -> Vec<String> {
        let level = isolation
            .map(|isolation| format!("SET TRANSACTION ISOLATION LEVEL {}", isolation.sql()));
        level
            .into_iter()
            .chain(["START TRANSACTION".to_owned()])
            .collect()
    }
}

struct MariadbSession {
    inner: MySqlConnection,
    killer: Arc<Killer>,
}

/// Stops a statement by a second connection.
struct Killer {
    options: MySqlConnectOptions,
    beside: Arc<Beside<MySqlConnection>>,
    id: u64,
}

#[async_trait]
impl Stopper for Killer {
    type Beside = MySqlConnection;

    async fn connect(&self) -> Result<MySqlConnection, sqlx::Error> {
        MySqlConnection::connect_with(&self.options).await
    }

    async fn stop(&self, beside: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let kill = format!("KILL QUERY {}", self.id);
        beside
            .execute(sqlx::raw_sql(AssertSqlSafe(kill)))
            .await
            .map(|_| ())
    }
}

#[async_trait]
impl Interrupt for Killer {
    async fn interrupt(&self) {
        if let Err(error) = self.beside.ask(self).await {
            tracing::debug!(%error, "stopping a statement failed; its connection is closed");
        }
    }
}

#[async_trait]
impl Connection for MariadbSession {
    async fn run(&mut self, execution: Execution<'_>) -> Result<ResultSet, BackendError> {
        let text = execution.text();
        let mut arguments = MySqlArguments::default();
        for (index, param) in execution.params.iter().enumerate() {
            let param = values::Param::of(param).map_err(|message| BackendError::Param {
                index,
                message: message.to_owned(),
            })?;
            arguments.add(param).map_err(|error| BackendError::Param {
                index,
                message: error.to_string(),
            })?;
        }
        let prepared = (&mut self.inner)
            .prepare(AssertSqlSafe(Arc::clone(&text)).into_sql_str())
            .await
            .map_err(failure)?;
        let columns = prepared
            .columns()
            .iter()
            .map(|column| Column {
                name: column.name().to_owned(),
                type_name: values::type_word(column.type_info()),
            })
            .collect();
        drop(prepared);
        let answer = (&mut self.inner).fetch_many(sqlx::query_with(AssertSqlSafe(text), arguments));
        let read = |row: &MySqlRow| values::read_row(row).map_err(failure);
        let count = |done: &MySqlQueryResult, set: &mut ResultSet| {
            set.rows_affected += done.rows_affected();
            let id = i64::try_from(done.last_insert_id()).ok();
            set.last_insert_id = id.filter(|id| *id != 0);
        };
        let mut set = collect(answer, &execution, failure, read, count).await?;
        // What returns rows tells no number of changes: it returns one for each that it inserted or deleted.
        if set.rows_affected == 0 && execution.statement.begins_with(&["insert", "delete"]) {
            set.rows_affected = set.rows_seen;
        }
        Ok(ResultSet { columns, ..set })
    }

    async fn command(&mut self, sql: String) -> Result<(), BackendError> {
        (&mut self.inner)
            .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await
            .map_err(failure)?;
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), BackendError> {
        self.inner.ping().await.map_err(BackendError::connection)
    }

    fn interrupter(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.killer) as Arc<dyn Interrupt>
    }

    async fn close(self: Box<Self>) {
        if let Err(error) = self.inner.close().await {
            tracing::debug!(%error, "closing a MariaDB connection failed");
        }
    }
}

/// Why no connection came about. MariaDB answers a plain login of a user who may come in over TLS alone as it answers a
/// wrong password, so the hint is ours.
fn refused(error: sqlx::Error, tls: MySqlSslMode) -> BackendError {
    const ACCESS_DENIED: u16 = 1_045;
    let denied = error
        .as_database_error()
        .and_then(|refusal| refusal.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>())
        .is_some_and(|refusal| refusal.number() == ACCESS_DENIED);
    match BackendError::connection(error) {
        BackendError::Connection { message, source }
            if denied && matches!(tls, MySqlSslMode::Disabled) =>
        {
            let message = format!(
                "{message}; the password is wrong, or the user must come over TLS and sslmode is disable"
            );
            BackendError::Connection { message, source }
        }
        other => other,
    }
}

fn failure(error: sqlx::Error) -> BackendError {
    BackendError::from_sqlx(error, |database, message| {
        let number = database
            .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
            .map_or(0, sqlx::mysql::MySqlDatabaseError::number);
        let code = Some(number.to_string());
        match number {
            1_062 | 1_586 => BackendError::UniqueViolation { message, code },
            // Deadlock, lock wait time-out, and MariaDB's "record has changed since last read".
            1_213 | 1_205 | 1_020 => BackendError::Serialization { message },
            // Interrupted, and past max_statement_time.
            1_317 | 1_969 => BackendError::Cancelled,
            // Server shutdown, connection killed, too many connections.
            1_053 | 1_927 | 1_040 => BackendError::Connection {
                message,
                source: None,
            },
            _ => BackendError::Refused { message, code },
        }
    })
}
