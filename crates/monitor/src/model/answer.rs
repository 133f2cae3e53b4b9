//! What a query found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::histogram::HistogramState;

/// The whole state of a histogram at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorHistogram)]
pub struct Histogram {
    /// Number of observations.
    pub count: i64,
    /// Their sum.
    pub sum: f64,
    /// Observations at or below each bound of the metric's `buckets`, cumulative, in their order; those above the last
    /// bound are in `count` only.
    pub cumulative_counts: Vec<i64>,
}

impl From<&HistogramState> for Histogram {
    fn from(state: &HistogramState) -> Self {
        let mut cumulative_counts: Vec<i64> = state.cumulative().map(clamp_count).collect();
        let count = cumulative_counts.pop().unwrap_or(0);
        Self {
            count,
            sum: state.sum,
            cumulative_counts,
        }
    }
}

/// A count as the edges carry it.
pub(crate) fn clamp_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// One point of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorPoint)]
pub struct Point {
    /// The instant, or the stored sample's own time, unix ms.
    pub timestamp_ms: i64,
    /// The value; of a histogram's stored state the number of observations.
    pub value: f64,
    /// The whole state, where a histogram's state itself is asked for (`last`, or no aggregate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
}

/// The points of one series or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorSeries)]
pub struct SeriesPoints {
    /// Labels of the series, or of the group: those of `by` that are not empty.
    pub labels: BTreeMap<String, String>,
    /// Points by time; an instant without data has none.
    pub points: Vec<Point>,
}

/// What a query found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorGetMetricsReply)]
pub struct GetMetricsReply {
    /// The metric's name.
    pub metric: String,
    /// `counter`, `gauge` or `histogram`.
    pub metric_type: String,
    /// Its unit; empty where none was registered.
    pub unit: String,
    /// Upper bounds of a histogram's buckets, ascending, without +Inf; empty otherwise.
    pub buckets: Vec<f64>,
    /// By labels; a series or group without any point is left out.
    pub series: Vec<SeriesPoints>,
    /// How many stored samples were read.
    pub samples_read: i64,
}
