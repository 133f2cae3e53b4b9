//! Storing messages.

use std::sync::Arc;

use rusqlite::OptionalExtension as _;

use super::registry::OpenQueue;
use super::row::{Envelope, Stored};
use super::work::{Entering, Work, over_columns};
use crate::backend::{PublishBatch, QueueKey, RoutedMessage};
use crate::error::QueueError;
use crate::model::{OnFull, Published, QueueName, limits};

/// Messages that one transaction drops at most for others that come in, beside one for each that it stores.
const DROPPED_PER_COMMIT_MAX: usize = 1_000;

/// Whether a queue takes what comes.
enum Room {
    Free,
    /// It will, once more of its oldest messages have gone than this transaction may drop.
    MoreToDrop,
    /// It is at this limit, and nothing may go.
    Full(&'static str),
}

/// What a batch wants of one queue.
#[derive(Clone, Copy)]
pub(super) struct Demand {
    count: i64,
    bytes: i64,
}

impl Demand {
    /// What the messages of a batch want of a queue together.
    pub(super) fn of(batch: &PublishBatch, queue: &QueueName) -> Self {
        let routed = batch.messages.iter();
        let here = routed.filter(|routed| routed.queues.contains(queue));
        here.fold(Self { count: 0, bytes: 0 }, |sum, routed| Self {
            count: sum.count + 1,
            bytes: sum.bytes.saturating_add(routed.message.bytes()),
        })
    }
}

impl Work<'_> {
    /// Stores every message of a batch in every queue that takes it, or fails and leaves nothing.
    ///
    /// Errors: [`QueueError::Crowded`] where more of a queue's oldest messages must go first than one transaction drops.
    pub(super) fn publish(&mut self, batch: &PublishBatch) -> Result<Vec<Published>, QueueError> {
        let mut droppable = DROPPED_PER_COMMIT_MAX;
        let messages = batch.messages.iter().enumerate();
        messages
            .map(|(index, routed)| self.publish_one(batch, index, routed, &mut droppable))
            .collect()
    }

    fn publish_one(
        &mut self,
        batch: &PublishBatch,
        index: usize,
        routed: &RoutedMessage,
        droppable: &mut usize,
    ) -> Result<Published, QueueError> {
        let mut stored = 0_usize;
        for name in &routed.queues {
            let queue = self.open_queue_of(batch, name)?;
            if self.is_duplicate(&queue, routed)? {
                continue;
            }
            let bytes = routed.message.bytes();
            if let Some(max_bytes) = queue.spec.policy.max_bytes.filter(|most| bytes > *most) {
                return Err(QueueError::NeverFits {
                    index,
                    queue: name.to_string(),
                    bytes,
                    max_bytes,
                });
            }
            *droppable += 1;
            let demand = Demand { count: 1, bytes };
            match self.make_room(&queue, demand, droppable)? {
                Room::Free => {}
                Room::MoreToDrop => {
                    return Err(QueueError::Crowded {
                        queue: name.clone(),
                    });
                }
                Room::Full(limit) => {
                    return Err(QueueError::Full {
                        queue: name.to_string(),
                        limit,
                    });
                }
            }
            self.store(&queue, routed)?;
            stored += 1;
        }
        Ok(Published {
            message_id: routed.message_id.clone(),
            queues: routed.queues.iter().map(ToString::to_string).collect(),
            duplicate: stored == 0,
        })
    }

    /// The queue may have been deleted since the message was routed.
    fn open_queue_of(
        &self,
        batch: &PublishBatch,
        name: &QueueName,
    ) -> Result<Arc<OpenQueue>, QueueError> {
        let key = QueueKey {
            tenant: batch.tenant.clone(),
            name: name.clone(),
        };
        self.registry
            .by_key(&key)
            .cloned()
            .ok_or_else(|| QueueError::QueueAbsent {
                queue: name.to_string(),
            })
    }

    /// Whether the queue has seen the caller's id inside its window; remembers it where not.
    fn is_duplicate(&self, queue: &OpenQueue, routed: &RoutedMessage) -> Result<bool, QueueError> {
        let window_ms = queue.spec.policy.dedup_window_ms;
        let Some(message_id) = routed
            .message
            .message_id
            .as_deref()
            .filter(|_| window_ms > 0)
        else {
            return Ok(false);
        };
        let until: Option<i64> = self
            .tx
            .prepare_cached("SELECT until FROM seen WHERE queue = ?1 AND message_id = ?2")?
            .query_row((queue.id, message_id), |row| row.get(0))
            .optional()?;
        if until.is_some_and(|until| until > self.now.at) {
            return Ok(true);
        }
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO seen (queue, message_id, until) VALUES (?1, ?2, ?3)",
            )?
            .execute((queue.id, message_id, self.now.at.saturating_add(window_ms)))?;
        Ok(false)
    }

    /// Drops the oldest of a queue as far as one transaction may, so that a later one finds room. Returns whether nothing is
    /// left to be done: there is room, or nothing more may go.
    pub(super) fn make_room_for(
        &mut self,
        queue: &OpenQueue,
        demand: Demand,
    ) -> Result<bool, QueueError> {
        let mut droppable = DROPPED_PER_COMMIT_MAX;
        let room = self.make_room(queue, demand, &mut droppable)?;
        Ok(!matches!(room, Room::MoreToDrop))
    }

    /// Makes room in a queue by its rule, dropping no more than it may.
    fn make_room(
        &mut self,
        queue: &OpenQueue,
        demand: Demand,
        droppable: &mut usize,
    ) -> Result<Room, QueueError> {
        let policy = Arc::clone(&queue.spec.policy);
        // A batch that is larger than the queue drops its own first messages when it comes to its last.
        let past = |held: i64, more: i64, most: Option<i64>| {
            most.is_some_and(|most| held.saturating_add(more.min(most)) > most)
        };
        loop {
            let tally = self
                .tally(queue.id)?
                .ok_or_else(|| QueueError::QueueAbsent {
                    queue: queue.spec.key.name.to_string(),
                })?;
            let limit = if past(tally.length(), demand.count, policy.max_length) {
                "max_length"
            } else if past(tally.bytes, demand.bytes, policy.max_bytes) {
                "max_bytes"
            } else {
                return Ok(Room::Free);
            };
            let oldest = match policy.on_full {
                OnFull::Reject => None,
                OnFull::DropOldest => self.oldest_ready(queue.id)?,
            };
            let Some(oldest) = oldest else {
                return Ok(Room::Full(limit));
            };
            let Some(left) = droppable.checked_sub(1) else {
                return Ok(Room::MoreToDrop);
            };
            *droppable = left;
            if !self.dead_letter(queue, &oldest, "dropped")? {
                return Ok(Room::Full(limit));
            }
        }
    }

    /// The ready message that was published first: the first of each priority is found by the index, and the oldest of
    /// these taken.
    fn oldest_ready(&self, queue: i64) -> Result<Option<Stored>, QueueError> {
        let mut oldest: Option<i64> = None;
        let mut first_of = self.tx.prepare_cached(
            "SELECT min(id) FROM message INDEXED BY message_ready WHERE state = 0 AND queue = ?1 AND rank = ?2",
        )?;
        for rank in 0..=limits::PRIORITY_MAX {
            let first: Option<i64> = first_of.query_row((queue, rank), |row| row.get(0))?;
            oldest = [oldest, first].into_iter().flatten().min();
        }
        let Some(id) = oldest else {
            return Ok(None);
        };
        let sql = over_columns("SELECT {} FROM message WHERE queue = ?1 AND id = ?2");
        Ok(self
            .tx
            .prepare_cached(&sql)?
            .query_row((queue, id), Stored::read)
            .optional()?)
    }

    fn store(&mut self, queue: &OpenQueue, routed: &RoutedMessage) -> Result<(), QueueError> {
        let message = &routed.message;
        let envelope = Envelope {
            message_id: routed.message_id.clone(),
            exchange: message
                .exchange
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            routing_key: message.routing_key.as_str().to_owned(),
            content_type: message.content_type.clone(),
            headers: message.headers.clone(),
            ordering_key: message.ordering_key.clone(),
            traceparent: message.traceparent.clone(),
            published_at_ms: routed.published_at.0,
        };
        let envelope = serde_json::to_string(&envelope).map_err(QueueError::Corrupt)?;
        self.tx
            .prepare_cached("INSERT INTO content (envelope, body) VALUES (?1, ?2)")?
            .execute((envelope, message.body.as_ref()))?;
        let content = self.tx.last_insert_rowid();
        let now = self.now.at;
        let life_ms = [message.ttl_ms, queue.spec.policy.ttl_ms]
            .into_iter()
            .flatten()
            .min();
        self.enter(
            queue,
            &Entering {
                content,
                bytes: message.bytes(),
                priority: message.priority,
                not_before: now.saturating_add(message.delay_ms),
                expires: life_ms.map(|life_ms| now.saturating_add(life_ms)),
                ordering: message.ordering_key.clone(),
                origin: None,
                dead: None,
            },
        )?;
        let moved = self.moved(queue.id);
        moved.published = moved.published.saturating_add(1);
        Ok(())
    }
}
