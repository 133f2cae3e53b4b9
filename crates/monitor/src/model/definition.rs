//! Registered metrics.

use std::fmt;

use plinth_core::{Cursor, Error, PageLimit, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::histogram::BUCKETS_DEFAULT;
use super::labels::{check_label_name, check_metric_name};
use super::limits;

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    /// A total that only grows; a lower one is a reset.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
}

impl MetricType {
    /// Parses the word. Errors: 1001 naming `metric_type`.
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "counter" => Ok(Self::Counter),
            "gauge" => Ok(Self::Gauge),
            "histogram" => Ok(Self::Histogram),
            _ => Err(Error::invalid(
                "metric_type",
                "must be 'counter', 'gauge' or 'histogram'",
            )),
        }
    }

    /// The word on the wire and in the exposition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What is registered under a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorMetricSpec)]
pub struct MetricSpec {
    /// `counter`, `gauge` or `histogram`.
    pub metric_type: String,
    /// Unit for people, at most 64 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// One sentence on what it measures, at most 1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The labels that its samples may carry, at most 32; a sample with another label is refused. Without the list any are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_names: Option<Vec<String>>,
    /// Upper bounds of a histogram's buckets: 1 to 64 finite numbers, ascending, without +Inf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<Vec<f64>>,
    /// A series that was not written for so long ends with its samples: 1,000 ms to 10 years. Without it a series ends when
    /// the retention has removed its last sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
    /// Most series: 1 to the instance's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_series: Option<i64>,
}

/// Registers a metric, or changes its help, time to live and series limit.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterMetricRequest {
    /// Its name.
    pub metric: String,
    /// What it is.
    pub spec: MetricSpec,
}

/// A registered metric, valid by construction. Its JSON form is what the control plane stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricDefinition {
    /// Its name; stored beside the document, not in it.
    #[serde(skip)]
    pub name: String,
    /// What it measures.
    pub metric_type: MetricType,
    /// Its unit; may be empty.
    #[serde(default)]
    pub unit: String,
    /// What it measures, for people; may be empty.
    #[serde(default)]
    pub help: String,
    /// The labels that its samples may carry, sorted; `None` where any are.
    #[serde(default)]
    pub label_names: Option<Vec<String>>,
    /// Upper bounds of a histogram's buckets; empty otherwise.
    #[serde(default)]
    pub buckets: Vec<f64>,
    /// When an unwritten series ends, in milliseconds.
    #[serde(default)]
    pub ttl_ms: Option<i64>,
    /// Most series.
    pub max_series: usize,
    /// Whether its first sample registered it.
    #[serde(default)]
    pub auto_registered: bool,
    /// When it was registered, unix ms; stored beside the document.
    #[serde(skip)]
    pub created_ms: i64,
    /// When its registration was last changed, unix ms; stored beside the document.
    #[serde(skip)]
    pub updated_ms: i64,
}

impl MetricDefinition {
    /// Parses a registration. Errors: 1001 naming the field.
    pub fn parse(request: &RegisterMetricRequest, series_max: usize) -> Result<Self> {
        check_metric_name(&request.metric)?;
        let spec = &request.spec;
        let metric_type = MetricType::parse(&spec.metric_type)?;
        Ok(Self {
            name: request.metric.clone(),
            metric_type,
            unit: parse_text("unit", spec.unit.as_deref(), limits::UNIT_BYTES_MAX)?,
            help: parse_text("help", spec.help.as_deref(), limits::HELP_BYTES_MAX)?,
            label_names: spec
                .label_names
                .as_deref()
                .map(parse_label_names)
                .transpose()?,
            buckets: parse_buckets(metric_type, spec.buckets.as_deref())?,
            ttl_ms: parse_ttl(spec.ttl_ms)?,
            max_series: parse_max_series(spec.max_series, series_max)?,
            auto_registered: false,
            created_ms: 0,
            updated_ms: 0,
        })
    }

    /// The definition of a name that its first sample registers: any labels, default buckets.
    #[must_use]
    pub fn automatic(name: &str, metric_type: MetricType, series_max: usize) -> Self {
        let buckets = match metric_type {
            MetricType::Histogram => BUCKETS_DEFAULT.to_vec(),
            MetricType::Counter | MetricType::Gauge => Vec::new(),
        };
        Self {
            name: name.to_owned(),
            metric_type,
            unit: String::new(),
            help: String::new(),
            label_names: None,
            buckets,
            ttl_ms: None,
            max_series: series_max,
            auto_registered: true,
            created_ms: 0,
            updated_ms: 0,
        }
    }

    /// Says in what a new registration of the same name may not differ but does; `None` where it may replace this one.
    #[must_use]
    pub fn difference(&self, new: &Self) -> Option<String> {
        if self.metric_type != new.metric_type {
            return Some(format!(
                "metric_type is '{}', not '{}'",
                self.metric_type, new.metric_type
            ));
        }
        // What a first sample registered has no unit yet: one may be added. So may a label list where there is none.
        if self.unit != new.unit && !self.auto_registered {
            return Some(format!("unit is '{}', not '{}'", self.unit, new.unit));
        }
        if self.label_names.is_some() && self.label_names != new.label_names {
            let list = |names: &Option<Vec<String>>| match names {
                Some(names) => format!("[{}]", names.join(", ")),
                None => "any".to_owned(),
            };
            return Some(format!(
                "label_names are {}, not {}",
                list(&self.label_names),
                list(&new.label_names)
            ));
        }
        if self.buckets != new.buckets {
            return Some(format!(
                "buckets are {:?}, not {:?}",
                self.buckets, new.buckets
            ));
        }
        None
    }

    /// The names under which it stands in the exposition.
    pub(crate) fn exposed_names(&self) -> Vec<String> {
        let mut names = vec![self.name.clone()];
        if self.metric_type == MetricType::Histogram {
            names.extend(["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", self.name)));
        }
        names
    }
}

fn parse_text(field: &str, text: Option<&str>, bytes_max: usize) -> Result<String> {
    let text = text.unwrap_or("");
    if text.len() > bytes_max {
        return Err(Error::invalid(
            field,
            format!("has {} bytes, at most {bytes_max} are allowed", text.len()),
        ));
    }
    Ok(text.to_owned())
}

fn parse_label_names(names: &[String]) -> Result<Vec<String>> {
    if names.len() > limits::LABELS_MAX {
        return Err(Error::invalid(
            "label_names",
            format!(
                "has {} names, at most {} are allowed",
                names.len(),
                limits::LABELS_MAX
            ),
        ));
    }
    let mut sorted = names.to_vec();
    sorted.sort();
    for (index, name) in names.iter().enumerate() {
        check_label_name(&format!("label_names[{index}]"), name)?;
    }
    if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(Error::invalid("label_names", "holds a name twice"));
    }
    Ok(sorted)
}

fn parse_buckets(metric_type: MetricType, buckets: Option<&[f64]>) -> Result<Vec<f64>> {
    let Some(buckets) = buckets else {
        return Ok(match metric_type {
            MetricType::Histogram => BUCKETS_DEFAULT.to_vec(),
            MetricType::Counter | MetricType::Gauge => Vec::new(),
        });
    };
    if metric_type != MetricType::Histogram {
        return Err(Error::invalid("buckets", "belong to histograms only"));
    }
    if !(1..=limits::BUCKETS_MAX).contains(&buckets.len()) {
        return Err(Error::invalid(
            "buckets",
            format!(
                "has {} bounds, 1 to {} are allowed",
                buckets.len(),
                limits::BUCKETS_MAX
            ),
        ));
    }
    if !buckets.iter().all(|bound| bound.is_finite()) {
        return Err(Error::invalid(
            "buckets",
            "must be finite; the bucket up to +Inf is always there",
        ));
    }
    let ascending = buckets
        .iter()
        .zip(buckets.iter().skip(1))
        .all(|(lower, upper)| lower < upper);
    if !ascending {
        return Err(Error::invalid("buckets", "must ascend, none twice"));
    }
    Ok(buckets.to_vec())
}

fn parse_ttl(ttl_ms: Option<i64>) -> Result<Option<i64>> {
    match ttl_ms {
        None => Ok(None),
        Some(ttl_ms) if (limits::TTL_MS_MIN..=limits::TTL_MS_MAX).contains(&ttl_ms) => {
            Ok(Some(ttl_ms))
        }
        Some(ttl_ms) => Err(Error::invalid(
            "ttl_ms",
            format!(
                "is {ttl_ms}, must lie in {}..={}",
                limits::TTL_MS_MIN,
                limits::TTL_MS_MAX
            ),
        )),
    }
}

fn parse_max_series(max_series: Option<i64>, series_max: usize) -> Result<usize> {
    let Some(max_series) = max_series else {
        return Ok(series_max);
    };
    usize::try_from(max_series)
        .ok()
        .filter(|count| (1..=series_max).contains(count))
        .ok_or_else(|| {
            Error::invalid(
                "max_series",
                format!("is {max_series}, must lie in 1..={series_max}"),
            )
        })
}

/// A registered metric and how it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorMetricInfo)]
pub struct MetricInfo {
    /// Its name.
    pub metric: String,
    /// `counter`, `gauge` or `histogram`.
    pub metric_type: String,
    /// Its unit; may be empty.
    pub unit: String,
    /// What it measures; may be empty.
    pub help: String,
    /// The labels that its samples may carry; absent where any are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_names: Option<Vec<String>>,
    /// Upper bounds of a histogram's buckets; empty otherwise.
    pub buckets: Vec<f64>,
    /// When an unwritten series ends, in milliseconds; absent: with the retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
    /// Most series.
    pub max_series: i64,
    /// Whether its first sample registered it.
    pub auto_registered: bool,
    /// When it was registered, unix ms.
    pub created_ms: i64,
    /// When its registration was last changed, unix ms.
    pub updated_ms: i64,
    /// How many series it has.
    pub series: i64,
    /// Time of its newest sample, unix ms; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_write_ms: Option<i64>,
    /// Samples refused by the series limits since the instance started.
    pub refused: i64,
}

/// What a registration did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorRegisterMetricReply)]
pub struct RegisterMetricReply {
    /// The metric as registered.
    pub info: MetricInfo,
    /// Whether it is new.
    pub created: bool,
}

/// Lists registered metrics by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorListMetricsRequest)]
pub struct ListMetricsRequest {
    /// Only names that begin so; at most 128 bytes.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Rows of the page, 1 to 1,000; default 50.
    #[serde(default)]
    pub limit: Option<i64>,
    /// Where the previous page ended.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A listing, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) prefix: String,
    pub(crate) limit: PageLimit,
    pub(crate) after: Option<String>,
}

impl Listing {
    /// Errors: 1001 naming the field.
    pub(crate) fn parse(request: &ListMetricsRequest) -> Result<Self> {
        let prefix = parse_text(
            "prefix",
            request.prefix.as_deref(),
            limits::PREFIX_BYTES_MAX,
        )?;
        let after = match &request.cursor {
            None => None,
            Some(cursor) => Some(Cursor::decode::<String>(cursor)?),
        };
        Ok(Self {
            prefix,
            limit: PageLimit::parse(request.limit)?,
            after,
        })
    }
}

/// One page of registered metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorListMetricsReply)]
pub struct ListMetricsReply {
    /// Metrics by name.
    pub metrics: Vec<MetricInfo>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
