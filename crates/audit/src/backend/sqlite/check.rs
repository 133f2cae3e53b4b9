//! Comparing the index with the log: every column of every row follows from the leaves.

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::indexed;
use super::rows::{COMPLETES, LEAF_COLUMN_COUNT, LEAF_COLUMNS, values};
use crate::backend::IndexFault;
use crate::error::AuditError;
use crate::log::leaf::Leaf;
use crate::log::sequencer::{from_sql, to_sql};
use crate::model::Phase;

/// Compares the rows of some leaves, as far as the index has taken them.
pub(crate) fn compare(
    connection: &Connection,
    first: u64,
    leaves: &[Bytes],
) -> Result<Option<IndexFault>, AuditError> {
    let indexed = indexed(connection)?;
    for (envelope, index) in leaves.iter().zip(first..indexed.max(first)) {
        let fault = compare_row(connection, index, envelope)?;
        if fault.is_some() {
            return Ok(fault);
        }
    }
    Ok(None)
}

/// Finds rows that follow from no leaf.
pub(crate) fn count_rows(connection: &Connection) -> Result<Option<IndexFault>, AuditError> {
    let indexed = indexed(connection)?;
    let stray: Option<i64> = connection
        .query_row(
            "SELECT idx FROM records WHERE idx < 0 OR idx >= ?1 ORDER BY idx LIMIT 1",
            [to_sql(indexed)],
            |row| row.get(0),
        )
        .optional()?;
    Ok(stray.map(|index| IndexFault {
        leaf_index: u64::try_from(index).ok(),
        location: location(index),
        message: format!("follows from no leaf: the index has taken {indexed} leaves"),
    }))
}

fn location(index: i64) -> String {
    format!("index.db records row {index}")
}

/// What the index adds to a row: how it is joined.
struct Join {
    standalone: bool,
    outcome: Option<u64>,
    outcome_result: Option<String>,
}

fn compare_row(
    connection: &Connection,
    index: u64,
    envelope: &[u8],
) -> Result<Option<IndexFault>, AuditError> {
    let fault = |message: &str| {
        Ok(Some(IndexFault {
            leaf_index: Some(index),
            location: location(to_sql(index)),
            message: message.to_owned(),
        }))
    };
    let sql = format!(
        "SELECT {LEAF_COLUMNS}, standalone, outcome_idx, outcome_result FROM records WHERE idx = ?1"
    );
    let found = connection
        .prepare_cached(&sql)?
        .query_row([to_sql(index)], |row| {
            let standalone: i64 = row.get("standalone")?;
            let outcome: Option<i64> = row.get("outcome_idx")?;
            Ok((
                leaf_values(row)?,
                (standalone, outcome, row.get("outcome_result")?),
            ))
        })
        .optional()?;
    let Some((stored, (standalone, outcome, outcome_result))) = found else {
        return fault("is missing");
    };
    let leaf = Leaf::decode(index, envelope)?;
    let expected = values(&leaf, envelope);
    let names = LEAF_COLUMNS.split(',').map(str::trim);
    let differing = names
        .zip(stored.iter().zip(&expected))
        .find(|(_, (stored, expected))| stored != expected);
    if let Some((column, _)) = differing {
        return fault(&format!("column {column} differs from the leaf"));
    }
    let join = Join {
        standalone: standalone == 1,
        outcome: outcome.map(from_sql).transpose()?,
        outcome_result,
    };
    if join_follows(connection, &leaf, &join)? {
        Ok(None)
    } else {
        fault("intent and outcome are not joined as the leaves say")
    }
}

fn leaf_values(row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
    (0..LEAF_COLUMN_COUNT)
        .map(|column| row.get(column))
        .collect()
}

/// Whether a row is joined as it must be. The rows that it refers to are compared with their leaves themselves, so their
/// columns may be relied on here.
fn join_follows(connection: &Connection, leaf: &Leaf, join: &Join) -> Result<bool, AuditError> {
    match (leaf.phase, join.outcome) {
        (Phase::Event, None) => Ok(join.standalone && join.outcome_result.is_none()),
        (Phase::Intent, None) => Ok(join.standalone && join.outcome_result.is_none()),
        (Phase::Intent, Some(outcome)) => {
            let result: Option<String> = connection
                .prepare_cached(
                    "SELECT result FROM records WHERE idx = ?1 AND intent_id = ?2 AND standalone = 0
                     AND tenant = ?3 AND source = ?4 AND principal = ?5 AND phase = 'outcome'",
                )?
                .query_row(
                    (
                        to_sql(outcome),
                        &leaf.id,
                        &leaf.tenant,
                        leaf.source.as_str(),
                        &leaf.recorded_by.principal,
                    ),
                    |row| row.get(0),
                )
                .optional()?;
            let joined = result.is_some() && result == join.outcome_result;
            Ok(joined && join.standalone && outcome > leaf.index)
        }
        (Phase::Outcome, None) if join.outcome_result.is_none() => {
            // The intent that it could complete: it must have this outcome, or an earlier one where this stands alone.
            let taken: Option<Option<i64>> = connection
                .prepare_cached(&format!(
                    "SELECT i.outcome_idx FROM records AS i WHERE {COMPLETES}"
                ))?
                .query_row(
                    (
                        leaf.intent_id.as_deref().unwrap_or_default(),
                        &leaf.tenant,
                        leaf.source.as_str(),
                        &leaf.recorded_by.principal,
                        to_sql(leaf.index),
                    ),
                    |row| row.get(0),
                )
                .optional()?;
            let own = to_sql(leaf.index);
            Ok(match taken {
                None => join.standalone,
                Some(None) => false,
                Some(Some(other)) if join.standalone => other < own,
                Some(Some(other)) => other == own,
            })
        }
        _ => Ok(false),
    }
}
