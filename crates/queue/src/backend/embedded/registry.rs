//! The queues that are open, and what of them lives in memory: who waits, and how fast they move.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backend::{QueueKey, QueueSpec};

/// One open queue.
pub(super) struct OpenQueue {
    /// Its number in the file.
    pub(super) id: i64,
    pub(super) spec: QueueSpec,
    pub(super) arrivals: Arc<Notify>,
    pub(super) rates: Mutex<Rates>,
}

/// Where dead letters of a queue go.
pub(super) enum DeadLetters {
    /// It is declared without a dead-letter queue.
    Nowhere,
    /// It has one that is not open here: another instance has removed it, or its declaration has not come yet.
    Away,
    /// Into this one.
    Into(Arc<OpenQueue>),
}

/// Every open queue, by number and by name. Replaced whole, so that a transaction sees one state of it.
#[derive(Clone, Default)]
pub(super) struct Registry {
    by_id: HashMap<i64, Arc<OpenQueue>>,
    by_key: HashMap<QueueKey, Arc<OpenQueue>>,
}

impl Registry {
    pub(super) fn by_id(&self, id: i64) -> Option<&Arc<OpenQueue>> {
        self.by_id.get(&id)
    }

    pub(super) fn by_key(&self, key: &QueueKey) -> Option<&Arc<OpenQueue>> {
        self.by_key.get(key)
    }

    /// Where dead letters of a queue go.
    pub(super) fn dead_letters_of(&self, queue: &OpenQueue) -> DeadLetters {
        let Some(name) = queue.spec.policy.dead_letter_queue.clone() else {
            return DeadLetters::Nowhere;
        };
        let target = self.by_key(&QueueKey {
            tenant: queue.spec.key.tenant.clone(),
            name,
        });
        target.map_or(DeadLetters::Away, |target| {
            DeadLetters::Into(Arc::clone(target))
        })
    }

    pub(super) fn insert(&mut self, queue: OpenQueue) {
        let queue = Arc::new(queue);
        self.by_id.insert(queue.id, Arc::clone(&queue));
        self.by_key.insert(queue.spec.key.clone(), queue);
    }

    pub(super) fn remove(&mut self, key: &QueueKey) -> Option<Arc<OpenQueue>> {
        let queue = self.by_key.remove(key)?;
        self.by_id.remove(&queue.id);
        Some(queue)
    }
}

/// Seconds over which rates are averaged.
const RATE_SECONDS: i64 = 60;
/// One slot for each of them.
const RATE_SLOTS: usize = 60;

/// What is counted per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) published: u32,
    pub(super) delivered: u32,
    pub(super) acked: u32,
}

/// The last minute, in slots of a second.
pub(super) struct Rates {
    slots: [(i64, Moved); RATE_SLOTS],
}

impl Rates {
    pub(super) const fn new() -> Self {
        Self {
            slots: [(
                i64::MIN,
                Moved {
                    published: 0,
                    delivered: 0,
                    acked: 0,
                },
            ); RATE_SLOTS],
        }
    }

    pub(super) fn count(&mut self, at_ms: i64, moved: Moved) {
        let second = at_ms.div_euclid(1_000);
        let index = usize::try_from(second.rem_euclid(RATE_SECONDS)).unwrap_or(0);
        let Some((slot_second, slot)) = self.slots.get_mut(index) else {
            return;
        };
        if *slot_second != second {
            (*slot_second, *slot) = (second, Moved::default());
        }
        slot.published = slot.published.saturating_add(moved.published);
        slot.delivered = slot.delivered.saturating_add(moved.delivered);
        slot.acked = slot.acked.saturating_add(moved.acked);
    }

    /// Published, delivered and acknowledged per second over the last minute.
    pub(super) fn per_second(&self, at_ms: i64) -> (f64, f64, f64) {
        let second = at_ms.div_euclid(1_000);
        let live = self
            .slots
            .iter()
            .filter(|(at, _)| *at > second - RATE_SECONDS && *at <= second);
        let sums = live.fold((0_u64, 0_u64, 0_u64), |sums, (_, moved)| {
            (
                sums.0 + u64::from(moved.published),
                sums.1 + u64::from(moved.delivered),
                sums.2 + u64::from(moved.acked),
            )
        });
        #[expect(
            clippy::cast_precision_loss,
            reason = "a minute's messages are far below 2^53"
        )]
        let average = |sum: u64| sum as f64 / RATE_SECONDS as f64;
        (average(sums.0), average(sums.1), average(sums.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_covers_the_last_minute_and_forgets_the_one_before() {
        let mut rates = Rates::new();
        rates.count(
            1_000,
            Moved {
                published: 60,
                ..Moved::default()
            },
        );
        rates.count(
            1_999,
            Moved {
                published: 60,
                acked: 30,
                ..Moved::default()
            },
        );
        assert_eq!(rates.per_second(60_999), (2.0, 0.0, 0.5));
        assert_eq!(rates.per_second(61_000), (0.0, 0.0, 0.0));
        rates.count(
            61_000,
            Moved {
                delivered: 120,
                ..Moved::default()
            },
        );
        assert_eq!(rates.per_second(61_000), (0.0, 2.0, 0.0));
    }
}
