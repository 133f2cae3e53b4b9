//! Commands on one record, applied together.

use plinth_store::locks::{LockReading, LockRow};

use crate::error::LockError;
use crate::machine::{self, Command, Now, Reply};
use crate::model::limits;
use crate::record::Record;
use crate::token::TokenState;

/// What commands made of a record.
pub(super) struct Batch {
    pub(super) record: Record,
    /// One reply for each command, in their order.
    pub(super) replies: Vec<Result<Reply, LockError>>,
    pub(super) changed: bool,
    /// Whether a lease ended.
    pub(super) lost: bool,
}

impl Batch {
    /// Applies commands one after the other. Errors: the stored record cannot be used, or the tokens are used up.
    pub(super) fn apply<'a>(
        record: Record,
        commands: impl Iterator<Item = &'a Command>,
        reading: &LockReading,
        now: Now,
        epoch: i64,
        locks_max: u32,
    ) -> Result<Self, LockError> {
        let highest = reading.floor.max(record.last_token);
        let mut tokens = TokenState::of(highest).at_least(epoch);
        let mut batch = Self {
            record,
            replies: Vec::new(),
            changed: false,
            lost: false,
        };
        for command in commands {
            let next = tokens.next()?;
            let unused = (!batch.record.is_busy()).then(|| batch.record.clone());
            let applied = machine::apply(&mut batch.record, command.clone(), now, next.token());
            let reply = match unused {
                Some(unused) if batch.record.is_busy() && reading.busy >= locks_max => {
                    batch.record = unused;
                    Err(LockError::Limit {
                        limit: "locks",
                        most: usize::try_from(locks_max).unwrap_or(usize::MAX),
                    })
                }
                _ => {
                    batch.changed |= applied.changed;
                    batch.lost |= applied.lost;
                    if applied.token_used {
                        tokens = next;
                    }
                    applied.reply
                }
            };
            batch.replies.push(reply);
        }
        Ok(batch)
    }
}

/// A record as it is kept.
pub(super) fn row(record: &Record, now: Now) -> Result<LockRow, LockError> {
    let free_since = record.free_since.unwrap_or(now.at);
    let due_ms = if record.is_quiet() {
        free_since.saturating_add(limits::QUIET_KEPT_MS)
    } else {
        record.due(now).unwrap_or(now.at)
    };
    Ok(LockRow {
        stamp: stamp(),
        busy: record.is_busy(),
        waiting: !record.places.is_empty(),
        listed: !record.is_quiet(),
        token: record.last_token,
        due_ms,
        record: serde_json::to_string(record).map_err(LockError::Corrupt)?,
    })
}

/// A number that no other writing has.
fn stamp() -> i64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    high.cast_signed()
}
