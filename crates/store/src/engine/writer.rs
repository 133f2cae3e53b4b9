//! The writer thread: gathers a group, runs each operation in its savepoint, commits once, answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::watch;

use super::job::{Access, Job, Ran};
use super::{Message, Shared};
use crate::error::StoreError;

/// Time between two tries to write to a disk that refused, in milliseconds.
const RETRY_EVERY_MS: u64 = 1_000;

/// The one thread that writes.
pub(super) struct Writer {
    connection: Connection,
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
    end: watch::Sender<bool>,
}

/// The operations of the next transactions, in the order in which they came.
type Group = VecDeque<Box<dyn Job>>;

impl Writer {
    pub(super) fn new(
        connection: Connection,
        receiver: Receiver<Message>,
        shared: Arc<Shared>,
        end: watch::Sender<bool>,
    ) -> Self {
        Self {
            connection,
            receiver,
            shared,
            end,
        }
    }

    /// Runs until the engine is closed or its last clone is gone.
    pub(super) fn run(self) {
        let mut open = true;
        while open {
            let first = match self.next() {
                Ok(Message::Run(job)) => job,
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.try_to_write();
                    continue;
                }
            };
            let mut group = Group::from([first]);
            open = self.gather(&mut group);
            self.commit_all(group);
        }
        self.finish();
    }

    /// The next message; a time-out where the disk refused and should be tried again.
    fn next(&self) -> Result<Message, RecvTimeoutError> {
        if self.shared.condition.is_refusing() {
            let wait = Duration::from_millis(RETRY_EVERY_MS);
            return self.receiver.recv_timeout(wait);
        }
        self.receiver
            .recv()
            .map_err(|_| RecvTimeoutError::Disconnected)
    }

    /// Writes what is there already once more, to find out whether the disk takes it.
    fn try_to_write(&self) {
        let (connection, engine) = (&self.connection, self.shared.name);
        let tried = execute(connection, "BEGIN IMMEDIATE").and_then(|()| {
            let version: i64 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            connection.pragma_update(None, "user_version", version)?;
            execute(connection, "COMMIT")
        });
        match tried {
            Ok(()) => self.shared.condition.takes(engine),
            Err(cause) => {
                self.roll_back();
                self.shared.condition.failed(engine, &cause);
            }
        }
    }

    /// Adds what is waiting, up to the size of a group. Returns whether the engine is still open.
    fn gather(&self, group: &mut Group) -> bool {
        let limits = &self.shared.limits;
        let until = Instant::now() + Duration::from_micros(limits.group_wait_us);
        while group.len() < limits.ops_per_group_max {
            let left = until.saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left) {
                Ok(Message::Run(job)) => group.push_back(job),
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
        }
        true
    }

    /// Commits a group: in one transaction, or in several where SQLite rolled one back on its own.
    fn commit_all(&self, mut group: Group) {
        while !group.is_empty() {
            self.transact(&mut group);
        }
    }

    fn transact(&self, group: &mut Group) {
        let begun = Instant::now();
        if let Err(cause) = execute(&self.connection, "BEGIN IMMEDIATE") {
            self.shared.condition.failed(self.shared.name, &cause);
            let cause = Arc::new(cause);
            settle_failed(group.drain(..), || StoreError::Begin(Arc::clone(&cause)));
            return;
        }
        let mut ran = Vec::with_capacity(group.len());
        while let Some(mut job) = group.pop_front() {
            if job.is_abandoned() {
                continue;
            }
            let outcome = self.run_in_savepoint(job.as_mut());
            if self.connection.is_autocommit() {
                // A full disk or an I/O error makes SQLite roll the whole transaction back. The operation that met it
                // keeps its own error; those before it are told that they are gone, those after it get a new
                // transaction.
                let why = "SQLite rolled a transaction back: the disk is full or fails";
                self.shared
                    .condition
                    .refuses(self.shared.name, why.to_owned());
                settle_failed(ran.into_iter(), || StoreError::GroupRolledBack);
                if outcome == Ran::Kept {
                    job.fail(StoreError::GroupRolledBack);
                }
                job.settle();
                return;
            }
            ran.push(job);
        }
        self.commit(ran, begun);
    }

    fn run_in_savepoint(&self, job: &mut dyn Job) -> Ran {
        if let Err(cause) = execute(&self.connection, "SAVEPOINT op") {
            job.fail(cause.into());
            return Ran::Failed;
        }
        let ran = self.run_guarded(job);
        if self.connection.is_autocommit() {
            return ran;
        }
        if ran == Ran::Kept {
            match execute(&self.connection, "RELEASE op") {
                Ok(()) => return ran,
                Err(cause) => job.fail(cause.into()),
            }
        }
        let undone = execute(&self.connection, "ROLLBACK TO op")
            .and_then(|()| execute(&self.connection, "RELEASE op"));
        if undone.is_err() {
            // What cannot be undone alone must not be committed with the others.
            self.roll_back();
        }
        Ran::Failed
    }

    /// Runs the work; one that may only read cannot write meanwhile.
    fn run_guarded(&self, job: &mut dyn Job) -> Ran {
        if job.access() == Access::Write {
            return job.run(&self.connection);
        }
        if let Err(cause) = self.connection.pragma_update(None, "query_only", true) {
            job.fail(cause.into());
            return Ran::Failed;
        }
        let ran = job.run(&self.connection);
        if let Err(cause) = self.connection.pragma_update(None, "query_only", false) {
            job.fail(cause.into());
            return Ran::Failed;
        }
        ran
    }

    fn commit(&self, ran: Vec<Box<dyn Job>>, begun: Instant) {
        let labels = [("engine", self.shared.name)];
        let metrics = &self.shared.metrics;
        if let Err(cause) = execute(&self.connection, "COMMIT") {
            self.roll_back();
            self.shared.condition.failed(self.shared.name, &cause);
            metrics.add("plinth_store_commit_failures_total", &labels, 1);
            tracing::error!(store.engine = self.shared.name, error = %cause, "a group commit failed");
            let cause = Arc::new(cause);
            settle_failed(ran.into_iter(), || StoreError::Commit(Arc::clone(&cause)));
            return;
        }
        self.shared.commits.fetch_add(1, Ordering::AcqRel);
        if self.shared.condition.is_refusing() {
            // The group may have written nothing.
            self.try_to_write();
        }
        let operations = u32::try_from(ran.len()).unwrap_or(u32::MAX);
        for job in ran {
            job.settle();
        }
        metrics.add("plinth_store_commits_total", &labels, 1);
        metrics.observe(
            "plinth_store_group_operations",
            &labels,
            f64::from(operations),
        );
        metrics.observe(
            "plinth_store_commit_seconds",
            &labels,
            begun.elapsed().as_secs_f64(),
        );
    }

    /// Ends a transaction that must not be committed.
    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(cause) = execute(&self.connection, "ROLLBACK") {
            tracing::error!(store.engine = self.shared.name, error = %cause, "a rollback failed");
        }
    }

    /// Runs what was still sent, writes the log back into the file and closes it.
    fn finish(self) {
        while let Ok(message) = self.receiver.try_recv() {
            if let Message::Run(job) = message {
                self.commit_all(Group::from([job]));
            }
        }
        let Self {
            connection,
            receiver,
            shared,
            end,
        } = self;
        drop(receiver);
        // Another process, or the next engine on this file, may be reading: then the log just stays.
        let checkpointed = connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        if let Err(cause) = checkpointed {
            // Nothing is lost: the log is replayed at the next start.
            tracing::warn!(store.engine = shared.name, error = %cause, "the last checkpoint failed");
        }
        if let Err((_connection, cause)) = connection.close() {
            tracing::warn!(store.engine = shared.name, error = %cause, "the file did not close cleanly");
        }
        end.send_replace(true);
    }
}

fn settle_failed(jobs: impl Iterator<Item = Box<dyn Job>>, error: impl Fn() -> StoreError) {
    for mut job in jobs {
        job.fail(error());
        job.settle();
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
