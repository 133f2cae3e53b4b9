//! The `audit` block.

use axum::extract::State;
use plinth_audit::model::{
    ExportLogsReply, ExportLogsRequest, GetRecordReply, GetRecordRequest, GetStatisticsReply,
    GetStatisticsRequest, LogBatchReply, LogBatchRequest, LogOperationReply, LogOperationRequest,
    QueryLogsReply, QueryLogsRequest, VerifyReply, VerifyRequest,
};
use plinth_core::Resource;
use plinth_gate::Target;
use plinth_gate::catalogue::ops;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{ApiJson, ApiPath, ApiSession};
use crate::problem::ApiResult;
use crate::services::Services;

/// The routes of the block.
pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(log_operation))
        .routes(routes!(log_batch))
        .routes(routes!(query_logs))
        .routes(routes!(get_record))
        .routes(routes!(export_logs))
        .routes(routes!(get_statistics))
        .routes(routes!(verify))
}

/// The log is one for the tenant: permissions name it as a whole.
fn target() -> Target {
    Target::resource(Resource::all("audit"))
}

/// Appends one record. It is durable when the answer comes.
#[utoipa::path(
    post, path = "/v1/audit/records", operation_id = "audit.log_operation",
    request_body = LogOperationRequest,
    responses((status = 200, description = "Recorded.", body = LogOperationReply)),
)]
async fn log_operation(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<LogOperationRequest>,
) -> ApiResult<ApiJson<LogOperationReply>> {
    let audit = &services.audit;
    let call = |context| async move { audit.log_operation(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::AUDIT_LOG_OPERATION, target(), call);
    Ok(ApiJson(called.await?))
}

/// Appends many records in one commit, or none of them.
#[utoipa::path(
    post, path = "/v1/audit/records/batch", operation_id = "audit.log_batch",
    request_body = LogBatchRequest,
    responses((status = 200, description = "Recorded.", body = LogBatchReply)),
)]
async fn log_batch(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<LogBatchRequest>,
) -> ApiResult<ApiJson<LogBatchReply>> {
    let audit = &services.audit;
    let call = |context| async move { audit.log_batch(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::AUDIT_LOG_BATCH, target(), call);
    Ok(ApiJson(called.await?))
}

/// Finds records. All pages of a query show the log as it stood when the first was read.
#[utoipa::path(
    post, path = "/v1/audit/query", operation_id = "audit.query_logs",
    request_body = QueryLogsRequest,
    responses((status = 200, description = "One page.", body = QueryLogsReply)),
)]
async fn query_logs(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<QueryLogsRequest>,
) -> ApiResult<ApiJson<QueryLogsReply>> {
    let audit = &services.audit;
    let call = |context| async move { audit.query_logs(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::AUDIT_QUERY_LOGS, target(), call);
    Ok(ApiJson(called.await?))
}

/// Reads one record with the proof that it is in the log.
#[utoipa::path(
    get, path = "/v1/audit/records/{record}", operation_id = "audit.get_record",
    params(("record" = String, Path, description = "Id of the record")),
    responses((status = 200, description = "The record and its proof.", body = GetRecordReply)),
)]
async fn get_record(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(record): ApiPath<String>,
) -> ApiResult<ApiJson<GetRecordReply>> {
    let audit = &services.audit;
    let request = GetRecordRequest { record };
    let call = |context| async move { audit.get_record(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::AUDIT_GET_RECORD, target(), call);
    Ok(ApiJson(called.await?))
}

/// Exports one piece: the pieces put one after the other are the file.
#[utoipa::path(
    post, path = "/v1/audit/export", operation_id = "audit.export_logs",
    request_body = ExportLogsRequest,
    responses((status = 200, description = "One piece.", body = ExportLogsReply)),
)]
async fn export_logs(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<ExportLogsRequest>,
) -> ApiResult<ApiJson<ExportLogsReply>> {
    let audit = &services.audit;
    let call = |context| async move { audit.export_logs(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::AUDIT_EXPORT_LOGS, target(), call);
    Ok(ApiJson(called.await?))
}

/// Counts records by time, operation, operator, resource type, result and severity.
#[utoipa::path(
    post, path = "/v1/audit/statistics", operation_id = "audit.get_statistics",
    request_body = GetStatisticsRequest,
    responses((status = 200, description = "The numbers.", body = GetStatisticsReply)),
)]
async fn get_statistics(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<GetStatisticsRequest>,
) -> ApiResult<ApiJson<GetStatisticsReply>> {
    let audit = &services.audit;
    let call = |context| async move { audit.get_statistics(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::AUDIT_GET_STATISTICS, target(), call);
    Ok(ApiJson(called.await?))
}

/// Hashes the whole log again and compares tiles, checkpoints and index. What was tampered with is an answer.
#[utoipa::path(
    post, path = "/v1/audit/verify", operation_id = "audit.verify",
    request_body = VerifyRequest,
    responses((status = 200, description = "What was found.", body = VerifyReply)),
)]
async fn verify(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<VerifyRequest>,
) -> ApiResult<ApiJson<VerifyReply>> {
    let audit = &services.audit;
    let call = |context| async move { audit.verify(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::AUDIT_VERIFY, target(), call);
    Ok(ApiJson(called.await?))
}
