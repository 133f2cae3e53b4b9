//! Comparing the text index with the rows' texts, term by term.
//!
//! FTS5 has a check of its own, but only as a write, which would hold up the indexer for as long as it lasts. This one reads
//! one snapshot: it adds up what the index holds, builds the same index of the texts in memory, a few rows at a time, adds
//! that up too, and compares the sums.

use std::hash::{BuildHasher as _, RandomState};

use plinth_core::Deadline;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::backend::IndexFault;
use crate::error::AuditError;

/// Rows whose texts are in memory at a time.
const ROWS_AT_ONCE: i64 = 256;

/// An index of texts as `record_text` is one, without the texts.
const SCRATCH: &str = "
    CREATE VIRTUAL TABLE scratch USING fts5(text, content = '', tokenize = 'trigram', detail = 'none');
    CREATE VIRTUAL TABLE scratch_terms USING fts5vocab(scratch, instance);";

/// Finds out whether the text index holds what the rows say, no more and no less.
pub(super) fn check(
    connection: &Connection,
    deadline: Deadline,
) -> Result<Option<IndexFault>, AuditError> {
    let mut stored = Sum::new();
    if let Err(error) = stored.add_all(connection, "SELECT term, doc FROM record_terms") {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) {
            return Ok(Some(fault("the text index cannot be read")));
        }
        return Err(error.into());
    }
    let expected = sum_of_texts(connection, stored.begin_again(), deadline)?;
    let agree = (stored.pairs, stored.hashes) == (expected.pairs, expected.hashes);
    Ok((!agree).then(|| fault("the text index does not agree with the rows")))
}

fn fault(message: &str) -> IndexFault {
    IndexFault {
        leaf_index: None,
        location: "index.db record_text".to_owned(),
        message: message.to_owned(),
    }
}

fn sum_of_texts(
    connection: &Connection,
    mut sum: Sum,
    deadline: Deadline,
) -> Result<Sum, AuditError> {
    let scratch = Connection::open_in_memory()?;
    scratch.execute_batch(SCRATCH)?;
    let mut rows = connection.prepare_cached(
        "SELECT idx, text FROM records WHERE idx > ?1 AND text IS NOT NULL ORDER BY idx LIMIT ?2",
    )?;
    let mut insert = scratch.prepare("INSERT INTO scratch (rowid, text) VALUES (?1, ?2)")?;
    let mut last = -1_i64;
    loop {
        if deadline.remaining().is_zero() {
            return Err(AuditError::Deadline);
        }
        let (mut found, mut texts) = (0, rows.query((last, ROWS_AT_ONCE))?);
        while let Some(row) = texts.next()? {
            last = row.get(0)?;
            insert.execute((last, row.get::<_, Value>(1)?))?;
            found += 1;
        }
        sum.add_all(&scratch, "SELECT term, doc FROM scratch_terms")?;
        scratch.execute("INSERT INTO scratch (scratch) VALUES ('delete-all')", [])?;
        if found < ROWS_AT_ONCE {
            return Ok(sum);
        }
    }
}

/// What pairs of a term and a row add up to, in any order. The hashes have a key that is drawn for each check, so that nobody
/// can make up a change that leaves the sum as it was.
struct Sum {
    key: RandomState,
    pairs: u64,
    hashes: u64,
}

impl Sum {
    fn new() -> Self {
        Self {
            key: RandomState::new(),
            pairs: 0,
            hashes: 0,
        }
    }

    /// An empty one under the same key.
    fn begin_again(&self) -> Self {
        Self {
            key: self.key.clone(),
            pairs: 0,
            hashes: 0,
        }
    }

    fn add_all(&mut self, connection: &Connection, pairs: &str) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(pairs)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (term, place): (_, i64) = (row.get_ref(0)?.as_bytes()?, row.get(1)?);
            self.pairs += 1;
            self.hashes = self.hashes.wrapping_add(self.key.hash_one((term, place)));
        }
        Ok(())
    }
}
