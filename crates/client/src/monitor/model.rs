//! What a caller says and is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Labels of a series by name.
pub type MetricLabels = BTreeMap<String, String>;

/// One sample. Exactly one of `value`, `increment` and `observations` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricSample {
    /// Name of the metric.
    pub metric: String,
    /// At most 32 labels.
    pub labels: MetricLabels,
    /// Of a gauge its value, of a counter its total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Added to a counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub increment: Option<f64>,
    /// Put into a histogram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observations: Option<Vec<f64>>,
    /// When it was taken, Unix milliseconds; now where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
    /// `counter`, `gauge` or `histogram`: checked, and used where the name is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
}

/// What was stored for one sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRecorded {
    /// Its time, Unix milliseconds.
    pub timestamp_ms: i64,
    /// A gauge's value, a counter's total, the number of observations of a histogram.
    pub value: f64,
}

/// One sample of a batch that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricRejected {
    /// Its place in the batch.
    pub index: i32,
    /// Error code.
    pub code: i32,
    /// The code's name.
    pub reason: String,
    /// What is wrong.
    pub message: String,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricBatch {
    /// How many samples were stored.
    pub accepted: i32,
    /// Those that were not.
    pub rejected: Vec<MetricRejected>,
}

/// A counter after an increment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CounterTotal {
    /// Its total.
    pub total: f64,
    /// Time of the stored sample, Unix milliseconds.
    pub timestamp_ms: i64,
}

/// A histogram after observations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramTotal {
    /// How many observations its series has taken.
    pub count: i64,
    /// Their sum.
    pub sum: f64,
    /// Time of the stored sample, Unix milliseconds.
    pub timestamp_ms: i64,
}

/// One condition on a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricMatcher {
    /// Name of the label.
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: String,
    /// The text or regular expression.
    pub value: String,
}

/// A query. Without `aggregate` it asks for the samples as they were stored, and needs `start_ms`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MetricQuery {
    /// Name of the metric.
    pub metric: String,
    /// A series must meet them all.
    pub matchers: Vec<MetricMatcher>,
    /// Begin of the range, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// End of the range, Unix milliseconds; now where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
    /// Distance of the instants; one instant, at the end, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_ms: Option<i64>,
    /// `last`, `sum`, `avg`, `min`, `max`, `count`, `rate`, `increase`, `p50`, `p90`, `p95` or `p99`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// Labels to group by.
    pub by: Vec<String>,
    /// The window before each instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<i64>,
}

/// The whole state of a histogram at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricHistogram {
    /// Number of observations.
    pub count: i64,
    /// Their sum.
    pub sum: f64,
    /// Observations at or below each bound of the metric's `buckets`.
    pub cumulative_counts: Vec<i64>,
}

/// One point of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// The instant, or the stored sample's own time, Unix milliseconds.
    pub timestamp_ms: i64,
    /// The value.
    pub value: f64,
    /// The whole state, where a histogram's state itself was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<MetricHistogram>,
}

/// The points of one series or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSeries {
    /// Its labels.
    pub labels: MetricLabels,
    /// Its points by time.
    pub points: Vec<MetricPoint>,
}

/// What a query found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricAnswer {
    /// Name of the metric.
    pub metric: String,
    /// `counter`, `gauge` or `histogram`.
    pub metric_type: String,
    /// Its unit; may be empty.
    pub unit: String,
    /// Upper bounds of a histogram's buckets, without +Inf.
    pub buckets: Vec<f64>,
    /// By labels.
    pub series: Vec<MetricSeries>,
    /// How many stored samples were read.
    pub samples_read: i64,
}

/// What is registered under a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MetricSpec {
    /// `counter`, `gauge` or `histogram`.
    pub metric_type: String,
    /// Its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What it measures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The labels that its samples may carry; any where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_names: Option<Vec<String>>,
    /// Upper bounds of a histogram's buckets, without +Inf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets: Option<Vec<f64>>,
    /// After how long without a write a series ends, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
    /// Most series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_series: Option<i64>,
}

/// A registered metric and how it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricInfo {
    /// Its name.
    pub metric: String,
    /// `counter`, `gauge` or `histogram`.
    pub metric_type: String,
    /// Its unit; may be empty.
    pub unit: String,
    /// What it measures; may be empty.
    pub help: String,
    /// The labels that its samples may carry; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_names: Option<Vec<String>>,
    /// Upper bounds of a histogram's buckets.
    pub buckets: Vec<f64>,
    /// When an unwritten series ends, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
    /// Most series.
    pub max_series: i64,
    /// Whether its first sample registered it.
    pub auto_registered: bool,
    /// When it was registered, Unix milliseconds.
    pub created_ms: i64,
    /// When its registration was last changed, Unix milliseconds.
    pub updated_ms: i64,
    /// How many series it has.
    pub series: i64,
    /// Time of its newest sample, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_write_ms: Option<i64>,
    /// Samples refused by the series limits since the server started.
    pub refused: i64,
}

/// What a registration did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRegistration {
    /// The metric as registered.
    pub info: MetricInfo,
    /// Whether it is new.
    pub created: bool,
}

/// One page of registered metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricPage {
    /// Metrics by name.
    pub metrics: Vec<MetricInfo>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
