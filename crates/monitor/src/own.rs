//! Plinth's own numbers: a [`MetricSink`] that every part is given at its start.
//!
//! Adding to a series that exists takes one short read lock and an atomic. The number of series is bounded: one past the
//! bound is dropped and counted, so that a label with too many values costs nothing but itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::{AHashMap, RandomState};
use parking_lot::RwLock;
use plinth_core::{MetricSink, SharedClock};

use crate::exposition::Exposition;
use crate::model::HistogramState;
use crate::process::ProcessMetrics;

/// Most series of Plinth's own.
pub const OWN_SERIES_MAX: usize = 8_192;
/// Most series of one of Plinth's own metrics.
pub const OWN_SERIES_PER_METRIC_MAX: usize = 2_048;
/// Longest label value of Plinth's own series, in bytes; a longer one is cut.
const LABEL_BYTES_MAX: usize = 128;

/// Bounds of histograms of seconds.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// Bounds of histograms of bytes.
const BYTES: &[f64] = &[
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];
/// Bounds of histograms of counts.
const COUNTS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
    50_000.0,
];

/// Counts of [`OwnMetrics`] itself: samples that were dropped by its bounds.
const DROPPED: &str = "plinth_own_samples_dropped_total";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One series: a number, or a histogram's counts and sum.
struct Cell {
    name: &'static str,
    labels: Box<[(&'static str, Box<str>)]>,
    kind: Kind,
    /// A counter's total, or the bits of a gauge or of a histogram's sum.
    number: AtomicU64,
    counts: Box<[AtomicU64]>,
}

impl Cell {
    fn is(&self, name: &str, labels: &[(&'static str, &str)], kind: Kind) -> bool {
        self.kind == kind
            && self.name == name
            && self.labels.len() == labels.len()
            && self
                .labels
                .iter()
                .zip(labels)
                .all(|((own, text), (label, value))| own == label && text.as_ref() == *value)
    }

    fn observe(&self, value: f64) {
        let bucket = bounds(self.name).partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // Ends after a few turns: each failed turn means that another thread has made progress.
        let _previous = self
            .number
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                Some((f64::from_bits(bits) + value).to_bits())
            });
    }
}

#[derive(Default)]
struct Table {
    /// By hash of name and labels; a bucket holds those whose hashes are equal.
    cells: AHashMap<u64, Vec<Arc<Cell>>>,
    /// Kind and number of series of each metric.
    metrics: BTreeMap<&'static str, (Kind, usize)>,
    series: usize,
}

/// Plinth's own metrics in memory.
pub struct OwnMetrics {
    table: RwLock<Table>,
    hasher: RandomState,
    dropped: AtomicU64,
    process: ProcessMetrics,
}

impl OwnMetrics {
    /// Begins without series.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self {
            table: RwLock::new(Table::default()),
            hasher: RandomState::new(),
            dropped: AtomicU64::new(0),
            process: ProcessMetrics::of_this_process(clock),
        }
    }

    /// All of them in Prometheus' text format, with the metrics of the process.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut exposition = Exposition::default();
        self.process.expose(&mut exposition);
        exposition.family(DROPPED, &help(DROPPED), Kind::Counter.as_str());
        let dropped = self.dropped.load(Ordering::Relaxed);
        exposition.sample(DROPPED, "", std::iter::empty(), dropped as f64);
        for (name, (kind, cells)) in self.by_name() {
            exposition.family(name, &help(name), kind.as_str());
            for cell in cells {
                expose_cell(&mut exposition, &cell);
            }
        }
        exposition.finish()
    }

    fn by_name(&self) -> BTreeMap<&'static str, (Kind, Vec<Arc<Cell>>)> {
        let mut by_name: BTreeMap<_, (Kind, Vec<Arc<Cell>>)> = BTreeMap::new();
        for cell in self.table.read().cells.values().flatten() {
            by_name
                .entry(cell.name)
                .or_insert_with(|| (cell.kind, Vec::new()))
                .1
                .push(Arc::clone(cell));
        }
        for (_, cells) in by_name.values_mut() {
            cells.sort_by(|left, right| left.labels.cmp(&right.labels));
        }
        by_name
    }

    /// The series, made where it is new; `None` where a bound is reached or the name is of another kind.
    fn cell(
        &self,
        name: &'static str,
        labels: &[(&'static str, &str)],
        kind: Kind,
    ) -> Option<Arc<Cell>> {
        let hash = self.hasher.hash_one((name, labels));
        let find = |table: &Table| {
            let cells = table.cells.get(&hash)?;
            cells
                .iter()
                .find(|cell| cell.is(name, labels, kind))
                .cloned()
        };
        if let Some(cell) = find(&self.table.read()) {
            return Some(cell);
        }
        let mut table = self.table.write();
        if let Some(cell) = find(&table) {
            return Some(cell);
        }
        let cell = table.add(name, labels, kind, hash);
        if cell.is_none() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        cell
    }

    fn with(
        &self,
        name: &'static str,
        labels: &[(&'static str, &str)],
        kind: Kind,
        change: impl FnOnce(&Cell),
    ) {
        let found = if labels
            .iter()
            .all(|(_, value)| value.len() <= LABEL_BYTES_MAX)
        {
            self.cell(name, labels, kind)
        } else {
            let cut: Vec<_> = labels
                .iter()
                .map(|(label, value)| {
                    let end = value.floor_char_boundary(LABEL_BYTES_MAX);
                    (*label, value.get(..end).unwrap_or(""))
                })
                .collect();
            self.cell(name, &cut, kind)
        };
        if let Some(cell) = found {
            change(&cell);
        }
    }
}

impl Table {
    fn add(
        &mut self,
        name: &'static str,
        labels: &[(&'static str, &str)],
        kind: Kind,
        hash: u64,
    ) -> Option<Arc<Cell>> {
        let (known, of_metric) = self.metrics.entry(name).or_insert((kind, 0));
        if *known != kind
            || *of_metric >= OWN_SERIES_PER_METRIC_MAX
            || self.series >= OWN_SERIES_MAX
        {
            return None;
        }
        *of_metric += 1;
        self.series += 1;
        let counts = match kind {
            Kind::Histogram => bounds(name).len() + 1,
            Kind::Counter | Kind::Gauge => 0,
        };
        let cell = Arc::new(Cell {
            name,
            labels: labels
                .iter()
                .map(|(label, value)| (*label, (*value).into()))
                .collect(),
            kind,
            number: AtomicU64::new(0),
            counts: (0..counts).map(|_| AtomicU64::new(0)).collect(),
        });
        self.cells.entry(hash).or_default().push(Arc::clone(&cell));
        Some(cell)
    }
}

impl MetricSink for OwnMetrics {
    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], delta: u64) {
        self.with(name, labels, Kind::Counter, |cell| {
            cell.number.fetch_add(delta, Ordering::Relaxed);
        });
    }

    fn observe(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        if value.is_finite() {
            self.with(name, labels, Kind::Histogram, |cell| cell.observe(value));
        }
    }

    fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.with(name, labels, Kind::Gauge, |cell| {
            cell.number.store(value.to_bits(), Ordering::Relaxed);
        });
    }
}

fn expose_cell(exposition: &mut Exposition, cell: &Cell) {
    let labels: Vec<(&str, &str)> = cell
        .labels
        .iter()
        .map(|(label, value)| (*label, value.as_ref()))
        .collect();
    let number = cell.number.load(Ordering::Relaxed);
    match cell.kind {
        Kind::Counter => exposition.sample(cell.name, "", labels.into_iter(), number as f64),
        Kind::Gauge => {
            exposition.sample(cell.name, "", labels.into_iter(), f64::from_bits(number));
        }
        Kind::Histogram => {
            let state = HistogramState {
                counts: cell
                    .counts
                    .iter()
                    .map(|count| count.load(Ordering::Relaxed))
                    .collect(),
                sum: f64::from_bits(number),
            };
            exposition.histogram(cell.name, &labels, bounds(cell.name), &state);
        }
    }
}

/// The bounds of a histogram, by the unit that its name ends in.
fn bounds(name: &str) -> &'static [f64] {
    if name.ends_with("_seconds") {
        SECONDS
    } else if name.ends_with("_bytes") {
        BYTES
    } else {
        COUNTS
    }
}

/// A sentence made of the name: `plinth_store_commits_total` is "Plinth's own: store commits total."
fn help(name: &str) -> String {
    let words = name.strip_prefix("plinth_").unwrap_or(name);
    format!("Plinth's own: {}.", words.replace('_', " "))
}
