//! What the block asks of an engine: connections that run one prepared statement at a time and can be interrupted.

mod mariadb;
mod postgres;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use futures::{Stream, StreamExt as _};
use sqlx::Either;

pub(crate) use mariadb::MariadbBackend;
pub(crate) use postgres::PostgresBackend;
pub(crate) use sqlite::SqliteBackend;

use crate::error::BackendError;
use crate::model::{Column, Isolation, Value};
use crate::sql::Statement;

/// One statement with its values and the limits of its answer.
#[derive(Clone, Copy)]
pub(crate) struct Execution<'a> {
    /// The statement.
    pub(crate) statement: &'a Statement,
    /// Its values, one for each placeholder.
    pub(crate) params: &'a [Value],
    /// Text of our own after it: `LIMIT 11 OFFSET 20`; empty mostly.
    pub(crate) suffix: &'a str,
    /// Rows to pass over first.
    pub(crate) skip: u64,
    /// Most rows of the answer.
    pub(crate) rows_max: usize,
    /// Most bytes of the answer's values.
    pub(crate) bytes_max: usize,
}

impl<'a> Execution<'a> {
    /// A statement of our own, whose answer is small.
    pub(crate) const fn own(statement: &'a Statement, params: &'a [Value]) -> Self {
        Self {
            statement,
            params,
            suffix: "",
            skip: 0,
            rows_max: 100_000,
            bytes_max: 64 * 1024 * 1024,
        }
    }

    /// The text to prepare, with the engine's placeholders.
    fn text(&self) -> Arc<str> {
        if self.suffix.is_empty() {
            Arc::clone(&self.statement.text)
        } else {
            // A line of its own.
            format!("{}\n{}", self.statement.text, self.suffix).into()
        }
    }
}

/// What a statement did.
#[derive(Debug, Default)]
pub(crate) struct ResultSet {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) rows_affected: u64,
    pub(crate) last_insert_id: Option<i64>,
    /// More rows exist than were taken.
    pub(crate) truncated: bool,
    /// The engine has not sent all of its answer: the connection cannot be used again.
    pub(crate) unfinished: bool,
}

/// Takes an engine's answer apart, row by row until a limit. `count` adds what the end of a statement says of changes to the
/// set; rows that a limit leaves behind make the set `truncated`.
async fn collect<D, R>(
    mut answer: impl Stream<Item = Result<Either<D, R>, sqlx::Error>> + Unpin,
    execution: &Execution<'_>,
    failure: fn(sqlx::Error) -> BackendError,
    read: impl Fn(&R) -> Result<Vec<Value>, BackendError>,
    count: impl Fn(&D, &mut ResultSet),
) -> Result<ResultSet, BackendError> {
    let counts = counts_changes(execution.statement);
    let mut set = ResultSet::default();
    let mut collector = Collector::new(execution);
    while let Some(item) = answer.next().await {
        match item.map_err(failure)? {
            Either::Left(done) if counts => count(&done, &mut set),
            Either::Left(_) => {}
            Either::Right(row) => {
                if collector.take(|| read(&row))? == Take::Full {
                    set.truncated = true;
                    break;
                }
            }
        }
    }
    set.rows = collector.rows;
    Ok(set)
}

/// Takes rows until a limit.
struct Collector {
    skip: u64,
    rows_max: usize,
    bytes_max: usize,
    bytes: usize,
    rows: Vec<Vec<Value>>,
}

/// What the collector says to one more row.
#[derive(PartialEq, Eq)]
enum Take {
    More,
    /// A limit is reached; this row is not part of the answer.
    Full,
}

impl Collector {
    const fn new(execution: &Execution<'_>) -> Self {
        Self {
            skip: execution.skip,
            rows_max: execution.rows_max,
            bytes_max: execution.bytes_max,
            bytes: 0,
            rows: Vec::new(),
        }
    }

    /// Takes a row, which is read only if it is needed.
    fn take(
        &mut self,
        read: impl FnOnce() -> Result<Vec<Value>, BackendError>,
    ) -> Result<Take, BackendError> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(Take::More);
        }
        if self.rows.len() >= self.rows_max {
            return Ok(Take::Full);
        }
        let row = read()?;
        let weight: usize = row.iter().map(Value::weight_bytes).sum();
        if weight > self.bytes_max {
            return Err(BackendError::RowTooLarge {
                bytes_max: self.bytes_max,
            });
        }
        if self.bytes + weight > self.bytes_max {
            return Ok(Take::Full);
        }
        self.bytes += weight;
        self.rows.push(row);
        Ok(Take::More)
    }
}

/// A way to stop what a connection is doing, from beside it.
#[async_trait]
pub(crate) trait Interrupt: Send + Sync + 'static {
    /// Asks the engine to stop; returns once it was asked. The connection is closed afterwards.
    async fn interrupt(&self);
}

/// One connection.
#[async_trait]
pub(crate) trait Connection: Send + 'static {
    /// Prepares and runs one statement.
    async fn run(&mut self, execution: Execution<'_>) -> Result<ResultSet, BackendError>;
    /// Runs a command of our own that has no parameters and no result: BEGIN, COMMIT, ROLLBACK.
    async fn command(&mut self, sql: String) -> Result<(), BackendError>;
    /// Whether the other side answers.
    async fn ping(&mut self) -> Result<(), BackendError>;
    /// A handle to stop it with.
    fn interrupter(&self) -> Arc<dyn Interrupt>;
    /// Says goodbye.
    async fn close(self: Box<Self>);
}

/// Makes connections to one database.
#[async_trait]
pub(crate) trait Backend: Send + Sync + 'static {
    /// Opens a connection, ready for the first statement.
    async fn connect(&self) -> Result<Box<dyn Connection>, BackendError>;
    /// The commands that begin a transaction.
    fn begin(&self, isolation: Option<Isolation>, writes: bool) -> Vec<String>;
}

/// Whether a statement changes rows, so that the engine's count of them means something.
fn counts_changes(statement: &Statement) -> bool {
    statement.begins_with(&["insert", "update", "delete", "replace", "merge", "with"])
        && statement.access == crate::sql::Access::Write
}
