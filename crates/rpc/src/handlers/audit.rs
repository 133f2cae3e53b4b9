//! The `audit` block.

use plinth_audit::model::{
    ExportLogsRequest, GetRecordRequest, GetStatisticsRequest, LogBatchRequest,
    LogOperationRequest, QueryLogsRequest, VerifyRequest,
};
use plinth_core::{Resource, Result};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::audit::*;

mod inward;
mod outward;

use self::inward::{entries, entry, filter};
use super::convert::text;
use crate::services::Services;

/// The log is one for the tenant: permissions name it as a whole.
fn target() -> Target {
    Target::resource(Resource::all("audit"))
}

pub(crate) async fn log_operation(
    services: &Services,
    session: &Session,
    request: AuditLogOperationRequest,
) -> Result<AuditLogOperationResponse> {
    let call = |context| async move {
        let entry = entry(request.entry).map_err(|error| error.in_field("entry"))?;
        let request = LogOperationRequest { entry };
        services.audit.log_operation(&context, request).await
    };
    let reply = services
        .gate
        .call(session, &ops::AUDIT_LOG_OPERATION, target(), call)
        .await?;
    Ok(AuditLogOperationResponse {
        receipt: outward::receipt(reply.receipt),
        base_resp: None,
    })
}

pub(crate) async fn log_batch(
    services: &Services,
    session: &Session,
    request: AuditLogBatchRequest,
) -> Result<AuditLogBatchResponse> {
    let call = |context| async move {
        let request = LogBatchRequest {
            entries: entries(request.entries)?,
        };
        services.audit.log_batch(&context, request).await
    };
    let reply = services
        .gate
        .call(session, &ops::AUDIT_LOG_BATCH, target(), call)
        .await?;
    let receipts = reply.receipts.into_iter().map(outward::receipt);
    Ok(AuditLogBatchResponse {
        receipts: receipts.collect(),
        base_resp: None,
    })
}

pub(crate) async fn query_logs(
    services: &Services,
    session: &Session,
    request: AuditQueryLogsRequest,
) -> Result<AuditQueryLogsResponse> {
    let request = QueryLogsRequest {
        filter: request.filter.map(filter),
        sort: text(request.sort),
        limit: request.limit,
        cursor: text(request.cursor),
        count_total: request.count_total,
    };
    let call = |context| async move { services.audit.query_logs(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::AUDIT_QUERY_LOGS, target(), call)
        .await?;
    Ok(AuditQueryLogsResponse {
        records: reply.records.into_iter().map(outward::record).collect(),
        next_cursor: reply.next_cursor.map(Into::into),
        total: reply.total,
        snapshot_size: reply.snapshot_size.0,
        base_resp: None,
    })
}

pub(crate) async fn get_record(
    services: &Services,
    session: &Session,
    request: AuditGetRecordRequest,
) -> Result<AuditGetRecordResponse> {
    let request = GetRecordRequest {
        record: request.record.to_string(),
    };
    let call = |context| async move { services.audit.get_record(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::AUDIT_GET_RECORD, target(), call)
        .await?;
    Ok(AuditGetRecordResponse {
        record: outward::record(reply.record),
        proof: outward::proof(reply.proof),
        base_resp: None,
    })
}

pub(crate) async fn export_logs(
    services: &Services,
    session: &Session,
    request: AuditExportLogsRequest,
) -> Result<AuditExportLogsResponse> {
    let request = ExportLogsRequest {
        filter: request.filter.map(filter),
        format: request.format.to_string(),
        sort: text(request.sort),
        limit: request.limit,
        cursor: text(request.cursor),
    };
    let call = |context| async move { services.audit.export_logs(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::AUDIT_EXPORT_LOGS, target(), call)
        .await?;
    Ok(AuditExportLogsResponse {
        data: reply.data,
        records: reply.records,
        next_cursor: reply.next_cursor.map(Into::into),
        snapshot_size: reply.snapshot_size.0,
        base_resp: None,
    })
}

pub(crate) async fn get_statistics(
    services: &Services,
    session: &Session,
    request: AuditGetStatisticsRequest,
) -> Result<AuditGetStatisticsResponse> {
    let request = GetStatisticsRequest {
        filter: request.filter.map(filter),
        bucket_ms: request.bucket_ms,
        top: request.top,
    };
    let call = |context| async move { services.audit.get_statistics(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::AUDIT_GET_STATISTICS, target(), call)
        .await?;
    Ok(outward::statistics(reply))
}

pub(crate) async fn verify(
    services: &Services,
    session: &Session,
    request: AuditVerifyRequest,
) -> Result<AuditVerifyResponse> {
    let request = VerifyRequest {
        checkpoint: text(request.checkpoint),
    };
    let call = |context| async move { services.audit.verify(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::AUDIT_VERIFY, target(), call)
        .await?;
    Ok(outward::verification(reply))
}
