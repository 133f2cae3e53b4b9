//! The sequencer: gives each record its index in a group commit of `audit.db`, which is what makes it durable.
//!
//! Leaves stand in `audit.db` from their acknowledgement until a checkpoint over their tiles is signed and kept; then the
//! tiles are the record and the rows go. Every signed checkpoint stays.

use std::sync::Arc;

use bytes::Bytes;
use plinth_core::access::IdempotencyScope;
use plinth_core::{SharedClock, WideInt};
use plinth_store::{Engine, Migration, StoreError, WriteCondition, idempotency};
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::watch;

use super::leaf::PendingLeaf;
use crate::error::AuditError;
use crate::model::AuditReceipt;
use crate::tree::Checkpoint;

/// The schema of `audit.db`.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "log",
        sql: "
            CREATE TABLE leaves (
                idx INTEGER PRIMARY KEY,
                envelope BLOB NOT NULL
            ) STRICT;
            CREATE TABLE log_state (
                only INTEGER PRIMARY KEY CHECK (only = 0),
                next_idx INTEGER NOT NULL,
                last_recorded_ms INTEGER NOT NULL
            ) STRICT;
            INSERT INTO log_state VALUES (0, 0, 0);
            CREATE TABLE checkpoints (
                size INTEGER PRIMARY KEY,
                note TEXT NOT NULL,
                signed_ms INTEGER NOT NULL
            ) STRICT;",
    },
    Migration {
        version: 2,
        name: "idempotency",
        sql: idempotency::SCHEMA,
    },
];

/// Most bytes of leaves that are read at once for integration or indexing.
pub const CHUNK_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most leaves that are read at once.
pub const CHUNK_LEAVES_MAX: i64 = 4_096;

/// Appends records; cheap to clone.
#[derive(Clone)]
pub struct Sequencer {
    engine: Engine,
    clock: SharedClock,
    /// Number of leaves that are known to be durable.
    durable: Arc<watch::Sender<u64>>,
}

impl Sequencer {
    /// Takes over an open `audit.db`.
    pub async fn open(engine: Engine, clock: SharedClock) -> Result<Self, AuditError> {
        let size = engine.read(next_index).await?;
        Ok(Self {
            engine,
            clock,
            durable: Arc::new(watch::Sender::new(size)),
        })
    }

    /// Whether the disk takes what is written.
    #[must_use]
    pub fn write_condition(&self) -> WriteCondition {
        self.engine.write_condition()
    }

    /// Appends records at consecutive indices in one commit, or none of them; they are durable when this returns. A
    /// caller that goes away does not stop it half-way. A repeat of an idempotency key gets the first receipts.
    ///
    /// Errors: the engine's, all as [`AuditError::Append`].
    pub async fn append(
        &self,
        pending: Vec<PendingLeaf>,
        scope: Option<IdempotencyScope>,
    ) -> Result<Vec<AuditReceipt>, AuditError> {
        let sequencer = self.clone();
        // On its own task: a caller that is cancelled between commit and wake-up would leave the log asleep.
        let appended = tokio::spawn(async move { sequencer.commit(pending, scope).await }).await;
        match appended {
            Ok(result) => result.map_err(|cause| AuditError::Append(Box::new(cause))),
            Err(_ended) => Err(AuditError::Append(Box::new(AuditError::Closed))),
        }
    }

    async fn commit(
        &self,
        pending: Vec<PendingLeaf>,
        scope: Option<IdempotencyScope>,
    ) -> Result<Vec<AuditReceipt>, AuditError> {
        let clock = Arc::clone(&self.clock);
        let (receipts, size): (Vec<AuditReceipt>, u64) = self
            .engine
            .write(move |transaction| {
                let receipts = idempotency::once(transaction, scope.as_ref(), |transaction| {
                    insert(transaction, &pending, clock.now().0)
                })?;
                Ok::<_, AuditError>((receipts, next_index(transaction)?))
            })
            .await?;
        self.durable.send_if_modified(|durable| {
            let grew = size > *durable;
            *durable = size.max(*durable);
            grew
        });
        Ok(receipts)
    }

    /// Number of leaves that are durable, and word of every growth.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// Leaves from an index on, at most a chunk of them and none from `end` on. Empty where the first one stands in the
    /// tiles alone.
    pub async fn staged(&self, first: u64, end: u64) -> Result<Vec<Bytes>, AuditError> {
        self.engine
            .read(move |connection| staged(connection, first, end))
            .await
    }

    /// The latest checkpoint that was kept.
    pub async fn latest_checkpoint(&self) -> Result<Option<KeptCheckpoint>, AuditError> {
        self.engine
            .read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1",
                )?;
                let row = statement.query_row([], kept_checkpoint).optional()?;
                Ok(row)
            })
            .await
    }

    /// Kept checkpoints by size, those larger than `after`.
    pub async fn checkpoints(
        &self,
        after: Option<u64>,
        count_max: u32,
    ) -> Result<Vec<KeptCheckpoint>, AuditError> {
        self.engine
            .read(move |connection| checkpoints(connection, after, count_max))
            .await
    }

    /// Keeps a signed checkpoint and, in the same commit, lets go of the leaves under it.
    pub async fn keep_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        note: String,
    ) -> Result<(), AuditError> {
        let size = to_sql(checkpoint.size);
        let signed_ms = self.clock.now().0;
        self.engine
            .write(move |transaction| {
                transaction.execute(
                    "INSERT INTO checkpoints (size, note, signed_ms) VALUES (?1, ?2, ?3)",
                    (size, note, signed_ms),
                )?;
                transaction.execute("DELETE FROM leaves WHERE idx < ?1", [size])?;
                Ok(())
            })
            .await
    }

    /// Checks that exactly the leaves from `from` to the end are staged. Errors: some are missing.
    pub async fn check_staged(&self, from: u64) -> Result<(), AuditError> {
        self.engine
            .read(move |connection| {
                let size = next_index(connection)?;
                let (count, first): (i64, Option<i64>) = connection.query_row(
                    "SELECT COUNT(*), MIN(idx) FROM leaves WHERE idx >= ?1",
                    [to_sql(from)],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                let whole = size
                    .checked_sub(from)
                    .is_some_and(|expected| to_sql(expected) == count)
                    && first.is_none_or(|first| first == to_sql(from));
                if whole {
                    return Ok(());
                }
                Err(AuditError::tampered(
                    "audit.db",
                    format!(
                        "holds {count} leaves after the last checkpoint at size {from}, but says that the log has {size}"
                    ),
                ))
            })
            .await
    }

    /// Ends the engine.
    pub async fn close(&self) {
        self.engine.close().await;
    }
}

/// A checkpoint as `audit.db` keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// Size that it signs.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

fn insert(
    transaction: &Connection,
    pending: &[PendingLeaf],
    now_ms: i64,
) -> Result<Vec<AuditReceipt>, AuditError> {
    let (next, last_ms): (i64, i64) = transaction
        .prepare_cached("SELECT next_idx, last_recorded_ms FROM log_state")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The wall clock may jump back; the log's order may not.
    let recorded_ms = now_ms.max(last_ms);
    let mut statement =
        transaction.prepare_cached("INSERT INTO leaves (idx, envelope) VALUES (?1, ?2)")?;
    let mut receipts = Vec::with_capacity(pending.len());
    let mut index = next;
    for leaf in pending {
        statement.execute((index, leaf.envelope(from_sql(index)?, recorded_ms)))?;
        receipts.push(AuditReceipt {
            id: leaf.id.clone(),
            index: WideInt(index),
            recorded_at_ms: recorded_ms,
        });
        index += 1;
    }
    transaction
        .prepare_cached("UPDATE log_state SET next_idx = ?1, last_recorded_ms = ?2")?
        .execute((index, recorded_ms))?;
    Ok(receipts)
}

fn next_index(connection: &Connection) -> Result<u64, AuditError> {
    let next: i64 = connection
        .prepare_cached("SELECT next_idx FROM log_state")?
        .query_row([], |row| row.get(0))?;
    from_sql(next)
}

fn staged(connection: &Connection, first: u64, end: u64) -> Result<Vec<Bytes>, AuditError> {
    let mut statement = connection.prepare_cached(
        "SELECT idx, envelope FROM leaves WHERE idx >= ?1 AND idx < ?2 ORDER BY idx LIMIT ?3",
    )?;
    let mut rows = statement.query((to_sql(first), to_sql(end), CHUNK_LEAVES_MAX))?;
    let mut leaves: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let expected = first + leaves.len() as u64;
        if row.get::<_, i64>(0)? != to_sql(expected) {
            break;
        }
        let envelope: Vec<u8> = row.get(1)?;
        bytes += envelope.len();
        leaves.push(envelope.into());
        if bytes > CHUNK_BYTES_MAX {
            break;
        }
    }
    Ok(leaves)
}

/// Kept checkpoints by size, those larger than `after`.
pub(crate) fn checkpoints(
    connection: &Connection,
    after: Option<u64>,
    count_max: u32,
) -> Result<Vec<KeptCheckpoint>, AuditError> {
    let after = after.map_or(-1, to_sql);
    let mut statement = connection.prepare_cached(
        "SELECT size, note FROM checkpoints WHERE size > ?1 ORDER BY size LIMIT ?2",
    )?;
    let rows = statement.query_map((after, count_max), kept_checkpoint)?;
    rows.map(|row| row.map_err(AuditError::from)).collect()
}

fn kept_checkpoint(row: &rusqlite::Row<'_>) -> rusqlite::Result<KeptCheckpoint> {
    Ok(KeptCheckpoint {
        size: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
        note: row.get(1)?,
    })
}

/// A count or index for SQL. What SQLite numbers itself never reaches the end of the range.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or index from SQL. Errors: negative, which nobody wrote.
pub(crate) fn from_sql(number: i64) -> Result<u64, AuditError> {
    u64::try_from(number)
        .map_err(|_| StoreError::from(rusqlite::Error::IntegralValueOutOfRange(0, number)).into())
}
