//! SQLite: one file below the tenant's directory, WAL, `synchronous=FULL`.
//!
//! Each connection has a thread of its own, because SQLite blocks. `rusqlite` and not `sqlx`: it sets SQLite's limits and its
//! authorizer without unsafe code, and an answer is taken apart where it arises, not row by row through a channel.

mod guard;
mod values;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{OpenFlags, params_from_iter};
use tokio::sync::oneshot;

use super::{
    Backend, Collector, Connection, Execution, Interrupt, ResultSet, Take, counts_changes,
};
use crate::error::BackendError;
use crate::model::Isolation;
use guard::{VALUE_BYTES_MAX, Watch};

/// How long a writer waits for another before it gives up and is tried again, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 2_000;
/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 100;
/// Virtual-machine steps between two looks at the stop flag: about 0.1 ms.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Work that waits for the thread of a connection: a lease hands over one piece at a time, and few that it gave up.
const JOBS_WAITING_MAX: usize = 16;

/// Opens one file.
pub(crate) struct SqliteBackend {
    directory: PathBuf,
    file: PathBuf,
    read_only: bool,
    file_bytes_max: u64,
}

impl SqliteBackend {
    /// A file, named relative to a directory that it may not leave, and the most bytes that it may grow to.
    pub(crate) const fn new(
        directory: PathBuf,
        file: PathBuf,
        read_only: bool,
        file_bytes_max: u64,
    ) -> Self {
        Self {
            directory,
            file,
            read_only,
            file_bytes_max,
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

/// Work for the thread of a connection.
type Job = Box<dyn FnOnce(&mut rusqlite::Connection) + Send>;

#[async_trait]
impl Backend for SqliteBackend {
    async fn connect(&self) -> Result<Box<dyn Connection>, BackendError> {
        let (directory, file, create) =
            (self.directory.clone(), self.file.clone(), !self.read_only);
        let file_bytes_max = self.file_bytes_max;
        let (stop, watch) = (Arc::new(AtomicBool::new(false)), Arc::new(Watch::default()));
        let (flag, judge) = (Arc::clone(&stop), Arc::clone(&watch));
        let (opened, outcome) = oneshot::channel();
        let (jobs, work) = mpsc::sync_channel::<Job>(JOBS_WAITING_MAX);
        let (ending, ended) = oneshot::channel();
        let serve = move || {
            let connection = SqliteBackend::locate(&directory, &file, create)
                .map_err(|error| BackendError::connection(error.into()))
                .and_then(|path| {
                    open(&path, create, file_bytes_max, &flag, &judge).map_err(unopened)
                });
            let mut connection = match connection {
                Ok(connection) => connection,
                Err(error) => {
                    let _gone = opened.send(Err(error));
                    return;
                }
            };
            if opened.send(Ok(())).is_ok() {
                while let Ok(job) = work.recv() {
                    job(&mut connection);
                }
            }
            drop(connection);
            let _gone = ending.send(());
        };
        std::thread::Builder::new()
            .name("plinth-db-sqlite".to_owned())
            .spawn(serve)
            .map_err(|error| BackendError::connection(error.into()))?;
        outcome.await.map_err(|_| worker_gone())??;
        Ok(Box::new(SqliteSession {
            jobs,
            ended,
            stop,
            watch,
            file_bytes_max,
        }))
    }

    fn begin(&self, _isolation: Option<Isolation>, writes: bool) -> Vec<String> {
        // A writer takes the lock at once: a read lock that must be raised later would fail against another writer.
        let begin = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
        vec![begin.to_owned()]
    }
}

fn open(
    path: &Path,
    create: bool,
    file_bytes_max: u64,
    stop: &Arc<AtomicBool>,
    watch: &Arc<Watch>,
) -> rusqlite::Result<rusqlite::Connection> {
    let access = if create {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let connection = rusqlite::Connection::open_with_flags(
        path,
        access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    if create {
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    guard::bound(&connection, file_bytes_max)?;
    let (stop, watch) = (Arc::clone(stop), Arc::clone(watch));
    connection.progress_handler(
        STEPS_BETWEEN_LOOKS,
        Some(move || stop.load(Ordering::Relaxed)),
    )?;
    connection.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
        watch.judge(&context)
    }))?;
    Ok(connection)
}

/// A file that is no database, cannot be opened, or is locked for too long.
fn unopened(error: rusqlite::Error) -> BackendError {
    match failure(error) {
        BackendError::Refused { message, .. } | BackendError::Serialization { message } => {
            BackendError::Connection {
                message,
                source: None,
            }
        }
        other => other,
    }
}

fn worker_gone() -> BackendError {
    BackendError::connection(sqlx::Error::WorkerCrashed)
}

struct SqliteSession {
    jobs: mpsc::SyncSender<Job>,
    /// Tells when the file is closed.
    ended: oneshot::Receiver<()>,
    stop: Arc<AtomicBool>,
    watch: Arc<Watch>,
    file_bytes_max: u64,
}

impl SqliteSession {
    /// Runs work on the thread of the connection. Whoever goes away meanwhile stops it by [`StopFlag`].
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut rusqlite::Connection) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _gone = done.send(work(connection));
        });
        self.jobs.try_send(job).map_err(|_| worker_gone())?;
        outcome.await.map_err(|_| worker_gone())?
    }

    /// Gives an error the words that only this connection knows.
    fn explain(&self, error: BackendError) -> BackendError {
        match error {
            BackendError::Forbidden { message } => BackendError::Forbidden {
                message: self.watch.refusal().unwrap_or(message),
            },
            BackendError::Full { code, .. } => BackendError::Full {
                bytes_max: self.file_bytes_max,
                code,
            },
            other => other,
        }
    }
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
        let params: Vec<_> = execution.params.iter().map(values::bind).collect();
        let inserts = execution.statement.begins_with(&["insert", "replace"]);
        let counts = counts_changes(execution.statement);
        let bytes_max = execution.bytes_max;
        let mut collector = Collector::new(&execution);
        let taken = self.work(move |connection| {
            let mut statement = connection.prepare_cached(&text).map_err(failure)?;
            let declared = values::declared(&statement);
            let mut set = ResultSet::default();
            let mut rows = statement.query(params_from_iter(params)).map_err(failure)?;
            while let Some(row) = rows.next().map_err(failure)? {
                let read = || values::read_row(row, &declared, bytes_max);
                if collector.take(read)? == Take::Full {
                    break;
                }
            }
            // The statement is reset, so the connection is free again even where rows are left.
            drop(rows);
            drop(statement);
            if counts {
                set.rows_affected = connection.changes();
                set.last_insert_id = inserts.then(|| connection.last_insert_rowid());
            }
            collector.finish(&mut set)?;
            set.columns = values::describe(declared, &set.rows);
            Ok(set)
        });
        let taken = taken.await.map_err(|error| self.explain(error));
        let tainted = self.watch.tainted();
        taken.map(|set| ResultSet { tainted, ..set })
    }

    async fn command(&mut self, sql: String) -> Result<(), BackendError> {
        let done = self.work(move |connection| connection.execute_batch(&sql).map_err(failure));
        done.await.map_err(|error| self.explain(error))
    }

    async fn ping(&mut self) -> Result<(), BackendError> {
        self.work(|_| Ok(())).await
    }

    fn interrupter(&self) -> Arc<dyn Interrupt> {
        Arc::new(StopFlag(Arc::clone(&self.stop)))
    }

    async fn close(self: Box<Self>) {
        let Self { jobs, ended, .. } = *self;
        drop(jobs);
        if ended.await.is_err() {
            tracing::debug!("the thread of a SQLite connection broke off");
        }
    }
}

fn failure(error: rusqlite::Error) -> BackendError {
    let rusqlite::Error::SqliteFailure(cause, message) = error else {
        return BackendError::Refused {
            message: error.to_string(),
            code: None,
        };
    };
    let number = cause.extended_code;
    let message = message.unwrap_or_else(|| cause.to_string());
    let code = Some(number.to_string());
    match (number, number & 0xff) {
        (1_555 | 2_067, _) => BackendError::UniqueViolation { message, code },
        // SQLITE_BUSY and SQLITE_LOCKED with their extended codes.
        (_, 5 | 6) => BackendError::Serialization { message },
        // SQLITE_INTERRUPT.
        (_, 9) => BackendError::Cancelled,
        // SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_CANTOPEN, SQLITE_NOTADB.
        (_, 10 | 11 | 14 | 26) => BackendError::Connection {
            message,
            source: None,
        },
        // SQLITE_FULL.
        (_, 13) => BackendError::Full {
            bytes_max: 0,
            code: number.to_string(),
        },
        // SQLITE_TOOBIG.
        (_, 18) => BackendError::ValueTooLarge {
            bytes_max: VALUE_BYTES_MAX.unsigned_abs(),
        },
        // SQLITE_AUTH.
        (_, 23) => BackendError::Forbidden { message },
        _ => BackendError::Refused { message, code },
    }
}
