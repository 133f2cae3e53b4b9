//! Plans, findings, index advice, slow statements.

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Value;

/// Declares an enumeration with its words on the wire. The words are `tt`: the schema's derive does not see into a
/// `literal`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$item_doc:meta])* $item:ident = $word:tt, )* }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        $(#[$doc])*
        pub enum $name { $( $(#[$item_doc])* #[serde(rename = $word)] $item, )* }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $( Self::$item => $word, )* } }
        }
    };
}

words! {
    /// What a plan node does, in one vocabulary for all engines.
    PlanKind {
        /// Reads every row of a table.
        FullScan = "full_scan",
        /// Finds rows by an index and reads them from the table, or reads a whole index.
        IndexScan = "index_scan",
        /// Reads what it needs from an index alone.
        IndexOnlyScan = "index_only_scan",
        /// Collects places from indexes, then reads them in order.
        BitmapScan = "bitmap_scan",
        /// Finds at most one row by a unique key.
        KeyLookup = "key_lookup",
        /// Sorts.
        Sort = "sort",
        /// Joins by running the inner side for each outer row.
        NestedLoop = "nested_loop",
        /// Joins by a hash table.
        HashJoin = "hash_join",
        /// Joins two sorted sides.
        MergeJoin = "merge_join",
        /// Aggregates or groups.
        Aggregate = "aggregate",
        /// Removes duplicates.
        Distinct = "distinct",
        /// Stops after some rows.
        Limit = "limit",
        /// Puts results of several queries together.
        Union = "union",
        /// A query inside the query.
        Subquery = "subquery",
        /// Keeps rows for being read again.
        Materialize = "materialize",
        /// A temporary table.
        TempTable = "temp_table",
        /// Constant rows.
        Values = "values",
        /// Writes to a table.
        Write = "write",
        /// Computes a result without a table, or the whole statement.
        Result = "result",
        /// Anything else; see the engine's own word.
        Other = "other",
    }
}

words! {
    /// How much a finding matters. The order is by weight.
    #[schema(as = FindingSeverity)]
    Severity {
        /// Good to know.
        Info = "info",
        /// Will hurt as data grows.
        Warning = "warning",
        /// Hurts now.
        Critical = "critical",
    }
}

words! {
    /// What may be wrong.
    FindingCode {
        /// A table is read whole to find some of its rows.
        FullScan = "FULL_SCAN",
        /// Rows are sorted because no index has the order.
        SortWithoutIndex = "SORT_WITHOUT_INDEX",
        /// The planner expects other numbers of rows than there are.
        BadEstimate = "BAD_ESTIMATE",
        /// A predicate computes with a column, so that its index cannot be used.
        FunctionOnColumn = "FUNCTION_ON_COLUMN",
        /// A LIKE pattern begins with a wildcard.
        LeadingWildcard = "LEADING_WILDCARD",
        /// Nothing bounds the number of rows returned.
        MissingLimit = "MISSING_LIMIT",
    }
}

words! {
    /// Why no index is advised.
    NoAdviceCode {
        /// An index with these leading columns exists.
        ExistingIndex = "existing_index",
        /// No predicate, order or group that an index serves.
        NoCandidate = "no_candidate",
        /// Measured, and not worth it.
        NoGain = "no_gain",
        /// The statement reads several tables, or none.
        NotSingleTable = "not_single_table",
        /// The table has too few rows for an index to matter.
        TableTooSmall = "table_too_small",
        /// It cannot be run on a copy.
        NotMeasurable = "not_measurable",
    }
}

/// A statement to explain.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DbAnalyzeQueryRequest)]
pub struct AnalyzeRequest {
    /// Exactly one statement.
    pub sql: String,
    /// One for each `?`; may be left out on SQLite.
    #[serde(default)]
    pub params: Vec<Value>,
    /// Run the statement and report actual rows and times. Only for reads.
    #[serde(default)]
    pub analyze: Option<bool>,
    /// Longest run time, in milliseconds; 1 to 120,000.
    #[serde(default)]
    pub timeout_ms: Option<i64>,
}

/// One node of a plan; see the IDL's DbPlanNode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbPlanNode)]
pub struct PlanNode {
    /// Its place in the list, from 0.
    pub id: i32,
    /// The id of the node above; absent at the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<i32>,
    /// 0 at the root.
    pub depth: i32,
    /// One word for all engines.
    pub kind: PlanKind,
    /// The engine's own word.
    pub engine_kind: String,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// The index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Rows that the engine expects, in all loops together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_estimated: Option<f64>,
    /// Rows that came, in all loops together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_actual: Option<f64>,
    /// Estimated cost in the engine's own unit.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbFinding)]
pub struct Finding {
    /// What.
    pub code: FindingCode,
    /// How much it matters.
    pub severity: Severity,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbAnalyzeQueryResponse)]
pub struct AnalyzeReply {
    /// `sqlite`, `postgres` or `mariadb`.
    pub engine: String,
    /// In pre-order.
    pub nodes: Vec<PlanNode>,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// Whether the statement was run.
    pub analyzed: bool,
    /// Time to plan, in milliseconds, where the engine says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planning_ms: Option<f64>,
    /// Time to run, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_ms: Option<f64>,
}

/// What to advise indexes for: exactly one of `table` and `sql`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DbGetIndexSuggestionsRequest)]
pub struct IndexSuggestionsRequest {
    /// Advise for the statements seen on this table.
    #[serde(default)]
    pub table: Option<String>,
    /// Advise for this statement: a SELECT over one table.
    #[serde(default)]
    pub sql: Option<String>,
    /// One for each `?` of `sql`.
    #[serde(default)]
    pub params: Vec<Value>,
    /// Rows of the table that are copied to measure on; 1,000 to 200,000, default 100,000.
    #[serde(default)]
    pub sample_rows: Option<i32>,
    /// Longest run time, in milliseconds; 1 to 120,000.
    #[serde(default)]
    pub timeout_ms: Option<i64>,
}

/// What an index changed on the copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbMeasuredGain)]
pub struct MeasuredGain {
    /// Median time without it, in microseconds.
    pub before_us: i64,
    /// Median time with it, in microseconds.
    pub after_us: i64,
    /// `before_us` ÷ `after_us`.
    pub speedup: f64,
    /// Rows examined without it, where the engine says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_examined_before: Option<i64>,
    /// Rows examined with it, where the engine says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_examined_after: Option<i64>,
    /// Rows of the copy.
    pub sample_rows: i64,
    /// Whether the copy holds the whole table.
    pub whole_table: bool,
}

/// An index that is worth creating.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbIndexSuggestion)]
pub struct IndexSuggestion {
    /// The table.
    pub table: String,
    /// Its columns in order.
    pub columns: Vec<String>,
    /// The statement that creates it, for this engine.
    pub ddl: String,
    /// Why these columns in this order.
    pub reason: String,
    /// Measured on a copy of a bounded sample.
    pub gain: MeasuredGain,
    /// The statement it was measured with, literals masked.
    pub statement: String,
}

/// A candidate that was not suggested, or a statement without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbNoAdvice)]
pub struct NoAdvice {
    /// The kind of reason.
    pub code: NoAdviceCode,
    /// The reason for people.
    pub reason: String,
    /// The table, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The columns of the candidate; empty where there was none.
    pub columns: Vec<String>,
    /// What was measured, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain: Option<MeasuredGain>,
    /// The statement, literals masked.
    pub statement: String,
}

/// Index advice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbGetIndexSuggestionsResponse)]
pub struct IndexSuggestionsReply {
    /// The largest gain first.
    pub suggestions: Vec<IndexSuggestion>,
    /// The rest, each with its reason.
    pub no_advice: Vec<NoAdvice>,
}

/// Which statements to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SlowQueriesRequest {
    /// `total`, `mean` or `max` time, the largest first; default `total`.
    #[serde(default)]
    pub order_by: Option<String>,
    /// Rows of the list; 1 to 1,000, default 50.
    #[serde(default)]
    pub limit: Option<i64>,
    /// Also statements that never reached the threshold; default false.
    #[serde(default)]
    pub include_fast: Option<bool>,
}

/// The order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowQueryOrder {
    /// Time of all executions.
    Total,
    /// Mean time.
    Mean,
    /// Longest time.
    Max,
}

impl SlowQueryOrder {
    /// Parses the word; `None` is `total`. Errors: 1001 naming `order_by`.
    pub fn parse(word: Option<&str>) -> Result<Self> {
        match word {
            None | Some("total") => Ok(Self::Total),
            Some("mean") => Ok(Self::Mean),
            Some("max") => Ok(Self::Max),
            Some(_) => Err(Error::invalid("order_by", "must be total, mean or max")),
        }
    }
}

/// One bucket of a histogram of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbTimeBucket)]
pub struct TimeBucket {
    /// Upper bound in microseconds, inclusive; -1 for the last, which has none.
    pub le_us: i64,
    /// Executions in this bucket alone.
    pub count: i64,
}

/// All executions of one statement shape through this instance since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbSlowQuery)]
pub struct SlowQuery {
    /// 16 hexadecimal digits.
    pub digest: String,
    /// The shape: literals and placeholders as `?`.
    pub statement: String,
    /// Executions.
    pub calls: i64,
    /// Of these, at or above the threshold.
    pub slow_calls: i64,
    /// Of these, failed.
    pub failed_calls: i64,
    /// Time of all, in microseconds.
    pub total_us: i64,
    /// Mean time, in microseconds.
    pub mean_us: i64,
    /// Longest time, in microseconds.
    pub max_us: i64,
    /// 95th percentile, the upper bound of its bucket, in microseconds.
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
    /// The histogram; empty buckets are left out.
    pub buckets: Vec<TimeBucket>,
}

/// Slow statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbGetSlowQueriesResponse)]
pub struct SlowQueriesReply {
    /// In the order asked for.
    pub queries: Vec<SlowQuery>,
    /// The threshold of the database, in milliseconds.
    pub threshold_ms: i64,
    /// Shapes that were forgotten because the table of shapes was full.
    pub evicted: i64,
}
