//! Looking into a queue, and clearing it.

use plinth_core::Error;
use rusqlite::{Connection, OptionalExtension as _};

use super::axis::Now;
use super::receipt::Receipt;
use super::registry::OpenQueue;
use super::row::{State, Stored};
use super::work::{Work, over_columns};
use crate::backend::{Depth, PeekPage};
use crate::error::QueueError;
use crate::model::{StateFilter, limits};

/// Rows that one page of peek looks at, so that a rare state does not scan the whole queue at once.
const SCANNED_MAX: i64 = 4_096;
/// Messages that one transaction of a purge deletes, so that others come in between.
pub(super) const PURGED_PER_COMMIT_MAX: i64 = 1_000;

/// Counters of a queue. Rates are not in the file.
pub(super) fn depth(connection: &Connection, queue: i64, now: Now) -> Result<Depth, QueueError> {
    let mut depth = connection
        .prepare_cached("SELECT ready, leased, delayed, dead, bytes FROM queue WHERE id = ?1")?
        .query_row([queue], |row| {
            Ok(Depth {
                ready: row.get(0)?,
                leased: row.get(1)?,
                delayed: row.get(2)?,
                dead: row.get(3)?,
                bytes: row.get(4)?,
                ..Depth::default()
            })
        })?;
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT since FROM message WHERE queue = ?1 ORDER BY id LIMIT 1")?
        .query_row([queue], |row| row.get(0))
        .optional()?;
    depth.oldest_age_ms = oldest.map(|since| now.at.saturating_sub(since).max(0));
    Ok(depth)
}

fn fits(filter: StateFilter, state: State) -> bool {
    match filter {
        StateFilter::All => true,
        StateFilter::Ready => state == State::Ready,
        StateFilter::Delayed => matches!(state, State::Delayed | State::Held),
        StateFilter::Leased => state == State::Leased,
        StateFilter::Dead => false,
    }
}

/// Messages after a place, in the order of publishing.
pub(super) fn peek(
    connection: &Connection,
    queue: &OpenQueue,
    filter: StateFilter,
    after: i64,
    limit: i64,
    now: Now,
) -> Result<PeekPage, QueueError> {
    let limit = usize::try_from(limit).map_err(Error::internal)?;
    let sql =
        over_columns("SELECT {} FROM message WHERE queue = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((queue.id, after, SCANNED_MAX), Stored::read)?;
    let mut page = PeekPage {
        messages: Vec::new(),
        next: None,
    };
    let (mut scanned, mut last, mut bytes) = (0, after, 0);
    for row in rows {
        let row = row?;
        let wanted = fits(filter, row.state) && !row.has_expired(now);
        bytes += if wanted {
            row.reply_bytes(connection)?
        } else {
            0
        };
        let too_many_bytes = bytes > limits::REPLY_BYTES_MAX && !page.messages.is_empty();
        if page.messages.len() == limit || (wanted && too_many_bytes) {
            page.next = Some(last);
            return Ok(page);
        }
        if wanted {
            page.messages.push(row.to_message(
                connection,
                queue.spec.key.name.as_str(),
                now,
                None,
            )?);
        }
        last = row.id;
        scanned += 1;
    }
    page.next = (scanned == SCANNED_MAX).then_some(last);
    Ok(page)
}

/// Where a purge goes on, and how many messages a step deleted.
pub(super) struct Purged {
    pub(super) count: i64,
    /// Deliveries that ended by it.
    pub(super) ended: Vec<Receipt>,
    /// `None` at the end.
    pub(super) next: Option<i64>,
}

impl Work<'_> {
    /// The number that the next message of a queue will have: a purge stops there.
    pub(super) fn end_of(&mut self, queue: i64) -> Result<i64, QueueError> {
        Ok(self.tally(queue)?.map_or(0, |tally| tally.next_id))
    }

    /// One step of a purge over messages with `after < id < end`.
    pub(super) fn purge_step(
        &mut self,
        queue: i64,
        filter: StateFilter,
        after: i64,
        end: i64,
    ) -> Result<Purged, QueueError> {
        let rows: Vec<Stored> = {
            let sql = over_columns(
                "SELECT {} FROM message WHERE queue = ?1 AND id > ?2 AND id < ?3 ORDER BY id LIMIT ?4",
            );
            let mut statement = self.tx.prepare_cached(&sql)?;
            let rows =
                statement.query_map((queue, after, end, PURGED_PER_COMMIT_MAX), Stored::read)?;
            rows.collect::<Result<_, _>>()?
        };
        let mut purged = Purged {
            count: 0,
            ended: Vec::new(),
            next: None,
        };
        for row in &rows {
            let row = self.current(row)?;
            if fits(filter, row.state) {
                self.remove(&row)?;
                purged.ended.extend(row.receipt());
                purged.count += 1;
            }
        }
        let is_full =
            rows.len() >= usize::try_from(PURGED_PER_COMMIT_MAX).map_err(Error::internal)?;
        purged.next = rows.last().filter(|_| is_full).map(|row| row.id);
        Ok(purged)
    }

    /// One step of a purge of the dead letters of a queue.
    pub(super) fn purge_dead_step(&mut self, origin: i64) -> Result<Purged, QueueError> {
        let rows: Vec<Stored> = {
            let sql = over_columns(
                "SELECT {} FROM message INDEXED BY message_origin WHERE origin = ?1 LIMIT ?2",
            );
            let mut statement = self.tx.prepare_cached(&sql)?;
            let rows = statement.query_map((origin, PURGED_PER_COMMIT_MAX), Stored::read)?;
            rows.collect::<Result<_, _>>()?
        };
        for row in &rows {
            self.remove(row)?;
        }
        let count = i64::try_from(rows.len()).map_err(Error::internal)?;
        Ok(Purged {
            count,
            ended: rows.iter().filter_map(Stored::receipt).collect(),
            next: (count == PURGED_PER_COMMIT_MAX).then_some(0),
        })
    }
}
