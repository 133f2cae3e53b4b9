//! One connection in one caller's hands.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Shared, Slot};
use crate::backend::{Connection, Execution, ResultSet};
use crate::error::BackendError;

/// How long stopping a statement at the server may take, in milliseconds.
const INTERRUPT_TIMEOUT_MS: u64 = 2_000;
/// How long a goodbye may take, in milliseconds.
const CLOSE_TIMEOUT_MS: u64 = 1_000;

/// What the connection was doing when it was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// Nothing: it can be used again.
    Clean,
    /// It must be closed: it broke, its session is changed, or a transaction is open.
    Spoiled,
    /// The server works for it: it must be stopped, then closed.
    Busy,
}

/// A connection; goes back to the pool when dropped, or is stopped and closed where it is not clean.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    slot: Option<Slot>,
    permit: Option<OwnedSemaphorePermit>,
    condition: Condition,
    /// A statement changed the session, or may have: it is not for the next caller.
    tainted: bool,
    reused: bool,
    _token: TaskTrackerToken,
}

impl Lease {
    pub(super) fn new(
        shared: Arc<Shared>,
        slot: Slot,
        permit: OwnedSemaphorePermit,
        reused: bool,
    ) -> Self {
        shared.in_use.fetch_add(1, Ordering::Relaxed);
        shared.acquired.fetch_add(1, Ordering::Relaxed);
        let token = shared.tasks.token();
        Self {
            shared,
            slot: Some(slot),
            permit: Some(permit),
            condition: Condition::Clean,
            tainted: false,
            reused,
            _token: token,
        }
    }

    /// Whether the connection was used before: it may have broken unseen since.
    pub(crate) const fn is_reused(&self) -> bool {
        self.reused
    }

    /// The connection will be closed and not given to the next caller.
    pub(crate) const fn spoil(&mut self) {
        if matches!(self.condition, Condition::Clean) {
            self.condition = Condition::Spoiled;
        }
    }

    /// Runs one statement.
    pub(crate) async fn run(
        &mut self,
        execution: Execution<'_>,
    ) -> Result<ResultSet, BackendError> {
        let before = self.condition;
        // Before it runs: a lock is kept by a session also where the rest of its statement fails.
        self.tainted |= execution.statement.taints;
        let outcome = self
            .guarded(before, |connection| connection.run(execution))
            .await?;
        self.tainted |= outcome.tainted;
        if outcome.unfinished {
            self.condition = Condition::Busy;
        }
        Ok(outcome)
    }

    /// Begins a transaction. Until it is finished, a dropped lease closes its connection, which rolls back.
    pub(crate) async fn begin(&mut self, commands: Vec<String>) -> Result<(), BackendError> {
        for command in commands {
            let begun = self
                .guarded(Condition::Spoiled, |connection| connection.command(command))
                .await;
            if begun.is_err() {
                // Half of the commands may have changed the session.
                self.spoil();
            }
            begun?;
        }
        Ok(())
    }

    /// Ends a transaction by `COMMIT` or `ROLLBACK`; afterwards the connection is clean, unless a statement changed
    /// its session.
    pub(crate) async fn finish(&mut self, command: &str) -> Result<(), BackendError> {
        let command = command.to_owned();
        self.guarded(Condition::Clean, |connection| connection.command(command))
            .await
    }

    /// Runs work that ends with a condition. While it runs the connection counts as busy: whoever drops the future drops
    /// a busy lease. An error of the engine leaves the condition from before; a broken connection is spoiled.
    async fn guarded<'a, T, F>(
        &'a mut self,
        after: Condition,
        work: impl FnOnce(&'a mut Box<dyn Connection>) -> F,
    ) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, BackendError>> + Send + 'a,
    {
        let before = self.condition;
        let Some(slot) = self.slot.as_mut() else {
            return Err(BackendError::Closing);
        };
        self.condition = Condition::Busy;
        let outcome = tokio::select! {
            outcome = work(&mut slot.connection) => outcome,
            () = self.shared.abort.cancelled() => {
                self.shared.aborted.fetch_add(1, Ordering::Relaxed);
                return Err(BackendError::Closing);
            }
        };
        self.condition = match &outcome {
            Ok(_) => after,
            Err(BackendError::Connection { .. }) => Condition::Spoiled,
            // The rest of the answer is still on its way.
            Err(BackendError::RowTooLarge { .. } | BackendError::Unreadable { .. }) => {
                Condition::Busy
            }
            Err(_) => before,
        };
        outcome
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.in_use.fetch_sub(1, Ordering::Relaxed);
        let (Some(slot), Some(permit)) = (self.slot.take(), self.permit.take()) else {
            return;
        };
        match self.condition {
            Condition::Clean if !self.tainted => {
                if let Some(slot) = self.shared.park(slot) {
                    self.shared.tasks.spawn(retire(slot, permit, false));
                }
            }
            Condition::Clean | Condition::Spoiled => {
                self.shared.tasks.spawn(retire(slot, permit, false));
            }
            Condition::Busy => {
                self.shared.tasks.spawn(retire(slot, permit, true));
            }
        }
    }
}

/// Stops what the server does for a connection, if anything, closes it, and only then gives the permit back.
async fn retire(slot: Slot, permit: OwnedSemaphorePermit, interrupt: bool) {
    if interrupt {
        let interrupter = slot.connection.interrupter();
        let limit = Duration::from_millis(INTERRUPT_TIMEOUT_MS);
        if tokio::time::timeout(limit, interrupter.interrupt())
            .await
            .is_err()
        {
            tracing::debug!("stopping a statement at the server took too long");
        }
    }
    say_goodbye(slot).await;
    drop(permit);
}

/// Closes a connection within a time limit; past it the socket is dropped.
pub(super) async fn say_goodbye(slot: Slot) {
    let Slot {
        connection,
        counter,
        ..
    } = slot;
    let limit = Duration::from_millis(CLOSE_TIMEOUT_MS);
    if tokio::time::timeout(limit, connection.close())
        .await
        .is_err()
    {
        tracing::debug!("a connection did not close in time and was dropped");
    }
    drop(counter);
}
