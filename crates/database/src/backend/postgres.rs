//! PostgreSQL.

mod numeric;
mod values;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgConnection, PgQueryResult, PgRow, PgSslMode, PgStatement,
    PgTypeInfo, PgTypeKind,
};
use sqlx::{
    Arguments as _, AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _,
    Executor as _, Row as _, SqlSafeStr as _, Statement as _, TypeInfo as _, ValueRef as _,
};

use super::{Backend, Beside, Connection, Execution, Interrupt, ResultSet, Stopper, collect};
use crate::error::BackendError;
use crate::model::{Column, Isolation, NetworkEndpoint, TlsMode};
use values::{Fit, Param};

/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 100;
/// What the client library takes from the process's environment and cannot be told otherwise. All else that it takes from
/// there (`PGHOST`, `PGUSER`, `PGPASSWORD`, `PGSSLMODE`, `PGSSLROOTCERT`, `PGAPPNAME` …) is set for each database.
const ENVIRONMENT_NOT_OVERRIDDEN: [&str; 3] = ["PGSSLCERT", "PGSSLKEY", "PGOPTIONS"];
/// How soon the server notices by itself that a connection was closed under a running statement, in milliseconds. It is what
/// stops a statement where asking for it took too long.
const CLOSED_NOTICED_MS: u32 = 1_000;
/// First object id of types that are not built in.
const FIRST_OWN_OID: u32 = 16_384;

/// Connects to one database of a server.
pub(crate) struct PostgresBackend {
    options: PgConnectOptions,
    beside: Arc<Beside<PgConnection>>,
}

impl PostgresBackend {
    pub(crate) fn new(
        endpoint: &NetworkEndpoint,
        secret: Option<&str>,
        authorities: Option<&str>,
        read_only: bool,
    ) -> Self {
        let tls = match endpoint.tls {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&endpoint.host)
            .port(endpoint.port)
            .username(&endpoint.user)
            .database(&endpoint.database)
            .ssl_mode(tls)
            .application_name("plinth")
            .statement_cache_capacity(STATEMENTS_KEPT)
            .disable_statement_logging();
        // Always set: without them the process's own PGPASSWORD would go to whichever host the caller named, and its
        // PGSSLROOTCERT would say whom to trust.
        options = options
            .password(secret.unwrap_or_default())
            .ssl_root_cert_from_pem(authorities.unwrap_or_default().into());
        if read_only {
            options = options.options([("default_transaction_read_only", "on")]);
        }
        Self {
            options,
            beside: Arc::default(),
        }
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    async fn connect(&self) -> Result<Box<dyn Connection>, BackendError> {
        let set = |variable: &&&str| std::env::var_os(variable).is_some();
        if let Some(variable) = ENVIRONMENT_NOT_OVERRIDDEN.iter().find(set) {
            return Err(BackendError::Environment { variable });
        }
        let mut inner = PgConnection::connect_with(&self.options)
            .await
            .map_err(BackendError::connection)?;
        // Only servers from version 14 on know the setting.
        let (process, _noticed): (i32, Option<String>) = sqlx::query_as(
            "SELECT pg_backend_pid(), (SELECT set_config(name, $1, false) FROM pg_settings \
             WHERE name = 'client_connection_check_interval')",
        )
        .bind(CLOSED_NOTICED_MS.to_string())
        .fetch_one(&mut inner)
        .await
        .map_err(BackendError::connection)?;
        let canceller = Arc::new(Canceller {
            options: self.options.clone(),
            beside: Arc::clone(&self.beside),
            process,
        });
        Ok(Box::new(PostgresSession { inner, canceller }))
    }

    fn begin(&self, isolation: Option<Isolation>, _writes: bool) -> Vec<String> {
        vec![match isolation {
            Some(isolation) => format!("BEGIN ISOLATION LEVEL {}", isolation.sql()),
            None => "BEGIN".to_owned(),
        }]
    }
}

struct PostgresSession {
    inner: PgConnection,
    canceller: Arc<Canceller>,
}

/// Stops a statement by a second connection.
struct Canceller {
    options: PgConnectOptions,
    beside: Arc<Beside<PgConnection>>,
    process: i32,
}

#[async_trait]
impl Stopper for Canceller {
    type Beside = PgConnection;

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.options).await
    }

    async fn stop(&self, beside: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_cancel_backend($1)")
            .bind(self.process)
            .execute(beside)
            .await
            .map(|_| ())
    }
}

#[async_trait]
impl Interrupt for Canceller {
    async fn interrupt(&self) {
        if let Err(error) = self.beside.ask(self).await {
            tracing::debug!(%error, "stopping a statement failed; its connection is closed");
        }
    }
}

impl PostgresSession {
    async fn prepare(&mut self, text: &Arc<str>) -> Result<PgStatement, BackendError> {
        (&mut self.inner)
            .prepare(AssertSqlSafe(Arc::clone(text)).into_sql_str())
            .await
            .map_err(failure)
    }

    /// Prepares with types inferred by the server, then again with casts at the places that do not take their value as
    /// it is. `render` writes the text with the given placeholders.
    async fn fit(
        &mut self,
        execution: &Execution<'_>,
    ) -> Result<(Arc<str>, PgStatement, PgArguments), BackendError> {
        let text = execution.text();
        let (fits, types) = match self.prepare(&text).await {
            Ok(prepared) => {
                let types = parameter_types(&prepared);
                let fits = fits(execution, &types)?;
                if fits
                    .iter()
                    .all(|fit| matches!(fit, Fit::Direct(_) | Fit::Null))
                {
                    let arguments = arguments(fits, &types)?;
                    return Ok((text, prepared, arguments));
                }
                (fits, types)
            }
            // 42P18: a parameter whose type nothing tells. The values' own types do.
            Err(BackendError::Refused { code, .. })
                if code.as_deref() == Some("42P18") && !execution.params.is_empty() =>
            {
                let fits = execution
                    .params
                    .iter()
                    .map(|value| match value {
                        crate::model::Value::Null => Fit::Null,
                        _ => Fit::Natural,
                    })
                    .collect();
                (fits, Vec::new())
            }
            Err(error) => return Err(error),
        };
        let casts: Vec<String> = fits
            .iter()
            .zip(execution.params)
            .enumerate()
            .map(|(at, (fit, value))| match (fit, types.get(at)) {
                (Fit::CastFromText, Some(wanted)) => {
                    format!("(${}::text)::{}", at + 1, type_name(wanted))
                }
                (Fit::Direct(_), Some(_)) => format!("${}", at + 1),
                (Fit::Null, Some(wanted)) => format!("${}::{}", at + 1, type_name(wanted)),
                _ => format!("${}::{}", at + 1, values::natural(value).0),
            })
            .collect();
        let mut text = execution
            .statement
            .render(|number| casts.get(number - 1).cloned().unwrap_or_default());
        if !execution.suffix.is_empty() {
            text = format!("{text}\n{}", execution.suffix);
        }
        let text: Arc<str> = text.into();
        let prepared = self.prepare(&text).await?;
        let types = parameter_types(&prepared);
        let arguments = arguments(self::fits(execution, &types)?, &types)?;
        Ok((text, prepared, arguments))
    }
}

fn parameter_types(prepared: &PgStatement) -> Vec<PgTypeInfo> {
    match prepared.parameters() {
        Some(sqlx::Either::Left(types)) => types.to_vec(),
        _ => Vec::new(),
    }
}

fn type_oid(type_info: &PgTypeInfo) -> u32 {
    type_info.oid().map_or(0, |oid| oid.0)
}

/// The name of a type for a cast; a name of the caller's own is quoted.
fn type_name(type_info: &PgTypeInfo) -> String {
    if let PgTypeKind::Array(element) = type_info.kind() {
        return format!("{}[]", type_name(element));
    }
    if type_oid(type_info) < FIRST_OWN_OID {
        return type_info.name().to_owned();
    }
    format!("\"{}\"", type_info.name().replace('"', "\"\""))
}

fn fits(execution: &Execution<'_>, types: &[PgTypeInfo]) -> Result<Vec<Fit>, BackendError> {
    execution
        .params
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let wanted = types.get(index).map_or(0, type_oid);
            values::fit(value, wanted).map_err(|message| BackendError::Param { index, message })
        })
        .collect()
}

fn arguments(fits: Vec<Fit>, types: &[PgTypeInfo]) -> Result<PgArguments, BackendError> {
    let mut arguments = PgArguments::default();
    for (index, fit) in fits.into_iter().enumerate() {
        let refuse = |message: String| BackendError::Param { index, message };
        let Some(type_info) = types.get(index).cloned() else {
            return Err(refuse("has no place in the statement".to_owned()));
        };
        let bytes = match fit {
            Fit::Direct(bytes) => Some(bytes),
            Fit::Null => None,
            Fit::CastFromText | Fit::Natural => {
                return Err(refuse(format!(
                    "does not fit the type {} of its place",
                    type_info.name()
                )));
            }
        };
        arguments
            .add(Param { bytes, type_info })
            .map_err(|error| refuse(error.to_string()))?;
    }
    Ok(arguments)
}

/// The statement around one whose columns hold types that have no field in `Value`: those are cast to text by the
/// server, which alone knows how to write them.
fn with_text_columns(text: &str, types: &[u32]) -> Arc<str> {
    let names: Vec<String> = (0..types.len()).map(|at| format!("c{at}")).collect();
    let casts: Vec<String> = names
        .iter()
        .zip(types)
        .map(|(name, oid)| {
            if values::is_native(*oid) {
                name.clone()
            } else {
                format!("{name}::text")
            }
        })
        .collect();
    format!(
        "WITH plinth_rows({}) AS (\n{text}\n) SELECT {} FROM plinth_rows",
        names.join(", "),
        casts.join(", ")
    )
    .into()
}

#[async_trait]
impl Connection for PostgresSession {
    async fn run(&mut self, execution: Execution<'_>) -> Result<ResultSet, BackendError> {
        let (mut text, prepared, arguments) = self.fit(&execution).await?;
        let columns = prepared
            .columns()
            .iter()
            .map(|column| Column {
                name: column.name().to_owned(),
                type_name: column.type_info().name().to_ascii_lowercase(),
            })
            .collect();
        let types: Vec<u32> = prepared
            .columns()
            .iter()
            .map(|column| type_oid(column.type_info()))
            .collect();
        drop(prepared);
        let wrappable = !execution
            .statement
            .begins_with(&["show", "explain", "call", "table"]);
        if wrappable && types.iter().any(|oid| !values::is_native(*oid)) {
            text = with_text_columns(&text, &types);
        }
        let answer = (&mut self.inner).fetch_many(sqlx::query_with(AssertSqlSafe(text), arguments));
        let read = |row: &PgRow| read_row(row, &types);
        let count = |done: &PgQueryResult, set: &mut ResultSet| {
            set.rows_affected += done.rows_affected();
        };
        let set = collect(answer, &execution, failure, read, count).await?;
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
        Arc::clone(&self.canceller) as Arc<dyn Interrupt>
    }

    async fn close(self: Box<Self>) {
        if let Err(error) = self.inner.close().await {
            tracing::debug!(%error, "closing a PostgreSQL connection failed");
        }
    }
}

fn read_row(row: &PgRow, types: &[u32]) -> Result<Vec<crate::model::Value>, BackendError> {
    (0..row.len())
        .map(|at| {
            let raw = row.try_get_raw(at).map_err(failure)?;
            if raw.is_null() {
                return Ok(crate::model::Value::Null);
            }
            let decode = |source| failure(sqlx::Error::Decode(source));
            let oid = types.get(at).copied().unwrap_or(0);
            values::read(oid, raw.as_bytes().map_err(decode)?).map_err(decode)
        })
        .collect()
}

fn failure(error: sqlx::Error) -> BackendError {
    BackendError::from_sqlx(error, |database, message| {
        let code = database.code().map(std::borrow::Cow::into_owned);
        match code.as_deref() {
            Some("23505") => BackendError::UniqueViolation { message, code },
            // Serialization failure, deadlock, and a lock that was not waited for.
            Some("40001" | "40P01" | "55P03") => BackendError::Serialization { message },
            Some("57014") => BackendError::Cancelled,
            // Class 08: connection; class 57P: shutdown and recovery; 53300: too many connections.
            Some(state)
                if state.starts_with("08") || state.starts_with("57P") || state == "53300" =>
            {
                BackendError::Connection {
                    message,
                    source: None,
                }
            }
            _ => BackendError::Refused { message, code },
        }
    })
}
