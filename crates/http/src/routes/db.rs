//! The `db` block.

use axum::extract::State;
use plinth_core::Resource;
use plinth_database::model::{
    AnalyzeReply, AnalyzeRequest, IndexSuggestionsReply, IndexSuggestionsRequest,
    ListDatabasesReply, ListDatabasesRequest, QueryReply, QueryRequest, RegisterDatabaseReply,
    RegisterDatabaseRequest, RemoveDatabaseReply, RemoveDatabaseRequest, SlowQueriesReply,
    SlowQueriesRequest, TransactionReply, TransactionRequest,
};
use plinth_gate::Target;
use plinth_gate::catalogue::ops;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{ApiJson, ApiPath, ApiQuery, ApiSession};
use crate::problem::ApiResult;
use crate::services::Services;

/// The routes of the block.
pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(list_databases))
        .routes(routes!(register_database, remove_database))
        .routes(routes!(execute_query))
        .routes(routes!(execute_transaction))
        .routes(routes!(analyze_query))
        .routes(routes!(get_index_suggestions))
        .routes(routes!(get_slow_queries))
}

fn target(database: &str) -> Target {
    Target::resource(Resource::new("db", database))
}

/// Registers a database or changes its definition. The database need not be reachable: it is opened when first used.
#[utoipa::path(
    put, path = "/v1/db/databases/{database}", operation_id = "db.register_database",
    params(("database" = String, Path, description = "Name of the database")),
    request_body = RegisterDatabaseRequest,
    responses((status = 200, description = "The definition as stored.", body = RegisterDatabaseReply)),
)]
async fn register_database(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(database): ApiPath<String>,
    ApiJson(request): ApiJson<RegisterDatabaseRequest>,
) -> ApiResult<ApiJson<RegisterDatabaseReply>> {
    let target = target(&database);
    let service = &services.database;
    let call = |context| async move {
        service
            .register_database(&context, &database, request)
            .await
    };
    let reply = services
        .gate
        .call(&session, &ops::DB_REGISTER_DATABASE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Lists registered databases by name, with their pools and without their secrets.
#[utoipa::path(
    get, path = "/v1/db/databases", operation_id = "db.list_databases",
    params(ListDatabasesRequest),
    responses((status = 200, description = "A page of databases.", body = ListDatabasesReply)),
)]
async fn list_databases(
    State(services): State<Services>,
    session: ApiSession,
    ApiQuery(request): ApiQuery<ListDatabasesRequest>,
) -> ApiResult<ApiJson<ListDatabasesReply>> {
    let target = Target::resource(Resource::all("db"));
    let service = &services.database;
    let call = |context| async move { service.list_databases(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::DB_LIST_DATABASES, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Removes a definition: running statements end or are stopped. The database itself is not touched.
#[utoipa::path(
    delete, path = "/v1/db/databases/{database}", operation_id = "db.remove_database",
    params(("database" = String, Path, description = "Name of the database"), RemoveDatabaseRequest),
    responses((status = 200, description = "Whether it was registered.", body = RemoveDatabaseReply)),
)]
async fn remove_database(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(database): ApiPath<String>,
    ApiQuery(request): ApiQuery<RemoveDatabaseRequest>,
) -> ApiResult<ApiJson<RemoveDatabaseReply>> {
    let target = target(&database);
    let service = &services.database;
    let call = |context| async move { service.remove_database(&context, &database, request).await };
    let reply = services
        .gate
        .call(&session, &ops::DB_REMOVE_DATABASE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Runs one statement with parameters and returns its rows.
#[utoipa::path(
    post, path = "/v1/db/databases/{database}/query", operation_id = "db.execute_query",
    params(("database" = String, Path, description = "Name of the database")),
    request_body = QueryRequest,
    responses((status = 200, description = "What the statement did.", body = QueryReply)),
)]
async fn execute_query(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(database): ApiPath<String>,
    ApiJson(request): ApiJson<QueryRequest>,
) -> ApiResult<ApiJson<QueryReply>> {
    let service = &services.database;
    let writes = service.writes(&session.caller.tenant, &database, &request.sql);
    let target = target(&database).writes(writes);
    let call = |context| async move { service.execute_query(&context, &database, request).await };
    let reply = services
        .gate
        .call(&session, &ops::DB_EXECUTE_QUERY, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Runs steps on one connection, all or nothing; once for each `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/db/databases/{database}/transaction", operation_id = "db.execute_transaction",
    params(("database" = String, Path, description = "Name of the database")),
    request_body = TransactionRequest,
    responses((status = 200, description = "What the steps did.", body = TransactionReply)),
)]
async fn execute_transaction(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(database): ApiPath<String>,
    ApiJson(request): ApiJson<TransactionRequest>,
) -> ApiResult<ApiJson<TransactionReply>> {
    let service = &services.database;
    let tenant = &session.caller.tenant;
    let writes = request
        .steps
        .iter()
        .any(|step| service.writes(tenant, &database, &step.sql));
    let target = target(&database).writes(writes);
    let call = |context| async move {
        service
            .execute_transaction(&context, &database, request)
            .await
    };
    let reply = services
        .gate
        .call(&session, &ops::DB_EXECUTE_TRANSACTION, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Explains a statement as one plan tree and says what is wrong with it.
#[utoipa::path(
    post, path = "/v1/db/databases/{database}/analyze", operation_id = "db.analyze_query",
    params(("database" = String, Path, description = "Name of the database")),
    request_body = AnalyzeRequest,
    responses((status = 200, description = "The plan and its findings.", body = AnalyzeReply)),
)]
async fn analyze_query(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(database): ApiPath<String>,
    ApiJson(request): ApiJson<AnalyzeRequest>,
) -> ApiResult<ApiJson<AnalyzeReply>> {
    let target = target(&database);
    let service = &services.database;
    let call = |context| async move { service.analyze_query(&context, &database, request).await };
    let reply = services
        .gate
        .call(&session, &ops::DB_ANALYZE_QUERY, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Suggests indexes for a statement or a table, each with its gain measured on a temporary copy.
#[utoipa::path(
    post, path = "/v1/db/databases/{database}/index-suggestions", operation_id = "db.get_index_suggestions",
    params(("database" = String, Path, description = "Name of the database")),
    request_body = IndexSuggestionsRequest,
    responses((status = 200, description = "What is advised, and what is not and why.", body = IndexSuggestionsReply)),
)]
async fn get_index_suggestions(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(database): ApiPath<String>,
    ApiJson(request): ApiJson<IndexSuggestionsRequest>,
) -> ApiResult<ApiJson<IndexSuggestionsReply>> {
    let target = target(&database);
    let service = &services.database;
    let call = |context| async move {
        service
            .get_index_suggestions(&context, &database, request)
            .await
    };
    let reply = services
        .gate
        .call(&session, &ops::DB_GET_INDEX_SUGGESTIONS, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Lists the statements that took longest, by shape.
#[utoipa::path(
    get, path = "/v1/db/databases/{database}/slow-queries", operation_id = "db.get_slow_queries",
    params(("database" = String, Path, description = "Name of the database"), SlowQueriesRequest),
    responses((status = 200, description = "Statements by time.", body = SlowQueriesReply)),
)]
async fn get_slow_queries(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(database): ApiPath<String>,
    ApiQuery(request): ApiQuery<SlowQueriesRequest>,
) -> ApiResult<ApiJson<SlowQueriesReply>> {
    let target = target(&database);
    let service = &services.database;
    let call =
        |context| async move { service.get_slow_queries(&context, &database, request).await };
    let reply = services
        .gate
        .call(&session, &ops::DB_GET_SLOW_QUERIES, target, call)
        .await?;
    Ok(ApiJson(reply))
}
