//! Leasing and settling.

use std::sync::Arc;

use rusqlite::OptionalExtension as _;

use super::receipt::Receipt;
use super::registry::OpenQueue;
use super::row::{State, Stored};
use super::work::{Failure, Work, over_columns};
use crate::backend::{LeaseRequest, SettleOutcome, Verdict};
use crate::error::QueueError;
use crate::model::{Message, limits};

impl Work<'_> {
    /// Leases what is most urgent. The attempt is counted here, in the commit that must be durable before the messages
    /// are handed out.
    pub(super) fn lease(
        &mut self,
        queue: &Arc<OpenQueue>,
        request: &LeaseRequest,
    ) -> Result<Vec<Message>, QueueError> {
        self.advance()?;
        let mut messages = Vec::new();
        let mut bytes = 0;
        for mut row in self.ready_rows(queue.id, request.max)? {
            bytes += row.reply_bytes(self.tx)?;
            if bytes > limits::REPLY_BYTES_MAX && !messages.is_empty() {
                break;
            }
            messages.push(self.lease_one(queue, &mut row, request)?);
        }
        let delivered = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        if delivered > 0 {
            let moved = self.moved(queue.id);
            moved.delivered = moved.delivered.saturating_add(delivered);
        }
        Ok(messages)
    }

    fn ready_rows(&self, queue: i64, max: i32) -> Result<Vec<Stored>, QueueError> {
        let sql = over_columns(
            "SELECT {} FROM message INDEXED BY message_ready WHERE state = 0 AND queue = ?1
             AND (expires IS NULL OR expires > ?3) ORDER BY rank, id LIMIT ?2",
        );
        let mut statement = self.tx.prepare_cached(&sql)?;
        let rows = statement.query_map((queue, max, self.now.at), Stored::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn lease_one(
        &mut self,
        queue: &OpenQueue,
        row: &mut Stored,
        request: &LeaseRequest,
    ) -> Result<Message, QueueError> {
        let token = self.random()?.cast_signed();
        let due = self.now.at.saturating_add(request.lease_ms);
        self.tx
            .prepare_cached(
                "UPDATE message SET state = ?3, due = ?4, token = ?5, attempts = attempts + 1, lease_ms = ?6,
                     leased_wall = ?7, consumer = ?8 WHERE queue = ?1 AND id = ?2",
            )?
            .execute(rusqlite::params![
                row.queue,
                row.id,
                State::Leased.number(),
                due,
                token,
                request.lease_ms,
                self.now.wall.0,
                request.consumer,
            ])?;
        self.shift(row.queue, row.state, State::Leased)?;
        row.state = State::Leased;
        row.due = Some(due);
        row.attempts += 1;
        self.effects.next_due = Some(self.effects.next_due.map_or(due, |next| next.min(due)));
        let receipt = Receipt {
            queue: row.queue,
            message: row.id,
            token,
        };
        row.to_message(
            self.tx,
            queue.spec.key.name.as_str(),
            self.now,
            Some(receipt),
        )
    }

    /// Settles deliveries, one outcome for each.
    pub(super) fn settle(
        &mut self,
        queue: &OpenQueue,
        receipts: &[Receipt],
        verdict: &Verdict,
    ) -> Result<Vec<SettleOutcome>, QueueError> {
        receipts
            .iter()
            .map(|receipt| {
                let Some(row) = self.held_by(queue.id, *receipt)? else {
                    return Ok(SettleOutcome::LeaseLost);
                };
                self.settle_one(queue, &row, verdict)?;
                Ok(SettleOutcome::Settled)
            })
            .collect()
    }

    /// The message that a receipt still holds: the lease has the same token and has not ended.
    fn held_by(&self, queue: i64, receipt: Receipt) -> Result<Option<Stored>, QueueError> {
        let sql = over_columns("SELECT {} FROM message WHERE queue = ?1 AND id = ?2");
        let row = self
            .tx
            .prepare_cached(&sql)?
            .query_row((queue, receipt.message), Stored::read)
            .optional()?;
        Ok(row.filter(|row| {
            receipt.queue == queue
                && row.state == State::Leased
                && row.token == Some(receipt.token)
                && row.due.is_some_and(|due| due > self.now.at)
        }))
    }

    fn settle_one(
        &mut self,
        queue: &OpenQueue,
        row: &Stored,
        verdict: &Verdict,
    ) -> Result<(), QueueError> {
        match verdict {
            Verdict::Ack => {
                let moved = self.moved(queue.id);
                moved.acked = moved.acked.saturating_add(1);
                self.remove(row)
            }
            Verdict::Retry { after_ms, reason } => {
                let failure = Failure {
                    outcome: "retry",
                    error: reason.as_deref(),
                    after_ms: *after_ms,
                };
                self.fail(queue, row, &failure)
            }
            Verdict::Dead { reason } => {
                let failure = Failure {
                    outcome: "dead",
                    error: reason.as_deref(),
                    after_ms: None,
                };
                self.fail(queue, row, &failure)
            }
        }
    }

    /// Hands back deliveries that nobody was given: as if they had never been leased.
    pub(super) fn take_back(
        &mut self,
        queue: &OpenQueue,
        receipts: &[Receipt],
    ) -> Result<(), QueueError> {
        for receipt in receipts {
            let Some(row) = self.held_by(queue.id, *receipt)? else {
                continue;
            };
            self.tx
                .prepare_cached(
                    "UPDATE message SET attempts = attempts - 1 WHERE queue = ?1 AND id = ?2",
                )?
                .execute((row.queue, row.id))?;
            self.set_state(&row, State::Ready, None)?;
        }
        Ok(())
    }
}
