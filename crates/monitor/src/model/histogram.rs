//! Classic histograms: counts of observations at or below each bound.

use serde::{Deserialize, Serialize};

/// Bounds of a histogram that names none: the defaults of Prometheus' client libraries, made for seconds.
pub const BUCKETS_DEFAULT: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How many observations fell into each bucket, and their sum. The last count is of the bucket up to +Inf, so there is one
/// count more than there are bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramState {
    /// Observations of each bucket by itself, not cumulative.
    pub counts: Box<[u64]>,
    /// Sum of all observations.
    pub sum: f64,
}

impl HistogramState {
    /// The state before the first observation.
    #[must_use]
    pub fn empty(bounds: usize) -> Self {
        Self {
            counts: vec![0; bounds + 1].into(),
            sum: 0.0,
        }
    }

    /// The state of these observations under these bounds. An observation equal to a bound lies in its bucket.
    #[must_use]
    pub fn of(bounds: &[f64], observations: &[f64]) -> Self {
        let mut state = Self::empty(bounds.len());
        for observation in observations {
            let bucket = bounds.partition_point(|bound| bound < observation);
            if let Some(count) = state.counts.get_mut(bucket) {
                *count += 1;
            }
            state.sum += observation;
        }
        state
    }

    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |total, count| total.saturating_add(*count))
    }

    /// Adds another state of the same bounds.
    pub fn merge(&mut self, other: &Self) {
        for (own, more) in self.counts.iter_mut().zip(&other.counts) {
            *own = own.saturating_add(*more);
        }
        self.sum += other.sum;
    }

    /// What came after `earlier`, a former state of the same series.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            counts: self
                .counts
                .iter()
                .zip(&earlier.counts)
                .map(|(now, before)| now.saturating_sub(*before))
                .collect(),
            sum: self.sum - earlier.sum,
        }
    }

    /// Counts at or below each bound and at last at or below +Inf.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().scan(0_u64, |total, count| {
            *total = total.saturating_add(*count);
            Some(*total)
        })
    }

    /// The quantile by linear interpolation inside its bucket, as Prometheus' `histogram_quantile` computes it: the first
    /// bucket begins at 0 unless its bound is not above 0, and a quantile in the bucket up to +Inf is the highest bound.
    /// `None` without observations.
    ///
    /// Source: `bucketQuantile` in Prometheus' `promql/quantile.go`.
    #[must_use]
    pub fn quantile(&self, bounds: &[f64], quantile: f64) -> Option<f64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = quantile * total as f64;
        let mut below = 0_u64;
        let mut lower = None;
        for (count, upper) in self.counts.iter().zip(bounds) {
            let through = below.saturating_add(*count);
            if through as f64 >= rank {
                return Some(match lower {
                    None if *upper <= 0.0 => *upper,
                    _ if *count == 0 => lower.unwrap_or(*upper),
                    _ => {
                        let start = lower.unwrap_or(0.0);
                        start + (upper - start) * ((rank - below as f64) / *count as f64)
                    }
                });
            }
            below = through;
            lower = Some(*upper);
        }
        lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 3] = [1.0, 2.0, 4.0];

    #[test]
    fn an_observation_on_a_bound_lies_in_its_bucket() {
        let state = HistogramState::of(&BOUNDS, &[0.5, 1.0, 1.5, 2.0, 4.0, 4.1, 100.0]);
        assert_eq!(&*state.counts, &[2, 2, 1, 2]);
        assert_eq!(state.cumulative().collect::<Vec<_>>(), [2, 4, 5, 7]);
        assert_eq!(state.count(), 7);
        assert!((state.sum - 113.1).abs() < 1e-9);
    }

    #[test]
    fn quantiles_interpolate_as_prometheus_does() {
        let check = |observations: &[f64], quantile: f64, expected: Option<f64>| {
            let got = HistogramState::of(&BOUNDS, observations).quantile(&BOUNDS, quantile);
            assert_eq!(got, expected, "{observations:?} at {quantile}");
        };
        check(&[], 0.5, None);
        // All in (0, 1]: half of the bucket.
        check(&[0.1, 0.2, 0.3, 0.4], 0.5, Some(0.5));
        // Two in (0, 1], two in (1, 2]: the 90th is at rank 3.6 of 4.
        check(&[0.5, 0.5, 1.5, 1.5], 0.9, Some(1.8));
        // Above the last bound: the last bound.
        check(&[9.0, 9.0], 0.5, Some(4.0));
        let negative = HistogramState::of(&[-1.0, 1.0], &[-2.0]);
        assert_eq!(negative.quantile(&[-1.0, 1.0], 0.5), Some(-1.0));
    }

    #[test]
    fn states_add_and_subtract() {
        let first = HistogramState::of(&BOUNDS, &[1.0, 3.0]);
        let mut second = first.clone();
        second.merge(&HistogramState::of(&BOUNDS, &[5.0]));
        assert_eq!(second.since(&first), HistogramState::of(&BOUNDS, &[5.0]));
    }
}
