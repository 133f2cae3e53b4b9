//! Requests, replies and the types that carry their rules. Parsed once, valid by construction.

mod answer;
mod definition;
mod histogram;
mod labels;
pub mod limits;
mod matcher;
mod query;
mod sample;

pub use answer::{GetMetricsReply, Histogram, Point, SeriesPoints};
pub use definition::{
    ListMetricsReply, ListMetricsRequest, MetricDefinition, MetricInfo, MetricSpec, MetricType,
    RegisterMetricReply, RegisterMetricRequest,
};
pub use histogram::{BUCKETS_DEFAULT, HistogramState};
pub use labels::{Labels, check_label_name, check_metric_name, metric_resources};
pub use matcher::{LabelMatcher, Matcher};
pub use query::{Aggregate, GetMetricsRequest, Instants, Query, Shape};
pub use sample::{
    BatchMode, IncrementCounterReply, IncrementCounterRequest, RecordBatchReply,
    RecordBatchRequest, RecordHistogramReply, RecordHistogramRequest, RecordMetricReply, Recorded,
    Rejected, Sample, SetGaugeReply, SetGaugeRequest,
};

pub(crate) use answer::clamp_count;
pub(crate) use definition::Listing;
pub(crate) use sample::{ParsedSample, Payload, check_not_negative};
