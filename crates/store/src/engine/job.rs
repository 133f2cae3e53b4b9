//! One operation on its way through the writer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::StoreError;

/// What an operation may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read and write.
    Write,
    /// Only read; used in memory, where there is one connection for both.
    Read,
}

/// What became of an operation inside its savepoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// It succeeded: its savepoint is to be kept.
    Kept,
    /// It failed: its savepoint is to be rolled back.
    Failed,
}

/// One operation, its types hidden from the writer.
pub(super) trait Job: Send {
    /// What it may do.
    fn access(&self) -> Access;
    /// Whether its caller is gone.
    fn is_abandoned(&self) -> bool;
    /// Runs the work and keeps its result; a panic becomes an error.
    fn run(&mut self, connection: &Connection) -> Ran;
    /// Replaces the result by a failure of the engine.
    fn fail(&mut self, error: StoreError);
    /// Tells the caller the result.
    fn settle(self: Box<Self>);
}

/// A [`Job`] with its types. A task that is dropped unsettled answers for itself.
pub(super) struct Task<T, E, F>
where
    E: From<StoreError>,
{
    engine: &'static str,
    access: Access,
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: Option<oneshot::Sender<Result<T, E>>>,
    /// Gives the place in the queue back when the task ends.
    _place: OwnedSemaphorePermit,
}

impl<T, E, F> Task<T, E, F>
where
    E: From<StoreError>,
{
    pub(super) fn new(
        engine: &'static str,
        access: Access,
        work: F,
        reply: oneshot::Sender<Result<T, E>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            engine,
            access,
            work: Some(work),
            result: None,
            reply: Some(reply),
            _place: place,
        }
    }
}

impl<T, E, F> Job for Task<T, E, F>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn access(&self) -> Access {
        self.access
    }

    fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn run(&mut self, connection: &Connection) -> Ran {
        let Some(work) = self.work.take() else {
            return Ran::Failed;
        };
        let result = run_caught(connection, work);
        let ran = if result.is_ok() {
            Ran::Kept
        } else {
            Ran::Failed
        };
        self.result = Some(result);
        ran
    }

    fn fail(&mut self, error: StoreError) {
        self.work = None;
        self.result = Some(Err(error.into()));
    }

    fn settle(mut self: Box<Self>) {
        if let (Some(reply), Some(result)) = (self.reply.take(), self.result.take()) {
            // A caller that went away does not need the answer.
            let _caller_gone = reply.send(result).is_err();
        }
    }
}

impl<T, E, F> Drop for Task<T, E, F>
where
    E: From<StoreError>,
{
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let engine = self.engine;
        let error = if self.work.is_some() {
            StoreError::Closed { engine }
        } else {
            StoreError::Abandoned { engine }
        };
        let _caller_gone = reply.send(Err(error.into())).is_err();
    }
}

/// Runs a closure of a block; a panic in it becomes an error of this one operation.
///
/// The connection stays usable after an unwind: rusqlite resets a statement when it is dropped, and the caller rolls the
/// savepoint or the read transaction back.
pub(super) fn run_caught<T, E, F>(connection: &Connection, work: F) -> Result<T, E>
where
    F: FnOnce(&Connection) -> Result<T, E>,
    E: From<StoreError>,
{
    catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(StoreError::Panicked { message }.into())
    })
}
