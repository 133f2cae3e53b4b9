//! From samples to points: the arithmetic of queries, without any store.
//!
//! At each instant `t` a series is looked at in the window (t − window, t]:
//!
//! - **value**: its newest sample in the window; without a window its newest sample at or before `t`.
//! - **increase** of a counter: the sum of the steps between neighbouring samples that end in the window, the first step
//!   starting from the newest sample at or before t − window. A step down is a reset and counts as a rise from zero. A
//!   series that began with an increment rose from zero; one that began with a total has no step before that. Nothing is
//!   extrapolated: the increase over the life of a counter is exactly what was added to it.
//! - **increase** of a histogram: its state at `t` less its state at t − window.
//!
//! Series then come together in groups by their labels.

use std::collections::BTreeMap;

use super::cell::Cell;
use crate::backend::{SeriesRead, StoredSample, Value};
use crate::error::MonitorError;
use crate::model::{
    Aggregate, Histogram, HistogramState, Instants, Labels, MetricDefinition, MetricType, Point,
    SeriesPoints, limits,
};

/// What is computed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of which metric.
    pub metric_type: MetricType,
    /// Bounds of a histogram.
    pub buckets: Vec<f64>,
    /// At which instants.
    pub instants: Instants,
    /// Which aggregate; it fits the type.
    pub aggregate: Aggregate,
    /// The window; `None` is without end.
    pub window_ms: Option<i64>,
    /// Which labels make a group.
    pub by: Vec<String>,
}

impl Plan {
    /// Plans a query over a metric: fills in the window that the caller did not name.
    ///
    /// Errors: 1001 naming `aggregate` where the type has no such number.
    pub fn new(
        definition: &MetricDefinition,
        instants: Instants,
        aggregate: Aggregate,
        window_ms: Option<i64>,
        by: Vec<String>,
    ) -> Result<Self, MonitorError> {
        aggregate.check_type(definition.metric_type)?;
        let mut plan = Self {
            metric_type: definition.metric_type,
            buckets: definition.buckets.clone(),
            instants,
            aggregate,
            window_ms,
            by,
        };
        if plan.metric_type == MetricType::Gauge || plan.is_increase() {
            plan.window_ms = Some(window_ms.unwrap_or(limits::WINDOW_MS_DEFAULT));
        }
        Ok(plan)
    }

    /// Whether the aggregate is over what was added in the window, not over the newest values.
    fn is_increase(&self) -> bool {
        match self.metric_type {
            MetricType::Gauge => false,
            MetricType::Counter => {
                matches!(self.aggregate, Aggregate::Rate | Aggregate::Increase)
            }
            MetricType::Histogram => self.aggregate != Aggregate::Last,
        }
    }

    /// From when samples are needed, exclusive.
    #[must_use]
    pub fn from_ms(&self) -> i64 {
        self.instants
            .start_ms
            .saturating_sub(self.window_ms.unwrap_or(0))
    }

    /// Whether the newest sample before that is needed too.
    #[must_use]
    pub fn needs_baseline(&self) -> bool {
        self.window_ms.is_none() || self.is_increase()
    }
}

/// Takes series one by one and gathers points.
#[derive(Debug)]
pub struct Evaluation {
    plan: Plan,
    instants: Vec<i64>,
    groups: BTreeMap<Labels, Vec<Cell>>,
    output: Vec<SeriesPoints>,
    points: usize,
    cells: u64,
}

impl Evaluation {
    /// Begins without series.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            instants: plan.instants.iter().collect(),
            plan,
            groups: BTreeMap::new(),
            output: Vec::new(),
            points: 0,
            cells: 0,
        }
    }

    /// Adds a series. Errors: 1007 where a limit of queries is passed.
    pub fn add(&mut self, series: &SeriesRead<'_>) -> Result<(), MonitorError> {
        let instants = u64::try_from(self.instants.len()).unwrap_or(u64::MAX);
        self.cells = self.cells.saturating_add(instants);
        if self.cells > limits::QUERY_CELLS_MAX {
            return Err(MonitorError::QueryTooLarge {
                what: "series times instants",
                limit: limits::QUERY_CELLS_MAX,
            });
        }
        if self.plan.aggregate == Aggregate::Last {
            return self.add_last(series);
        }
        let values = self.values(series);
        if values.iter().all(Cell::is_empty) {
            return Ok(());
        }
        let group = series.labels.only(&self.plan.by);
        if !self.groups.contains_key(&group) {
            self.take_points(self.instants.len())?;
            let empty = vec![Cell::Empty; self.instants.len()];
            self.groups.insert(group.clone(), empty);
        }
        if let Some(cells) = self.groups.get_mut(&group) {
            for (cell, value) in cells.iter_mut().zip(values) {
                cell.add(value);
            }
        }
        Ok(())
    }

    /// The points of all groups. Errors: 2202 where a value passes the range of a double.
    pub fn finish(mut self) -> Result<Vec<SeriesPoints>, MonitorError> {
        for (labels, cells) in std::mem::take(&mut self.groups) {
            let mut points = Vec::new();
            for (at, cell) in self.instants.iter().zip(cells) {
                let window_ms = self.plan.window_ms.unwrap_or(0);
                if let Some(value) =
                    cell.aggregate(self.plan.aggregate, window_ms, &self.plan.buckets)
                {
                    if !value.is_finite() {
                        return Err(MonitorError::NotFinite);
                    }
                    points.push(Point {
                        timestamp_ms: *at,
                        value,
                        histogram: None,
                    });
                }
            }
            if !points.is_empty() {
                self.output.push(SeriesPoints {
                    labels: labels.to_map(),
                    points,
                });
            }
        }
        Ok(self.output)
    }

    fn take_points(&mut self, count: usize) -> Result<(), MonitorError> {
        self.points = self.points.saturating_add(count);
        if self.points > limits::QUERY_POINTS_MAX {
            return Err(MonitorError::QueryTooLarge {
                what: "points",
                limit: u64::try_from(limits::QUERY_POINTS_MAX).unwrap_or(u64::MAX),
            });
        }
        Ok(())
    }

    fn add_last(&mut self, series: &SeriesRead<'_>) -> Result<(), MonitorError> {
        let mut points = Vec::new();
        let mut walk = Walk::new(series, self.plan.window_ms);
        for at in &self.instants {
            walk.move_to(*at);
            if let Some(newest) = walk.newest() {
                points.push(point(*at, &newest.value));
            }
        }
        self.take_points(points.len())?;
        if !points.is_empty() {
            self.output.push(SeriesPoints {
                labels: series.labels.to_map(),
                points,
            });
        }
        Ok(())
    }

    /// What one series gives at each instant.
    fn values(&self, series: &SeriesRead<'_>) -> Vec<Cell> {
        let mut walk = Walk::new(series, self.plan.window_ms);
        let gains = match (self.plan.is_increase(), self.plan.metric_type) {
            (true, MetricType::Counter) => Some(gains(series)),
            _ => None,
        };
        self.instants
            .iter()
            .map(|at| {
                walk.move_to(*at);
                if let Some(gains) = &gains {
                    return walk.increase(gains).map_or(Cell::Empty, Cell::scalar);
                }
                if self.plan.is_increase() {
                    return walk
                        .histogram_increase()
                        .map_or(Cell::Empty, Cell::histogram);
                }
                walk.newest()
                    .map_or(Cell::Empty, |newest| Cell::scalar(newest.value.number()))
            })
            .collect()
    }
}

/// A sample as a point; of a histogram with its whole state.
#[must_use]
pub(super) fn point(timestamp_ms: i64, value: &Value) -> Point {
    Point {
        timestamp_ms,
        value: value.number(),
        histogram: match value {
            Value::Scalar(_) => None,
            Value::Histogram(state) => Some(Histogram::from(state.as_ref())),
        },
    }
}

/// The sum of all steps of a counter up to each sample: element `n` is of the first `n` samples.
fn gains(series: &SeriesRead<'_>) -> Vec<f64> {
    let mut total = 0.0;
    let mut gains = Vec::with_capacity(series.samples.len() + 1);
    gains.push(total);
    let mut before = match series.baseline {
        Some(baseline) => Some(baseline.value.number()),
        None if series.from_zero && is_first(series) => Some(0.0),
        None => None,
    };
    for sample in series.samples {
        let value = sample.value.number();
        total += match before {
            None => 0.0,
            Some(before) if value < before => value,
            Some(before) => value - before,
        };
        before = Some(value);
        gains.push(total);
    }
    gains
}

/// Whether the first sample that was read is the first that the series ever had: the retention has removed none.
fn is_first(series: &SeriesRead<'_>) -> bool {
    series
        .samples
        .first()
        .is_some_and(|first| first.at_ms <= series.first_ms)
}

/// Walks over a series' samples from instant to instant.
struct Walk<'a> {
    series: &'a SeriesRead<'a>,
    window_ms: Option<i64>,
    /// How many samples lie at or before the window's begin.
    before: usize,
    /// How many samples lie at or before the instant.
    through: usize,
    begin_ms: i64,
}

impl<'a> Walk<'a> {
    fn new(series: &'a SeriesRead<'a>, window_ms: Option<i64>) -> Self {
        Self {
            series,
            window_ms,
            before: 0,
            through: 0,
            begin_ms: i64::MIN,
        }
    }

    /// Moves on to an instant; instants only grow.
    fn move_to(&mut self, at_ms: i64) {
        self.begin_ms = self
            .window_ms
            .map_or(i64::MIN, |window_ms| at_ms.saturating_sub(window_ms));
        self.through = self.pass(self.through, at_ms);
        self.before = self.pass(self.before, self.begin_ms);
    }

    fn pass(&self, from: usize, at_ms: i64) -> usize {
        let rest = self.series.samples.iter().skip(from);
        from + rest.take_while(|sample| sample.at_ms <= at_ms).count()
    }

    fn sample_before(&self, count: usize) -> Option<&'a StoredSample> {
        match count.checked_sub(1) {
            Some(index) => self.series.samples.get(index),
            None => self.series.baseline,
        }
    }

    /// The newest sample in the window.
    fn newest(&self) -> Option<&'a StoredSample> {
        self.sample_before(self.through)
            .filter(|sample| self.window_ms.is_none() || sample.at_ms > self.begin_ms)
    }

    /// The increase of a counter in the window; `None` where the series had not begun.
    fn increase(&self, gains: &[f64]) -> Option<f64> {
        self.sample_before(self.through)?;
        Some(gains.get(self.through)? - gains.get(self.before)?)
    }

    /// What a histogram took in the window; `None` where the series had not begun.
    fn histogram_increase(&self) -> Option<HistogramState> {
        let Value::Histogram(now) = &self.sample_before(self.through)?.value else {
            return None;
        };
        let earlier = match self.sample_before(self.before) {
            Some(sample) => Some(sample),
            // The retention has removed what came before: the first state that is left is where counting begins.
            None if !is_first(self.series) => self.series.samples.first(),
            None => None,
        };
        Some(match earlier.map(|sample| &sample.value) {
            Some(Value::Histogram(earlier)) => now.since(earlier),
            _ => HistogramState::clone(now),
        })
    }
}
