//! Samples as callers send them.

use std::collections::BTreeMap;

use plinth_core::{Error, ErrorCode, Resource, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::MetricType;
use super::labels::{Labels, check_metric_name, metric_resources};
use super::limits;

/// One sample. Exactly one of `value`, `increment` and `observations` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorSample)]
pub struct Sample {
    /// Name of the metric: `[a-zA-Z_:][a-zA-Z0-9_:]*`, 1 to 128 bytes; the prefix `plinth_` is Plinth's own.
    pub metric: String,
    /// At most 32 labels: legal names other than `le` and `__…`, values of at most 1,024 bytes. A label with an empty value
    /// is the same as no label.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Of a gauge its value, of a counter its total (a lower total than before is a reset). Finite; a total is not negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Added to a counter: finite, not negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increment: Option<f64>,
    /// Put into a histogram: 1 to 1,000 finite numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observations: Option<Vec<f64>>,
    /// When it was taken, unix ms; default now. From the beginning of the retention to 10 minutes ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
    /// `counter`, `gauge` or `histogram`: what the caller takes the metric for. Checked, and used where the name is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
}

/// What a sample carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    /// A gauge's value or a counter's total.
    Value(f64),
    /// To be added to a counter.
    Increment(f64),
    /// To be put into a histogram.
    Observations(Vec<f64>),
}

/// A sample, checked for everything that can be checked without its metric's definition.
#[derive(Clone, Debug)]
pub(crate) struct ParsedSample {
    pub(crate) metric: String,
    pub(crate) labels: Labels,
    pub(crate) payload: Payload,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) metric_type: Option<MetricType>,
}

impl ParsedSample {
    /// Errors: 1001 or 1007 naming the field.
    pub(crate) fn parse(sample: &Sample) -> Result<Self> {
        check_metric_name(&sample.metric)?;
        let labels = Labels::parse(&sample.labels)?;
        let metric_type = sample
            .metric_type
            .as_deref()
            .map(MetricType::parse)
            .transpose()?;
        Ok(Self {
            metric: sample.metric.clone(),
            labels,
            payload: Payload::parse(sample)?,
            timestamp_ms: sample.timestamp_ms,
            metric_type,
        })
    }

    /// The type of a new name: the caller's word, or what the payload shows.
    pub(crate) fn natural_type(&self) -> MetricType {
        self.metric_type.unwrap_or(match self.payload {
            Payload::Value(_) => MetricType::Gauge,
            Payload::Increment(_) => MetricType::Counter,
            Payload::Observations(_) => MetricType::Histogram,
        })
    }
}

impl Payload {
    fn parse(sample: &Sample) -> Result<Self> {
        match (sample.value, sample.increment, &sample.observations) {
            (Some(value), None, None) => Ok(Self::Value(check_finite("value", value)?)),
            (None, Some(increment), None) => {
                check_finite("increment", increment)?;
                check_not_negative("increment", increment)?;
                Ok(Self::Increment(increment))
            }
            (None, None, Some(observations)) => {
                check_observations(observations)?;
                Ok(Self::Observations(observations.clone()))
            }
            _ => Err(Error::invalid(
                "value",
                "exactly one of 'value', 'increment' and 'observations' must be given",
            )),
        }
    }

    /// The name of the field that carries it.
    pub(crate) const fn field(&self) -> &'static str {
        match self {
            Self::Value(_) => "value",
            Self::Increment(_) => "increment",
            Self::Observations(_) => "observations",
        }
    }
}

fn check_finite(field: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::invalid(
        field,
        "must be a finite number: NaN and infinities are not recorded",
    ))
}

/// Errors: 1001 naming `field` where the number lies below zero.
pub(crate) fn check_not_negative(field: &str, value: f64) -> Result<()> {
    if value < 0.0 {
        return Err(Error::invalid(field, "must not be negative on a counter"));
    }
    Ok(())
}

fn check_observations(observations: &[f64]) -> Result<()> {
    if observations.is_empty() {
        return Err(Error::invalid("observations", "must not be empty"));
    }
    if observations.len() > limits::OBSERVATIONS_MAX {
        return Err(Error::too_large(
            "observations",
            format!(
                "has {} numbers, at most {} are allowed",
                observations.len(),
                limits::OBSERVATIONS_MAX
            ),
        ));
    }
    for (index, observation) in observations.iter().enumerate() {
        check_finite(&format!("observations[{index}]"), *observation)?;
    }
    Ok(())
}

/// What was stored for one sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorRecorded)]
pub struct Recorded {
    /// The sample's time as stored, unix ms.
    pub timestamp_ms: i64,
    /// A gauge's value, a counter's total, the number of observations that a histogram has taken.
    pub value: f64,
}

/// The answer to one recorded sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorRecordMetricReply)]
pub struct RecordMetricReply {
    /// What was stored; durable on disk.
    pub recorded: Recorded,
}

/// What becomes of a batch that holds a bad sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchMode {
    /// The whole batch is refused.
    #[default]
    Atomic,
    /// Bad samples are left out and reported one by one.
    PerItem,
}

impl BatchMode {
    /// Parses the word; `None` takes the default. Errors: 1001 naming `mode`.
    pub fn parse(word: Option<&str>) -> Result<Self> {
        match word {
            None | Some("atomic") => Ok(Self::Atomic),
            Some("per_item") => Ok(Self::PerItem),
            Some(_) => Err(Error::invalid("mode", "must be 'atomic' or 'per_item'")),
        }
    }
}

/// Records many samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorRecordBatchRequest)]
pub struct RecordBatchRequest {
    /// 1 to 1,000 samples, in all at most 65,536 observations. Every sample is checked before the first is written.
    pub samples: Vec<Sample>,
    /// `atomic` (default): one bad sample refuses the batch, naming `samples[i]`. `per_item`: bad samples are left out and
    /// reported one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

impl RecordBatchRequest {
    /// The metrics that the batch is about, each once; of an empty batch, which is refused later, all of them.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        if self.samples.is_empty() {
            return vec![Resource::all("metric")];
        }
        metric_resources(self.samples.iter().map(|sample| sample.metric.as_str()))
    }

    /// Errors: 1001 or 1007 naming the field, where the batch as a whole passes a limit.
    pub(crate) fn check_size(&self) -> Result<()> {
        if self.samples.is_empty() {
            return Err(Error::invalid("samples", "must not be empty"));
        }
        if self.samples.len() > limits::BATCH_SAMPLES_MAX {
            return Err(Error::too_large(
                "samples",
                format!(
                    "has {} samples, at most {} are allowed",
                    self.samples.len(),
                    limits::BATCH_SAMPLES_MAX
                ),
            ));
        }
        let observations: usize = self
            .samples
            .iter()
            .filter_map(|sample| sample.observations.as_ref().map(Vec::len))
            .sum();
        if observations > limits::BATCH_OBSERVATIONS_MAX {
            return Err(Error::too_large(
                "samples",
                format!(
                    "have {observations} observations in all, at most {} are allowed",
                    limits::BATCH_OBSERVATIONS_MAX
                ),
            ));
        }
        Ok(())
    }
}

/// One sample of a batch that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorRejected)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    pub index: i32,
    /// Error code.
    pub code: i32,
    /// The code's name in upper snake case.
    pub reason: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Rejected {
    /// Reports an error of the sample at `index`.
    #[must_use]
    pub fn new(index: usize, error: &Error) -> Self {
        let code: ErrorCode = error.code();
        Self {
            index: i32::try_from(index).unwrap_or(i32::MAX),
            code: i32::from(code.number()),
            reason: code.reason().to_owned(),
            message: error.message().to_owned(),
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorRecordBatchReply)]
pub struct RecordBatchReply {
    /// How many samples were stored; durable on disk.
    pub accepted: i32,
    /// Those that were not, by index; always empty in mode `atomic`.
    pub rejected: Vec<Rejected>,
}

/// Adds to a counter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorIncrementCounterRequest)]
pub struct IncrementCounterRequest {
    /// Name of the counter.
    pub metric: String,
    /// At most 32 labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How much to add: finite, not negative; default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// When, unix ms; default now. Dated before the newest sample of its series it is counted at that sample's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
}

impl IncrementCounterRequest {
    /// Parses it as the sample that it stands for. Errors: 1001 naming the field.
    pub(crate) fn parse(&self) -> Result<ParsedSample> {
        let delta = check_finite("delta", self.delta.unwrap_or(1.0))?;
        check_not_negative("delta", delta)?;
        ParsedSample::parse(&Sample {
            metric: self.metric.clone(),
            labels: self.labels.clone(),
            increment: Some(delta),
            timestamp_ms: self.timestamp_ms,
            metric_type: Some(MetricType::Counter.as_str().to_owned()),
            ..Sample::default()
        })
    }
}

/// The counter after an increment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorIncrementCounterReply)]
pub struct IncrementCounterReply {
    /// The counter's total after this increment.
    pub total: f64,
    /// The time of the stored sample, unix ms.
    pub timestamp_ms: i64,
}

/// Puts observations into a histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorRecordHistogramRequest)]
pub struct RecordHistogramRequest {
    /// Name of the histogram.
    pub metric: String,
    /// At most 32 labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// 1 to 1,000 finite numbers.
    pub observations: Vec<f64>,
    /// When, unix ms; default now. Dated before the newest sample of its series they are counted at that sample's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
}

impl RecordHistogramRequest {
    /// Parses it as the sample that it stands for. Errors: 1001 or 1007 naming the field.
    pub(crate) fn parse(&self) -> Result<ParsedSample> {
        ParsedSample::parse(&Sample {
            metric: self.metric.clone(),
            labels: self.labels.clone(),
            observations: Some(self.observations.clone()),
            timestamp_ms: self.timestamp_ms,
            metric_type: Some(MetricType::Histogram.as_str().to_owned()),
            ..Sample::default()
        })
    }
}

/// The histogram after an observation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorRecordHistogramReply)]
pub struct RecordHistogramReply {
    /// How many observations the series has taken in all.
    pub count: i64,
    /// Their sum.
    pub sum: f64,
    /// The time of the stored sample, unix ms.
    pub timestamp_ms: i64,
}

/// Sets a gauge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorSetGaugeRequest)]
pub struct SetGaugeRequest {
    /// Name of the gauge.
    pub metric: String,
    /// At most 32 labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its value: finite.
    pub value: f64,
    /// When, unix ms; default now. A sample older than the newest one is stored and leaves the current value alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
}

impl SetGaugeRequest {
    /// Parses it as the sample that it stands for. Errors: 1001 naming the field.
    pub(crate) fn parse(&self) -> Result<ParsedSample> {
        ParsedSample::parse(&Sample {
            metric: self.metric.clone(),
            labels: self.labels.clone(),
            value: Some(self.value),
            timestamp_ms: self.timestamp_ms,
            metric_type: Some(MetricType::Gauge.as_str().to_owned()),
            ..Sample::default()
        })
    }
}

/// The gauge after it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorSetGaugeReply)]
pub struct SetGaugeReply {
    /// The time of the stored sample, unix ms.
    pub timestamp_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            metric: "m".to_owned(),
            ..Sample::default()
        }
    }

    #[test]
    fn a_sample_carries_exactly_one_payload() {
        let refused = |sample: Sample| {
            ParsedSample::parse(&sample)
                .expect_err("is refused")
                .violations()[0]
                .field
                .clone()
        };
        assert_eq!(refused(sample()), "value");
        let both = Sample {
            value: Some(1.0),
            increment: Some(1.0),
            ..sample()
        };
        assert_eq!(refused(both), "value");
        let negative = Sample {
            increment: Some(-1.0),
            ..sample()
        };
        assert_eq!(refused(negative), "increment");
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Sample {
                value: Some(bad),
                ..sample()
            };
            assert_eq!(refused(value), "value");
            let observed = Sample {
                observations: Some(vec![1.0, bad]),
                ..sample()
            };
            assert_eq!(refused(observed), "observations[1]");
        }
    }

    #[test]
    fn counts_are_checked_at_the_limit_and_one_past_it() {
        let observed = |count: usize| Sample {
            observations: Some(vec![1.0; count]),
            ..sample()
        };
        assert!(ParsedSample::parse(&observed(0)).is_err());
        assert!(ParsedSample::parse(&observed(limits::OBSERVATIONS_MAX)).is_ok());
        assert!(ParsedSample::parse(&observed(limits::OBSERVATIONS_MAX + 1)).is_err());
        let batch = |samples: usize, observations: usize| RecordBatchRequest {
            samples: vec![observed(observations); samples],
            mode: None,
        };
        assert!(batch(0, 1).check_size().is_err());
        assert!(batch(limits::BATCH_SAMPLES_MAX, 1).check_size().is_ok());
        assert!(
            batch(limits::BATCH_SAMPLES_MAX + 1, 1)
                .check_size()
                .is_err()
        );
        assert!(batch(64, 1_024).check_size().is_ok());
        assert!(batch(65, 1_024).check_size().is_err());
    }
}
