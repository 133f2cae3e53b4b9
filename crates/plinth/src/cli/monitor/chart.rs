//! How metrics look on a terminal: one row per series, drawn where there are many points.

use plinth_client::{MetricAnswer, MetricSeries};

use crate::cli::Table;
use crate::cli::output::time_text;

/// Widest drawing, in characters.
const COLUMNS_MAX: usize = 48;
/// The levels of a drawing, lowest first.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The answer as a table: labels and value at one instant; over a range also its course.
pub(super) fn table(answer: &MetricAnswer) -> Table {
    let is_range = answer.series.iter().any(|series| series.points.len() > 1);
    let value = if answer.unit.is_empty() {
        "value".to_owned()
    } else {
        format!("value ({})", answer.unit)
    };
    if !is_range {
        let mut table = Table::with_headings(&headings(&["labels", &value, "time"]));
        for series in &answer.series {
            if let Some(point) = series.points.last() {
                let at = time_text(point.timestamp_ms);
                table.row([labels(series), number(point.value), at]);
            }
        }
        return table;
    }
    let names = ["labels", &value, "least", "greatest", "points", "course"];
    let mut table = Table::with_headings(&headings(&names));
    for series in &answer.series {
        let values: Vec<f64> = series.points.iter().map(|point| point.value).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        table.row([
            labels(series),
            values
                .last()
                .map_or_else(String::new, |value| number(*value)),
            number(least),
            number(greatest),
            values.len().to_string(),
            draw(&values, least, greatest),
        ]);
    }
    table
}

fn headings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_uppercase()).collect()
}

fn labels(series: &MetricSeries) -> String {
    if series.labels.is_empty() {
        return "–".to_owned();
    }
    let pairs = series.labels.iter();
    pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// At most three decimals, and no more than the number has.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "" | "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

/// One character per group of points: the group's mean between the least and the greatest value.
fn draw(values: &[f64], least: f64, greatest: f64) -> String {
    let per_column = values.len().div_ceil(COLUMNS_MAX).max(1);
    let range = greatest - least;
    values
        .chunks(per_column)
        .map(|group| {
            let mean = group.iter().sum::<f64>() / group.len() as f64;
            let share = if range > 0.0 {
                (mean - least) / range
            } else {
                0.0
            };
            // The level whose share of the range holds the mean.
            let passed =
                (1..LEVELS.len()).filter(|level| share * LEVELS.len() as f64 >= *level as f64);
            LEVELS.get(passed.count()).copied().unwrap_or(' ')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_and_numbers_are_drawn() {
        assert_eq!(
            draw(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 0.0, 7.0),
            "▁▂▃▄▅▆▇█"
        );
        assert_eq!(draw(&[5.0, 5.0], 5.0, 5.0), "▁▁");
        assert_eq!(draw(&vec![1.0; 1_000], 1.0, 1.0).chars().count(), 48);
        assert_eq!(number(1.5), "1.5");
        assert_eq!(number(1_200.0), "1200");
        assert_eq!(number(0.0), "0");
        assert_eq!(number(-0.000_1), "0");
        assert_eq!(number(2.0 / 3.0), "0.667");
    }
}
