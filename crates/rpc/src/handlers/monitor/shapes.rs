//! The block's types and those of the IDL, from one to the other.

use std::collections::BTreeMap;

use faststr::FastStr;
use plinth_idl::monitor as idl;
use plinth_monitor::{Matcher, MetricInfo, Point, Rejected, Sample, SeriesPoints};

use crate::handlers::convert::{text, text_map};

pub(super) fn labels(
    labels: Option<impl IntoIterator<Item = (FastStr, FastStr)>>,
) -> BTreeMap<String, String> {
    labels.map(text_map).unwrap_or_default()
}

pub(super) fn sample(sample: idl::MonitorSample) -> Sample {
    Sample {
        metric: sample.metric.to_string(),
        labels: labels(sample.labels),
        value: sample.value,
        increment: sample.increment,
        observations: sample.observations,
        timestamp_ms: sample.timestamp_ms,
        metric_type: text(sample.metric_type),
    }
}

pub(super) fn matcher(matcher: idl::MonitorMatcher) -> Matcher {
    Matcher {
        label: matcher.label.to_string(),
        op: matcher.op.to_string(),
        value: matcher.value.to_string(),
    }
}

pub(super) fn rejected(rejected: Rejected) -> idl::MonitorRejected {
    idl::MonitorRejected {
        index: rejected.index,
        code: rejected.code,
        reason: rejected.reason.into(),
        message: rejected.message.into(),
    }
}

pub(super) fn series(series: SeriesPoints) -> idl::MonitorSeries {
    let labels = series.labels.into_iter();
    idl::MonitorSeries {
        labels: labels
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        points: series.points.into_iter().map(point).collect(),
    }
}

fn point(point: Point) -> idl::MonitorPoint {
    idl::MonitorPoint {
        timestamp_ms: point.timestamp_ms,
        value: point.value,
        histogram: point.histogram.map(|state| idl::MonitorHistogram {
            count: state.count,
            sum: state.sum,
            cumulative_counts: state.cumulative_counts,
        }),
    }
}

pub(super) fn metric_info(info: MetricInfo) -> idl::MonitorMetricInfo {
    let names = |names: Vec<String>| names.into_iter().map(FastStr::from).collect();
    idl::MonitorMetricInfo {
        metric: info.metric.into(),
        metric_type: info.metric_type.into(),
        unit: info.unit.into(),
        help: info.help.into(),
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
