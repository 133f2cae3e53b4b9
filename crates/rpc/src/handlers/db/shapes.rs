//! The IDL's shapes and the block's own.

use plinth_core::{Result, SecretString, WideInt};
use plinth_database::model::{
    Column, DatabaseInfo, Finding, IndexSuggestion, MeasuredGain, NoAdvice, PlanNode, PoolOptions,
    PoolStatus, RegisterDatabaseRequest, Row, SlowQuery, Step, StepResult, Value,
};
use plinth_idl::db::*;

use super::super::convert::text;

pub(super) fn registration(request: DbRegisterDatabaseRequest) -> RegisterDatabaseRequest {
    RegisterDatabaseRequest {
        engine: request.engine.to_string(),
        url: request.url.to_string(),
        secret: text(request.secret).map(SecretString::new),
        read_only: request.read_only,
        pool: request.pool.map(|pool| PoolOptions {
            min_connections: pool.min_connections,
            max_connections: pool.max_connections,
            acquire_timeout_ms: pool.acquire_timeout_ms,
            max_lifetime_ms: pool.max_lifetime_ms,
            idle_timeout_ms: pool.idle_timeout_ms,
        }),
        slow_query_threshold_ms: request.slow_query_threshold_ms,
        if_version: request.if_version.map(WideInt),
        tls_ca: text(request.tls_ca),
    }
}

pub(super) fn info(info: DatabaseInfo) -> DbDatabaseInfo {
    DbDatabaseInfo {
        database: info.database.into(),
        engine: info.engine.into(),
        url: info.url.into(),
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
        version: info.version.0,
        created_at_ms: info.created_at_ms,
        updated_at_ms: info.updated_at_ms,
        pool_status: info.pool_status.map(pool_status),
        tls_ca: info.tls_ca.map(Into::into),
    }
}

fn pool_status(status: PoolStatus) -> DbPoolStatus {
    DbPoolStatus {
        connections: status.connections,
        idle: status.idle,
        waiting: status.waiting,
        in_use: status.in_use,
        opened: status.opened,
        acquired: status.acquired,
        acquire_timeouts: status.acquire_timeouts,
        breaker: status.breaker.into(),
    }
}

/// Reads parameters. Errors: 1001 naming `params[i]` where one holds several values.
pub(super) fn params(params: Option<Vec<DbValue>>) -> Result<Vec<Value>> {
    params
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(at, param)| {
            param_value(param).map_err(|error| error.in_field(&format!("params[{at}]")))
        })
        .collect()
}

fn param_value(value: DbValue) -> Result<Value> {
    Value::one_of([
        value.bool_value.map(Value::Bool),
        value.int_value.map(Value::Int),
        value.float_value.map(Value::Float),
        text(value.decimal_value).map(Value::Decimal),
        text(value.text_value).map(Value::Text),
        value.bytes_value.map(|bytes| Value::Bytes(bytes.to_vec())),
        text(value.date_value).map(Value::Date),
        text(value.time_value).map(Value::Time),
        text(value.timestamp_value).map(Value::Timestamp),
        text(value.json_value).map(Value::Json),
        text(value.uuid_value).map(Value::Uuid),
    ])
}

fn cell(value: Value) -> DbValue {
    let mut cell = DbValue::default();
    match value {
        Value::Null => {}
        Value::Bool(flag) => cell.bool_value = Some(flag),
        Value::Int(number) => cell.int_value = Some(number),
        Value::Float(number) => cell.float_value = Some(number),
        Value::Decimal(text) => cell.decimal_value = Some(text.into()),
        Value::Text(text) => cell.text_value = Some(text.into()),
        Value::Bytes(bytes) => cell.bytes_value = Some(bytes.into()),
        Value::Date(text) => cell.date_value = Some(text.into()),
        Value::Time(text) => cell.time_value = Some(text.into()),
        Value::Timestamp(text) => cell.timestamp_value = Some(text.into()),
        Value::Json(text) => cell.json_value = Some(text.into()),
        Value::Uuid(text) => cell.uuid_value = Some(text.into()),
    }
    cell
}

pub(super) fn column(column: Column) -> DbColumn {
    DbColumn {
        name: column.name.into(),
        type_name: column.type_name.into(),
    }
}

pub(super) fn row(row: Row) -> DbRow {
    DbRow {
        values: row.values.into_iter().map(cell).collect(),
    }
}

/// Reads steps. Errors: 1001 naming `steps[i].params[j]` where one holds several values.
pub(super) fn steps(steps: Vec<DbStep>) -> Result<Vec<Step>> {
    steps
        .into_iter()
        .enumerate()
        .map(|(at, step)| {
            Ok(Step {
                sql: step.sql.to_string(),
                params: params(step.params)
                    .map_err(|error| error.in_field(&format!("steps[{at}]")))?,
                expect_rows_affected: step.expect_rows_affected,
                expect_rows_min: step.expect_rows_min,
                expect_rows_max: step.expect_rows_max,
                max_rows: step.max_rows,
            })
        })
        .collect()
}

pub(super) fn step_result(result: StepResult) -> DbStepResult {
    DbStepResult {
        columns: result.columns.into_iter().map(column).collect(),
        rows: result.rows.into_iter().map(row).collect(),
        rows_affected: result.rows_affected,
        last_insert_id: result.last_insert_id.map(|id| id.0),
    }
}

pub(super) fn node(node: PlanNode) -> DbPlanNode {
    DbPlanNode {
        id: node.id,
        parent: node.parent,
        depth: node.depth,
        kind: node.kind.as_str().into(),
        engine_kind: node.engine_kind.into(),
        relation: node.relation.map(Into::into),
        index: node.index.map(Into::into),
        rows_estimated: node.rows_estimated,
        rows_actual: node.rows_actual,
        cost: node.cost,
        time_ms: node.time_ms,
        condition: node.condition.map(Into::into),
        detail: node.detail.map(Into::into),
    }
}

pub(super) fn finding(finding: Finding) -> DbFinding {
    DbFinding {
        code: finding.code.as_str().into(),
        severity: finding.severity.as_str().into(),
        title: finding.title.into(),
        reason: finding.reason.into(),
        evidence: finding.evidence.into(),
        proposal: finding.proposal.into(),
        node_id: finding.node_id,
    }
}

fn gain(gain: MeasuredGain) -> DbMeasuredGain {
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

pub(super) fn suggestion(suggestion: IndexSuggestion) -> DbIndexSuggestion {
    DbIndexSuggestion {
        table: suggestion.table.into(),
        columns: suggestion.columns.into_iter().map(Into::into).collect(),
        ddl: suggestion.ddl.into(),
        reason: suggestion.reason.into(),
        gain: gain(suggestion.gain),
        statement: suggestion.statement.into(),
    }
}

pub(super) fn no_advice(refusal: NoAdvice) -> DbNoAdvice {
    DbNoAdvice {
        code: refusal.code.as_str().into(),
        reason: refusal.reason.into(),
        table: refusal.table.map(Into::into),
        columns: refusal.columns.into_iter().map(Into::into).collect(),
        gain: refusal.gain.map(gain),
        statement: refusal.statement.into(),
    }
}

pub(super) fn slow_query(query: SlowQuery) -> DbSlowQuery {
    DbSlowQuery {
        digest: query.digest.into(),
        statement: query.statement.into(),
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
        sample: query.sample.into(),
        buckets: query
            .buckets
            .into_iter()
            .map(|bucket| DbTimeBucket {
                le_us: bucket.le_us,
                count: bucket.count,
            })
            .collect(),
    }
}
