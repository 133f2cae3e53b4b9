//! `plinth monitor …`

mod chart;

use anyhow::{Result, bail};
use clap::Subcommand;
use plinth_client::{MetricLabels, MetricMatcher, MetricQuery, MetricSample, MetricSpec};
use plinth_core::{Clock as _, SystemClock};

use super::exit::Usage;
use super::output::time_text;
use super::{Context, Table};

/// The commands of the block.
#[derive(Subcommand)]
pub(crate) enum MonitorCommand {
    /// Record one sample: a gauge's value or a counter's total
    Record {
        /// Name of the metric
        metric: String,
        /// The value
        #[arg(allow_negative_numbers = true)]
        value: f64,
        /// `counter` or `gauge`: what a new name becomes
        #[arg(long = "type", value_name = "TYPE")]
        metric_type: Option<String>,
        #[command(flatten)]
        series: SeriesArguments,
        /// When it was taken, Unix milliseconds; now where absent
        #[arg(long, value_name = "MS")]
        timestamp_ms: Option<i64>,
    },
    /// Add to a counter
    Increment {
        /// Name of the counter
        metric: String,
        /// How much
        #[arg(default_value_t = 1.0)]
        delta: f64,
        #[command(flatten)]
        series: SeriesArguments,
    },
    /// Set a gauge
    Gauge {
        /// Name of the gauge
        metric: String,
        /// Its value
        #[arg(allow_negative_numbers = true)]
        value: f64,
        #[command(flatten)]
        series: SeriesArguments,
        /// When it was taken, Unix milliseconds; now where absent
        #[arg(long, value_name = "MS")]
        timestamp_ms: Option<i64>,
    },
    /// Put observations into a histogram
    Histogram {
        /// Name of the histogram
        metric: String,
        /// The observations
        #[arg(required = true, allow_negative_numbers = true)]
        observations: Vec<f64>,
        #[command(flatten)]
        series: SeriesArguments,
    },
    /// Query a metric; over a range it is drawn
    Get(GetArguments),
    /// Register a metric, or change its help, time to live or series limit
    Register {
        /// Name of the metric
        metric: String,
        /// `counter`, `gauge` or `histogram`
        metric_type: String,
        /// Its unit
        #[arg(long)]
        unit: Option<String>,
        /// What it measures
        #[arg(long = "describe", value_name = "TEXT")]
        help_text: Option<String>,
        /// The labels that its samples may carry, by commas; any where absent
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        labels: Option<Vec<String>>,
        /// Upper bounds of a histogram's buckets, by commas
        #[arg(
            long,
            value_delimiter = ',',
            allow_negative_numbers = true,
            value_name = "BOUNDS"
        )]
        buckets: Option<Vec<f64>>,
        /// A series that was not written for so long ends
        #[arg(long, value_name = "MS")]
        ttl_ms: Option<i64>,
        /// Most series
        #[arg(long, value_name = "COUNT")]
        max_series: Option<i64>,
    },
    /// List registered metrics with their usage
    List {
        /// Only names that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// Most rows
        #[arg(long)]
        limit: Option<i64>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
}

/// Which series, and under which key.
#[derive(clap::Args)]
pub(crate) struct SeriesArguments {
    /// A label; may be given many times
    #[arg(long = "label", short = 'l', value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Idempotency key: the same key counts once
    #[arg(long, value_name = "KEY")]
    request_id: Option<String>,
}

/// What is asked.
#[derive(clap::Args)]
pub(crate) struct GetArguments {
    /// Name of the metric
    metric: String,
    /// A condition on a label: NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX; may be given many times
    #[arg(long = "where", short = 'w', value_name = "CONDITION")]
    conditions: Vec<String>,
    /// `last`, `sum`, `avg`, `min`, `max`, `count`, `rate`, `increase`, `p50`, `p90`, `p95`, `p99`; or `raw` for the
    /// samples as they were stored
    #[arg(long, short = 'a', default_value = "last")]
    aggregate: String,
    /// Labels to group by, by commas
    #[arg(long, value_delimiter = ',', value_name = "LABELS")]
    by: Vec<String>,
    /// Begin of the range before now: 30s, 15m, 6h, 7d
    #[arg(long, value_name = "SPAN", conflicts_with = "start_ms")]
    since: Option<String>,
    /// Begin of the range, Unix milliseconds
    #[arg(long, value_name = "MS")]
    start_ms: Option<i64>,
    /// End of the range, Unix milliseconds; now where absent
    #[arg(long, value_name = "MS")]
    end_ms: Option<i64>,
    /// Distance of the instants: 10s, 1m
    #[arg(long, value_name = "SPAN")]
    step: Option<String>,
    /// The window before each instant: 5m
    #[arg(long, value_name = "SPAN")]
    window: Option<String>,
}

impl MonitorCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let monitor = context.client.monitor();
        let output = context.output;
        match self {
            Self::Record {
                metric,
                value,
                metric_type,
                series,
                timestamp_ms,
            } => {
                let sample = MetricSample {
                    metric,
                    labels: series.labels()?,
                    value: Some(value),
                    timestamp_ms,
                    metric_type,
                    ..MetricSample::default()
                };
                let recorded = monitor.record(&sample, series.request_id).await?;
                output.say(&recorded, |recorded| {
                    format!("recorded at {}", time_text(recorded.timestamp_ms))
                })
            }
            Self::Increment {
                metric,
                delta,
                series,
            } => {
                let labels = series.labels()?;
                let total = monitor
                    .increment(&metric, &labels, delta, series.request_id)
                    .await?;
                output.say(&total, |total| format!("total {}", total.total))
            }
            Self::Gauge {
                metric,
                value,
                series,
                timestamp_ms,
            } => {
                let labels = series.labels()?;
                let at_ms = monitor
                    .set_gauge(&metric, &labels, value, timestamp_ms, series.request_id)
                    .await?;
                let answer = serde_json::json!({ "timestamp_ms": at_ms });
                output.say(&answer, |_| format!("set at {}", time_text(at_ms)))
            }
            Self::Histogram {
                metric,
                observations,
                series,
            } => {
                let labels = series.labels()?;
                let total = monitor
                    .record_histogram(&metric, &labels, &observations, series.request_id)
                    .await?;
                output.say(&total, |total| {
                    format!("{} observations, sum {}", total.count, total.sum)
                })
            }
            Self::Get(arguments) => {
                let answer = monitor.get(&arguments.query()?).await?;
                output.show(&answer, chart::table)
            }
            Self::Register {
                metric,
                metric_type,
                unit,
                help_text,
                labels,
                buckets,
                ttl_ms,
                max_series,
            } => {
                let spec = MetricSpec {
                    metric_type,
                    unit,
                    help: help_text,
                    label_names: labels,
                    buckets,
                    ttl_ms,
                    max_series,
                };
                let registration = monitor.register(&metric, &spec).await?;
                output.say(&registration, |registration| {
                    let done = if registration.created {
                        "registered"
                    } else {
                        "is registered"
                    };
                    format!("{} {done}", registration.info.metric)
                })
            }
            Self::List {
                prefix,
                limit,
                cursor,
            } => {
                let page = monitor
                    .list(prefix.as_deref(), limit, cursor.as_deref())
                    .await?;
                output.show(&page, list_table)
            }
        }
    }
}

fn list_table(page: &plinth_client::MetricPage) -> Table {
    let mut table = Table::new([
        "metric",
        "type",
        "unit",
        "labels",
        "series",
        "last write",
        "help",
    ]);
    for info in &page.metrics {
        let labels = match &info.label_names {
            Some(names) => names.join(", "),
            None => "any".to_owned(),
        };
        table.row([
            info.metric.clone(),
            info.metric_type.clone(),
            info.unit.clone(),
            labels,
            format!("{} of {}", info.series, info.max_series),
            info.last_write_ms.map_or("–".to_owned(), time_text),
            info.help.clone(),
        ]);
    }
    if let Some(cursor) = &page.next_cursor {
        let more = ["more:".to_owned(), format!("--cursor {cursor}")];
        table.cells(more.into());
    }
    table
}

impl SeriesArguments {
    fn labels(&self) -> Result<MetricLabels> {
        let mut labels = MetricLabels::new();
        for text in &self.labels {
            let Some((name, value)) = text.split_once('=') else {
                bail!(Usage(format!("--label {text}: expected NAME=VALUE")));
            };
            labels.insert(name.to_owned(), value.to_owned());
        }
        Ok(labels)
    }
}

impl GetArguments {
    fn query(&self) -> Result<MetricQuery> {
        let conditions = self.conditions.iter();
        let start_ms = match &self.since {
            Some(since) => {
                let end_ms = self.end_ms.unwrap_or_else(|| SystemClock::new().now().0);
                Some(end_ms.saturating_sub(span_ms(since)?))
            }
            None => self.start_ms,
        };
        let span = |text: &Option<String>| text.as_deref().map(span_ms).transpose();
        Ok(MetricQuery {
            metric: self.metric.clone(),
            matchers: conditions
                .map(|text| condition(text))
                .collect::<Result<_>>()?,
            start_ms,
            end_ms: self.end_ms,
            step_ms: span(&self.step)?,
            aggregate: (self.aggregate != "raw").then(|| self.aggregate.clone()),
            by: self.by.clone(),
            window_ms: span(&self.window)?,
        })
    }
}

/// `status=approved`, `status!=x`, `status=~a.*`, `status!~b`.
fn condition(text: &str) -> Result<MetricMatcher> {
    let end = text.find(['=', '!']).unwrap_or(text.len());
    let (label, rest) = text.split_at(end);
    for op in ["=~", "!~", "!=", "="] {
        if let Some(value) = rest.strip_prefix(op) {
            return Ok(MetricMatcher {
                label: label.to_owned(),
                op: op.to_owned(),
                value: value.to_owned(),
            });
        }
    }
    bail!(Usage(format!(
        "--where {text}: expected NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX"
    )))
}

/// `250ms`, `30s`, `15m`, `6h`, `7d`.
fn span_ms(text: &str) -> Result<i64> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let number: Option<i64> = number.parse().ok();
    let span_ms = number
        .zip(unit_ms)
        .and_then(|(number, unit_ms)| number.checked_mul(unit_ms));
    let Some(span_ms) = span_ms else {
        bail!(Usage(format!(
            "{text}: expected a number and one of ms, s, m, h, d: 15m"
        )));
    };
    Ok(span_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_and_spans_are_read() {
        let parts = |text: &str| {
            let matcher = condition(text).expect("reads");
            [matcher.label, matcher.op, matcher.value]
        };
        assert_eq!(parts("status=approved"), ["status", "=", "approved"]);
        assert_eq!(parts("status=~a=b|c"), ["status", "=~", "a=b|c"]);
        assert_eq!(parts("status!=x"), ["status", "!=", "x"]);
        assert_eq!(parts("status!~x"), ["status", "!~", "x"]);
        assert_eq!(parts("status="), ["status", "=", ""]);
        assert!(condition("status").is_err());
        assert_eq!(span_ms("15m").expect("reads"), 900_000);
        assert_eq!(span_ms("250ms").expect("reads"), 250);
        for bad in ["", "15", "m", "1w", "-1s", "99999999999999999d"] {
            assert!(span_ms(bad).is_err(), "{bad}");
        }
    }
}
