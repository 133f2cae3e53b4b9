//! Selections, pages and single records. Values come in by parameters alone.

use std::fmt::Write as _;

use plinth_core::TenantId;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::rows::role_needle;
use super::text::{like_pattern, trigram_expression};
use crate::backend::{Hit, Hits, PageQuery, Selection};
use crate::error::AuditError;
use crate::log::leaf::Leaf;
use crate::log::sequencer::{from_sql, to_sql};
use crate::model::filter::{Field, Span};
use crate::model::{Filter, SortOrder};

/// A `WHERE` clause over `records AS r` and its parameters.
pub(super) struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    /// The rows of a selection.
    pub(super) fn of(selection: &Selection) -> Self {
        let mut condition = Self {
            sql: "r.standalone = 1".to_owned(),
            values: Vec::new(),
        };
        let snapshot = to_sql(selection.snapshot);
        condition.and("r.tenant = ?", [text(selection.tenant.as_str())]);
        condition.and("r.idx < ?", [Value::Integer(snapshot)]);
        condition.and_filter(&selection.filter, snapshot);
        condition
    }

    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        // Writing to a String cannot fail.
        let _infallible = write!(self.sql, " AND {sql}");
        self.values.extend(values);
    }

    fn and_filter(&mut self, filter: &Filter, snapshot: i64) {
        for (field, value) in &filter.equal {
            self.and(&format!("r.{} = ?", column(*field)), [text(value)]);
        }
        if let Some(prefix) = &filter.operation_prefix {
            // The first condition lets the index skip ahead, the second decides.
            self.and("r.operation >= ?", [text(prefix)]);
            self.and(
                "substr(r.operation, 1, length(?)) = ?",
                [text(prefix), text(prefix)],
            );
        }
        if let Some(role) = &filter.operator_role {
            self.and("instr(r.operator_roles, ?) > 0", [text(&role_needle(role))]);
        }
        self.and_any(
            "r.severity",
            &[],
            filter.severities.iter().map(|word| word.as_str()),
        );
        self.and_any(
            EFFECTIVE_RESULT,
            &[Value::Integer(snapshot)],
            filter.results.iter().map(|word| word.as_str()),
        );
        self.and_span("r.time_ms", filter.time_ms);
        self.and_span("r.recorded_ms", filter.recorded_ms);
        if let Some(needle) = &filter.text {
            self.and_text(needle, snapshot);
        }
    }

    fn and_any<'w>(
        &mut self,
        expression: &str,
        parameters: &[Value],
        words: impl ExactSizeIterator<Item = &'w str>,
    ) {
        if words.len() == 0 {
            return;
        }
        let marks = vec!["?"; words.len()].join(", ");
        self.and(
            &format!("{expression} IN ({marks})"),
            parameters.iter().cloned().chain(words.map(text)),
        );
    }

    fn and_span(&mut self, column: &str, span: Span) {
        if let Some(from) = span.from {
            self.and(&format!("{column} >= ?"), [Value::Integer(from)]);
        }
        if let Some(to) = span.to {
            self.and(&format!("{column} < ?"), [Value::Integer(to)]);
        }
    }

    fn and_text(&mut self, needle: &str, snapshot: i64) {
        if let Some(trigrams) = trigram_expression(needle) {
            self.and(
                "r.idx IN (SELECT rowid FROM record_text WHERE record_text MATCH ?
                    UNION SELECT i.idx FROM record_text AS t JOIN records AS i ON i.outcome_idx = t.rowid
                    WHERE t.record_text MATCH ?)",
                [text(&trigrams), text(&trigrams)],
            );
        }
        let pattern = like_pattern(needle);
        self.and(
            r"(r.text LIKE ? ESCAPE '\' OR EXISTS (SELECT 1 FROM records AS o
                WHERE o.idx = r.outcome_idx AND o.idx < ? AND o.text LIKE ? ESCAPE '\'))",
            [text(&pattern), Value::Integer(snapshot), text(&pattern)],
        );
    }

    /// The clause.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Its parameters, behind others.
    pub(super) fn values_after(&self, first: impl IntoIterator<Item = Value>) -> Vec<Value> {
        first
            .into_iter()
            .chain(self.values.iter().cloned())
            .collect()
    }
}

/// The result of a record with its outcome, if that counts already. Parameter: the snapshot.
pub(super) const EFFECTIVE_RESULT: &str =
    "CASE WHEN r.outcome_idx < ? THEN r.outcome_result ELSE r.result END";

const fn column(field: Field) -> &'static str {
    match field {
        Field::Operation => "operation",
        Field::OperatorId => "operator_id",
        Field::OperatorName => "operator_name",
        Field::ResourceType => "resource_type",
        Field::ResourceId => "resource_id",
        Field::Ip => "ip",
        Field::UserAgent => "user_agent",
        Field::TraceId => "trace_id",
        Field::RecordedBy => "principal",
        Field::Credential => "credential",
        Field::Source => "source",
        Field::Phase => "phase",
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// One page.
pub(super) fn find(connection: &Connection, query: &PageQuery) -> Result<Hits, AuditError> {
    let mut condition = Condition::of(&query.selection);
    let (direction, beyond) = match query.order {
        SortOrder::TimeDesc => ("DESC", "<"),
        SortOrder::TimeAsc => ("ASC", ">"),
    };
    if let Some(place) = query.after {
        condition.and(
            &format!("(r.time_ms, r.idx) {beyond} (?, ?)"),
            [
                Value::Integer(place.time_ms),
                Value::Integer(to_sql(place.index)),
            ],
        );
    }
    let sql = format!(
        "SELECT r.idx, r.envelope, o.idx, o.envelope FROM records AS r
         LEFT JOIN records AS o ON o.idx = r.outcome_idx AND o.idx < ?
         WHERE {} ORDER BY r.time_ms {direction}, r.idx {direction} LIMIT ?",
        condition.sql()
    );
    let snapshot = Value::Integer(to_sql(query.selection.snapshot));
    let mut values = condition.values_after([snapshot]);
    values.push(Value::Integer(i64::from(query.limit) + 1));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Hits {
        hits: Vec::new(),
        more: false,
    };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let (hit, hit_bytes) = hit(row)?;
        bytes += hit_bytes;
        let full = found.hits.len() as u64 == u64::from(query.limit);
        if full || (bytes > query.bytes_max && !found.hits.is_empty()) {
            found.more = true;
            break;
        }
        found.hits.push(hit);
    }
    Ok(found)
}

/// Number of records.
pub(super) fn count(connection: &Connection, selection: &Selection) -> Result<i64, AuditError> {
    let condition = Condition::of(selection);
    let sql = format!(
        "SELECT COUNT(*) FROM records AS r WHERE {}",
        condition.sql()
    );
    let count = connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(condition.values_after([])), |row| {
            row.get(0)
        })?;
    Ok(count)
}

/// One record by its id.
pub(super) fn get(
    connection: &Connection,
    tenant: &TenantId,
    id: &str,
    snapshot: u64,
) -> Result<Option<Hit>, AuditError> {
    let mut statement = connection.prepare_cached(
        "SELECT r.idx, r.envelope, o.idx, o.envelope FROM records AS r
         LEFT JOIN records AS o ON o.idx = r.outcome_idx AND o.idx < ?3
         WHERE r.id = ?1 AND r.tenant = ?2 AND r.idx < ?3 ORDER BY r.idx LIMIT 1",
    )?;
    let found = statement
        .query_row((id, tenant.as_str(), to_sql(snapshot)), |row| Ok(hit(row)))
        .optional()?;
    Ok(found.transpose()?.map(|(hit, _bytes)| hit))
}

fn hit(row: &Row<'_>) -> Result<(Hit, usize), AuditError> {
    let envelope: Vec<u8> = row.get(1)?;
    let leaf = Leaf::decode(from_sql(row.get(0)?)?, &envelope)?;
    let mut bytes = envelope.len();
    let outcome = match row.get::<_, Option<i64>>(2)? {
        Some(index) => {
            let envelope: Vec<u8> = row.get(3)?;
            bytes += envelope.len();
            Some(Leaf::decode(from_sql(index)?, &envelope)?)
        }
        None => None,
    };
    Ok((Hit { leaf, outcome }, bytes))
}
