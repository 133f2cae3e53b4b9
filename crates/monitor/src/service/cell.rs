//! What the series of one group come to at one instant.

use crate::model::{Aggregate, HistogramState};

/// A group at an instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Cell {
    /// No series had data.
    #[default]
    Empty,
    /// Values of gauges and counters.
    Scalars {
        /// Their sum.
        sum: f64,
        /// How many.
        count: u32,
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// Observations of histograms.
    Histograms(HistogramState),
}

impl Cell {
    pub(super) const fn scalar(value: f64) -> Self {
        Self::Scalars {
            sum: value,
            count: 1,
            min: value,
            max: value,
        }
    }

    pub(super) const fn histogram(state: HistogramState) -> Self {
        Self::Histograms(state)
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Adds what another series gives.
    pub(super) fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Empty) => {}
            (
                Self::Scalars {
                    sum,
                    count,
                    min,
                    max,
                },
                Self::Scalars {
                    sum: more,
                    count: others,
                    min: least,
                    max: greatest,
                },
            ) => {
                *sum += more;
                *count = count.saturating_add(others);
                *min = min.min(least);
                *max = max.max(greatest);
            }
            (Self::Histograms(state), Self::Histograms(more)) => state.merge(&more),
            // The series of one metric are of one kind, so this is the first of the group.
            (own, other) => *own = other,
        }
    }

    /// The aggregate; `None` without data.
    pub(super) fn aggregate(
        &self,
        aggregate: Aggregate,
        window_ms: i64,
        bounds: &[f64],
    ) -> Option<f64> {
        let seconds = window_ms as f64 / 1_000.0;
        match self {
            Self::Empty => None,
            Self::Scalars {
                sum,
                count,
                min,
                max,
            } => match aggregate {
                Aggregate::Sum | Aggregate::Increase => Some(*sum),
                Aggregate::Avg => Some(sum / f64::from(*count)),
                Aggregate::Min => Some(*min),
                Aggregate::Max => Some(*max),
                Aggregate::Count => Some(f64::from(*count)),
                Aggregate::Rate => Some(sum / seconds),
                Aggregate::Last | Aggregate::Quantile(_) => None,
            },
            Self::Histograms(state) => {
                let count = state.count() as f64;
                match aggregate {
                    Aggregate::Sum => Some(state.sum),
                    Aggregate::Avg => (count > 0.0).then(|| state.sum / count),
                    Aggregate::Count | Aggregate::Increase => Some(count),
                    Aggregate::Rate => Some(count / seconds),
                    Aggregate::Quantile(quantile) => state.quantile(bounds, quantile),
                    Aggregate::Last | Aggregate::Min | Aggregate::Max => None,
                }
            }
        }
    }
}
