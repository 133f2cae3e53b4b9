//! Exports, piece by piece: the pieces put one after the other are the file.

use bytes::Bytes;
use plinth_core::{CallContext, Error, WideInt};

use super::AuditService;
use super::listing::{Listing, parse_order};
use crate::error::AuditError;
use crate::log::sequencer::to_sql;
use crate::model::{
    AuditRecord, EXPORT_LIMIT_DEFAULT, ExportFormat, ExportLogsReply, ExportLogsRequest, JsonText,
    SortOrder,
};

/// Columns of a CSV export, in the order of [`cells`].
const CSV_HEADER: [&str; 31] = [
    "id",
    "index",
    "tenant",
    "time_ms",
    "recorded_at_ms",
    "operation",
    "operator_id",
    "operator_name",
    "operator_roles",
    "recorded_by",
    "recorded_by_kind",
    "credential",
    "transport",
    "caller_ip",
    "resource_type",
    "resource_id",
    "result",
    "severity",
    "reason",
    "details",
    "before",
    "after",
    "ip",
    "user_agent",
    "trace_id",
    "phase",
    "source",
    "intent_id",
    "outcome_id",
    "outcome_reason",
    "outcome_time_ms",
];

impl AuditService {
    /// Exports one piece. Errors: 1001 naming the field, 1010, 2302.
    pub async fn export_logs(
        &self,
        context: &CallContext,
        request: ExportLogsRequest,
    ) -> Result<ExportLogsReply, AuditError> {
        let format = ExportFormat::parse("format", &request.format)?;
        let order = parse_order(request.sort.as_deref(), SortOrder::TimeAsc)?;
        let limit = request.limit.unwrap_or(EXPORT_LIMIT_DEFAULT);
        let kind = format!("export {}", format.as_str());
        let cursor = request.cursor.as_deref();
        let listing = Listing::parse(&kind, request.filter, order, Some(limit), cursor)?;
        let (page, _selection) = self.page(context, listing).await?;
        let data = match format {
            ExportFormat::Csv => csv(&page.records, page.first)?,
            ExportFormat::Jsonl => json_lines(&page.records)?,
        };
        Ok(ExportLogsReply {
            data,
            records: i64::try_from(page.records.len()).unwrap_or(i64::MAX),
            next_cursor: page.next_cursor,
            snapshot_size: WideInt(to_sql(page.snapshot)),
        })
    }
}

fn json_lines(records: &[AuditRecord]) -> Result<Bytes, Error> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record).map_err(Error::internal)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

fn csv(records: &[AuditRecord], first: bool) -> Result<Bytes, Error> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if first {
        writer.write_record(CSV_HEADER).map_err(Error::internal)?;
    }
    for record in records {
        let cells = cells(record).map(|cell| guard_formula(&cell));
        writer.write_record(cells).map_err(Error::internal)?;
    }
    writer
        .into_inner()
        .map(Bytes::from)
        .map_err(|_| Error::internal("the export could not be flushed to memory"))
}

/// The cells of a record, in the order of [`CSV_HEADER`].
fn cells(record: &AuditRecord) -> [String; 31] {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let json = |value: &Option<JsonText>| {
        value
            .as_ref()
            .map_or_else(String::new, |value| value.as_str().to_owned())
    };
    let outcome = record.outcome.as_ref();
    let by = &record.recorded_by;
    [
        record.id.clone(),
        record.index.0.to_string(),
        record.tenant.clone(),
        record.time_ms.to_string(),
        record.recorded_at_ms.to_string(),
        record.operation.clone(),
        record.operator.id.clone(),
        optional(&record.operator.name),
        record.operator.roles.join(";"),
        by.principal.clone(),
        by.kind.clone(),
        by.credential.clone(),
        by.transport.clone(),
        optional(&by.ip),
        record.resource.kind.clone(),
        record.resource.id.clone(),
        record.result.as_str().to_owned(),
        record.severity.as_str().to_owned(),
        optional(&record.reason),
        json(&record.details),
        json(&record.before),
        json(&record.after),
        optional(&record.ip),
        optional(&record.user_agent),
        record.trace_id.clone(),
        record.phase.as_str().to_owned(),
        record.source.as_str().to_owned(),
        optional(&record.intent_id),
        outcome.map_or_else(String::new, |outcome| outcome.id.clone()),
        outcome.map_or_else(String::new, |outcome| optional(&outcome.reason)),
        outcome.map_or_else(String::new, |outcome| outcome.time_ms.to_string()),
    ]
}

/// Puts an apostrophe before what a spreadsheet would run as a formula (OWASP, "CSV injection").
fn guard_formula(cell: &str) -> String {
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            format!("'{cell}")
        }
        _ => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_becomes_text() {
        for (cell, guarded) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(guard_formula(cell), guarded);
        }
    }
}
