//! Rows: what a leaf looks like in the index.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::error::AuditError;
use crate::log::leaf::Leaf;
use crate::log::sequencer::to_sql;
use crate::model::Phase;

/// The columns that follow from one leaf alone, in the order of [`values`].
pub(super) const LEAF_COLUMNS: &str = "idx, id, tenant, time_ms, recorded_ms, operation, operator_id, operator_name,
    operator_roles, resource_type, resource_id, result, severity, ip, user_agent, trace_id, source, phase, intent_id,
    principal, credential, text, envelope";
/// How many they are.
pub(super) const LEAF_COLUMN_COUNT: usize = 23;

/// The values of [`LEAF_COLUMNS`] for a leaf.
pub(super) fn values(leaf: &Leaf, envelope: &[u8]) -> [Value; LEAF_COLUMN_COUNT] {
    let text = |text: &str| Value::Text(text.to_owned());
    let optional = |value: Option<&str>| value.map_or(Value::Null, text);
    let search_text = leaf.search_text();
    [
        Value::Integer(to_sql(leaf.index)),
        text(&leaf.id),
        text(&leaf.tenant),
        Value::Integer(leaf.time_ms),
        Value::Integer(leaf.recorded_ms),
        text(&leaf.operation),
        text(&leaf.operator.id),
        optional(leaf.operator.name.as_deref()),
        Value::Text(roles_text(&leaf.operator.roles)),
        text(&leaf.resource.kind),
        text(&leaf.resource.id),
        text(leaf.result.as_str()),
        text(leaf.severity.as_str()),
        optional(leaf.ip.as_deref()),
        optional(leaf.user_agent.as_deref()),
        text(&leaf.trace_id),
        text(leaf.source.as_str()),
        text(leaf.phase.as_str()),
        optional(leaf.intent_id.as_deref()),
        text(&leaf.recorded_by.principal),
        text(&leaf.recorded_by.credential),
        if search_text.is_empty() {
            Value::Null
        } else {
            Value::Text(search_text)
        },
        Value::Blob(envelope.to_vec()),
    ]
}

/// Roles between line ends, which no role can hold, so that one is found by `\nrole\n`.
fn roles_text(roles: &[String]) -> String {
    roles
        .iter()
        .fold("\n".to_owned(), |text, role| text + role + "\n")
}

/// What to look for in the text of roles.
pub(super) fn role_needle(role: &str) -> String {
    format!("\n{role}\n")
}

/// Inserts the row of a leaf, and joins an outcome to its intent.
pub(super) fn insert(
    transaction: &Connection,
    index: u64,
    envelope: &[u8],
) -> Result<(), AuditError> {
    let leaf = Leaf::decode(index, envelope)?;
    let joined = leaf.phase == Phase::Outcome && join_outcome(transaction, &leaf)?;
    let values = values(&leaf, envelope);
    transaction
        .prepare_cached(&format!(
            "INSERT INTO records ({LEAF_COLUMNS}, standalone)
             VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        ))?
        .execute(params_from_iter(
            values
                .into_iter()
                .chain([Value::Integer(i64::from(!joined))]),
        ))?;
    transaction
        .prepare_cached(
            "INSERT INTO record_text (rowid, text) SELECT idx, text FROM records WHERE idx = ?1",
        )?
        .execute([to_sql(index)])?;
    Ok(())
}

/// The condition under which an outcome completes an intent `i`: the same tenant, writer and kind of writer, so that
/// nobody completes what another began. Parameters: id of the intent, tenant, source, principal, index of the outcome.
pub(super) const COMPLETES: &str = "i.id = ?1 AND i.tenant = ?2 AND i.source = ?3 AND i.principal = ?4 AND i.phase = 'intent' AND i.idx < ?5";

/// Joins an outcome to its intent. Returns whether there was one without an outcome: the first outcome counts, any
/// further one is a record of its own.
fn join_outcome(transaction: &Connection, outcome: &Leaf) -> Result<bool, AuditError> {
    let changed = transaction
        .prepare_cached(&format!(
            "UPDATE records AS i SET outcome_idx = ?5, outcome_result = ?6
             WHERE {COMPLETES} AND i.outcome_idx IS NULL"
        ))?
        .execute((
            outcome.intent_id.as_deref().unwrap_or_default(),
            &outcome.tenant,
            outcome.source.as_str(),
            &outcome.recorded_by.principal,
            to_sql(outcome.index),
            outcome.result.as_str(),
        ))?;
    Ok(changed > 0)
}
