//! Recording: from requests to writes.

use std::collections::HashMap;
use std::sync::Arc;

use plinth_core::access::IdempotencyScope;
use plinth_core::{CallContext, TenantId, TimestampMs};
use plinth_store::idempotency;
use serde::Serialize;

use super::MonitorService;
use super::registry::Change as Registration;
use crate::backend::{Change, Stored, Write, WriteAnswer, WriteItem};
use crate::error::MonitorError;
use crate::model::{
    BatchMode, HistogramState, IncrementCounterReply, IncrementCounterRequest, MetricDefinition,
    MetricType, ParsedSample, Payload, RecordBatchReply, RecordBatchRequest, RecordHistogramReply,
    RecordHistogramRequest, RecordMetricReply, Recorded, Rejected, Sample, SetGaugeReply,
    SetGaugeRequest, check_not_negative, clamp_count, limits,
};

/// The definitions that one request has looked up.
type Looked = HashMap<String, Arc<MetricDefinition>>;

impl MonitorService {
    /// Records one sample of any metric. Durable when it returns; with an idempotency key once.
    ///
    /// Errors: 1001 naming the field; 1004 where the name is unknown and unknown names are not taken; 1005 where the sample
    /// does not fit its metric; 2203 where a series limit is reached; 2204 where it is dated outside the window.
    pub async fn record_metric(
        &self,
        context: &CallContext,
        request: Sample,
    ) -> Result<RecordMetricReply, MonitorError> {
        let parsed = ParsedSample::parse(&request)?;
        let stored = self.record_one(context, &request, &parsed).await?;
        Ok(RecordMetricReply {
            recorded: Recorded {
                timestamp_ms: stored.at_ms,
                value: stored.value,
            },
        })
    }

    /// Adds to a counter; increments of any number of callers add up. Errors: as for [`Self::record_metric`].
    pub async fn increment_counter(
        &self,
        context: &CallContext,
        request: IncrementCounterRequest,
    ) -> Result<IncrementCounterReply, MonitorError> {
        let parsed = request.parse()?;
        let stored = self.record_one(context, &request, &parsed).await?;
        Ok(IncrementCounterReply {
            total: stored.value,
            timestamp_ms: stored.at_ms,
        })
    }

    /// Sets a gauge. Errors: as for [`Self::record_metric`].
    pub async fn set_gauge(
        &self,
        context: &CallContext,
        request: SetGaugeRequest,
    ) -> Result<SetGaugeReply, MonitorError> {
        let parsed = request.parse()?;
        let stored = self.record_one(context, &request, &parsed).await?;
        Ok(SetGaugeReply {
            timestamp_ms: stored.at_ms,
        })
    }

    /// Puts observations into a histogram. Errors: as for [`Self::record_metric`].
    pub async fn record_histogram(
        &self,
        context: &CallContext,
        request: RecordHistogramRequest,
    ) -> Result<RecordHistogramReply, MonitorError> {
        let parsed = request.parse()?;
        let stored = self.record_one(context, &request, &parsed).await?;
        Ok(RecordHistogramReply {
            count: clamp_count(stored.count),
            sum: stored.sum,
            timestamp_ms: stored.at_ms,
        })
    }

    /// Records many samples in one commit; every one is checked before the first is written.
    ///
    /// Errors: 1001 and 1007 where the batch itself breaks a limit; in mode `atomic` the error of the first bad sample,
    /// naming `samples[i]`.
    pub async fn record_batch(
        &self,
        context: &CallContext,
        request: RecordBatchRequest,
    ) -> Result<RecordBatchReply, MonitorError> {
        request.check_size()?;
        let mode = BatchMode::parse(request.mode.as_deref())?;
        let now_ms = self.clock.now().0;
        let scope = idempotency::scope(context, &request, TimestampMs(now_ms));
        let tenant = &context.caller.tenant;
        let answer = match self.batch_items(tenant, &request, mode, now_ms).await {
            Ok(items) => self.write(context, scope, items, mode, now_ms).await?,
            Err(refusal) => self.recall(scope, refusal).await?,
        };
        Ok(RecordBatchReply {
            accepted: answer.accepted,
            rejected: answer.rejected,
        })
    }

    async fn batch_items(
        &self,
        tenant: &TenantId,
        request: &RecordBatchRequest,
        mode: BatchMode,
        now_ms: i64,
    ) -> Result<Vec<Result<WriteItem, Rejected>>, MonitorError> {
        self.registry.load(tenant).await?;
        let checked = self.check_batch(tenant, request, mode, now_ms)?;
        let mut looked = Looked::new();
        let mut items = Vec::with_capacity(checked.len());
        for (index, parsed) in checked.into_iter().enumerate() {
            let item = match parsed {
                Ok(parsed) => self.item(tenant, &parsed, now_ms, &mut looked).await,
                Err(rejected) => {
                    items.push(Err(rejected));
                    continue;
                }
            };
            match (item, mode) {
                (Ok(item), _) => items.push(Ok(item)),
                (Err(error), BatchMode::Atomic) => return Err(error.in_sample(index)),
                (Err(error), BatchMode::PerItem) => items.push(Err(reject(index, error)?)),
            }
        }
        Ok(items)
    }

    /// Checks every sample against its metric, or against the one that its name would become, before a name is registered
    /// or a sample is written.
    fn check_batch(
        &self,
        tenant: &TenantId,
        request: &RecordBatchRequest,
        mode: BatchMode,
        now_ms: i64,
    ) -> Result<Vec<Result<ParsedSample, Rejected>>, MonitorError> {
        let mut looked = Looked::new();
        let mut checked = Vec::with_capacity(request.samples.len());
        for (index, sample) in request.samples.iter().enumerate() {
            let parsed = ParsedSample::parse(sample)
                .map_err(MonitorError::from)
                .and_then(|parsed| {
                    let known = looked.get(&parsed.metric).cloned();
                    let definition = match known {
                        Some(definition) => definition,
                        None => self.known_or_new(tenant, &parsed)?,
                    };
                    self.fit_checked(&definition, &parsed, now_ms)?;
                    looked.insert(parsed.metric.clone(), definition);
                    Ok(parsed)
                });
            match (parsed, mode) {
                (Ok(parsed), _) => checked.push(Ok(parsed)),
                (Err(error), BatchMode::Atomic) => return Err(error.in_sample(index)),
                (Err(error), BatchMode::PerItem) => checked.push(Err(reject(index, error)?)),
            }
        }
        Ok(checked)
    }

    async fn record_one(
        &self,
        context: &CallContext,
        request: &(impl Serialize + Sync),
        parsed: &ParsedSample,
    ) -> Result<Stored, MonitorError> {
        let now_ms = self.clock.now().0;
        let scope = idempotency::scope(context, request, TimestampMs(now_ms));
        let item = self
            .item(&context.caller.tenant, parsed, now_ms, &mut Looked::new())
            .await;
        let answer = match item {
            Ok(item) => {
                let items = vec![Ok(item)];
                let written = self.write(context, scope, items, BatchMode::Atomic, now_ms);
                written.await.map_err(without_index)?
            }
            Err(refusal) => self.recall(scope, refusal).await?,
        };
        answer.last.ok_or(MonitorError::Corrupt {
            what: "answer to a write",
        })
    }

    async fn write(
        &self,
        context: &CallContext,
        scope: Option<IdempotencyScope>,
        items: Vec<Result<WriteItem, Rejected>>,
        mode: BatchMode,
        now_ms: i64,
    ) -> Result<WriteAnswer, MonitorError> {
        context.check_deadline()?;
        self.backend
            .write(Write {
                tenant: context.caller.tenant.clone(),
                items,
                mode,
                scope,
                now_ms,
            })
            .await
    }

    /// What is refused now may have been recorded before, when its metric or its time was still taken: then the stored
    /// answer is the answer.
    async fn recall(
        &self,
        scope: Option<IdempotencyScope>,
        refusal: MonitorError,
    ) -> Result<WriteAnswer, MonitorError> {
        let Some(scope) = scope else {
            return Err(refusal);
        };
        self.backend.recall(scope).await?.ok_or(refusal)
    }

    /// Fits a sample to its metric, registering a new name where the settings allow it.
    async fn item(
        &self,
        tenant: &TenantId,
        parsed: &ParsedSample,
        now_ms: i64,
        looked: &mut Looked,
    ) -> Result<WriteItem, MonitorError> {
        let definition = match looked.get(&parsed.metric) {
            Some(definition) => Arc::clone(definition),
            None => {
                let definition = self.definition(tenant, parsed, now_ms).await?;
                looked.insert(parsed.metric.clone(), Arc::clone(&definition));
                definition
            }
        };
        let (change, at_ms) = self.fit_checked(&definition, parsed, now_ms)?;
        Ok(WriteItem {
            definition,
            labels: parsed.labels.clone(),
            change,
            at_ms,
        })
    }

    /// What a sample does to a series of its metric, and when.
    fn fit_checked(
        &self,
        definition: &MetricDefinition,
        parsed: &ParsedSample,
        now_ms: i64,
    ) -> Result<(Change, i64), MonitorError> {
        let change = fit(definition, parsed)?;
        check_labels(definition, parsed)?;
        let at_ms = parsed.timestamp_ms.unwrap_or(now_ms);
        self.check_time(definition, at_ms, now_ms)?;
        Ok((change, at_ms))
    }

    /// The metric of a sample, or what its name would become. The tenant's metrics are loaded.
    fn known_or_new(
        &self,
        tenant: &TenantId,
        parsed: &ParsedSample,
    ) -> Result<Arc<MetricDefinition>, MonitorError> {
        if let Some(definition) = self.registry.cached(tenant, &parsed.metric) {
            return Ok(definition);
        }
        if !self.settings.auto_register {
            return Err(MonitorError::MetricUnknown {
                metric: parsed.metric.clone(),
            });
        }
        Ok(Arc::new(MetricDefinition::automatic(
            &parsed.metric,
            parsed.natural_type(),
            self.settings.series_per_metric_max,
        )))
    }

    async fn definition(
        &self,
        tenant: &TenantId,
        parsed: &ParsedSample,
        now_ms: i64,
    ) -> Result<Arc<MetricDefinition>, MonitorError> {
        self.registry.load(tenant).await?;
        let definition = self.known_or_new(tenant, parsed)?;
        if self.registry.cached(tenant, &parsed.metric).is_some() {
            return Ok(definition);
        }
        // A name is registered for good, so not by a sample that is refused anyway.
        self.fit_checked(&definition, parsed, now_ms)?;
        let new = MetricDefinition::clone(&definition);
        let (definition, _) = self
            .registry
            .register(tenant, new, |_| Ok(Registration::Keep))
            .await?;
        Ok(definition)
    }

    fn check_time(
        &self,
        definition: &MetricDefinition,
        at_ms: i64,
        now_ms: i64,
    ) -> Result<(), MonitorError> {
        // A sample past the time to live would belong to a series that has ended.
        let kept_ms = definition
            .ttl_ms
            .map_or(self.settings.retention_ms, |ttl_ms| {
                ttl_ms.min(self.settings.retention_ms)
            });
        let from_ms = now_ms.saturating_sub(kept_ms).saturating_add(1);
        let to_ms = now_ms.saturating_add(limits::FUTURE_MS_MAX);
        if (from_ms..=to_ms).contains(&at_ms) {
            return Ok(());
        }
        Err(MonitorError::OutOfBounds {
            at_ms,
            from_ms,
            to_ms,
        })
    }
}

/// What the sample does to a series of this metric. Errors: 1005 where it does not fit, 1001 naming the field.
fn fit(definition: &MetricDefinition, parsed: &ParsedSample) -> Result<Change, MonitorError> {
    let mismatch = |problem: &'static str| MonitorError::TypeMismatch {
        metric: definition.name.clone(),
        registered: definition.metric_type,
        problem,
    };
    if parsed
        .metric_type
        .is_some_and(|given| given != definition.metric_type)
    {
        return Err(mismatch("the sample is of another type"));
    }
    match (definition.metric_type, &parsed.payload) {
        (MetricType::Gauge, Payload::Value(value)) => Ok(Change::Set(*value)),
        (MetricType::Counter, Payload::Value(total)) => {
            check_not_negative(parsed.payload.field(), *total)?;
            Ok(Change::Set(*total))
        }
        (MetricType::Counter, Payload::Increment(delta)) => Ok(Change::Add(*delta)),
        (MetricType::Histogram, Payload::Observations(observations)) => Ok(Change::Merge(
            HistogramState::of(&definition.buckets, observations),
        )),
        (MetricType::Gauge | MetricType::Counter, Payload::Observations(_)) => {
            Err(mismatch("'observations' belong to histograms"))
        }
        (MetricType::Gauge | MetricType::Histogram, Payload::Increment(_)) => {
            Err(mismatch("'increment' belongs to counters"))
        }
        (MetricType::Histogram, Payload::Value(_)) => {
            Err(mismatch("'value' belongs to gauges and counters"))
        }
    }
}

fn check_labels(definition: &MetricDefinition, parsed: &ParsedSample) -> Result<(), MonitorError> {
    let Some(allowed) = &definition.label_names else {
        return Ok(());
    };
    for (name, _) in parsed.labels.iter() {
        if !allowed.iter().any(|allowed| allowed == name) {
            return Err(plinth_core::Error::invalid(
                format!("labels.{name}"),
                format!(
                    "is not a label of {:?}, which has [{}]",
                    definition.name,
                    allowed.join(", ")
                ),
            )
            .into());
        }
    }
    Ok(())
}

/// A sample's own fault as its status; a failure of ours or of the control plane fails the batch.
fn reject(index: usize, error: MonitorError) -> Result<Rejected, MonitorError> {
    let error = plinth_core::Error::from(error);
    if matches!(
        error.code().class(),
        plinth_core::ErrorClass::Network | plinth_core::ErrorClass::Internal
    ) {
        return Err(MonitorError::Refused(error));
    }
    Ok(Rejected::new(index, &error))
}

/// The error of the only sample of a request, which has no place in a batch to be named by.
fn without_index(error: MonitorError) -> MonitorError {
    match error {
        MonitorError::InSample { source, .. } => *source,
        other => other,
    }
}
