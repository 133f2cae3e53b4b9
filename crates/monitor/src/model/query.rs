//! Queries as callers send them.

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::MetricType;
use super::labels::{check_label_name, check_metric_name};
use super::limits;
use super::matcher::{LabelMatcher, Matcher};

/// Queries samples. What each aggregate means is stated in `docs/guide-monitor.md`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorGetMetricsRequest)]
pub struct GetMetricsRequest {
    /// Name of the metric.
    pub metric: String,
    /// At most 32; a series must meet them all.
    #[serde(default)]
    pub matchers: Vec<Matcher>,
    /// Begin of the range, unix ms. With `step_ms` the first instant; without it the window is (start_ms, end_ms].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// End of the range, unix ms, inclusive; default now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
    /// Distance of the instants, 1 ms to 31 days, at most 11,000 instants; needs `start_ms` and `aggregate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_ms: Option<i64>,
    /// `last`, `sum`, `avg`, `min`, `max`, `count`, `rate`, `increase`, `p50`, `p90`, `p95` or `p99`. Without it the samples
    /// are returned as they were stored; `start_ms` is then required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// Label names to group by, at most 32; without them all series come together into one.
    #[serde(default)]
    pub by: Vec<String>,
    /// The window before each instant, open on its left, 1 ms to 31 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<i64>,
}

/// How samples become points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// The newest value of each series.
    Last,
    /// Sum.
    Sum,
    /// Mean.
    Avg,
    /// Least.
    Min,
    /// Greatest.
    Max,
    /// Number.
    Count,
    /// Increase per second.
    Rate,
    /// Increase.
    Increase,
    /// Quantile of a histogram's observations.
    Quantile(f64),
}

impl Aggregate {
    /// Parses the word. Errors: 1001 naming `aggregate`.
    pub fn parse(word: &str) -> Result<Self> {
        Ok(match word {
            "last" => Self::Last,
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "count" => Self::Count,
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "p50" => Self::Quantile(0.5),
            "p90" => Self::Quantile(0.9),
            "p95" => Self::Quantile(0.95),
            "p99" => Self::Quantile(0.99),
            _ => {
                return Err(Error::invalid(
                    "aggregate",
                    "must be 'last', 'sum', 'avg', 'min', 'max', 'count', 'rate', 'increase', 'p50', 'p90', 'p95' or 'p99'",
                ));
            }
        })
    }

    /// Errors: 1001 naming `aggregate` where the type has no such number.
    pub fn check_type(self, metric_type: MetricType) -> Result<()> {
        let reason = match (metric_type, self) {
            (MetricType::Gauge, Self::Rate | Self::Increase) => {
                "a gauge goes up and down and has no rate; use a counter"
            }
            (MetricType::Gauge | MetricType::Counter, Self::Quantile(_)) => {
                "quantiles are of a histogram's observations"
            }
            (MetricType::Histogram, Self::Min | Self::Max) => {
                "a histogram keeps neither its least nor its greatest observation"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid("aggregate", reason))
    }
}

/// The instants of a stepped query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    /// The first.
    pub start_ms: i64,
    /// The last possible one.
    pub end_ms: i64,
    /// Their distance, at least 1.
    pub step_ms: i64,
}

impl Instants {
    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        let steps = self.end_ms.saturating_sub(self.start_ms) / self.step_ms.max(1);
        usize::try_from(steps).unwrap_or(0).saturating_add(1)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = i64> {
        std::iter::successors(Some(self.start_ms), move |at| at.checked_add(self.step_ms))
            .take(self.count())
    }
}

/// What a query asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Samples as they were stored, in (start, end].
    Raw {
        /// Where it begins, exclusive.
        start_ms: i64,
        /// Where it ends, inclusive.
        end_ms: i64,
    },
    /// An aggregate at each instant.
    Stepped {
        /// The instants.
        instants: Instants,
        /// The aggregate.
        aggregate: Aggregate,
        /// The window that the caller named.
        window_ms: Option<i64>,
        /// The labels to group by.
        by: Vec<String>,
    },
}

/// A query, valid by construction.
#[derive(Clone, Debug)]
pub struct Query {
    /// The metric's name.
    pub metric: String,
    /// Conditions on labels.
    pub matchers: Vec<LabelMatcher>,
    /// What is asked for.
    pub shape: Shape,
}

impl Query {
    /// Parses a query at a time. Errors: 1001 or 1007 naming the field.
    pub fn parse(request: &GetMetricsRequest, now_ms: i64) -> Result<Self> {
        check_metric_name(&request.metric)?;
        if request.matchers.len() > limits::MATCHERS_MAX {
            return Err(Error::too_large(
                "matchers",
                format!(
                    "has {} conditions, at most {} are allowed",
                    request.matchers.len(),
                    limits::MATCHERS_MAX
                ),
            ));
        }
        let matchers = request
            .matchers
            .iter()
            .enumerate()
            .map(|(index, matcher)| {
                LabelMatcher::parse(matcher)
                    .map_err(|error| error.in_field(&format!("matchers[{index}]")))
            })
            .collect::<Result<Vec<_>>>()?;
        let end_ms = request.end_ms.unwrap_or(now_ms);
        if request.start_ms.is_some_and(|start_ms| start_ms > end_ms) {
            return Err(Error::invalid(
                "start_ms",
                format!("lies after end_ms ({end_ms})"),
            ));
        }
        let shape = match request.aggregate.as_deref() {
            None => Shape::raw(request, end_ms)?,
            Some(word) => Shape::stepped(request, Aggregate::parse(word)?, end_ms)?,
        };
        Ok(Self {
            metric: request.metric.clone(),
            matchers,
            shape,
        })
    }
}

impl Shape {
    fn raw(request: &GetMetricsRequest, end_ms: i64) -> Result<Self> {
        let needs_aggregate = [
            ("step_ms", request.step_ms.is_some()),
            ("window_ms", request.window_ms.is_some()),
            ("by", !request.by.is_empty()),
        ];
        for (field, given) in needs_aggregate {
            if given {
                return Err(Error::invalid(field, "needs 'aggregate'"));
            }
        }
        let start_ms = request.start_ms.ok_or_else(|| {
            Error::invalid("start_ms", "is required where no 'aggregate' is given")
        })?;
        Ok(Self::Raw { start_ms, end_ms })
    }

    fn stepped(request: &GetMetricsRequest, aggregate: Aggregate, end_ms: i64) -> Result<Self> {
        let by = parse_by(&request.by, aggregate)?;
        check_span("step_ms", request.step_ms)?;
        check_span("window_ms", request.window_ms)?;
        let (instants, window_ms) = match (request.start_ms, request.step_ms) {
            (Some(start_ms), Some(step_ms)) => {
                let instants = Instants {
                    start_ms,
                    end_ms,
                    step_ms,
                };
                (instants, request.window_ms)
            }
            (None, Some(_)) => {
                return Err(Error::invalid(
                    "start_ms",
                    "is required where 'step_ms' is given",
                ));
            }
            (start_ms, None) => {
                let instant = Instants {
                    start_ms: end_ms,
                    end_ms,
                    step_ms: 1,
                };
                (
                    instant,
                    instant_window(start_ms, end_ms, request.window_ms)?,
                )
            }
        };
        let count = i64::try_from(instants.count()).unwrap_or(i64::MAX);
        if count > limits::QUERY_INSTANTS_MAX {
            return Err(Error::invalid(
                "step_ms",
                format!(
                    "makes {count} instants, at most {} are allowed: take a longer step",
                    limits::QUERY_INSTANTS_MAX
                ),
            ));
        }
        Ok(Self::Stepped {
            instants,
            aggregate,
            window_ms,
            by,
        })
    }
}

fn parse_by(by: &[String], aggregate: Aggregate) -> Result<Vec<String>> {
    if by.len() > limits::BY_MAX {
        return Err(Error::too_large(
            "by",
            format!(
                "has {} labels, at most {} are allowed",
                by.len(),
                limits::BY_MAX
            ),
        ));
    }
    if aggregate == Aggregate::Last && !by.is_empty() {
        return Err(Error::invalid(
            "by",
            "does not go with 'last', where each series stands alone",
        ));
    }
    for (index, name) in by.iter().enumerate() {
        check_label_name(&format!("by[{index}]"), name)?;
    }
    Ok(by.to_vec())
}

fn check_span(field: &str, span_ms: Option<i64>) -> Result<()> {
    match span_ms {
        Some(span_ms) if !(1..=limits::STEP_MS_MAX).contains(&span_ms) => Err(Error::invalid(
            field,
            format!("is {span_ms}, must lie in 1..={}", limits::STEP_MS_MAX),
        )),
        _ => Ok(()),
    }
}

/// The window of a query with one instant: from `start_ms`, or of `window_ms`, but not both.
fn instant_window(
    start_ms: Option<i64>,
    end_ms: i64,
    window_ms: Option<i64>,
) -> Result<Option<i64>> {
    let Some(start_ms) = start_ms else {
        return Ok(window_ms);
    };
    if window_ms.is_some() {
        return Err(Error::invalid(
            "window_ms",
            "does not go beside 'start_ms' without 'step_ms': the window is (start_ms, end_ms]",
        ));
    }
    let span_ms = end_ms.saturating_sub(start_ms);
    check_span("start_ms", Some(span_ms)).map_err(|_| {
        Error::invalid(
            "start_ms",
            format!(
                "makes a window of {span_ms} ms, which must lie in 1..={}",
                limits::STEP_MS_MAX
            ),
        )
    })?;
    Ok(Some(span_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(request: GetMetricsRequest) -> String {
        Query::parse(&request, 1_000_000)
            .expect_err("is refused")
            .violations()[0]
            .field
            .clone()
    }

    fn request(aggregate: &str) -> GetMetricsRequest {
        GetMetricsRequest {
            metric: "m".to_owned(),
            aggregate: (!aggregate.is_empty()).then(|| aggregate.to_owned()),
            ..GetMetricsRequest::default()
        }
    }

    #[test]
    fn contradicting_fields_are_refused_by_name() {
        assert_eq!(field(request("")), "start_ms");
        assert_eq!(field(request("median")), "aggregate");
        let stepped = GetMetricsRequest {
            step_ms: Some(1_000),
            ..request("sum")
        };
        assert_eq!(field(stepped.clone()), "start_ms");
        let late = GetMetricsRequest {
            start_ms: Some(2_000_000),
            ..stepped
        };
        assert_eq!(field(late), "start_ms");
        let both = GetMetricsRequest {
            start_ms: Some(0),
            window_ms: Some(1),
            ..request("sum")
        };
        assert_eq!(field(both), "window_ms");
        let grouped_last = GetMetricsRequest {
            by: vec!["a".to_owned()],
            ..request("last")
        };
        assert_eq!(field(grouped_last), "by");
        let raw_step = GetMetricsRequest {
            start_ms: Some(0),
            step_ms: Some(1),
            ..request("")
        };
        assert_eq!(field(raw_step), "step_ms");
    }

    #[test]
    fn instants_are_checked_at_the_limit_and_one_past_it() {
        let stepped = |instants: i64| GetMetricsRequest {
            start_ms: Some(0),
            end_ms: Some((instants - 1) * 10),
            step_ms: Some(10),
            ..request("sum")
        };
        assert!(Query::parse(&stepped(limits::QUERY_INSTANTS_MAX), 0).is_ok());
        assert_eq!(field(stepped(limits::QUERY_INSTANTS_MAX + 1)), "step_ms");
        let extremes = GetMetricsRequest {
            start_ms: Some(i64::MIN),
            end_ms: Some(i64::MAX),
            step_ms: Some(1),
            ..request("sum")
        };
        assert_eq!(field(extremes), "step_ms");
        let many = GetMetricsRequest {
            matchers: vec![Matcher::default(); limits::MATCHERS_MAX + 1],
            ..request("sum")
        };
        assert_eq!(field(many), "matchers");
    }

    #[test]
    fn instants_begin_at_the_start_and_stop_at_the_end() {
        let instants = Instants {
            start_ms: 5,
            end_ms: 26,
            step_ms: 10,
        };
        assert_eq!(instants.iter().collect::<Vec<_>>(), [5, 15, 25]);
        assert_eq!(instants.count(), 3);
    }
}
