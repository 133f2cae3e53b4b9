//! The `monitor` block.

mod shapes;

use plinth_core::{Resource, Result};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::monitor::*;
use plinth_monitor::{
    GetMetricsRequest, IncrementCounterRequest, ListMetricsRequest, MetricSpec, RecordBatchRequest,
    RecordHistogramRequest, RegisterMetricRequest, Sample, SetGaugeRequest, metric_resources,
};

use self::shapes::{labels, matcher, metric_info, rejected, sample, series};
use super::convert::{text, text_list};
use crate::services::Services;

fn target(metric: &str) -> Target {
    Target::resources(metric_resources([metric]))
}

pub(crate) async fn record_metric(
    services: &Services,
    session: &Session,
    request: MonitorRecordMetricRequest,
) -> Result<MonitorRecordMetricResponse> {
    let target = target(&request.metric);
    let request = Sample {
        metric: request.metric.to_string(),
        labels: labels(request.labels),
        value: request.value,
        increment: request.increment,
        observations: request.observations,
        timestamp_ms: request.timestamp_ms,
        metric_type: text(request.metric_type),
    };
    let call = |context| async move { services.monitor.record_metric(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::MONITOR_RECORD_METRIC, target, call)
        .await?;
    Ok(MonitorRecordMetricResponse {
        recorded: MonitorRecorded {
            timestamp_ms: reply.recorded.timestamp_ms,
            value: reply.recorded.value,
        },
        base_resp: None,
    })
}

pub(crate) async fn record_batch(
    services: &Services,
    session: &Session,
    request: MonitorRecordBatchRequest,
) -> Result<MonitorRecordBatchResponse> {
    let request = RecordBatchRequest {
        samples: request.samples.into_iter().map(sample).collect(),
        mode: text(request.mode),
    };
    let target = Target::resources(request.resources());
    let call = |context| async move { services.monitor.record_batch(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::MONITOR_RECORD_BATCH, target, call)
        .await?;
    Ok(MonitorRecordBatchResponse {
        accepted: reply.accepted,
        rejected: reply.rejected.into_iter().map(rejected).collect(),
        base_resp: None,
    })
}

pub(crate) async fn increment_counter(
    services: &Services,
    session: &Session,
    request: MonitorIncrementCounterRequest,
) -> Result<MonitorIncrementCounterResponse> {
    let target = target(&request.metric);
    let request = IncrementCounterRequest {
        metric: request.metric.to_string(),
        labels: labels(request.labels),
        delta: request.delta,
        timestamp_ms: request.timestamp_ms,
    };
    let call = |context| async move { services.monitor.increment_counter(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::MONITOR_INCREMENT_COUNTER, target, call)
        .await?;
    Ok(MonitorIncrementCounterResponse {
        total: reply.total,
        timestamp_ms: reply.timestamp_ms,
        base_resp: None,
    })
}

pub(crate) async fn record_histogram(
    services: &Services,
    session: &Session,
    request: MonitorRecordHistogramRequest,
) -> Result<MonitorRecordHistogramResponse> {
    let target = target(&request.metric);
    let request = RecordHistogramRequest {
        metric: request.metric.to_string(),
        labels: labels(request.labels),
        observations: request.observations,
        timestamp_ms: request.timestamp_ms,
    };
    let call = |context| async move { services.monitor.record_histogram(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::MONITOR_RECORD_HISTOGRAM, target, call)
        .await?;
    Ok(MonitorRecordHistogramResponse {
        count: reply.count,
        sum: reply.sum,
        timestamp_ms: reply.timestamp_ms,
        base_resp: None,
    })
}

pub(crate) async fn set_gauge(
    services: &Services,
    session: &Session,
    request: MonitorSetGaugeRequest,
) -> Result<MonitorSetGaugeResponse> {
    let target = target(&request.metric);
    let request = SetGaugeRequest {
        metric: request.metric.to_string(),
        labels: labels(request.labels),
        value: request.value,
        timestamp_ms: request.timestamp_ms,
    };
    let call = |context| async move { services.monitor.set_gauge(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::MONITOR_SET_GAUGE, target, call)
        .await?;
    Ok(MonitorSetGaugeResponse {
        timestamp_ms: reply.timestamp_ms,
        base_resp: None,
    })
}

pub(crate) async fn get_metrics(
    services: &Services,
    session: &Session,
    request: MonitorGetMetricsRequest,
) -> Result<MonitorGetMetricsResponse> {
    let target = target(&request.metric);
    let matchers = request.matchers.unwrap_or_default();
    let request = GetMetricsRequest {
        metric: request.metric.to_string(),
        matchers: matchers.into_iter().map(matcher).collect(),
        start_ms: request.start_ms,
        end_ms: request.end_ms,
        step_ms: request.step_ms,
        aggregate: text(request.aggregate),
        by: text_list(request.by.unwrap_or_default()),
        window_ms: request.window_ms,
    };
    let call = |context| async move { services.monitor.get_metrics(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::MONITOR_GET_METRICS, target, call)
        .await?;
    Ok(MonitorGetMetricsResponse {
        metric: reply.metric.into(),
        metric_type: reply.metric_type.into(),
        unit: reply.unit.into(),
        buckets: reply.buckets,
        series: reply.series.into_iter().map(series).collect(),
        samples_read: reply.samples_read,
        base_resp: None,
    })
}

pub(crate) async fn register_metric(
    services: &Services,
    session: &Session,
    request: MonitorRegisterMetricRequest,
) -> Result<MonitorRegisterMetricResponse> {
    let target = target(&request.metric);
    let request = RegisterMetricRequest {
        metric: request.metric.to_string(),
        spec: MetricSpec {
            metric_type: request.metric_type.to_string(),
            unit: text(request.unit),
            help: text(request.help),
            label_names: request.label_names.map(text_list),
            buckets: request.buckets,
            ttl_ms: request.ttl_ms,
            max_series: request.max_series,
        },
    };
    let call = |context| async move { services.monitor.register_metric(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::MONITOR_REGISTER_METRIC, target, call)
        .await?;
    Ok(MonitorRegisterMetricResponse {
        info: metric_info(reply.info),
        created: reply.created,
        base_resp: None,
    })
}

pub(crate) async fn list_metrics(
    services: &Services,
    session: &Session,
    request: MonitorListMetricsRequest,
) -> Result<MonitorListMetricsResponse> {
    let target = Target::resource(Resource::all("metric"));
    let request = ListMetricsRequest {
        prefix: text(request.prefix),
        limit: request.limit,
        cursor: text(request.cursor),
    };
    let call = |context| async move { services.monitor.list_metrics(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::MONITOR_LIST_METRICS, target, call)
        .await?;
    Ok(MonitorListMetricsResponse {
        metrics: reply.metrics.into_iter().map(metric_info).collect(),
        next_cursor: reply.next_cursor.map(Into::into),
        base_resp: None,
    })
}
