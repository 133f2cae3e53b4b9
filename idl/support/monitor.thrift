// The structs of the monitor block.
namespace go support.monitor
namespace py support.monitor
namespace java support.monitor
namespace js support.monitor

include "../base.thrift"

struct MonitorRecordMetricRequest {
    255: optional base.Base base
}

struct MonitorRecordMetricResponse {
    255: optional base.BaseResp base_resp
}

struct MonitorRecordBatchRequest {
    255: optional base.Base base
}

struct MonitorRecordBatchResponse {
    255: optional base.BaseResp base_resp
}

struct MonitorIncrementCounterRequest {
    255: optional base.Base base
}

struct MonitorIncrementCounterResponse {
    255: optional base.BaseResp base_resp
}

struct MonitorRecordHistogramRequest {
    255: optional base.Base base
}

struct MonitorRecordHistogramResponse {
    255: optional base.BaseResp base_resp
}

struct MonitorSetGaugeRequest {
    255: optional base.Base base
}

struct MonitorSetGaugeResponse {
    255: optional base.BaseResp base_resp
}

struct MonitorGetMetricsRequest {
    255: optional base.Base base
}

struct MonitorGetMetricsResponse {
    255: optional base.BaseResp base_resp
}

struct MonitorRegisterMetricRequest {
    255: optional base.Base base
}

struct MonitorRegisterMetricResponse {
    255: optional base.BaseResp base_resp
}

struct MonitorListMetricsRequest {
    255: optional base.Base base
}

struct MonitorListMetricsResponse {
    255: optional base.BaseResp base_resp
}
