// The structs of the audit block.
namespace go support.audit
namespace py support.audit
namespace java support.audit
namespace js support.audit

include "../base.thrift"

struct AuditLogOperationRequest {
    255: optional base.Base base
}

struct AuditLogOperationResponse {
    255: optional base.BaseResp base_resp
}

struct AuditLogBatchRequest {
    255: optional base.Base base
}

struct AuditLogBatchResponse {
    255: optional base.BaseResp base_resp
}

struct AuditQueryLogsRequest {
    255: optional base.Base base
}

struct AuditQueryLogsResponse {
    255: optional base.BaseResp base_resp
}

struct AuditGetRecordRequest {
    255: optional base.Base base
}

struct AuditGetRecordResponse {
    255: optional base.BaseResp base_resp
}

struct AuditExportLogsRequest {
    255: optional base.Base base
}

struct AuditExportLogsResponse {
    255: optional base.BaseResp base_resp
}

struct AuditGetStatisticsRequest {
    255: optional base.Base base
}

struct AuditGetStatisticsResponse {
    255: optional base.BaseResp base_resp
}

struct AuditVerifyRequest {
    255: optional base.Base base
}

struct AuditVerifyResponse {
    255: optional base.BaseResp base_resp
}
