//! How answers of the block look to people.

use std::fmt::Write as _;

use plinth_client::{
    DbAdvice, DbColumn, DbDatabase, DbMeasuredGain, DbPlan, DbPlanNode, DbRow, DbSlowQueries,
    DbTransactionResult,
};

use super::super::Table;

/// Bytes from hexadecimal digits.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

pub(super) fn databases(databases: &[DbDatabase]) -> Table {
    let mut table = Table::new([
        "database",
        "engine",
        "url",
        "read only",
        "version",
        "in use",
        "open",
        "most",
        "breaker",
    ]);
    for database in databases {
        let status = database.pool_status.as_ref();
        let count = |number: Option<i64>| number.map_or_else(|| "–".to_owned(), |n| n.to_string());
        table.row([
            database.database.clone(),
            database.engine.clone(),
            database.url.clone(),
            database.read_only.to_string(),
            database.version.0.to_string(),
            count(status.map(|status| status.in_use)),
            count(status.map(|status| status.connections)),
            count(database.pool.max_connections.map(i64::from)),
            status.map_or_else(|| "–".to_owned(), |status| status.breaker.clone()),
        ]);
    }
    table
}

pub(super) fn rows(columns: &[DbColumn], rows: &[DbRow]) -> Table {
    let headings: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut table = Table::with_headings(&headings);
    for row in rows {
        table.cells(row.values.iter().map(ToString::to_string).collect());
    }
    table
}

pub(super) fn transaction(done: &DbTransactionResult) -> String {
    let mut text = String::new();
    for (index, result) in done.results.iter().enumerate() {
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "steps[{index}]: {} rows changed, {} returned",
            result.rows_affected,
            result.rows.len()
        );
    }
    text.push_str(if done.repeated {
        "committed before; this is the first answer"
    } else {
        "committed"
    });
    text
}

fn rows_text(node: &DbPlanNode) -> String {
    match (node.rows_estimated, node.rows_actual) {
        (Some(estimated), Some(actual)) => {
            format!("  rows {estimated:.0} expected, {actual:.0} came")
        }
        (Some(estimated), None) => format!("  rows {estimated:.0} expected"),
        (None, Some(actual)) => format!("  rows {actual:.0} came"),
        (None, None) => String::new(),
    }
}

/// The plan as an indented tree, and below it what is wrong.
pub(super) fn plan(plan: &DbPlan) -> String {
    let mut text = String::new();
    for node in &plan.nodes {
        let indent = "  ".repeat(usize::try_from(node.depth).unwrap_or(0));
        let relation = node
            .relation
            .as_ref()
            .map(|relation| format!(" {relation}"))
            .unwrap_or_default();
        let index = node
            .index
            .as_ref()
            .map(|index| format!(" by {index}"))
            .unwrap_or_default();
        let time = node
            .time_ms
            .map(|time| format!("  {time:.3} ms"))
            .unwrap_or_default();
        let condition = node
            .condition
            .as_ref()
            .map(|condition| format!("  [{condition}]"))
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "{indent}{}{relation}{index}{}{time}{condition}",
            node.kind,
            rows_text(node)
        );
    }
    for (what, time) in [("planned", plan.planning_ms), ("ran", plan.execution_ms)] {
        if let Some(time) = time {
            let _infallible = writeln!(text, "{what} in {time:.3} ms");
        }
    }
    if plan.findings.is_empty() {
        text.push_str("nothing to find fault with");
        return text;
    }
    for finding in &plan.findings {
        let _infallible = write!(
            text,
            "\n{} {}: {}\n  why:      {}\n  evidence: {}\n  do:       {}\n",
            finding.severity,
            finding.code,
            finding.title,
            finding.reason,
            finding.evidence,
            finding.proposal
        );
    }
    text.trim_end().to_owned()
}

fn gain(gain: &DbMeasuredGain) -> String {
    let whole = if gain.whole_table {
        "the whole table"
    } else {
        "a part of the table"
    };
    format!(
        "{} us without, {} us with: {:.1} times as fast, on {} rows ({whole})",
        gain.before_us, gain.after_us, gain.speedup, gain.sample_rows
    )
}

pub(super) fn advice(advice: &DbAdvice) -> String {
    let mut text = String::new();
    for suggestion in &advice.suggestions {
        // Writing to a String cannot fail.
        let _infallible = write!(
            text,
            "{};\n  why:      {}\n  measured: {}\n  for:      {}\n\n",
            suggestion.ddl,
            suggestion.reason,
            gain(&suggestion.gain),
            suggestion.statement
        );
    }
    for refusal in &advice.no_advice {
        let columns = if refusal.columns.is_empty() {
            String::new()
        } else {
            format!(" on ({})", refusal.columns.join(", "))
        };
        let _infallible = writeln!(
            text,
            "no index{columns}: {} ({})\n  for:      {}",
            refusal.reason, refusal.code, refusal.statement
        );
    }
    if text.is_empty() {
        text.push_str("no statement was seen on this table since the start");
    }
    text.trim_end().to_owned()
}

pub(super) fn slow_queries(slow: &DbSlowQueries) -> Table {
    let mut table = Table::new([
        "digest",
        "calls",
        "slow",
        "total ms",
        "mean ms",
        "p95 ms",
        "max ms",
        "rows",
        "statement",
    ]);
    #[expect(clippy::cast_precision_loss, reason = "shown to three places")]
    let millis = |micros: i64| format!("{:.3}", micros as f64 / 1_000.0);
    for query in &slow.queries {
        table.row([
            query.digest.clone(),
            query.calls.to_string(),
            query.slow_calls.to_string(),
            millis(query.total_us),
            millis(query.mean_us),
            millis(query.p95_us),
            millis(query.max_us),
            query.rows_returned.to_string(),
            query.statement.clone(),
        ]);
    }
    table
}
