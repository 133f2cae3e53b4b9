//! Attempts that failed, and where messages go that are not tried again.

use super::registry::{DeadLetters, OpenQueue};
use super::row::Stored;
use super::work::{Entering, Failure, Work};
use crate::error::QueueError;
use crate::model::DeadLetter;

/// Shortest wait of a message that is due in a dead-letter queue which is not open, in milliseconds.
const AWAY_WAIT_MS_MIN: i64 = 5_000;

impl Work<'_> {
    /// Ends a lease without success: history, then another attempt, or the dead-letter queue at the maximum.
    pub(super) fn fail(
        &mut self,
        queue: &OpenQueue,
        row: &Stored,
        failure: &Failure<'_>,
    ) -> Result<(), QueueError> {
        self.remember(queue, row, failure)?;
        let is_rejected = failure.outcome == "dead";
        if is_rejected && self.dead_letter(queue, row, "rejected")? {
            return Ok(());
        }
        if row.has_expired(self.now) {
            self.effects.expired += 1;
            return self.remove(row);
        }
        let policy = &queue.spec.policy;
        let is_last = policy.dead_letter_queue.is_some() && row.attempts >= policy.max_attempts;
        if is_last && self.dead_letter(queue, row, "max_attempts")? {
            return Ok(());
        }
        let mut wait_ms = match failure.after_ms {
            Some(after_ms) => after_ms,
            None => self.jitter(policy.backoff.bound_ms(row.attempts))?,
        };
        if is_rejected || is_last {
            wait_ms = wait_ms.max(AWAY_WAIT_MS_MIN);
        }
        let (state, due) = self.waiting_state(self.now.at.saturating_add(wait_ms));
        self.set_state(row, state, due)
    }

    /// Moves a message to the dead-letter queue of its queue, with its history, and returns whether it left its queue. It
    /// stays where its dead-letter queue is not open: nothing that has one is lost. Limits of that queue do not apply. From a
    /// queue that is declared without one only what is dropped comes here: it goes.
    pub(super) fn dead_letter(
        &mut self,
        queue: &OpenQueue,
        row: &Stored,
        reason: &str,
    ) -> Result<bool, QueueError> {
        let target = match self.registry.dead_letters_of(queue) {
            DeadLetters::Into(target) => target,
            DeadLetters::Nowhere => return self.remove(row).map(|()| true),
            DeadLetters::Away => {
                tracing::warn!(
                    queue = %queue.spec.key.name,
                    reason,
                    "a message stays in its queue: its dead-letter queue is not open"
                );
                return Ok(false);
            }
        };
        self.leave(row)?;
        let dead = DeadLetter {
            queue: queue.spec.key.name.to_string(),
            reason: reason.to_owned(),
            at_ms: self.now.wall.0,
        };
        let now = self.now.at;
        self.enter(
            &target,
            &Entering {
                content: row.content,
                bytes: row.bytes,
                priority: row.priority,
                not_before: now,
                expires: target
                    .spec
                    .policy
                    .ttl_ms
                    .map(|ttl_ms| now.saturating_add(ttl_ms)),
                // One dead letter must not hide those behind it.
                ordering: None,
                origin: Some(queue.id),
                dead: Some(serde_json::to_string(&dead).map_err(QueueError::Corrupt)?),
            },
        )?;
        if let Some(tally) = self.tally(queue.id)? {
            tally.dead += 1;
        }
        self.effects.dead += 1;
        Ok(true)
    }
}
