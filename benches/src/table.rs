//! What people see of a run: medians over the rounds.

use crate::load::Sample;

/// One row: what was measured, and what each round showed.
pub struct Row {
    /// What was measured.
    pub what: &'static str,
    /// How many things one request stands for.
    pub each: f64,
    /// The rounds.
    pub samples: Vec<Sample>,
}

/// Adds a round to a row.
pub fn note(rows: &mut Vec<Row>, what: &'static str, each: f64, sample: Sample) {
    match rows.iter_mut().find(|row| row.what == what) {
        Some(row) => row.samples.push(sample),
        None => rows.push(Row {
            what,
            each,
            samples: vec![sample],
        }),
    }
}

/// The middle of some numbers.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// The table of all rows.
pub fn show(rows: &[Row]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(["what", "median /s", "least", "most", "p50 ms"]);
    for row in rows {
        let rates: Vec<f64> = row
            .samples
            .iter()
            .map(|sample| sample.per_second * row.each)
            .collect();
        let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let most = rates.iter().copied().fold(0.0, f64::max);
        let p50 = median(row.samples.iter().map(|sample| sample.p50_ms).collect());
        table.add_row([
            row.what.to_owned(),
            format!("{:.0}", median(rates)),
            format!("{least:.0}"),
            format!("{most:.0}"),
            format!("{p50:.3}"),
        ]);
    }
    table
}

/// How one row stands to another, by their medians.
pub fn ratio(rows: &[Row], ours: &str, theirs: &str) -> Option<f64> {
    let of = |what: &str| {
        let row = rows.iter().find(|row| row.what == what)?;
        let rates = row
            .samples
            .iter()
            .map(|sample| sample.per_second * row.each);
        Some(median(rates.collect()))
    };
    Some(of(ours)? / of(theirs)?)
}
