//! A message's row, and what is read with it.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::axis::Now;
use super::receipt::Receipt;
use crate::error::QueueError;
use crate::model::{Attempt, DeadLetter, Message};

/// Where a message stands. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It can be received.
    Ready,
    /// It waits for its time.
    Delayed,
    /// A consumer holds it.
    Leased,
    /// It waits for an earlier message of its ordering key.
    Held,
}

impl State {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Ready => 0,
            Self::Delayed => 1,
            Self::Leased => 2,
            Self::Held => 3,
        }
    }

    const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::Ready,
            1 => Self::Delayed,
            2 => Self::Leased,
            _ => Self::Held,
        }
    }

    /// The word on the wire: for a consumer, being held back and being delayed are the same.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed | Self::Held => "delayed",
            Self::Leased => "leased",
        }
    }
}

/// What a publisher said about a message, stored once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) message_id: String,
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) content_type: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) ordering_key: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) published_at_ms: i64,
}

/// The columns of [`Stored`], in its order.
pub(super) const COLUMNS: &str = "queue, id, state, priority, due, not_before, expires, ordering, attempts, token, \
     leased_wall, consumer, content, bytes, origin, dead";

/// A message's row.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) queue: i64,
    pub(super) id: i64,
    pub(super) state: State,
    pub(super) priority: i32,
    pub(super) due: Option<i64>,
    pub(super) not_before: i64,
    pub(super) expires: Option<i64>,
    pub(super) ordering: Option<String>,
    pub(super) attempts: i32,
    pub(super) token: Option<i64>,
    pub(super) leased_wall: i64,
    pub(super) consumer: Option<String>,
    pub(super) content: i64,
    pub(super) bytes: i64,
    pub(super) origin: Option<i64>,
    pub(super) dead: Option<String>,
}

impl Stored {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            queue: row.get(0)?,
            id: row.get(1)?,
            state: State::from_number(row.get(2)?),
            priority: row.get(3)?,
            due: row.get(4)?,
            not_before: row.get(5)?,
            expires: row.get(6)?,
            ordering: row.get(7)?,
            attempts: row.get(8)?,
            token: row.get(9)?,
            leased_wall: row.get(10)?,
            consumer: row.get(11)?,
            content: row.get(12)?,
            bytes: row.get(13)?,
            origin: row.get(14)?,
            dead: row.get(15)?,
        })
    }

    pub(super) fn has_expired(&self, now: Now) -> bool {
        self.expires.is_some_and(|expires| expires <= now.at)
    }

    /// What names the delivery that holds it, where one does.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        let token = self.token.filter(|_| self.state == State::Leased)?;
        Some(Receipt {
            queue: self.queue,
            message: self.id,
            token,
        })
    }

    /// What it takes in a reply: body and headers, and the history of its attempts.
    pub(super) fn reply_bytes(&self, connection: &rusqlite::Connection) -> Result<i64, QueueError> {
        if self.attempts == 0 && self.dead.is_none() {
            return Ok(self.bytes);
        }
        let history: i64 = connection
            .prepare_cached(
                "SELECT coalesce(sum(length(CAST(record AS BLOB))), 0) FROM attempt WHERE content = ?1",
            )?
            .query_row([self.content], |row| row.get(0))?;
        Ok(self.bytes.saturating_add(history))
    }

    /// The message as a consumer sees it. `receipt` is only for who holds it.
    pub(super) fn to_message(
        &self,
        connection: &rusqlite::Connection,
        queue: &str,
        now: Now,
        receipt: Option<Receipt>,
    ) -> Result<Message, QueueError> {
        let (envelope, body) = connection
            .prepare_cached("SELECT envelope, body FROM content WHERE id = ?1")?
            .query_row([self.content], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
            })?;
        let envelope: Envelope = serde_json::from_str(&envelope).map_err(QueueError::Corrupt)?;
        let leased = (self.state == State::Leased).then_some(self.due).flatten();
        let delayed = match self.state {
            State::Delayed => self.due,
            State::Held if self.not_before > now.at => Some(self.not_before),
            State::Ready | State::Leased | State::Held => None,
        };
        Ok(Message {
            message_id: envelope.message_id,
            queue: queue.to_owned(),
            exchange: envelope.exchange,
            routing_key: envelope.routing_key,
            body: Bytes::from(body),
            content_type: envelope.content_type,
            headers: envelope.headers,
            priority: self.priority,
            attempt: self.attempts,
            published_at_ms: envelope.published_at_ms,
            state: self.state.as_str().to_owned(),
            receipt: receipt.map(Receipt::encode),
            lease_until_ms: leased.map(|due| now.wall_of(due)),
            deliver_at_ms: delayed.map(|due| now.wall_of(due)),
            expires_at_ms: self.expires.map(|expires| now.wall_of(expires)),
            ordering_key: envelope.ordering_key,
            traceparent: envelope.traceparent,
            history: history(connection, self.content)?,
            dead_letter: self.dead_letter()?,
        })
    }

    fn dead_letter(&self) -> Result<Option<DeadLetter>, QueueError> {
        self.dead
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .map_err(QueueError::Corrupt)
    }
}

/// Failed attempts of a message, oldest first.
fn history(connection: &rusqlite::Connection, content: i64) -> Result<Vec<Attempt>, QueueError> {
    let mut statement = connection
        .prepare_cached("SELECT record FROM attempt WHERE content = ?1 ORDER BY number")?;
    let records = statement.query_map([content], |row| row.get::<_, String>(0))?;
    records
        .map(|record| serde_json::from_str(&record?).map_err(QueueError::Corrupt))
        .collect()
}
