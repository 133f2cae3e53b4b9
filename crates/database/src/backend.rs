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
use crate::sql::{Access, Statement};

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
    /// The session was changed by more than its text shows.
    pub(crate) tainted: bool,
    /// Rows that the engine returned, also those that were not taken.
    rows_seen: u64,
}

/// Takes an engine's answer apart, row by row until a limit. `count` adds what the end of a statement says of changes to the
/// set; rows that a limit leaves behind make the set `truncated`.
///
/// Only a read is left in the middle. A write is done when the engine has said so and not before, whatever its rows are: what
/// does not fit is read on and forgotten.
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
                    set.unfinished = true;
                    break;
                }
            }
        }
    }
    collector.finish(&mut set)?;
    Ok(set)
}

/// Takes rows until a limit.
struct Collector {
    /// Whether the statement only reads, so that it may be left in the middle.
    reads: bool,
    skip: u64,
    rows_max: usize,
    bytes_max: usize,
    bytes: usize,
    seen: u64,
    rows: Vec<Vec<Value>>,
    /// A limit was reached.
    full: bool,
    /// Why a row of a write could not be read.
    unreadable: Option<String>,
}

/// What the collector says to one more row.
#[derive(Debug, PartialEq, Eq)]
enum Take {
    More,
    /// A limit is reached, and no more rows are needed; this row is not part of the answer.
    Full,
}

impl Collector {
    fn new(execution: &Execution<'_>) -> Self {
        Self {
            reads: execution.statement.access == Access::Read,
            skip: execution.skip,
            rows_max: execution.rows_max,
            bytes_max: execution.bytes_max,
            bytes: 0,
            seen: 0,
            rows: Vec::new(),
            full: false,
            unreadable: None,
        }
    }

    /// Takes a row, which is read only if it is needed.
    fn take(
        &mut self,
        read: impl FnOnce() -> Result<Vec<Value>, BackendError>,
    ) -> Result<Take, BackendError> {
        self.seen += 1;
        if self.full {
            return Ok(Take::More);
        }
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(Take::More);
        }
        if self.rows.len() >= self.rows_max {
            return Ok(self.fill());
        }
        let row = match read() {
            Ok(row) => row,
            Err(BackendError::Unreadable { message, .. }) if !self.reads => {
                self.unreadable = Some(message);
                return Ok(self.fill());
            }
            Err(BackendError::RowTooLarge { .. }) if !self.reads => return Ok(self.fill()),
            Err(error) => return Err(error),
        };
        let weight: usize = row.iter().map(Value::weight_bytes).sum();
        if weight > self.bytes_max && self.reads {
            return Err(BackendError::RowTooLarge {
                bytes_max: self.bytes_max,
            });
        }
        if self.bytes + weight > self.bytes_max {
            return Ok(self.fill());
        }
        self.bytes += weight;
        self.rows.push(row);
        Ok(Take::More)
    }

    const fn fill(&mut self) -> Take {
        self.full = true;
        if self.reads { Take::Full } else { Take::More }
    }

    /// Gives the rows over. Errors: a row of a write, which has been done, could not be read.
    fn finish(self, set: &mut ResultSet) -> Result<(), BackendError> {
        if let Some(message) = self.unreadable {
            return Err(BackendError::Unreadable {
                message,
                applied: true,
            });
        }
        set.rows_seen = self.seen;
        set.rows = self.rows;
        set.truncated = self.full;
        Ok(())
    }
}

/// A connection beside the pool's, by which statements are stopped one after another: one for each pool, made when it is first
/// needed and kept, so that a busy server is not asked to log somebody in before it may stop working.
struct Beside<C>(tokio::sync::Mutex<Option<C>>);

impl<C> Default for Beside<C> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::new(None))
    }
}

impl<C> Beside<C> {
    /// Asks by the connection that is kept, and by a new one where it has broken since.
    async fn ask(&self, stopper: &impl Stopper<Beside = C>) -> Result<(), sqlx::Error> {
        let mut kept = self.0.lock().await;
        // Out of its place while it is used: who gives up in the middle leaves no half-read answer behind.
        if let Some(mut connection) = kept.take()
            && stopper.stop(&mut connection).await.is_ok()
        {
            *kept = Some(connection);
            return Ok(());
        }
        let mut connection = stopper.connect().await?;
        stopper.stop(&mut connection).await?;
        *kept = Some(connection);
        Ok(())
    }
}

/// How an engine stops a statement from a connection beside it.
#[async_trait]
trait Stopper: Send + Sync {
    /// The connection beside it.
    type Beside: Send;
    async fn connect(&self) -> Result<Self::Beside, sqlx::Error>;
    async fn stop(&self, beside: &mut Self::Beside) -> Result<(), sqlx::Error>;
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
        && statement.access == Access::Write
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EngineKind;

    type Item = Result<Either<u64, i64>, sqlx::Error>;

    /// Five rows of eight bytes, of which the one at `bad` cannot be read, then the end; `left` counts what was not asked for.
    fn answer(left: &std::cell::Cell<usize>) -> impl Stream<Item = Item> + Unpin {
        left.set(6);
        let items = (0..5).map(Either::Right).chain([Either::Left(5)]).map(Ok);
        futures::stream::iter(items.inspect(|_| left.set(left.get() - 1)))
    }

    async fn take(
        sql: &str,
        limit: impl FnOnce(&mut Execution<'_>),
        bad: Option<i64>,
    ) -> (Result<ResultSet, BackendError>, usize) {
        let statement = Statement::parse(sql, EngineKind::Postgres).expect("parses");
        let mut execution = Execution::own(&statement, &[]);
        limit(&mut execution);
        let left = std::cell::Cell::new(0);
        let read = |number: &i64| {
            if Some(*number) == bad {
                return Err(BackendError::unreadable("no text".into()));
            }
            Ok(vec![Value::Int(*number)])
        };
        let count = |done: &u64, set: &mut ResultSet| set.rows_affected = *done;
        let failure = BackendError::connection;
        let set = collect(answer(&left), &execution, failure, read, count).await;
        (set, left.get())
    }

    const WRITE: &str = "insert into t select a from u returning a";
    const READ: &str = "select a from u";

    #[tokio::test]
    async fn a_write_is_read_to_its_end_and_a_read_is_not() {
        let (set, left) = take(WRITE, |limits| limits.rows_max = 2, None).await;
        let set = set.expect("is done");
        assert_eq!((set.rows.len(), set.rows_affected, left), (2, 5, 0));
        assert!(set.truncated && !set.unfinished);
        let (set, left) = take(READ, |limits| limits.rows_max = 2, None).await;
        let set = set.expect("reads");
        assert_eq!((set.rows.len(), left), (2, 3));
        assert!(set.truncated && set.unfinished);
        // Exactly as many as there are.
        let (set, _) = take(WRITE, |limits| limits.rows_max = 5, None).await;
        assert!(!set.expect("is done").truncated);
    }

    #[tokio::test]
    async fn a_row_past_all_bytes_fails_a_read_and_only_cuts_a_write() {
        let (set, left) = take(WRITE, |limits| limits.bytes_max = 1, None).await;
        let set = set.expect("is done");
        assert_eq!((set.rows.len(), set.rows_affected, left), (0, 5, 0));
        assert!(set.truncated);
        let (set, _) = take(READ, |limits| limits.bytes_max = 1, None).await;
        assert!(matches!(set, Err(BackendError::RowTooLarge { .. })));
    }

    #[tokio::test]
    async fn a_write_whose_row_cannot_be_read_is_done_all_the_same_and_says_so() {
        let (set, left) = take(WRITE, |_| {}, Some(1)).await;
        assert!(matches!(
            set,
            Err(BackendError::Unreadable { applied: true, .. })
        ));
        assert_eq!(left, 0);
        let (set, _) = take(READ, |_| {}, Some(1)).await;
        assert!(matches!(
            set,
            Err(BackendError::Unreadable { applied: false, .. })
        ));
    }
}
