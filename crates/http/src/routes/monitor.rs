//! The `monitor` block. Bodies and answers are the block's own types.

use axum::extract::State;
use plinth_core::Resource;
use plinth_gate::Target;
use plinth_gate::catalogue::ops;
use plinth_monitor::{
    GetMetricsReply, GetMetricsRequest, IncrementCounterReply, IncrementCounterRequest,
    ListMetricsReply, ListMetricsRequest, MetricSpec, RecordBatchReply, RecordBatchRequest,
    RecordHistogramReply, RecordHistogramRequest, RecordMetricReply, RegisterMetricReply,
    RegisterMetricRequest, Sample, SetGaugeReply, SetGaugeRequest, metric_resources,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{ApiJson, ApiPath, ApiQuery, ApiSession};
use crate::problem::ApiResult;
use crate::services::Services;

/// The routes of the block.
pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(record_metric))
        .routes(routes!(record_batch))
        .routes(routes!(increment_counter))
        .routes(routes!(record_histogram))
        .routes(routes!(set_gauge))
        .routes(routes!(get_metrics))
        .routes(routes!(register_metric))
        .routes(routes!(list_metrics))
}

fn target(metric: &str) -> Target {
    Target::resources(metric_resources([metric]))
}

/// Records one sample of any metric. It is durable when the answer comes.
#[utoipa::path(
    post, path = "/v1/monitor/record-metric", operation_id = "monitor.record_metric",
    request_body = Sample,
    responses((status = 200, description = "It is stored.", body = RecordMetricReply)),
)]
async fn record_metric(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<Sample>,
) -> ApiResult<ApiJson<RecordMetricReply>> {
    let target = target(&request.metric);
    let monitor = &services.monitor;
    let call = |context| async move { monitor.record_metric(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::MONITOR_RECORD_METRIC, target, call);
    Ok(ApiJson(called.await?))
}

/// Records many samples in one commit. Each is checked before the first is written.
#[utoipa::path(
    post, path = "/v1/monitor/record-batch", operation_id = "monitor.record_batch",
    request_body = RecordBatchRequest,
    responses((status = 200, description = "What was stored and what was not.", body = RecordBatchReply)),
)]
async fn record_batch(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<RecordBatchRequest>,
) -> ApiResult<ApiJson<RecordBatchReply>> {
    let target = Target::resources(request.resources());
    let monitor = &services.monitor;
    let call = |context| async move { monitor.record_batch(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::MONITOR_RECORD_BATCH, target, call);
    Ok(ApiJson(called.await?))
}

/// Adds to a counter. Increments of any number of callers add up.
#[utoipa::path(
    post, path = "/v1/monitor/increment-counter", operation_id = "monitor.increment_counter",
    request_body = IncrementCounterRequest,
    responses((status = 200, description = "The total after it.", body = IncrementCounterReply)),
)]
async fn increment_counter(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<IncrementCounterRequest>,
) -> ApiResult<ApiJson<IncrementCounterReply>> {
    let target = target(&request.metric);
    let monitor = &services.monitor;
    let call = |context| async move { monitor.increment_counter(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::MONITOR_INCREMENT_COUNTER, target, call);
    Ok(ApiJson(called.await?))
}

/// Puts observations into a histogram.
#[utoipa::path(
    post, path = "/v1/monitor/record-histogram", operation_id = "monitor.record_histogram",
    request_body = RecordHistogramRequest,
    responses((status = 200, description = "Its count and sum after them.", body = RecordHistogramReply)),
)]
async fn record_histogram(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<RecordHistogramRequest>,
) -> ApiResult<ApiJson<RecordHistogramReply>> {
    let target = target(&request.metric);
    let monitor = &services.monitor;
    let call = |context| async move { monitor.record_histogram(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::MONITOR_RECORD_HISTOGRAM, target, call);
    Ok(ApiJson(called.await?))
}

/// Sets a gauge.
#[utoipa::path(
    post, path = "/v1/monitor/set-gauge", operation_id = "monitor.set_gauge",
    request_body = SetGaugeRequest,
    responses((status = 200, description = "It is stored.", body = SetGaugeReply)),
)]
async fn set_gauge(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<SetGaugeRequest>,
) -> ApiResult<ApiJson<SetGaugeReply>> {
    let target = target(&request.metric);
    let monitor = &services.monitor;
    let call = |context| async move { monitor.set_gauge(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::MONITOR_SET_GAUGE, target, call);
    Ok(ApiJson(called.await?))
}

/// Queries a metric: its stored samples, or an aggregate at one instant or at many.
#[utoipa::path(
    post, path = "/v1/monitor/get-metrics", operation_id = "monitor.get_metrics",
    request_body = GetMetricsRequest,
    responses((status = 200, description = "The points by series or group.", body = GetMetricsReply)),
)]
async fn get_metrics(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<GetMetricsRequest>,
) -> ApiResult<ApiJson<GetMetricsReply>> {
    let target = target(&request.metric);
    let monitor = &services.monitor;
    let call = |context| async move { monitor.get_metrics(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::MONITOR_GET_METRICS, target, call);
    Ok(ApiJson(called.await?))
}

/// Registers a metric, or changes its help, time to live or series limit.
#[utoipa::path(
    put, path = "/v1/monitor/metrics/{metric}", operation_id = "monitor.register_metric",
    params(("metric" = String, Path, description = "Name of the metric")),
    request_body = MetricSpec,
    responses((status = 200, description = "It is registered.", body = RegisterMetricReply)),
)]
async fn register_metric(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(metric): ApiPath<String>,
    ApiJson(spec): ApiJson<MetricSpec>,
) -> ApiResult<ApiJson<RegisterMetricReply>> {
    let target = target(&metric);
    let request = RegisterMetricRequest { metric, spec };
    let monitor = &services.monitor;
    let call = |context| async move { monitor.register_metric(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::MONITOR_REGISTER_METRIC, target, call);
    Ok(ApiJson(called.await?))
}

/// Lists registered metrics by name, with their usage.
#[utoipa::path(
    get, path = "/v1/monitor/metrics", operation_id = "monitor.list_metrics",
    params(ListMetricsRequest),
    responses((status = 200, description = "One page.", body = ListMetricsReply)),
)]
async fn list_metrics(
    State(services): State<Services>,
    session: ApiSession,
    ApiQuery(request): ApiQuery<ListMetricsRequest>,
) -> ApiResult<ApiJson<ListMetricsReply>> {
    let target = Target::resource(Resource::all("metric"));
    let monitor = &services.monitor;
    let call = |context| async move { monitor.list_metrics(&context, request).await };
    let called = services
        .gate
        .call(&session, &ops::MONITOR_LIST_METRICS, target, call);
    Ok(ApiJson(called.await?))
}
