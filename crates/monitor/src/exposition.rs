//! Prometheus' text format, version 0.0.4.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write as _;

use crate::backend::{CurrentSeries, Value};
use crate::model::{HistogramState, MetricDefinition};

/// The content type of an exposition.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An exposition as it is written, family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a family: its HELP line where there is help, and its TYPE line. Each family is begun once.
    pub fn family(&mut self, name: &str, help: &str, metric_type: &str) {
        if !help.is_empty() {
            self.text.push_str("# HELP ");
            self.text.push_str(name);
            self.text.push(' ');
            self.escape(help, false);
            self.text.push('\n');
        }
        self.text.push_str("# TYPE ");
        self.text.push_str(name);
        self.text.push(' ');
        self.text.push_str(metric_type);
        self.text.push('\n');
    }

    /// Writes one sample; `end` is appended to the family's name.
    pub fn sample<'a>(
        &mut self,
        name: &str,
        end: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        value: f64,
    ) {
        self.text.push_str(name);
        self.text.push_str(end);
        let mut open = false;
        for (label, text) in labels {
            self.text.push(if open { ',' } else { '{' });
            open = true;
            self.text.push_str(label);
            self.text.push_str("=\"");
            self.escape(text, true);
            self.text.push('"');
        }
        if open {
            self.text.push('}');
        }
        self.text.push(' ');
        self.number(value);
        self.text.push('\n');
    }

    /// Writes the samples of one histogram: its buckets cumulative up to +Inf, its sum and its count.
    pub fn histogram<'a>(
        &mut self,
        name: &str,
        labels: &[(&'a str, &'a str)],
        bounds: &[f64],
        state: &HistogramState,
    ) {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let mut total = 0;
        for (bound, through) in bounds.zip(state.cumulative()) {
            let bound = number_text(bound);
            let with_bound = labels.iter().copied().chain([("le", bound.as_str())]);
            self.sample(name, "_bucket", with_bound, through as f64);
            total = through;
        }
        self.sample(name, "_sum", labels.iter().copied(), state.sum);
        self.sample(name, "_count", labels.iter().copied(), total as f64);
    }

    /// Writes a tenant's metric with its series as they stand now.
    pub fn metric(&mut self, definition: &MetricDefinition, series: &[CurrentSeries]) {
        let name = &definition.name;
        self.family(name, &definition.help, definition.metric_type.as_str());
        for one in series {
            match &one.newest.value {
                Value::Scalar(value) => self.sample(name, "", one.labels.iter(), *value),
                Value::Histogram(state) => {
                    let labels: Vec<_> = one.labels.iter().collect();
                    self.histogram(name, &labels, &definition.buckets, state);
                }
            }
        }
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn escape(&mut self, text: &str, quotes: bool) {
        for character in text.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '"' if quotes => self.text.push_str("\\\""),
                other => self.text.push(other),
            }
        }
    }

    fn number(&mut self, value: f64) {
        self.text.push_str(&number_text(value));
    }
}

fn number_text(value: f64) -> String {
    if value == f64::INFINITY {
        return "+Inf".to_owned();
    }
    if value == f64::NEG_INFINITY {
        return "-Inf".to_owned();
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _infallible = if value != 0.0 && !(1e-6..1e16).contains(&value.abs()) {
        write!(text, "{value:e}")
    } else {
        write!(text, "{value}")
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_labels_are_escaped_as_the_format_says() {
        let mut exposition = Exposition::default();
        exposition.family("m", "a \\ b\nc \"d\"", "gauge");
        exposition.sample("m", "", [("l", "a \\ b\nc \"d\"")].into_iter(), 1.5);
        assert_eq!(
            exposition.finish(),
            "# HELP m a \\\\ b\\nc \"d\"\n# TYPE m gauge\nm{l=\"a \\\\ b\\nc \\\"d\\\"\"} 1.5\n"
        );
    }

    #[test]
    fn numbers_are_written_so_that_they_read_back() {
        for value in [
            0.0,
            -0.5,
            1e300,
            -1e-300,
            1e15,
            123_456_789.25,
            f64::MIN,
            f64::MAX,
        ] {
            assert_eq!(number_text(value).parse(), Ok(value), "{value}");
        }
        assert_eq!(number_text(f64::INFINITY), "+Inf");
        assert_eq!(number_text(f64::NAN), "NaN");
        assert!(number_text(f64::MAX).len() < 30);
    }
}
