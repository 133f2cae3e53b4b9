//! The rules: what is wrong with a statement and its plan, why, and what to change.
//!
//! A rule speaks only where the data is large enough to matter: tables below [`ROWS_MATTER`] rows are read whole faster
//! than by any index.

use std::collections::HashMap;

use super::Plan;
use super::syntax::{Computed, Facts};
use crate::model::{EngineKind, Finding, FindingCode, PlanKind, PlanNode, Severity};

/// From so many rows on a scan or a sort matters.
pub(crate) const ROWS_MATTER: f64 = 1_000.0;
/// From so many rows on it hurts now.
const ROWS_HURT: f64 = 100_000.0;
/// A scan that keeps more than this share of the rows is right: an index would read as much.
const SELECTIVE_SHARE: f64 = 0.2;
/// An estimate that is off by this factor misleads the planner.
const ESTIMATE_FACTOR: f64 = 10.0;

/// What is known of a table beside the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableFact {
    /// Its rows, counted up to a bound.
    pub(crate) rows: f64,
    /// Whether there are more than were counted.
    pub(crate) more: bool,
    /// Its rows by the engine's stored statistics (SQLite).
    pub(crate) statistics_rows: Option<f64>,
}

impl TableFact {
    fn rows_text(&self) -> String {
        format!("{}{}", if self.more { "more than " } else { "" }, self.rows)
    }
}

/// What the rules look at.
pub(crate) struct Case<'a> {
    pub(crate) engine: EngineKind,
    pub(crate) plan: &'a Plan,
    /// `None` where the statement is not a query.
    pub(crate) facts: Option<&'a Facts>,
    /// By the name in the plan.
    pub(crate) tables: &'a HashMap<String, TableFact>,
}

/// Runs every rule; the worst findings first.
pub(crate) fn find(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(
        case.plan
            .nodes
            .iter()
            .filter_map(|node| full_scan(case, node)),
    );
    findings.extend(case.plan.nodes.iter().filter_map(|node| sort(case, node)));
    findings.extend(
        case.plan
            .nodes
            .iter()
            .filter_map(|node| estimate(case, node)),
    );
    findings.extend(stale_statistics(case));
    if let Some(facts) = case.facts {
        findings.extend(
            facts
                .computed
                .iter()
                .filter_map(|computed| function(case, computed)),
        );
        findings.extend(
            facts
                .leading_wildcards
                .iter()
                .map(|text| wildcard(case, text)),
        );
        findings.extend(missing_limit(case, facts));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

impl Case<'_> {
    fn table(&self, node: &PlanNode) -> Option<&TableFact> {
        self.tables.get(node.relation.as_ref()?)
    }

    /// The largest table that the plan reads by more than a unique key.
    fn largest_read(&self) -> Option<(&PlanNode, &TableFact)> {
        self.plan
            .nodes
            .iter()
            .filter(|node| node.kind != PlanKind::KeyLookup)
            .filter_map(|node| Some((node, self.table(node)?)))
            .max_by(|(_, left), (_, right)| left.rows.total_cmp(&right.rows))
    }
}

fn by_rows(rows: f64) -> Severity {
    if rows >= ROWS_HURT {
        Severity::Critical
    } else {
        Severity::Warning
    }
}

fn full_scan(case: &Case<'_>, node: &PlanNode) -> Option<Finding> {
    let table = case.table(node)?;
    let restricted = node.condition.is_some() || case.facts.is_none_or(|facts| facts.restricted);
    if node.kind != PlanKind::FullScan || !restricted || table.rows < ROWS_MATTER {
        return None;
    }
    // How many rows the scan keeps: PostgreSQL estimates it; MariaDB takes a condition without an index for one that keeps
    // all, so only what was counted says something there; SQLite never says.
    let kept = match case.engine {
        EngineKind::Sqlite => None,
        EngineKind::Postgres => node.rows_actual.or(node.rows_estimated),
        EngineKind::Mariadb => node.rows_actual,
    };
    let keeps_most = kept.is_some_and(|kept| kept > table.rows * SELECTIVE_SHARE);
    if keeps_most {
        return None;
    }
    let relation = node.relation.as_deref().unwrap_or_default();
    Some(Finding {
        code: FindingCode::FullScan,
        severity: by_rows(table.rows),
        title: format!("{relation} is read whole"),
        reason: "every row is read to find some of them; the time grows with the table".to_owned(),
        evidence: evidence(node, &format!("the table has {} rows", table.rows_text())),
        proposal: format!(
            "create an index on the columns of {relation} that the condition compares (see index suggestions)"
        ),
        node_id: Some(node.id),
    })
}

fn evidence(node: &PlanNode, more: &str) -> String {
    let condition = node
        .condition
        .as_ref()
        .map(|condition| format!(", condition {condition}"))
        .unwrap_or_default();
    let relation = node.relation.as_deref().unwrap_or("-");
    format!("{} on {relation}{condition}; {more}", node.engine_kind)
}

fn sort(case: &Case<'_>, node: &PlanNode) -> Option<Finding> {
    if node.kind != PlanKind::Sort {
        return None;
    }
    let (rows, exact) = sorted_rows(case, node)?;
    if rows < ROWS_MATTER {
        return None;
    }
    Some(Finding {
        code: FindingCode::SortWithoutIndex,
        severity: if exact { by_rows(rows) } else { Severity::Info },
        title: "rows are sorted because no index has their order".to_owned(),
        reason: "all rows must be read and sorted before the first can be returned, also under a LIMIT".to_owned(),
        evidence: format!(
            "{}{}; about {rows} rows",
            node.engine_kind,
            node.detail.as_ref().map(|detail| format!(", {detail}")).unwrap_or_default()
        ),
        proposal: "create an index on the compared columns followed by the ORDER BY columns in their order".to_owned(),
        node_id: Some(node.id),
    })
}

/// How many rows a sort takes, and whether that is more than a bound.
fn sorted_rows(case: &Case<'_>, node: &PlanNode) -> Option<(f64, bool)> {
    let below = |candidate: &&PlanNode| case.plan.above(candidate).any(|above| above.id == node.id);
    let inputs = case.plan.nodes.iter().filter(below);
    let input_rows = inputs
        .filter_map(|input| input.rows_actual.or(input.rows_estimated))
        .fold(None, |most: Option<f64>, rows| {
            Some(most.map_or(rows, |most| most.max(rows)))
        });
    if case.engine != EngineKind::Sqlite {
        return node
            .rows_actual
            .into_iter()
            .chain(input_rows)
            .chain(node.rows_estimated)
            .reduce(f64::max)
            .map(|rows| (rows, true));
    }
    // SQLite counts nothing: what is read whole is sorted whole as far as anyone knows; what is found by an index may be
    // few rows.
    let (scan, table) = case.largest_read()?;
    Some((table.rows, scan.kind == PlanKind::FullScan))
}

fn estimate(case: &Case<'_>, node: &PlanNode) -> Option<Finding> {
    let (estimated, actual) = (node.rows_estimated?, node.rows_actual?);
    // Below a LIMIT a node is stopped early, so its count says nothing.
    let stopped_early = case
        .plan
        .above(node)
        .any(|above| above.kind == PlanKind::Limit);
    let (low, high) = (estimated.min(actual).max(1.0), estimated.max(actual));
    if stopped_early
        || node.relation.is_none()
        || high < ROWS_MATTER
        || high / low < ESTIMATE_FACTOR
    {
        return None;
    }
    let relation = node.relation.as_deref().unwrap_or_default();
    Some(bad_estimate(
        relation,
        high / low,
        format!(
            "{} on {relation}: {estimated:.0} rows expected, {actual:.0} came",
            node.engine_kind
        ),
        Some(node.id),
        case.engine,
    ))
}

fn bad_estimate(
    relation: &str,
    factor: f64,
    evidence: String,
    node_id: Option<i32>,
    engine: EngineKind,
) -> Finding {
    let proposal = match engine {
        EngineKind::Sqlite => format!("run ANALYZE {relation}"),
        EngineKind::Postgres => format!(
            "run ANALYZE {relation}; where columns depend on each other, CREATE STATISTICS on them"
        ),
        EngineKind::Mariadb => format!("run ANALYZE TABLE {relation} PERSISTENT FOR ALL"),
    };
    Finding {
        code: FindingCode::BadEstimate,
        severity: if factor >= ESTIMATE_FACTOR * 10.0 {
            Severity::Critical
        } else {
            Severity::Warning
        },
        title: format!("the planner misjudges {relation} by a factor of {factor:.0}"),
        reason: "join order, join method and index choice follow from the estimate".to_owned(),
        evidence,
        proposal,
        node_id,
    }
}

/// SQLite has no estimates but the table sizes that ANALYZE stored; those are compared with the tables.
fn stale_statistics(case: &Case<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = case
        .tables
        .iter()
        .filter_map(|(relation, table)| {
            let stored = table.statistics_rows?;
            let (low, high) = (stored.min(table.rows).max(1.0), stored.max(table.rows));
            // A table that was not counted to its end is at least as large as was counted.
            let unknown = table.more && stored > table.rows;
            if unknown || high < ROWS_MATTER || high / low < ESTIMATE_FACTOR {
                return None;
            }
            let evidence = format!(
                "sqlite_stat1 says {stored} rows, the table has {}",
                table.rows_text()
            );
            Some(bad_estimate(
                relation,
                high / low,
                evidence,
                None,
                case.engine,
            ))
        })
        .collect();
    findings.sort_by(|left, right| left.title.cmp(&right.title));
    findings
}

fn function(case: &Case<'_>, computed: &Computed) -> Option<Finding> {
    if served_by_expression_index(case, computed) {
        return None;
    }
    let scan = case
        .plan
        .nodes
        .iter()
        .find(|node| node.kind == PlanKind::FullScan);
    Some(Finding {
        code: FindingCode::FunctionOnColumn,
        severity: if scan.is_some() { Severity::Warning } else { Severity::Info },
        title: format!("{} on the column {} hides it from its index", computed.by, computed.column),
        reason: "an index orders the column's values, not what is computed from them".to_owned(),
        evidence: computed.predicate.clone(),
        proposal: match case.engine {
            EngineKind::Mariadb => {
                "compare the bare column (move the computation to the other side), or index a generated column"
            }
            _ => "compare the bare column (move the computation to the other side), or create an index on the expression",
        }
        .to_owned(),
        node_id: scan.map(|node| node.id),
    })
}

fn served_by_expression_index(case: &Case<'_>, computed: &Computed) -> bool {
    let name = format!("{}(", computed.by.to_ascii_lowercase());
    case.plan.nodes.iter().any(|node| {
        let by_index = matches!(
            node.kind,
            PlanKind::IndexScan | PlanKind::IndexOnlyScan | PlanKind::BitmapScan
        );
        let condition = node
            .condition
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        by_index && (condition.contains(&name) || condition.contains("<expr>"))
    })
}

fn wildcard(case: &Case<'_>, predicate: &str) -> Finding {
    let scan = case
        .plan
        .nodes
        .iter()
        .find(|node| node.kind == PlanKind::FullScan);
    Finding {
        code: FindingCode::LeadingWildcard,
        severity: Severity::Warning,
        title: "a LIKE pattern begins with a wildcard".to_owned(),
        reason: "an ordered index finds prefixes alone, so every value is compared".to_owned(),
        evidence: predicate.to_owned(),
        proposal: match case.engine {
            EngineKind::Sqlite => {
                "search by prefix, or use an FTS5 table (trigram tokenizer for parts of words)"
            }
            EngineKind::Postgres => "search by prefix, or create a GIN index with pg_trgm",
            EngineKind::Mariadb => "search by prefix, or create a FULLTEXT index",
        }
        .to_owned(),
        node_id: scan.map(|node| node.id),
    }
}

fn missing_limit(case: &Case<'_>, facts: &Facts) -> Option<Finding> {
    if !facts.unbounded {
        return None;
    }
    let root = case.plan.nodes.first()?;
    // PostgreSQL's root carries the count; MariaDB's tables do; SQLite has the table sizes alone.
    let rows = match case.engine {
        EngineKind::Postgres => root.rows_actual.or(root.rows_estimated)?,
        EngineKind::Mariadb => case
            .plan
            .nodes
            .iter()
            .filter(|node| node.relation.is_some())
            .filter_map(|node| node.rows_actual.or(node.rows_estimated))
            .reduce(f64::max)?,
        EngineKind::Sqlite => match root.rows_actual {
            Some(rows) => rows,
            None => case.largest_read().map(|(_, table)| table.rows)?,
        },
    };
    if rows < ROWS_MATTER {
        return None;
    }
    Some(Finding {
        code: FindingCode::MissingLimit,
        severity: if rows >= ROWS_HURT {
            Severity::Warning
        } else {
            Severity::Info
        },
        title: "nothing bounds the number of rows returned".to_owned(),
        reason: "the answer grows with the data until it meets the row or byte limit of the call"
            .to_owned(),
        evidence: format!("no LIMIT; about {rows:.0} rows"),
        proposal: "add ORDER BY over a unique key and LIMIT, and page by that key".to_owned(),
        node_id: Some(root.id),
    })
}
