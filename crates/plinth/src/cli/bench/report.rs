//! What people and programs see of a measurement.

use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use plinth_client::ClientError;
use serde::Serialize;

use super::Found;
use super::workload::Workload;
use crate::cli::{Output, Table};

/// Columns of the picture of latencies.
const PICTURE_COLUMNS: usize = 16;
/// Heights of a column of it, the least first.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What one workload showed.
#[derive(Serialize)]
pub(super) struct Measured {
    workload: &'static str,
    /// Calls that succeeded.
    requests: u64,
    /// Calls that failed.
    pub(super) errors: u64,
    seconds: f64,
    /// Calls that succeeded, a second.
    per_second: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    #[serde(skip)]
    picture: String,
    #[serde(skip)]
    pub(super) first_error: Option<ClientError>,
}

impl Measured {
    pub(super) fn new(workload: Workload, found: Found, took: Duration) -> Self {
        let mut micros = found.micros;
        micros.sort_unstable();
        let seconds = took.as_secs_f64().max(f64::EPSILON);
        let requests = u32::try_from(micros.len()).unwrap_or(u32::MAX);
        Self {
            workload: workload.name(),
            requests: u64::from(requests),
            errors: found.errors,
            seconds,
            per_second: f64::from(requests) / seconds,
            p50_ms: percentile(&micros, 500),
            p90_ms: percentile(&micros, 900),
            p99_ms: percentile(&micros, 990),
            p999_ms: percentile(&micros, 999),
            max_ms: percentile(&micros, 1_000),
            picture: picture(&micros),
            first_error: found.first_error,
        }
    }
}

/// The latency below which so many thousandths of the calls stayed, in milliseconds; of sorted microseconds.
fn percentile(sorted: &[u32], thousandths: usize) -> f64 {
    let rank = (sorted.len() * thousandths).div_ceil(1_000).max(1);
    let micros = sorted.get(rank - 1).copied().unwrap_or(0);
    f64::from(micros) / 1_000.0
}

/// How the latencies spread, from the least to the largest, each column a factor wider than the one before.
fn picture(sorted: &[u32]) -> String {
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
        return String::new();
    };
    let floor = f64::from(*least).max(1.0).ln();
    let width = (f64::from(*most).max(1.0).ln() - floor).max(f64::EPSILON);
    let columns: Vec<usize> = (1..=PICTURE_COLUMNS)
        .map(|column| {
            let share = f64::from(u32::try_from(column).unwrap_or(1))
                / f64::from(u32::try_from(PICTURE_COLUMNS).unwrap_or(1));
            let bound = (floor + width * share).exp() + 0.5;
            sorted.partition_point(|micros| f64::from(*micros) <= bound)
        })
        .collect();
    let mut before = 0;
    let counts: Vec<usize> = columns
        .into_iter()
        .map(|below| {
            let count = below.saturating_sub(before);
            before = below;
            count
        })
        .collect();
    let highest = counts.iter().max().copied().unwrap_or(0).max(1);
    counts
        .iter()
        .map(|count| {
            // What is there at all is seen.
            let height = (count * (HEIGHTS.len() - 1)).div_ceil(highest);
            HEIGHTS.get(height).copied().unwrap_or(' ')
        })
        .collect()
}

/// A bar that moves with each call; hidden where a program reads.
pub(super) fn bar(name: &'static str, requests: u64, output: Output) -> ProgressBar {
    if output.is_json() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(requests).with_message(name);
    // The template is written here, and right; without it the bar has its default look.
    if let Ok(style) = ProgressStyle::with_template(
        "{msg:10} {wide_bar} {human_pos}/{human_len}, {per_sec}, {eta} left",
    ) {
        bar.set_style(style);
    }
    bar
}

pub(super) fn show(rows: &Vec<Measured>, output: Output) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    output.show(rows, |rows| {
        let mut table = Table::new([
            "workload",
            "requests",
            "errors",
            "per second",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "latencies",
        ]);
        for row in rows {
            let ms = |value: f64| format!("{value:.2}");
            table.row([
                row.workload.to_owned(),
                row.requests.to_string(),
                row.errors.to_string(),
                format!("{:.0}", row.per_second),
                ms(row.p50_ms),
                ms(row.p90_ms),
                ms(row.p99_ms),
                ms(row.p999_ms),
                ms(row.max_ms),
                row.picture.clone(),
            ]);
        }
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_calls() {
        let micros: Vec<u32> = (1..=1_000).map(|micros| micros * 1_000).collect();
        let shown = [500, 900, 990, 999, 1_000].map(|at| percentile(&micros, at));
        assert_eq!(shown, [500.0, 900.0, 990.0, 999.0, 1_000.0]);
        assert_eq!(percentile(&[7_000], 500), 7.0);
        assert_eq!(percentile(&[], 500), 0.0);
    }

    #[test]
    fn the_picture_shows_every_call() {
        assert_eq!(picture(&[]), "");
        assert_eq!(picture(&[5, 5, 5]).trim(), "█");
        let mut micros = vec![100; 1_000];
        micros.push(1_000_000);
        let drawn = picture(&micros);
        assert_eq!(drawn.chars().count(), PICTURE_COLUMNS);
        assert_eq!(drawn.chars().next(), Some('█'));
        assert_eq!(drawn.chars().last(), Some('▁'), "one in a thousand is seen");
    }
}
