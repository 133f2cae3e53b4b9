//! What time does: delays end, leases end, messages expire, message ids are forgotten.

use plinth_core::Error;

use super::row::{State, Stored};
use super::work::{Failure, Work, over_columns};
use crate::error::QueueError;

/// Messages whose time has come that one transaction handles; what is left follows in the next.
const ADVANCED_MAX: i64 = 512;
/// Message ids that one transaction forgets.
const FORGOTTEN_MAX: i64 = 512;

impl Work<'_> {
    /// Does everything that is due now, up to a bound, and notes when something is due next.
    pub(super) fn advance(&mut self) -> Result<(), QueueError> {
        for row in self.due_rows()? {
            self.advance_one(&row)?;
        }
        for row in self.expired_rows()? {
            let row = self.current(&row)?;
            self.effects.expired += 1;
            self.remove(&row)?;
        }
        Ok(())
    }

    fn due_rows(&self) -> Result<Vec<Stored>, QueueError> {
        let sql = over_columns(
            "SELECT {} FROM message INDEXED BY message_due WHERE due <= ?1 ORDER BY due LIMIT ?2",
        );
        let mut statement = self.tx.prepare_cached(&sql)?;
        let rows = statement.query_map((self.now.at, ADVANCED_MAX), Stored::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn expired_rows(&self) -> Result<Vec<Stored>, QueueError> {
        let sql = over_columns(
            "SELECT {} FROM message INDEXED BY message_expiry
             WHERE expires IS NOT NULL AND state <> 2 AND expires <= ?1 ORDER BY expires LIMIT ?2",
        );
        let mut statement = self.tx.prepare_cached(&sql)?;
        let rows = statement.query_map((self.now.at, ADVANCED_MAX), Stored::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn advance_one(&mut self, row: &Stored) -> Result<(), QueueError> {
        if row.state != State::Leased {
            return self.set_state(row, State::Ready, None);
        }
        let Some(queue) = self.registry.by_id(row.queue).cloned() else {
            // The queue is being deleted; its rows go with it, so they only must not be found here again.
            return self.set_state(row, State::Ready, None);
        };
        // The consumer is gone, not the message bad: it is tried again at once, and the attempt counts.
        let failure = Failure {
            outcome: "lease_expired",
            error: None,
            after_ms: Some(0),
        };
        self.fail(&queue, row, &failure)
    }

    /// Forgets message ids whose window has passed. Returns whether there may be more.
    pub(super) fn forget_ids(&self) -> Result<bool, QueueError> {
        let forgotten = self
            .tx
            .prepare_cached(
                "DELETE FROM seen WHERE (queue, message_id) IN
                 (SELECT queue, message_id FROM seen WHERE until <= ?1 ORDER BY until LIMIT ?2)",
            )?
            .execute((self.now.at, FORGOTTEN_MAX))?;
        let bound = usize::try_from(FORGOTTEN_MAX).map_err(Error::internal)?;
        Ok(forgotten >= bound)
    }

    /// The earliest time at which something will be due, whatever this transaction changed.
    pub(super) fn earliest_due(&self) -> Result<Option<i64>, QueueError> {
        let due: Option<i64> = self
            .tx
            .prepare_cached(
                "SELECT min(due) FROM message INDEXED BY message_due WHERE due IS NOT NULL",
            )?
            .query_row([], |row| row.get(0))?;
        let expires: Option<i64> = self
            .tx
            .prepare_cached(
                "SELECT min(expires) FROM message INDEXED BY message_expiry
                 WHERE expires IS NOT NULL AND state <> 2",
            )?
            .query_row([], |row| row.get(0))?;
        Ok([due, expires].into_iter().flatten().min())
    }
}
