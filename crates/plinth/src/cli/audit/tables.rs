//! How records and their counts look to people.

use plinth_client::{AuditBreakdown, AuditPage, AuditRecord, AuditStatistics};

use crate::cli::Table;
use crate::cli::output::time_text;

pub(super) fn page_table(page: &AuditPage) -> Table {
    let mut table = Table::new(["time", "operation", "operator", "resource", "result", "id"]);
    for record in &page.records {
        table.row([
            time_text(record.time_ms),
            record.operation.clone(),
            record.operator.id.clone(),
            format!("{}/{}", record.resource.kind, record.resource.id),
            record.result.clone(),
            record.id.clone(),
        ]);
    }
    table
}

pub(super) fn record_table(record: &AuditRecord) -> Table {
    let mut table = Table::new(["field", "value"]);
    let json = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
    let operator = match &record.operator.name {
        Some(name) => format!("{} ({name})", record.operator.id),
        None => record.operator.id.clone(),
    };
    let by = &record.recorded_by;
    for (field, value) in [
        ("id", Some(record.id.clone())),
        ("leaf", Some(record.index.to_string())),
        ("time", Some(time_text(record.time_ms))),
        ("recorded at", Some(time_text(record.recorded_at_ms))),
        ("operation", Some(record.operation.clone())),
        ("operator", Some(operator)),
        ("roles", Some(record.operator.roles.join(", "))),
        (
            "recorded by",
            Some(format!(
                "{} {} by key {}",
                by.kind, by.principal, by.credential
            )),
        ),
        (
            "resource",
            Some(format!("{}/{}", record.resource.kind, record.resource.id)),
        ),
        ("result", Some(record.result.clone())),
        ("severity", Some(record.severity.clone())),
        ("reason", record.reason.clone()),
        ("details", json(&record.details)),
        ("before", json(&record.before)),
        ("after", json(&record.after)),
        ("ip", record.ip.clone()),
        ("user agent", record.user_agent.clone()),
        ("trace", Some(record.trace_id.clone())),
        ("phase", Some(record.phase.clone())),
        ("source", Some(record.source.clone())),
        ("intent", record.intent_id.clone()),
        (
            "outcome",
            record.outcome.as_ref().map(|outcome| outcome.id.clone()),
        ),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            table.row([field.to_owned(), value]);
        }
    }
    table
}

pub(super) fn statistics_table(statistics: &AuditStatistics) -> Table {
    let mut table = Table::new(["by", "key", "records"]);
    table.row([
        "all".to_owned(),
        String::new(),
        statistics.total.to_string(),
    ]);
    for bucket in &statistics.by_time {
        table.row([
            "time".to_owned(),
            time_text(bucket.from_ms),
            bucket.count.to_string(),
        ]);
    }
    for (dimension, breakdown) in [
        ("operation", &statistics.by_operation),
        ("operator", &statistics.by_operator),
        ("resource type", &statistics.by_resource_type),
        ("result", &statistics.by_result),
        ("severity", &statistics.by_severity),
    ] {
        add_breakdown(&mut table, dimension, breakdown);
    }
    table
}

fn add_breakdown(table: &mut Table, dimension: &str, breakdown: &AuditBreakdown) {
    for count in &breakdown.top {
        table.row([
            dimension.to_owned(),
            count.key.clone(),
            count.count.to_string(),
        ]);
    }
    let others = breakdown.distinct - i64::try_from(breakdown.top.len()).unwrap_or(i64::MAX);
    if others > 0 {
        let key = format!("({others} others)");
        table.row([dimension.to_owned(), key, breakdown.other_count.to_string()]);
    }
}
