//! What can go wrong in this block, each cause with its code.

use plinth_core::{Error, ErrorCode};
use plinth_store::StoreError;

use crate::model::MetricType;

/// A refusal or failure of the monitor block.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The request breaks a rule, or the control plane refused.
    #[error(transparent)]
    Refused(#[from] Error),
    /// No metric has this name, and unregistered names are not taken.
    #[error("no metric is named {metric:?}: register it first")]
    MetricUnknown {
        /// The name.
        metric: String,
    },
    /// A sample does not fit the type of its metric.
    #[error("{metric:?} is registered as a {registered}: {problem}")]
    TypeMismatch {
        /// The metric.
        metric: String,
        /// Its type.
        registered: MetricType,
        /// What does not fit.
        problem: &'static str,
    },
    /// A registration differs from the one that exists.
    #[error("{metric:?} is registered already and {difference}")]
    RegistrationConflict {
        /// The metric.
        metric: String,
        /// In what they differ.
        difference: String,
    },
    /// One more registered metric would pass the tenant's limit.
    #[error("the tenant has {limit} metrics, more are not allowed")]
    MetricLimit {
        /// The limit.
        limit: usize,
    },
    /// One more series would pass a limit.
    #[error("{scope} has {limit} series, more are not allowed: use labels with fewer values")]
    SeriesLimit {
        /// Whose limit it is: `the metric`, `the tenant` or `the instance`.
        scope: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A sample is dated outside the window that is accepted.
    #[error("timestamp_ms: is {at_ms}, must lie in {from_ms}..={to_ms}")]
    OutOfBounds {
        /// Its time.
        at_ms: i64,
        /// The earliest time accepted.
        from_ms: i64,
        /// The latest time accepted.
        to_ms: i64,
    },
    /// The labels of one more series would take too much memory.
    #[error(
        "{scope} may hold {limit} bytes of labels, and this series would pass that: use fewer, shorter labels, with fewer values"
    )]
    LabelBytesLimit {
        /// What has too many.
        scope: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The task that writes samples ended by a fault of ours.
    #[error(
        "the task that writes samples has ended by a fault: restart the instance; the log says why"
    )]
    WriterEnded {
        /// Whether the samples had been handed to it, so that nobody knows what became of them.
        handed_over: bool,
    },
    /// A query would read or return more than a limit allows.
    #[error("the query passes the limit of {limit} {what}: narrow its range or its conditions")]
    QueryTooLarge {
        /// What there would be too many of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// An aggregate passes the range of a double.
    #[error("the aggregate passes the range of a double")]
    NotFinite,
    /// The caller's deadline passed while a query ran.
    #[error("the deadline passed while the query ran")]
    Deadline,
    /// Too many samples wait to be written.
    #[error("too many samples wait to be written; try again later")]
    Overloaded,
    /// The instance is stopping.
    #[error("the instance is stopping")]
    Closed,
    /// The store failed a write.
    #[error("the samples could not be written")]
    Store(#[from] StoreError),
    /// The store failed a read.
    #[error("the samples could not be read")]
    Query(#[source] StoreError),
    /// A stored form cannot be read.
    #[error("stored {what} cannot be read")]
    Corrupt {
        /// What it is.
        what: &'static str,
    },
    /// An error of one sample of a batch.
    #[error("samples[{index}]: {source}")]
    InSample {
        /// Its place in the batch.
        index: usize,
        /// The error.
        source: Box<MonitorError>,
    },
}

/// How long a caller should wait where too many samples wait to be written, in milliseconds.
const RETRY_AFTER_MS: u64 = 200;

impl MonitorError {
    /// The same failure for another caller whose samples were in the same group.
    #[must_use]
    pub(crate) fn replicate(error: &Error) -> Self {
        let mut copy = Error::new(error.code(), error.message()).retriable(error.is_retriable());
        if error.outcome() == plinth_core::Outcome::Unknown {
            copy = copy.outcome_unknown();
        }
        if let Some(delay_ms) = error.retry_after() {
            copy = copy.retry_after_ms(delay_ms);
        }
        Self::Refused(copy)
    }

    /// Says that it was a read that failed.
    #[must_use]
    pub(crate) fn while_reading(self) -> Self {
        match self {
            Self::Store(cause) => Self::Query(cause),
            other => other,
        }
    }

    /// Names the sample of the batch.
    #[must_use]
    pub(crate) fn in_sample(self, index: usize) -> Self {
        Self::InSample {
            index,
            source: Box::new(self),
        }
    }
}

impl From<rusqlite::Error> for MonitorError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<MonitorError> for Error {
    fn from(error: MonitorError) -> Self {
        let text = error.to_string();
        match error {
            MonitorError::Refused(refusal) => refusal,
            MonitorError::MetricUnknown { .. } => Self::not_found(text),
            MonitorError::TypeMismatch { .. } | MonitorError::RegistrationConflict { .. } => {
                Self::conflict(text)
            }
            MonitorError::MetricLimit { .. }
            | MonitorError::SeriesLimit { .. }
            | MonitorError::LabelBytesLimit { .. } => {
                // Waiting does not help: the labels must change, or the limit.
                Self::new(ErrorCode::MonitorCardinality, text).retriable(false)
            }
            MonitorError::OutOfBounds { from_ms, to_ms, .. } => {
                Self::new(ErrorCode::MonitorOutOfBounds, text)
                    .with_violation("timestamp_ms", format!("must lie in {from_ms}..={to_ms}"))
            }
            MonitorError::QueryTooLarge { .. } => Self::new(ErrorCode::TooLarge, text),
            MonitorError::NotFinite => Self::new(ErrorCode::MonitorQuery, text),
            MonitorError::Deadline => Self::new(ErrorCode::DeadlineExceeded, text),
            MonitorError::Overloaded => {
                Self::new(ErrorCode::Overloaded, text).retry_after_ms(RETRY_AFTER_MS)
            }
            MonitorError::Closed => Self::new(ErrorCode::DependencyUnavailable, text),
            MonitorError::WriterEnded { handed_over } => {
                let error = Self::new(ErrorCode::MonitorMetric, text);
                if handed_over {
                    error.outcome_unknown()
                } else {
                    error
                }
            }
            MonitorError::Store(cause) => own_code(cause, ErrorCode::MonitorMetric, text),
            MonitorError::Query(cause) => own_code(cause, ErrorCode::MonitorQuery, text),
            MonitorError::Corrupt { .. } => Self::new(
                ErrorCode::MonitorQuery,
                "stored samples cannot be read; see the log",
            )
            .with_source(text),
            MonitorError::InSample { index, source } => {
                let inner = Self::from(*source);
                let field = format!("samples[{index}]");
                if inner.violations().is_empty() {
                    let message = inner.message().to_owned();
                    inner.with_violation(field, message)
                } else {
                    inner.in_field(&field)
                }
            }
        }
    }
}

/// The store's error, with this block's own code where the store only knows that it is a fault of ours.
fn own_code(cause: StoreError, code: ErrorCode, text: String) -> Error {
    let error = Error::from(cause);
    if error.code() != ErrorCode::Internal {
        return error;
    }
    let outcome = error.outcome();
    let own = Error::new(code, text).with_source(error);
    if outcome == plinth_core::Outcome::Unknown {
        own.outcome_unknown()
    } else {
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_code_and_names_its_sample() {
        let check = |error: MonitorError, number: u16| {
            let text = error.to_string();
            assert_eq!(Error::from(error).code().number(), number, "{text}");
        };
        let metric = || "m".to_owned();
        check(MonitorError::MetricUnknown { metric: metric() }, 1004);
        check(
            MonitorError::TypeMismatch {
                metric: metric(),
                registered: MetricType::Counter,
                problem: "observations belong to histograms",
            },
            1005,
        );
        check(
            MonitorError::SeriesLimit {
                scope: "the metric",
                limit: 1,
            },
            2203,
        );
        check(
            MonitorError::LabelBytesLimit {
                scope: "the tenant",
                limit: 1,
            },
            2203,
        );
        check(MonitorError::WriterEnded { handed_over: true }, 2201);
        check(MonitorError::Overloaded, 1009);
        check(MonitorError::Corrupt { what: "chunk" }, 2202);
        let closed = || StoreError::Closed { engine: "t" };
        check(MonitorError::Store(closed()), 1012);
        let panicked = || StoreError::Panicked {
            message: String::new(),
        };
        check(MonitorError::Store(panicked()), 2201);
        check(MonitorError::Store(panicked()).while_reading(), 2202);
        let late = MonitorError::OutOfBounds {
            at_ms: 0,
            from_ms: 1,
            to_ms: 2,
        };
        let error = Error::from(late.in_sample(3));
        assert_eq!(error.violations()[0].field, "samples[3].timestamp_ms");
        assert_eq!(error.code().number(), 2204);
    }
}
