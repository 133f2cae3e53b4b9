//! The `db` block.

mod shapes;

use plinth_core::{Resource, Result, WideInt};
use plinth_database::model::{
    AnalyzeRequest, IndexSuggestionsRequest, ListDatabasesRequest, QueryRequest,
    RemoveDatabaseRequest, SlowQueriesRequest, TransactionFence, TransactionRequest,
};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::db::*;

use super::convert::text;
use crate::services::Services;

fn target(database: &str) -> Target {
    Target::resource(Resource::new("db", database))
}

pub(crate) async fn register_database(
    services: &Services,
    session: &Session,
    request: DbRegisterDatabaseRequest,
) -> Result<DbRegisterDatabaseResponse> {
    let database = request.database.to_string();
    let target = target(&database);
    let request = shapes::registration(request);
    let call = |context| async move {
        let service = &services.database;
        service
            .register_database(&context, &database, request)
            .await
    };
    let reply = services
        .gate
        .call(session, &ops::DB_REGISTER_DATABASE, target, call)
        .await?;
    Ok(DbRegisterDatabaseResponse {
        info: shapes::info(reply.info),
        created: reply.created,
        base_resp: None,
    })
}

pub(crate) async fn list_databases(
    services: &Services,
    session: &Session,
    request: DbListDatabasesRequest,
) -> Result<DbListDatabasesResponse> {
    let request = ListDatabasesRequest {
        prefix: text(request.prefix),
        limit: request.limit,
        cursor: text(request.cursor),
    };
    let target = Target::resource(Resource::all("db"));
    let call = |context| async move { services.database.list_databases(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::DB_LIST_DATABASES, target, call)
        .await?;
    Ok(DbListDatabasesResponse {
        databases: reply.databases.into_iter().map(shapes::info).collect(),
        next_cursor: reply.next_cursor.map(Into::into),
        base_resp: None,
    })
}

pub(crate) async fn remove_database(
    services: &Services,
    session: &Session,
    request: DbRemoveDatabaseRequest,
) -> Result<DbRemoveDatabaseResponse> {
    let database = request.database.to_string();
    let target = target(&database);
    let request = RemoveDatabaseRequest {
        drain_timeout_ms: request.drain_timeout_ms,
    };
    let call = |context| async move {
        let service = &services.database;
        service.remove_database(&context, &database, request).await
    };
    let reply = services
        .gate
        .call(session, &ops::DB_REMOVE_DATABASE, target, call)
        .await?;
    Ok(DbRemoveDatabaseResponse {
        removed: reply.removed,
        aborted: reply.aborted,
        base_resp: None,
    })
}

pub(crate) async fn execute_query(
    services: &Services,
    session: &Session,
    request: DbExecuteQueryRequest,
) -> Result<DbExecuteQueryResponse> {
    let database = request.database.to_string();
    let tenant = &session.caller.tenant;
    let writes = services.database.writes(tenant, &database, &request.sql);
    let target = target(&database).writes(writes);
    let call = |context| async move {
        let request = QueryRequest {
            sql: request.sql.to_string(),
            params: shapes::params(request.params)?,
            timeout_ms: request.timeout_ms,
            max_rows: request.max_rows,
            max_bytes: request.max_bytes,
            cursor: text(request.cursor),
        };
        let service = &services.database;
        service.execute_query(&context, &database, request).await
    };
    let reply = services
        .gate
        .call(session, &ops::DB_EXECUTE_QUERY, target, call)
        .await?;
    Ok(DbExecuteQueryResponse {
        columns: reply.columns.into_iter().map(shapes::column).collect(),
        rows: reply.rows.into_iter().map(shapes::row).collect(),
        rows_affected: reply.rows_affected,
        truncated: reply.truncated,
        next_cursor: reply.next_cursor.map(Into::into),
        last_insert_id: reply.last_insert_id.map(|id| id.0),
        elapsed_us: reply.elapsed_us,
        base_resp: None,
    })
}

pub(crate) async fn execute_transaction(
    services: &Services,
    session: &Session,
    request: DbExecuteTransactionRequest,
) -> Result<DbExecuteTransactionResponse> {
    let database = request.database.to_string();
    let tenant = &session.caller.tenant;
    let writes = request
        .steps
        .iter()
        .any(|step| services.database.writes(tenant, &database, &step.sql));
    let target = target(&database).writes(writes);
    let call = |context| async move {
        let request = TransactionRequest {
            steps: shapes::steps(request.steps)?,
            isolation: text(request.isolation),
            timeout_ms: request.timeout_ms,
            max_attempts: request.max_attempts,
            fence: request.fence.map(|fence| TransactionFence {
                name: fence.name.to_string(),
                token: WideInt(fence.token),
            }),
        };
        let service = &services.database;
        service
            .execute_transaction(&context, &database, request)
            .await
    };
    let reply = services
        .gate
        .call(session, &ops::DB_EXECUTE_TRANSACTION, target, call)
        .await?;
    Ok(DbExecuteTransactionResponse {
        results: reply.results.into_iter().map(shapes::step_result).collect(),
        attempts: reply.attempts,
        repeated: reply.repeated,
        elapsed_us: reply.elapsed_us,
        base_resp: None,
    })
}

pub(crate) async fn analyze_query(
    services: &Services,
    session: &Session,
    request: DbAnalyzeQueryRequest,
) -> Result<DbAnalyzeQueryResponse> {
    let database = request.database.to_string();
    let target = target(&database);
    let call = |context| async move {
        let request = AnalyzeRequest {
            sql: request.sql.to_string(),
            params: shapes::params(request.params)?,
            analyze: request.analyze,
            timeout_ms: request.timeout_ms,
        };
        let service = &services.database;
        service.analyze_query(&context, &database, request).await
    };
    let reply = services
        .gate
        .call(session, &ops::DB_ANALYZE_QUERY, target, call)
        .await?;
    Ok(DbAnalyzeQueryResponse {
        engine: reply.engine.into(),
        nodes: reply.nodes.into_iter().map(shapes::node).collect(),
        findings: reply.findings.into_iter().map(shapes::finding).collect(),
        analyzed: reply.analyzed,
        planning_ms: reply.planning_ms,
        execution_ms: reply.execution_ms,
        base_resp: None,
    })
}

pub(crate) async fn get_index_suggestions(
    services: &Services,
    session: &Session,
    request: DbGetIndexSuggestionsRequest,
) -> Result<DbGetIndexSuggestionsResponse> {
    let database = request.database.to_string();
    let target = target(&database);
    let call = |context| async move {
        let request = IndexSuggestionsRequest {
            table: text(request.table),
            sql: text(request.sql),
            params: shapes::params(request.params)?,
            sample_rows: request.sample_rows,
            timeout_ms: request.timeout_ms,
        };
        let service = &services.database;
        service
            .get_index_suggestions(&context, &database, request)
            .await
    };
    let reply = services
        .gate
        .call(session, &ops::DB_GET_INDEX_SUGGESTIONS, target, call)
        .await?;
    Ok(DbGetIndexSuggestionsResponse {
        suggestions: reply
            .suggestions
            .into_iter()
            .map(shapes::suggestion)
            .collect(),
        no_advice: reply.no_advice.into_iter().map(shapes::no_advice).collect(),
        base_resp: None,
    })
}

pub(crate) async fn get_slow_queries(
    services: &Services,
    session: &Session,
    request: DbGetSlowQueriesRequest,
) -> Result<DbGetSlowQueriesResponse> {
    let database = request.database.to_string();
    let target = target(&database);
    let request = SlowQueriesRequest {
        order_by: text(request.order_by),
        limit: request.limit,
        include_fast: request.include_fast,
    };
    let call = |context| async move {
        let service = &services.database;
        service.get_slow_queries(&context, &database, request).await
    };
    let reply = services
        .gate
        .call(session, &ops::DB_GET_SLOW_QUERIES, target, call)
        .await?;
    Ok(DbGetSlowQueriesResponse {
        queries: reply.queries.into_iter().map(shapes::slow_query).collect(),
        threshold_ms: reply.threshold_ms,
        evicted: reply.evicted,
        base_resp: None,
    })
}
