//! What this block asks of a store of time series.

pub mod embedded;

use std::sync::Arc;

use async_trait::async_trait;
use plinth_core::access::IdempotencyScope;
use plinth_core::{Deadline, TenantId};
use serde::{Deserialize, Serialize};

use crate::error::MonitorError;
use crate::model::{BatchMode, HistogramState, LabelMatcher, Labels, MetricDefinition, Rejected};

pub use embedded::{EmbeddedBackend, EmbeddedOptions};

/// The value of a stored sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A gauge's value or a counter's total.
    Scalar(f64),
    /// A histogram's whole state.
    Histogram(Arc<HistogramState>),
}

impl Value {
    /// The number that stands for it: a scalar itself, of a histogram the number of observations.
    #[must_use]
    pub fn number(&self) -> f64 {
        match self {
            Self::Scalar(value) => *value,
            Self::Histogram(state) => state.count() as f64,
        }
    }
}

/// A stored sample.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSample {
    /// Its time, unix ms.
    pub at_ms: i64,
    /// Its value.
    pub value: Value,
}

/// What a sample does to its series.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A value is put at the sample's own time.
    Set(f64),
    /// A total grows, at the sample's time or that of the newest sample, whichever is later.
    Add(f64),
    /// Observations are added, at the time as for [`Change::Add`].
    Merge(HistogramState),
}

/// One sample to be written; it fits its metric.
#[derive(Clone, Debug)]
pub struct WriteItem {
    /// The metric.
    pub definition: Arc<MetricDefinition>,
    /// The series.
    pub labels: Labels,
    /// What is done to it.
    pub change: Change,
    /// The sample's time, unix ms.
    pub at_ms: i64,
}

/// Samples that one request writes, in one commit.
#[derive(Debug)]
pub struct Write {
    /// Whose they are.
    pub tenant: TenantId,
    /// The samples by their place in the request; in mode [`BatchMode::PerItem`] some may be rejected already.
    pub items: Vec<Result<WriteItem, Rejected>>,
    /// What becomes of the others where one is refused.
    pub mode: BatchMode,
    /// The idempotency key, if there is one.
    pub scope: Option<IdempotencyScope>,
    /// When the request came, unix ms: series whose time to live is over by then have ended.
    pub now_ms: i64,
}

/// What was stored of the last sample of a write.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Its time, unix ms.
    pub at_ms: i64,
    /// [`Value::number`].
    pub value: f64,
    /// A histogram's number of observations; 0 otherwise.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// The answer to a write; a repeat with the same idempotency key gets the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WriteAnswer {
    /// How many samples were stored.
    pub accepted: i32,
    /// Those that were not.
    pub rejected: Vec<Rejected>,
    /// What was stored of the last sample.
    pub last: Option<Stored>,
}

/// Which samples a read wants.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Whose.
    pub tenant: TenantId,
    /// Of which metric.
    pub metric: String,
    /// Of which of its series.
    pub matchers: Vec<LabelMatcher>,
    /// From when, exclusive, unix ms.
    pub from_ms: i64,
    /// To when, inclusive, unix ms.
    pub to_ms: i64,
    /// Whether the newest sample at or before `from_ms` is wanted too.
    pub baseline: bool,
    /// The time of the request, unix ms.
    pub now_ms: i64,
    /// When the caller stops waiting.
    pub deadline: Deadline,
    /// Most series.
    pub series_max: usize,
    /// Most samples, a histogram's state counting as many as it has buckets.
    pub samples_max: u64,
}

/// One series as it is read.
#[derive(Debug)]
pub struct SeriesRead<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Time of the first sample it ever had, unix ms.
    pub first_ms: i64,
    /// Whether it began with an increment or an observation, that is at zero.
    pub from_zero: bool,
    /// The newest sample at or before `from_ms`, where it was asked for and is still there.
    pub baseline: Option<&'a StoredSample>,
    /// The samples in (`from_ms`, `to_ms`] by time, one for each time.
    pub samples: &'a [StoredSample],
}

/// Receives the series of a read one by one, by labels; an error ends the read.
pub type SeriesVisitor = Box<dyn FnMut(SeriesRead<'_>) -> Result<(), MonitorError> + Send>;

/// A series as it stands now.
#[derive(Clone, Debug, PartialEq)]
pub struct CurrentSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its newest sample.
    pub newest: StoredSample,
}

/// How a metric is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many series it has.
    pub series: usize,
    /// Time of its newest sample, unix ms.
    pub newest_ms: Option<i64>,
    /// Samples refused by the series limits since the start.
    pub refused: u64,
}

/// What an upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpkeepReport {
    /// Series that ended.
    pub series_removed: usize,
    /// Chunks of samples that were removed.
    pub chunks_removed: usize,
}

/// A store of time series. What it acknowledges is durable; samples of one series at one time are one sample, the later
/// write winning.
#[async_trait]
pub trait SeriesBackend: Send + Sync + 'static {
    /// Writes samples in one commit; returns once they are durable.
    ///
    /// Errors: 2203 where a series limit is reached (naming the sample), 1005 where the idempotency key was used for
    /// another request, 1009 where too much waits, 2201 where the store fails.
    async fn write(&self, write: Write) -> Result<WriteAnswer, MonitorError>;
    /// The answer that was stored under an idempotency key, by the writes before; `None` where there is none. For a request
    /// that is refused before it comes to [`SeriesBackend::write`].
    ///
    /// Errors: 1005 where the key was used for another request, 2202 where the store fails.
    async fn recall(&self, scope: IdempotencyScope) -> Result<Option<WriteAnswer>, MonitorError>;
    /// Takes over a changed definition: its time to live holds from now on.
    async fn define(
        &self,
        tenant: &TenantId,
        definition: Arc<MetricDefinition>,
    ) -> Result<(), MonitorError>;
    /// Hands the selected series to `visit`, by labels, and returns how many samples they had in the range.
    ///
    /// Errors: those of `visit`; 1007 where a limit of the selection is passed; 1010 where its deadline is; 2202 where the store fails.
    async fn read(&self, selection: Selection, visit: SeriesVisitor) -> Result<u64, MonitorError>;
    /// The series of a metric that have not ended, by labels.
    fn current(&self, tenant: &TenantId, metric: &str, now_ms: i64) -> Vec<CurrentSeries>;
    /// How a metric is used.
    fn usage(&self, tenant: &TenantId, metric: &str) -> Usage;
    /// Removes what the retention and the times to live have ended.
    async fn upkeep(&self, now_ms: i64) -> Result<UpkeepReport, MonitorError>;
    /// Finishes what was accepted and closes the files; later calls fail.
    async fn close(&self);
}
