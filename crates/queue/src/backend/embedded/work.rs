//! What happens inside one transaction: the moves that messages make, with the counters that follow them.
//!
//! Every move goes through here, so that the rows, the counters and the wake-ups cannot disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use plinth_security::Entropy;
use rusqlite::{Connection, OptionalExtension as _};

use super::axis::Now;
use super::registry::{Moved, OpenQueue, Registry};
use super::row::{COLUMNS, State, Stored};
use crate::error::QueueError;
use crate::model::{Attempt, limits};

/// What is to be done once the transaction is durable.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Messages that became ready, by queue.
    pub(super) ready: BTreeMap<i64, usize>,
    /// The earliest time at which something must happen.
    pub(super) next_due: Option<i64>,
    /// What moved, by queue.
    pub(super) moved: BTreeMap<i64, Moved>,
    /// Messages that went to a dead-letter queue, and messages that expired.
    pub(super) dead: u64,
    pub(super) expired: u64,
}

/// Counters of a queue, as they stand in its row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    pub(super) next_id: i64,
    pub(super) ready: i64,
    pub(super) leased: i64,
    pub(super) delayed: i64,
    pub(super) bytes: i64,
    pub(super) dead: i64,
}

impl Tally {
    fn of_state(&mut self, state: State) -> &mut i64 {
        match state {
            State::Ready => &mut self.ready,
            State::Leased => &mut self.leased,
            State::Delayed | State::Held => &mut self.delayed,
        }
    }

    pub(super) const fn length(&self) -> i64 {
        self.ready + self.leased + self.delayed
    }
}

/// A message that enters a queue.
pub(super) struct Entering {
    pub(super) content: i64,
    pub(super) bytes: i64,
    pub(super) priority: i32,
    pub(super) not_before: i64,
    pub(super) expires: Option<i64>,
    pub(super) ordering: Option<String>,
    pub(super) origin: Option<i64>,
    pub(super) dead: Option<String>,
}

/// How an attempt ended without success.
pub(super) struct Failure<'a> {
    /// `retry`, `dead` or `lease_expired`.
    pub(super) outcome: &'static str,
    pub(super) error: Option<&'a str>,
    /// Wait before the next attempt; `None` asks the queue's backoff.
    pub(super) after_ms: Option<i64>,
}

/// One transaction's work.
pub(super) struct Work<'tx> {
    pub(super) tx: &'tx Connection,
    pub(super) now: Now,
    pub(super) registry: Arc<Registry>,
    entropy: &'tx dyn Entropy,
    tallies: BTreeMap<i64, Tally>,
    pub(super) effects: Effects,
}

impl<'tx> Work<'tx> {
    pub(super) fn new(
        tx: &'tx Connection,
        now: Now,
        registry: Arc<Registry>,
        entropy: &'tx dyn Entropy,
    ) -> Self {
        Self {
            tx,
            now,
            registry,
            entropy,
            tallies: BTreeMap::new(),
            effects: Effects::default(),
        }
    }

    /// Writes the counters back. The last thing in a transaction.
    pub(super) fn finish(self) -> Result<Effects, QueueError> {
        let mut update = self.tx.prepare_cached(
            "UPDATE queue SET next_id = ?2, ready = ?3, leased = ?4, delayed = ?5, bytes = ?6, dead = ?7 WHERE id = ?1",
        )?;
        for (id, tally) in &self.tallies {
            update.execute((
                id,
                tally.next_id,
                tally.ready,
                tally.leased,
                tally.delayed,
                tally.bytes,
                tally.dead,
            ))?;
        }
        Ok(self.effects)
    }

    /// Random bits for tokens and jitter. Errors: 1013 where the system has none.
    pub(super) fn random(&self) -> Result<u64, QueueError> {
        let mut bytes = [0; 8];
        self.entropy
            .fill(&mut bytes)
            .map_err(|error| QueueError::Refused(plinth_core::Error::internal(error)))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The counters of a queue; `None` where it is gone, as the origin of a dead letter may be.
    pub(super) fn tally(&mut self, queue: i64) -> Result<Option<&mut Tally>, QueueError> {
        if !self.tallies.contains_key(&queue) {
            let found = self
                .tx
                .prepare_cached(
                    "SELECT next_id, ready, leased, delayed, bytes, dead FROM queue WHERE id = ?1",
                )?
                .query_row([queue], |row| {
                    Ok(Tally {
                        next_id: row.get(0)?,
                        ready: row.get(1)?,
                        leased: row.get(2)?,
                        delayed: row.get(3)?,
                        bytes: row.get(4)?,
                        dead: row.get(5)?,
                    })
                })
                .optional()?;
            let Some(tally) = found else {
                return Ok(None);
            };
            self.tallies.insert(queue, tally);
        }
        Ok(self.tallies.get_mut(&queue))
    }

    pub(super) fn moved(&mut self, queue: i64) -> &mut Moved {
        self.effects.moved.entry(queue).or_default()
    }

    /// Notes that something must happen at an instant.
    fn due_at(&mut self, at: i64) {
        self.effects.next_due = Some(self.effects.next_due.map_or(at, |next| next.min(at)));
    }

    fn became(&mut self, queue: i64, state: State, due: Option<i64>) {
        if state == State::Ready {
            *self.effects.ready.entry(queue).or_default() += 1;
        }
        if let Some(due) = due {
            self.due_at(due);
        }
    }

    /// Puts a message into a queue, behind earlier ones of its ordering key.
    pub(super) fn enter(
        &mut self,
        queue: &OpenQueue,
        entering: &Entering,
    ) -> Result<(), QueueError> {
        let behind_another = match &entering.ordering {
            None => false,
            Some(key) => self
                .tx
                .prepare_cached("SELECT 1 FROM message WHERE queue = ?1 AND ordering = ?2 LIMIT 1")?
                .exists((queue.id, key))?,
        };
        let (state, due) = if behind_another {
            (State::Held, None)
        } else {
            self.waiting_state(entering.not_before)
        };
        let absent = || QueueError::QueueAbsent {
            queue: queue.spec.key.name.to_string(),
        };
        let tally = self.tally(queue.id)?.ok_or_else(absent)?;
        let id = tally.next_id;
        tally.next_id += 1;
        tally.bytes += entering.bytes;
        *tally.of_state(state) += 1;
        self.tx
            .prepare_cached(
                "INSERT INTO message (queue, id, state, rank, priority, due, not_before, expires, ordering, attempts,
                     lease_ms, leased_wall, content, bytes, since, origin, dead)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(rusqlite::params![
                queue.id,
                id,
                state.number(),
                rank(queue, entering.priority),
                entering.priority,
                due,
                entering.not_before,
                entering.expires,
                entering.ordering,
                entering.content,
                entering.bytes,
                self.now.at,
                entering.origin,
                entering.dead,
            ])?;
        if let Some(expires) = entering.expires {
            self.due_at(expires);
        }
        self.became(queue.id, state, due);
        Ok(())
    }

    /// Where a message that nothing else holds back stands, and until when.
    pub(super) fn waiting_state(&self, not_before: i64) -> (State, Option<i64>) {
        if not_before > self.now.at {
            (State::Delayed, Some(not_before))
        } else {
            (State::Ready, None)
        }
    }

    /// Moves a message between states; a lease that ends loses its token. Its expiry was not watched while it was leased.
    pub(super) fn set_state(
        &mut self,
        row: &Stored,
        state: State,
        due: Option<i64>,
    ) -> Result<(), QueueError> {
        self.tx
            .prepare_cached("UPDATE message SET state = ?3, due = ?4, token = NULL WHERE queue = ?1 AND id = ?2")?
            .execute((row.queue, row.id, state.number(), due))?;
        self.shift(row.queue, row.state, state)?;
        self.became(row.queue, state, due);
        if let Some(expires) = row.expires.filter(|_| row.state == State::Leased) {
            self.due_at(expires);
        }
        Ok(())
    }

    /// Moves one count from a state to another.
    pub(super) fn shift(&mut self, queue: i64, from: State, to: State) -> Result<(), QueueError> {
        if let Some(tally) = self.tally(queue)? {
            *tally.of_state(from) -= 1;
            *tally.of_state(to) += 1;
        }
        Ok(())
    }

    /// Takes a message out of its queue, leaves its content, and lets the next one of its ordering key go.
    pub(super) fn leave(&mut self, row: &Stored) -> Result<(), QueueError> {
        self.tx
            .prepare_cached("DELETE FROM message WHERE queue = ?1 AND id = ?2")?
            .execute((row.queue, row.id))?;
        if let Some(tally) = self.tally(row.queue)? {
            *tally.of_state(row.state) -= 1;
            tally.bytes -= row.bytes;
        }
        if let Some(origin) = row.origin
            && let Some(tally) = self.tally(origin)?
        {
            tally.dead -= 1;
        }
        if let Some(key) = &row.ordering {
            self.release_next(row.queue, key)?;
        }
        Ok(())
    }

    fn release_next(&mut self, queue: i64, key: &str) -> Result<(), QueueError> {
        let sql = over_columns(
            "SELECT {} FROM message WHERE queue = ?1 AND ordering = ?2 ORDER BY id LIMIT 1",
        );
        let next = self
            .tx
            .prepare_cached(&sql)?
            .query_row((queue, key), Stored::read)
            .optional()?;
        match next {
            Some(next) if next.state == State::Held => {
                let (state, due) = self.waiting_state(next.not_before);
                self.set_state(&next, state, due)
            }
            _ => Ok(()),
        }
    }

    /// A row as it stands now: removing an earlier message of its ordering key may have let it go since it was read.
    pub(super) fn current(&self, row: &Stored) -> Result<Stored, QueueError> {
        if row.ordering.is_none() {
            return Ok(row.clone());
        }
        let sql = over_columns("SELECT {} FROM message WHERE queue = ?1 AND id = ?2");
        Ok(self
            .tx
            .prepare_cached(&sql)?
            .query_row((row.queue, row.id), Stored::read)?)
    }

    /// Takes a message away for good.
    pub(super) fn remove(&mut self, row: &Stored) -> Result<(), QueueError> {
        self.leave(row)?;
        self.tx
            .prepare_cached("DELETE FROM content WHERE id = ?1")?
            .execute([row.content])?;
        self.tx
            .prepare_cached("DELETE FROM attempt WHERE content = ?1")?
            .execute([row.content])?;
        Ok(())
    }

    /// A wait between zero and a bound, both included.
    pub(super) fn jitter(&self, bound_ms: i64) -> Result<i64, QueueError> {
        let choices = u64::try_from(bound_ms).unwrap_or(0).saturating_add(1);
        let drawn = if choices == 1 {
            0
        } else {
            self.random()? % choices
        };
        Ok(i64::try_from(drawn).unwrap_or(bound_ms))
    }

    pub(super) fn remember(
        &self,
        queue: &OpenQueue,
        row: &Stored,
        failure: &Failure<'_>,
    ) -> Result<(), QueueError> {
        let record = Attempt {
            attempt: row.attempts,
            queue: queue.spec.key.name.to_string(),
            leased_at_ms: row.leased_wall,
            ended_at_ms: self.now.wall.0,
            consumer: row.consumer.clone().unwrap_or_default(),
            outcome: failure.outcome.to_owned(),
            error: failure.error.map(ToOwned::to_owned),
        };
        let record = serde_json::to_string(&record).map_err(QueueError::Corrupt)?;
        let number: i64 = self
            .tx
            .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM attempt WHERE content = ?1")?
            .query_row([row.content], |found| found.get(0))?;
        self.tx
            .prepare_cached("INSERT INTO attempt (content, number, record) VALUES (?1, ?2, ?3)")?
            .execute((row.content, number, record))?;
        self.tx
            .prepare_cached("DELETE FROM attempt WHERE content = ?1 AND number <= ?2")?
            .execute((row.content, number - limits::HISTORY_MAX))?;
        Ok(())
    }
}

/// Place of a priority in the ready order; lower goes first.
pub(super) fn rank(queue: &OpenQueue, priority: i32) -> i32 {
    if queue.spec.policy.priorities {
        limits::PRIORITY_MAX - priority
    } else {
        0
    }
}

/// A statement over all columns of a message: `{}` stands for them.
pub(super) fn over_columns(sql: &str) -> String {
    sql.replace("{}", COLUMNS)
}
