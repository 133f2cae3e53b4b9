//! The IDL's shapes and the client's own.

use faststr::FastStr;
use plinth_core::WideInt;
use plinth_idl::db as idl;

use super::insight::{
    DbAdvice, DbFinding, DbIndexSuggestion, DbMeasuredGain, DbNoAdvice, DbPlan, DbPlanNode,
    DbSlowQueries, DbSlowQuery, DbTimeBucket,
};
use super::model::{
    DbColumn, DbDatabase, DbPoolOptions, DbPoolStatus, DbResult, DbRow, DbStep, DbStepResult,
    DbTransactionResult,
};
use super::value::DbValue;

fn own(text: Option<FastStr>) -> Option<String> {
    text.map(|text| text.to_string())
}

pub(super) fn params(params: &[DbValue]) -> Option<Vec<idl::DbValue>> {
    Some(params.iter().map(idl::DbValue::from).collect())
}

pub(super) const fn pool(options: DbPoolOptions) -> idl::DbPoolOptions {
    idl::DbPoolOptions {
        min_connections: options.min_connections,
        max_connections: options.max_connections,
        acquire_timeout_ms: options.acquire_timeout_ms,
        max_lifetime_ms: options.max_lifetime_ms,
        idle_timeout_ms: options.idle_timeout_ms,
    }
}

impl From<&DbStep> for idl::DbStep {
    fn from(step: &DbStep) -> Self {
        Self {
            sql: FastStr::new(&step.sql),
            params: params(&step.params),
            expect_rows_affected: step.expect_rows_affected,
            expect_rows_min: step.expect_rows_min,
            expect_rows_max: step.expect_rows_max,
            max_rows: step.max_rows,
        }
    }
}

impl From<idl::DbDatabaseInfo> for DbDatabase {
    fn from(info: idl::DbDatabaseInfo) -> Self {
        Self {
            database: info.database.to_string(),
            engine: info.engine.to_string(),
            url: info.url.to_string(),
            has_secret: info.has_secret,
            read_only: info.read_only,
            pool: DbPoolOptions {
                min_connections: info.pool.min_connections,
                max_connections: info.pool.max_connections,
                acquire_timeout_ms: info.pool.acquire_timeout_ms,
                max_lifetime_ms: info.pool.max_lifetime_ms,
                idle_timeout_ms: info.pool.idle_timeout_ms,
            },
            slow_query_threshold_ms: info.slow_query_threshold_ms,
            version: WideInt(info.version),
            created_at_ms: info.created_at_ms,
            updated_at_ms: info.updated_at_ms,
            pool_status: info.pool_status.map(|status| DbPoolStatus {
                connections: status.connections,
                idle: status.idle,
                waiting: status.waiting,
                in_use: status.in_use,
                opened: status.opened,
                acquired: status.acquired,
                acquire_timeouts: status.acquire_timeouts,
                breaker: status.breaker.to_string(),
            }),
            tls_ca: own(info.tls_ca),
        }
    }
}

fn columns(columns: Vec<idl::DbColumn>) -> Vec<DbColumn> {
    let column = |column: idl::DbColumn| DbColumn {
        name: column.name.to_string(),
        type_name: column.type_name.to_string(),
    };
    columns.into_iter().map(column).collect()
}

fn rows(rows: Vec<idl::DbRow>) -> Vec<DbRow> {
    let row = |row: idl::DbRow| DbRow {
        values: row.values.into_iter().map(DbValue::from).collect(),
    };
    rows.into_iter().map(row).collect()
}

impl From<idl::DbExecuteQueryResponse> for DbResult {
    fn from(reply: idl::DbExecuteQueryResponse) -> Self {
        Self {
            columns: columns(reply.columns),
            rows: rows(reply.rows),
            rows_affected: reply.rows_affected,
            truncated: reply.truncated,
            next_cursor: own(reply.next_cursor),
            last_insert_id: reply.last_insert_id.map(WideInt),
            elapsed_us: reply.elapsed_us,
        }
    }
}

impl From<idl::DbExecuteTransactionResponse> for DbTransactionResult {
    fn from(reply: idl::DbExecuteTransactionResponse) -> Self {
        let result = |result: idl::DbStepResult| DbStepResult {
            columns: columns(result.columns),
            rows: rows(result.rows),
            rows_affected: result.rows_affected,
            last_insert_id: result.last_insert_id.map(WideInt),
        };
        Self {
            results: reply.results.into_iter().map(result).collect(),
            attempts: reply.attempts,
            repeated: reply.repeated,
            elapsed_us: reply.elapsed_us,
        }
    }
}

impl From<idl::DbAnalyzeQueryResponse> for DbPlan {
    fn from(reply: idl::DbAnalyzeQueryResponse) -> Self {
        Self {
            engine: reply.engine.to_string(),
            nodes: reply.nodes.into_iter().map(node).collect(),
            findings: reply.findings.into_iter().map(finding).collect(),
            analyzed: reply.analyzed,
            planning_ms: reply.planning_ms,
            execution_ms: reply.execution_ms,
        }
    }
}

fn node(node: idl::DbPlanNode) -> DbPlanNode {
    DbPlanNode {
        id: node.id,
        parent: node.parent,
        depth: node.depth,
        kind: node.kind.to_string(),
        engine_kind: node.engine_kind.to_string(),
        relation: own(node.relation),
        index: own(node.index),
        rows_estimated: node.rows_estimated,
        rows_actual: node.rows_actual,
        cost: node.cost,
        time_ms: node.time_ms,
        condition: own(node.condition),
        detail: own(node.detail),
    }
}

fn finding(finding: idl::DbFinding) -> DbFinding {
    DbFinding {
        code: finding.code.to_string(),
        severity: finding.severity.to_string(),
        title: finding.title.to_string(),
        reason: finding.reason.to_string(),
        evidence: finding.evidence.to_string(),
        proposal: finding.proposal.to_string(),
        node_id: finding.node_id,
    }
}

fn gain(gain: idl::DbMeasuredGain) -> DbMeasuredGain {
    DbMeasuredGain {
        before_us: gain.before_us,
        after_us: gain.after_us,
        speedup: gain.speedup,
        rows_examined_before: gain.rows_examined_before,
        rows_examined_after: gain.rows_examined_after,
        sample_rows: gain.sample_rows,
        whole_table: gain.whole_table,
    }
}

fn list(texts: Vec<FastStr>) -> Vec<String> {
    texts.iter().map(FastStr::to_string).collect()
}

impl From<idl::DbGetIndexSuggestionsResponse> for DbAdvice {
    fn from(reply: idl::DbGetIndexSuggestionsResponse) -> Self {
        let suggestion = |suggestion: idl::DbIndexSuggestion| DbIndexSuggestion {
            table: suggestion.table.to_string(),
            columns: list(suggestion.columns),
            ddl: suggestion.ddl.to_string(),
            reason: suggestion.reason.to_string(),
            gain: gain(suggestion.gain),
            statement: suggestion.statement.to_string(),
        };
        let refusal = |refusal: idl::DbNoAdvice| DbNoAdvice {
            code: refusal.code.to_string(),
            reason: refusal.reason.to_string(),
            table: own(refusal.table),
            columns: list(refusal.columns),
            gain: refusal.gain.map(gain),
            statement: refusal.statement.to_string(),
        };
        Self {
            suggestions: reply.suggestions.into_iter().map(suggestion).collect(),
            no_advice: reply.no_advice.into_iter().map(refusal).collect(),
        }
    }
}

impl From<idl::DbGetSlowQueriesResponse> for DbSlowQueries {
    fn from(reply: idl::DbGetSlowQueriesResponse) -> Self {
        let bucket = |bucket: idl::DbTimeBucket| DbTimeBucket {
            le_us: bucket.le_us,
            count: bucket.count,
        };
        let query = |query: idl::DbSlowQuery| DbSlowQuery {
            digest: query.digest.to_string(),
            statement: query.statement.to_string(),
            calls: query.calls,
            slow_calls: query.slow_calls,
            failed_calls: query.failed_calls,
            total_us: query.total_us,
            mean_us: query.mean_us,
            max_us: query.max_us,
            p95_us: query.p95_us,
            rows_returned: query.rows_returned,
            rows_affected: query.rows_affected,
            first_seen_ms: query.first_seen_ms,
            last_seen_ms: query.last_seen_ms,
            sample: query.sample.to_string(),
            buckets: query.buckets.into_iter().map(bucket).collect(),
        };
        Self {
            queries: reply.queries.into_iter().map(query).collect(),
            threshold_ms: reply.threshold_ms,
            evicted: reply.evicted,
        }
    }
}
