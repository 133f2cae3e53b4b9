//! The shapes on both wires, and their way to and from the client's own.

use faststr::FastStr;
use plinth_idl::monitor as idl;
use serde::{Deserialize, Serialize};

use super::model::{
    CounterTotal, HistogramTotal, MetricAnswer, MetricBatch, MetricHistogram, MetricInfo,
    MetricLabels, MetricMatcher, MetricPage, MetricPoint, MetricQuery, MetricRecorded,
    MetricRegistration, MetricRejected, MetricSample, MetricSeries, MetricSpec,
};

/// The body of an operation on one series.
#[derive(Serialize)]
pub(super) struct SeriesBody<'call> {
    pub(super) metric: &'call str,
    pub(super) labels: &'call MetricLabels,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observations: Option<&'call [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp_ms: Option<i64>,
}

impl<'call> SeriesBody<'call> {
    /// Only the series; the operation adds its own.
    pub(super) const fn of(metric: &'call str, labels: &'call MetricLabels) -> Self {
        Self {
            metric,
            labels,
            delta: None,
            value: None,
            observations: None,
            timestamp_ms: None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct BatchBody<'call> {
    pub(super) samples: &'call [MetricSample],
    pub(super) mode: &'static str,
}

#[derive(Deserialize)]
pub(super) struct RecordedBody {
    pub(super) recorded: MetricRecorded,
}

#[derive(Deserialize)]
pub(super) struct GaugeBody {
    pub(super) timestamp_ms: i64,
}

pub(super) fn text(text: &str) -> FastStr {
    FastStr::new(text)
}

pub(super) fn optional_text(value: Option<&str>) -> Option<FastStr> {
    value.map(FastStr::new)
}

fn own(text: FastStr) -> String {
    text.to_string()
}

pub(super) fn thrift_labels<T: FromIterator<(FastStr, FastStr)>>(
    labels: &MetricLabels,
) -> Option<T> {
    let pairs = labels.iter();
    (!labels.is_empty()).then(|| {
        pairs
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    })
}

pub(super) fn thrift_sample(sample: &MetricSample) -> idl::MonitorSample {
    idl::MonitorSample {
        metric: text(&sample.metric),
        labels: thrift_labels(&sample.labels),
        value: sample.value,
        increment: sample.increment,
        observations: sample.observations.clone(),
        timestamp_ms: sample.timestamp_ms,
        metric_type: optional_text(sample.metric_type.as_deref()),
    }
}

fn thrift_matcher(matcher: &MetricMatcher) -> idl::MonitorMatcher {
    idl::MonitorMatcher {
        label: text(&matcher.label),
        op: text(&matcher.op),
        value: text(&matcher.value),
    }
}

pub(super) fn thrift_query(query: &MetricQuery) -> idl::MonitorGetMetricsRequest {
    idl::MonitorGetMetricsRequest {
        metric: text(&query.metric),
        matchers: Some(query.matchers.iter().map(thrift_matcher).collect()),
        start_ms: query.start_ms,
        end_ms: query.end_ms,
        step_ms: query.step_ms,
        aggregate: optional_text(query.aggregate.as_deref()),
        by: Some(query.by.iter().map(|name| text(name)).collect()),
        window_ms: query.window_ms,
        base: None,
    }
}

pub(super) fn thrift_spec(metric: &str, spec: &MetricSpec) -> idl::MonitorRegisterMetricRequest {
    let names = |names: &Vec<String>| names.iter().map(|name| text(name)).collect();
    idl::MonitorRegisterMetricRequest {
        metric: text(metric),
        metric_type: text(&spec.metric_type),
        unit: optional_text(spec.unit.as_deref()),
        help: optional_text(spec.help.as_deref()),
        label_names: spec.label_names.as_ref().map(names),
        buckets: spec.buckets.clone(),
        ttl_ms: spec.ttl_ms,
        max_series: spec.max_series,
        base: None,
    }
}

impl From<idl::MonitorRecorded> for MetricRecorded {
    fn from(recorded: idl::MonitorRecorded) -> Self {
        Self {
            timestamp_ms: recorded.timestamp_ms,
            value: recorded.value,
        }
    }
}

impl From<idl::MonitorRecordBatchResponse> for MetricBatch {
    fn from(reply: idl::MonitorRecordBatchResponse) -> Self {
        let rejected = |rejected: idl::MonitorRejected| MetricRejected {
            index: rejected.index,
            code: rejected.code,
            reason: own(rejected.reason),
            message: own(rejected.message),
        };
        Self {
            accepted: reply.accepted,
            rejected: reply.rejected.into_iter().map(rejected).collect(),
        }
    }
}

impl From<idl::MonitorIncrementCounterResponse> for CounterTotal {
    fn from(reply: idl::MonitorIncrementCounterResponse) -> Self {
        Self {
            total: reply.total,
            timestamp_ms: reply.timestamp_ms,
        }
    }
}

impl From<idl::MonitorRecordHistogramResponse> for HistogramTotal {
    fn from(reply: idl::MonitorRecordHistogramResponse) -> Self {
        Self {
            count: reply.count,
            sum: reply.sum,
            timestamp_ms: reply.timestamp_ms,
        }
    }
}

impl From<idl::MonitorGetMetricsResponse> for MetricAnswer {
    fn from(reply: idl::MonitorGetMetricsResponse) -> Self {
        Self {
            metric: own(reply.metric),
            metric_type: own(reply.metric_type),
            unit: own(reply.unit),
            buckets: reply.buckets,
            series: reply.series.into_iter().map(MetricSeries::from).collect(),
            samples_read: reply.samples_read,
        }
    }
}

impl From<idl::MonitorSeries> for MetricSeries {
    fn from(series: idl::MonitorSeries) -> Self {
        let point = |point: idl::MonitorPoint| MetricPoint {
            timestamp_ms: point.timestamp_ms,
            value: point.value,
            histogram: point.histogram.map(|state| MetricHistogram {
                count: state.count,
                sum: state.sum,
                cumulative_counts: state.cumulative_counts,
            }),
        };
        let labels = series.labels.into_iter();
        Self {
            labels: labels
                .map(|(name, value)| (own(name), own(value)))
                .collect(),
            points: series.points.into_iter().map(point).collect(),
        }
    }
}

impl From<idl::MonitorMetricInfo> for MetricInfo {
    fn from(info: idl::MonitorMetricInfo) -> Self {
        let names = |names: Vec<FastStr>| names.into_iter().map(own).collect();
        Self {
            metric: own(info.metric),
            metric_type: own(info.metric_type),
            unit: own(info.unit),
            help: own(info.help),
            label_names: info.label_names.map(names),
            buckets: info.buckets,
            ttl_ms: info.ttl_ms,
            max_series: info.max_series,
            auto_registered: info.auto_registered,
            created_ms: info.created_ms,
            updated_ms: info.updated_ms,
            series: info.series,
            last_write_ms: info.last_write_ms,
            refused: info.refused,
        }
    }
}

impl From<idl::MonitorRegisterMetricResponse> for MetricRegistration {
    fn from(reply: idl::MonitorRegisterMetricResponse) -> Self {
        Self {
            info: reply.info.into(),
            created: reply.created,
        }
    }
}

impl From<idl::MonitorListMetricsResponse> for MetricPage {
    fn from(reply: idl::MonitorListMetricsResponse) -> Self {
        Self {
            metrics: reply.metrics.into_iter().map(MetricInfo::from).collect(),
            next_cursor: reply.next_cursor.map(own),
        }
    }
}
