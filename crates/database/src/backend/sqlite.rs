//! SQLite: one file below the tenant's directory, WAL, `synchronous=FULL`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteArguments, SqliteColumn, SqliteConnectOptions, SqliteConnection, SqliteJournalMode,
    SqliteQueryResult, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    Arguments as _, AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _,
    Executor as _, Row as _, SqlSafeStr as _, Statement as _, TypeInfo as _, ValueRef as _,
};

use super::{Backend, Connection, Execution, Interrupt, ResultSet, collect};
use crate::error::BackendError;
use crate::model::{Column, Isolation, Value, calendar};

/// How long a writer waits for another before it gives up and is tried again, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 2_000;
/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 100;
/// Virtual-machine steps between two looks at the stop flag: about 0.1 ms.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Opens one file.
pub(crate) struct SqliteBackend {
    directory: PathBuf,
    file: PathBuf,
    read_only: bool,
}

impl SqliteBackend {
    /// A file, named relative to a directory that it may not leave.
    pub(crate) const fn new(directory: PathBuf, file: PathBuf, read_only: bool) -> Self {
        Self {
            directory,
            file,
            read_only,
        }
    }

    /// Finds the file and makes sure that no symbolic link leads out of the directory.
    fn locate(directory: &Path, file: &Path, create: bool) -> std::io::Result<PathBuf> {
        use std::io::{Error, ErrorKind};
        if create {
            std::fs::create_dir_all(directory)?;
        }
        let base = directory.canonicalize()?;
        let path = base.join(file);
        let parent = path.parent().unwrap_or(&base);
        if create {
            std::fs::create_dir_all(parent)?;
        }
        let parent = parent.canonicalize()?;
        let name = path.file_name().unwrap_or_default();
        let path = parent.join(name);
        let link = path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.file_type().is_symlink());
        if !parent.starts_with(&base) || link {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "the path leaves the database directory",
            ));
        }
        Ok(path)
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    async fn connect(&self) -> Result<Box<dyn Connection>, BackendError> {
        let (directory, file, create) =
            (self.directory.clone(), self.file.clone(), !self.read_only);
        let located =
            tokio::task::spawn_blocking(move || Self::locate(&directory, &file, create)).await;
        let path = match located {
            Ok(Ok(path)) => path,
            Ok(Err(error)) => return Err(BackendError::connection(error.into())),
            Err(_) => return Err(BackendError::connection(sqlx::Error::WorkerCrashed)),
        };
        let mut options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(create)
            .read_only(self.read_only)
            .busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("trusted_schema", "OFF")
            .statement_cache_capacity(STATEMENTS_KEPT)
            .disable_statement_logging();
        if create {
            options = options.journal_mode(SqliteJournalMode::Wal);
        }
        let mut inner = SqliteConnection::connect_with(&options)
            .await
            .map_err(BackendError::connection)?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        inner
            .lock_handle()
            .await
            .map_err(BackendError::connection)?
            .set_progress_handler(STEPS_BETWEEN_LOOKS, move || !flag.load(Ordering::Relaxed));
        Ok(Box::new(SqliteSession { inner, stop }))
    }

    fn begin(&self, _isolation: Option<Isolation>, writes: bool) -> Vec<String> {
        // A writer takes the lock at once: a read lock that must be raised later would fail against another writer.
        let begin = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
        vec![begin.to_owned()]
    }
}

struct SqliteSession {
    inner: SqliteConnection,
    stop: Arc<AtomicBool>,
}

struct StopFlag(Arc<AtomicBool>);

#[async_trait]
impl Interrupt for StopFlag {
    async fn interrupt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Connection for SqliteSession {
    async fn run(&mut self, execution: Execution<'_>) -> Result<ResultSet, BackendError> {
        let text = execution.text();
        let mut arguments = SqliteArguments::default();
        for (index, param) in execution.params.iter().enumerate() {
            bind(&mut arguments, param).map_err(|error| BackendError::Param {
                index,
                message: error.to_string(),
            })?;
        }
        let prepared = (&mut self.inner)
            .prepare(AssertSqlSafe(Arc::clone(&text)).into_sql_str())
            .await
            .map_err(failure)?;
        let declared = prepared.columns().to_vec();
        drop(prepared);
        let inserts = execution.statement.begins_with(&["insert", "replace"]);
        // The stream resets the statement when it is dropped, so the connection is free again even where rows are left.
        let answer = (&mut self.inner).fetch_many(sqlx::query_with(AssertSqlSafe(text), arguments));
        let read = |row: &SqliteRow| read_row(row, &declared);
        let count = |done: &SqliteQueryResult, set: &mut ResultSet| {
            set.rows_affected += done.rows_affected();
            set.last_insert_id = inserts.then(|| done.last_insert_rowid());
        };
        let set = collect(answer, &execution, failure, read, count).await?;
        Ok(ResultSet {
            columns: describe(&declared, &set.rows),
            ..set
        })
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
        Arc::new(StopFlag(Arc::clone(&self.stop)))
    }

    async fn close(self: Box<Self>) {
        if let Err(error) = self.inner.close().await {
            tracing::debug!(%error, "closing a SQLite connection failed");
        }
    }
}

fn bind(arguments: &mut SqliteArguments, param: &Value) -> Result<(), sqlx::error::BoxDynError> {
    match param {
        Value::Null => arguments.add(None::<i64>),
        Value::Bool(flag) => arguments.add(*flag),
        Value::Int(number) => arguments.add(*number),
        Value::Float(number) => arguments.add(*number),
        Value::Bytes(bytes) => arguments.add(bytes.clone()),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::Json(text)
        | Value::Uuid(text) => arguments.add(text.clone()),
    }
}

fn describe(declared: &[SqliteColumn], rows: &[Vec<Value>]) -> Vec<Column> {
    declared
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let declared = column.type_info().name().to_ascii_lowercase();
            let type_name = if declared == "null" {
                // No declared type: an expression, or a word that SQLite gives no meaning. The values say more.
                rows.iter()
                    .filter_map(|row| row.get(at))
                    .find(|value| **value != Value::Null)
                    .map_or("any", storage_word)
                    .to_owned()
            } else {
                declared
            };
            Column {
                name: column.name().to_owned(),
                type_name,
            }
        })
        .collect()
}

const fn storage_word(value: &Value) -> &'static str {
    match value {
        Value::Int(_) | Value::Bool(_) => "integer",
        Value::Float(_) => "real",
        Value::Bytes(_) => "blob",
        _ => "text",
    }
}

fn read_row(row: &SqliteRow, declared: &[SqliteColumn]) -> Result<Vec<Value>, BackendError> {
    (0..row.len())
        .map(|at| {
            let word = declared
                .get(at)
                .map_or("", |column| column.type_info().name());
            read(row, at, word).map_err(failure)
        })
        .collect()
}

/// Reads by the storage class of the value. A declared type gives it a better one only where nothing is lost.
fn read(row: &SqliteRow, at: usize, declared: &str) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(at)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let class = raw.type_info().name().to_owned();
    Ok(match class.as_str() {
        "INTEGER" | "BOOLEAN" => {
            let number: i64 = row.try_get_unchecked(at)?;
            match (declared, number) {
                ("BOOLEAN", 0 | 1) => Value::Bool(number == 1),
                _ => Value::Int(number),
            }
        }
        "REAL" => Value::Float(row.try_get_unchecked(at)?),
        "BLOB" => Value::Bytes(row.try_get_unchecked(at)?),
        _ => {
            let bytes: Vec<u8> = row.try_get_unchecked(at)?;
            match String::from_utf8(bytes) {
                Ok(text) => refine(text, declared),
                // Text that is not UTF-8 is kept byte for byte.
                Err(error) => Value::Bytes(error.into_bytes()),
            }
        }
    })
}

fn refine(text: String, declared: &str) -> Value {
    let canonical = |formatted: Option<String>| formatted.as_deref() == Some(text.as_str());
    match declared {
        "DATE" if canonical(calendar::parse_date(&text).map(calendar::format_date)) => {
            Value::Date(text)
        }
        "TIME" if canonical(calendar::parse_time(&text).map(calendar::format_time)) => {
            Value::Time(text)
        }
        "DATETIME"
            if canonical(
                calendar::parse_timestamp(&text)
                    .map(|(micros, zoned)| calendar::format_timestamp(micros, zoned)),
            ) =>
        {
            Value::Timestamp(text)
        }
        _ => Value::Text(text),
    }
}

fn failure(error: sqlx::Error) -> BackendError {
    BackendError::from_sqlx(error, |database, message| {
        let code = database.code().map(std::borrow::Cow::into_owned);
        let number: i32 = code
            .as_deref()
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        match (number, number & 0xff) {
            (1_555 | 2_067, _) => BackendError::UniqueViolation { message, code },
            // SQLITE_BUSY and SQLITE_LOCKED with their extended codes.
            (_, 5 | 6) => BackendError::Serialization { message },
            (_, 9) => BackendError::Cancelled,
            // SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_CANTOPEN, SQLITE_NOTADB.
            (_, 10 | 11 | 14 | 26) => BackendError::Connection {
                message,
                source: None,
            },
            _ => BackendError::Refused { message, code },
        }
    })
}
