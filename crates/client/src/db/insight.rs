//! Plans, findings, advice and slow statements; as JSON they have the form of the HTTP interface.

use serde::{Deserialize, Serialize};

use super::value::DbValue;

/// One node of a plan, in pre-order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbPlanNode {
    /// Its place in the list, from 0.
    pub id: i32,
    /// The id of the node above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<i32>,
    /// 0 at the root.
    pub depth: i32,
    /// One word for all engines.
    pub kind: String,
    /// The engine's own word.
    pub engine_kind: String,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// The index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Rows that the engine expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_estimated: Option<f64>,
    /// Rows that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_actual: Option<f64>,
    /// Estimated cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Time in the node and below, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<f64>,
    /// Filter, index or join condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What else the engine says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Something that is wrong with a statement or its plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbFinding {
    /// What: `FULL_SCAN` …
    pub code: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// One line.
    pub title: String,
    /// Why it matters.
    pub reason: String,
    /// What was seen.
    pub evidence: String,
    /// What to change.
    pub proposal: String,
    /// The plan node it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<i32>,
}

/// A plan with its findings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbPlan {
    /// The engine.
    pub engine: String,
    /// In pre-order.
    pub nodes: Vec<DbPlanNode>,
    /// The worst first.
    pub findings: Vec<DbFinding>,
    /// Whether the statement was run.
    pub analyzed: bool,
    /// Time to plan, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planning_ms: Option<f64>,
    /// Time to run, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_ms: Option<f64>,
}

/// What to advise indexes for: exactly one of `table` and `sql`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DbAdviceRequest {
    /// The statements seen on this table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// This statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// One for each `?` of `sql`.
    pub params: Vec<DbValue>,
    /// Rows of the table that are copied to measure on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rows: Option<i32>,
    /// Longest run time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<i64>,
}

/// What an index changed on the copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbMeasuredGain {
    /// Median time without it, in microseconds.
    pub before_us: i64,
    /// Median time with it, in microseconds.
    pub after_us: i64,
    /// How many times faster.
    pub speedup: f64,
    /// Rows examined without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_examined_before: Option<i64>,
    /// Rows examined with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_examined_after: Option<i64>,
    /// Rows of the copy.
    pub sample_rows: i64,
    /// Whether the copy holds the whole table.
    pub whole_table: bool,
}

/// An index that is worth creating.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbIndexSuggestion {
    /// The table.
    pub table: String,
    /// Its columns in order.
    pub columns: Vec<String>,
    /// The statement that creates it.
    pub ddl: String,
    /// Why these columns in this order.
    pub reason: String,
    /// Measured on a copy.
    pub gain: DbMeasuredGain,
    /// The statement it was measured with, literals masked.
    pub statement: String,
}

/// A candidate that was not suggested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbNoAdvice {
    /// The kind of reason.
    pub code: String,
    /// The reason for people.
    pub reason: String,
    /// The table, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The columns of the candidate.
    pub columns: Vec<String>,
    /// What was measured, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain: Option<DbMeasuredGain>,
    /// The statement, literals masked.
    pub statement: String,
}

/// Index advice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbAdvice {
    /// The largest gain first.
    pub suggestions: Vec<DbIndexSuggestion>,
    /// The rest, each with its reason.
    pub no_advice: Vec<DbNoAdvice>,
}

/// Which statements to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DbSlowQueryFilter {
    /// `total`, `mean` or `max` time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// Rows of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// Also statements that never reached the threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_fast: Option<bool>,
}

/// One bucket of a histogram of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbTimeBucket {
    /// Upper bound in microseconds; -1 for the last.
    pub le_us: i64,
    /// Executions in this bucket alone.
    pub count: i64,
}

/// All executions of one statement shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbSlowQuery {
    /// 16 hexadecimal digits.
    pub digest: String,
    /// The shape.
    pub statement: String,
    /// Executions.
    pub calls: i64,
    /// Of these, slow.
    pub slow_calls: i64,
    /// Of these, failed.
    pub failed_calls: i64,
    /// Time of all, in microseconds.
    pub total_us: i64,
    /// Mean time, in microseconds.
    pub mean_us: i64,
    /// Longest time, in microseconds.
    pub max_us: i64,
    /// 95th percentile, in microseconds.
    pub p95_us: i64,
    /// Rows returned by all.
    pub rows_returned: i64,
    /// Rows changed by all.
    pub rows_affected: i64,
    /// When it was first seen, in Unix milliseconds.
    pub first_seen_ms: i64,
    /// When it was last seen, in Unix milliseconds.
    pub last_seen_ms: i64,
    /// The slowest execution's text, literals masked.
    pub sample: String,
    /// The histogram.
    pub buckets: Vec<DbTimeBucket>,
}

/// Slow statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbSlowQueries {
    /// In the order asked for.
    pub queries: Vec<DbSlowQuery>,
    /// The threshold, in milliseconds.
    pub threshold_ms: i64,
    /// Shapes that were forgotten.
    pub evicted: i64,
}
