//! One lane for each lock that is at work: commands that come while a round is under way go into the next one together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plinth_core::{Error, ErrorCode, Outcome};
use tokio::sync::oneshot;

use super::Shared;
use super::batch::{self, Batch};
use crate::backend::LockKey;
use crate::error::LockError;
use crate::machine::{Command, Reply};

/// Most commands of one round.
const BATCH_MAX: usize = 256;
/// How often a round is begun anew because another instance wrote in between.
const ATTEMPTS_MAX: u64 = 40;
/// Longest pause before a round that lost once begins anew, in milliseconds; it grows with each loss.
const PAUSE_MS: u64 = 4;
/// Longest pause before a round begins anew, in milliseconds.
const PAUSE_MS_MAX: u64 = 60;
/// How long a caller should wait before it comes back to a lock that others write all the time, in milliseconds.
const RETRY_AFTER_MS: u64 = 200;

type Told = Result<Reply, LockError>;

/// One command that waits for its answer. Their number is bounded by the calls at work.
struct Job {
    command: Command,
    tell: oneshot::Sender<Told>,
}

/// The lanes that are at work.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<LockKey, Vec<Job>>>);

impl Lanes {
    /// Queues a command. Returns where its answer comes, and whether the caller must run the lane.
    pub(super) fn queue(&self, key: &LockKey, command: Command) -> (oneshot::Receiver<Told>, bool) {
        let (tell, told) = oneshot::channel();
        let job = Job { command, tell };
        let mut lanes = self.0.lock();
        if let Some(waiting) = lanes.get_mut(key) {
            waiting.push(job);
            return (told, false);
        }
        lanes.insert(key.clone(), vec![job]);
        (told, true)
    }

    /// Runs a lane until nothing waits in it.
    pub(super) async fn run(&self, shared: &Shared, key: &LockKey) {
        let mut running = Running {
            lanes: self,
            key,
            ended: false,
        };
        while let Some(jobs) = self.take(key) {
            let (commands, tells): (Vec<_>, Vec<_>) =
                jobs.into_iter().map(|job| (job.command, job.tell)).unzip();
            match round(shared, key, &commands).await {
                Ok(replies) => {
                    for (tell, reply) in tells.into_iter().zip(replies) {
                        // Who went away does not hear.
                        let _gone = tell.send(reply);
                    }
                }
                Err(error) => {
                    let error = Arc::new(Error::from(error));
                    for tell in tells {
                        let _gone = tell.send(Err(again(&error)));
                    }
                }
            }
        }
        running.ended = true;
    }

    /// The commands of the next round; the lane ends where there is none.
    fn take(&self, key: &LockKey) -> Option<Vec<Job>> {
        let mut lanes = self.0.lock();
        let waiting = lanes.get_mut(key)?;
        if waiting.is_empty() {
            lanes.remove(key);
            return None;
        }
        let count = waiting.len().min(BATCH_MAX);
        Some(waiting.drain(..count).collect())
    }
}

/// A lane that runs. Where it breaks off, whoever waits in it hears that, and the next command begins a new one.
struct Running<'a> {
    lanes: &'a Lanes,
    key: &'a LockKey,
    ended: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.lanes.0.lock().remove(self.key);
        }
    }
}

/// Reads, applies and writes, until no other instance wrote in between.
async fn round(
    shared: &Shared,
    key: &LockKey,
    commands: &[Command],
) -> Result<Vec<Told>, LockError> {
    let (tenant, name) = (key.tenant.as_str(), key.name.as_str());
    let epoch = shared.epoch().await?;
    let acquires = commands
        .iter()
        .any(|command| matches!(command, Command::Acquire(_)));
    let busy_max = acquires.then_some(shared.locks_per_tenant_max);
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            pause(attempt).await;
        }
        let (mut reading, mut now) = shared.read(key, busy_max).await?;
        if reading.stored.is_none() && acquires {
            // The floor counts only once it was read beside a record: until then one could be made, used and forgotten.
            let fresh = super::fresh_row(now.at)?;
            let made = shared.records.create_lock(tenant, name, fresh).await;
            made.map_err(without_effect)?;
            (reading, now) = shared.read(key, busy_max).await?;
        }
        let record = Shared::record(&reading)?;
        let batch = Batch::apply(
            record,
            commands.iter(),
            &reading,
            now,
            epoch,
            shared.locks_per_tenant_max,
        )?;
        if !batch.changed {
            return Ok(batch.replies);
        }
        let Some(stored) = &reading.stored else {
            // It was forgotten meanwhile, and there is something to keep.
            continue;
        };
        let row = batch::row(&batch.record, now)?;
        let written = shared
            .records
            .replace_lock(tenant, name, stored.stamp, row)
            .await
            .map_err(LockError::database)?;
        if written {
            let candidates = batch.record.candidates();
            shared.wakes.fire(key, &candidates, batch.lost);
            return Ok(batch.replies);
        }
    }
    let told = Error::new(
        ErrorCode::Overloaded,
        "other instances change this lock all the time; come back later",
    );
    Err(told.retry_after_ms(RETRY_AFTER_MS).into())
}

/// The failure of a round, for one of its commands.
fn again(error: &Arc<Error>) -> LockError {
    let mut told = Error::new(error.code(), error.message().to_owned())
        .retriable(error.is_retriable())
        .with_source(Arc::clone(error));
    if error.outcome() == Outcome::Unknown {
        told = told.outcome_unknown();
    }
    if let Some(delay_ms) = error.retry_after() {
        told = told.retry_after_ms(delay_ms);
    }
    told.into()
}

/// An empty record changes nothing, whether it was made or not.
fn without_effect(cause: Error) -> LockError {
    let told = Error::new(cause.code(), cause.message().to_owned()).with_source(cause);
    LockError::database(told)
}

/// Lets others go first, a little longer after each loss.
async fn pause(attempt: u64) {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    let longest_ms = (PAUSE_MS * attempt).min(PAUSE_MS_MAX);
    tokio::time::sleep(Duration::from_millis(random % longest_ms)).await;
}
