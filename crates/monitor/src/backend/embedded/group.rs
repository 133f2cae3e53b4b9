//! One group commit: many requests, one transaction.
//!
//! It runs on the engine's writer thread. Totals are computed here, one request after the other, from the newest samples in
//! the index and from what the group itself has done so far; the index is changed only after the commit. Since one task
//! hands the groups in, one at a time, no total can be read before the one before it is durable or gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use plinth_core::TenantId;
use plinth_store::{StoreError, idempotency};
use rusqlite::Connection;

use super::codec;
use super::index::{Index, Refusals, Series, SeriesState, is_newest};
use crate::backend::{Change, Stored, StoredSample, Value, Write, WriteAnswer, WriteItem};
use crate::error::MonitorError;
use crate::model::{BatchMode, HistogramState, Labels, MetricDefinition, Rejected};

/// The series limits above those of single metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeriesLimits {
    pub(super) per_tenant_max: usize,
    pub(super) instance_max: usize,
    pub(super) label_bytes_per_tenant_max: usize,
    pub(super) label_bytes_max: usize,
}

/// What a group adds; a series that replaces an ended one adds nothing.
#[derive(Clone, Copy, Default)]
struct Added {
    series: usize,
    label_bytes: usize,
}

impl Added {
    fn count(&mut self, series: &Series) {
        self.series += 1;
        self.label_bytes += series.labels.bytes();
    }

    fn uncount(&mut self, series: &Series) {
        self.series -= 1;
        self.label_bytes -= series.labels.bytes();
    }
}

/// A series that the group begins.
pub(super) struct Created {
    pub(super) tenant: TenantId,
    pub(super) metric: Arc<MetricDefinition>,
    pub(super) series: Arc<Series>,
    /// The ended series whose place it takes.
    replaces: Option<Arc<Series>>,
}

/// A metric whose row is new or changed.
pub(super) struct MetricRow {
    pub(super) tenant: TenantId,
    pub(super) definition: Arc<MetricDefinition>,
    /// Its id, once its row is written.
    pub(super) id: i64,
}

/// What the group does to the index once it is durable.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) metrics: Vec<MetricRow>,
    pub(super) created: Vec<Created>,
    pub(super) samples: Vec<(Arc<Series>, StoredSample)>,
    /// The id that the next new series gets.
    pub(super) next_series: i64,
    /// The journal entry that holds the samples; `None` where there are none.
    pub(super) journal_seq: Option<i64>,
}

type SeriesKey = (TenantId, String, Labels);

/// The work of one group.
pub(super) struct Group<'a> {
    index: &'a Index,
    refusals: &'a Refusals,
    limits: SeriesLimits,
    effects: Effects,
    /// The group's own view of what it begins; not in the index yet.
    created_by_key: HashMap<SeriesKey, Arc<Series>>,
    added_to_metric: HashMap<(TenantId, String), Added>,
    added_to_tenant: HashMap<TenantId, Added>,
    added: Added,
    /// Newest samples that the group has written.
    newest: HashMap<i64, StoredSample>,
    /// Metrics whose row the group has checked.
    checked: HashSet<(TenantId, String)>,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        index: &'a Index,
        refusals: &'a Refusals,
        limits: SeriesLimits,
        next_series: i64,
    ) -> Self {
        Self {
            index,
            refusals,
            limits,
            effects: Effects {
                next_series,
                ..Effects::default()
            },
            created_by_key: HashMap::new(),
            added_to_metric: HashMap::new(),
            added_to_tenant: HashMap::new(),
            added: Added::default(),
            newest: HashMap::new(),
            checked: HashSet::new(),
        }
    }

    /// Runs every request, writes what they do, and returns their answers in order.
    ///
    /// Errors: the store failed, so that the whole group must be rolled back.
    pub(super) fn run(
        mut self,
        transaction: &Connection,
        writes: &[Write],
    ) -> Result<(Vec<Result<WriteAnswer, MonitorError>>, Effects), MonitorError> {
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let answer =
                idempotency::once(transaction, write.scope.as_ref(), |_| self.apply(write));
            match answer {
                // Found before anything was done, so only this request is refused.
                Err(MonitorError::Store(cause))
                    if !matches!(cause, StoreError::IdempotencyConflict) =>
                {
                    return Err(MonitorError::Store(cause));
                }
                answer => answers.push(answer),
            }
        }
        self.write_rows(transaction)?;
        Ok((answers, self.effects))
    }

    /// Finds or begins the series of every item, and only then applies them.
    fn apply(&mut self, write: &Write) -> Result<WriteAnswer, MonitorError> {
        let mark = self.effects.created.len();
        let mut answer = WriteAnswer::default();
        let mut placed = Vec::with_capacity(write.items.len());
        for (index, item) in write.items.iter().enumerate() {
            let item = match item {
                Ok(item) => item,
                Err(rejected) => {
                    answer.rejected.push(rejected.clone());
                    continue;
                }
            };
            match (self.series_of(write, item), write.mode) {
                (Ok(series), _) => placed.push((series, item)),
                (Err(error), BatchMode::Atomic) => {
                    self.undo_to(mark);
                    return Err(error.in_sample(index));
                }
                (Err(error), BatchMode::PerItem) => {
                    answer.rejected.push(Rejected::new(index, &error.into()));
                }
            }
        }
        answer.accepted = i32::try_from(placed.len()).unwrap_or(i32::MAX);
        for (series, item) in placed {
            self.note_metric(&write.tenant, &item.definition);
            answer.last = Some(self.record(series, item));
        }
        Ok(answer)
    }

    fn series_of(&mut self, write: &Write, item: &WriteItem) -> Result<Arc<Series>, MonitorError> {
        let metric = &item.definition;
        let found = self
            .index
            .metric(&write.tenant, &metric.name)
            .and_then(|found| found.series.get(&item.labels));
        // What the group has written to it is not older than what the index knows.
        let ended = found.is_some_and(|series| {
            !self.newest.contains_key(&series.id) && series.has_ended(metric.ttl_ms, write.now_ms)
        });
        if let (Some(series), false) = (found, ended) {
            return Ok(Arc::clone(series));
        }
        let key = (
            write.tenant.clone(),
            metric.name.clone(),
            item.labels.clone(),
        );
        if let Some(series) = self.created_by_key.get(&key) {
            return Ok(Arc::clone(series));
        }
        let replaces = found.cloned();
        if replaces.is_none() {
            self.check_limits(&write.tenant, metric, &item.labels)
                .inspect_err(|_| self.refusals.add(&write.tenant, &metric.name))?;
        }
        Ok(self.begin_series(key, item, replaces))
    }

    fn check_limits(
        &self,
        tenant: &TenantId,
        metric: &MetricDefinition,
        labels: &Labels,
    ) -> Result<(), MonitorError> {
        let of_metric = self
            .index
            .metric(tenant, &metric.name)
            .map_or(0, |found| found.series.len())
            + self
                .added_to_metric
                .get(&(tenant.clone(), metric.name.clone()))
                .map_or(0, |added| added.series);
        let (series, label_bytes) = self.index.of_tenant(tenant);
        let added = self
            .added_to_tenant
            .get(tenant)
            .copied()
            .unwrap_or_default();
        let of_tenant = series + added.series;
        let of_instance = self.index.series + self.added.series;
        for (scope, count, limit) in [
            ("the metric", of_metric, metric.max_series),
            ("the tenant", of_tenant, self.limits.per_tenant_max),
            ("the instance", of_instance, self.limits.instance_max),
        ] {
            if count >= limit {
                return Err(MonitorError::SeriesLimit { scope, limit });
            }
        }
        let of_tenant = label_bytes + added.label_bytes;
        let of_instance = self.index.label_bytes + self.added.label_bytes;
        for (scope, bytes, limit) in [
            (
                "the tenant",
                of_tenant,
                self.limits.label_bytes_per_tenant_max,
            ),
            ("the instance", of_instance, self.limits.label_bytes_max),
        ] {
            if bytes + labels.bytes() > limit {
                return Err(MonitorError::LabelBytesLimit { scope, limit });
            }
        }
        Ok(())
    }

    fn begin_series(
        &mut self,
        key: SeriesKey,
        item: &WriteItem,
        replaces: Option<Arc<Series>>,
    ) -> Arc<Series> {
        let from_zero = !matches!(item.change, Change::Set(_));
        let series = Arc::new(Series::new(
            self.effects.next_series,
            item.labels.clone(),
            from_zero,
            SeriesState::empty(),
        ));
        self.effects.next_series += 1;
        if replaces.is_none() {
            let metric = (key.0.clone(), key.1.clone());
            self.added_to_metric
                .entry(metric)
                .or_default()
                .count(&series);
            let of_tenant = self.added_to_tenant.entry(key.0.clone());
            of_tenant.or_default().count(&series);
            self.added.count(&series);
        }
        self.effects.created.push(Created {
            tenant: key.0.clone(),
            metric: Arc::clone(&item.definition),
            series: Arc::clone(&series),
            replaces,
        });
        self.created_by_key.insert(key, Arc::clone(&series));
        series
    }

    /// Forgets the series that a refused request has begun.
    fn undo_to(&mut self, mark: usize) {
        for created in self.effects.created.drain(mark..) {
            let metric = (created.tenant.clone(), created.metric.name.clone());
            if created.replaces.is_none() {
                self.added.uncount(&created.series);
                if let Some(added) = self.added_to_metric.get_mut(&metric) {
                    added.uncount(&created.series);
                }
                if let Some(added) = self.added_to_tenant.get_mut(&created.tenant) {
                    added.uncount(&created.series);
                }
            }
            let key = (metric.0, metric.1, created.series.labels.clone());
            self.created_by_key.remove(&key);
        }
    }

    /// Computes the sample that an item makes, and keeps it for the journal.
    fn record(&mut self, series: Arc<Series>, item: &WriteItem) -> Stored {
        let newest = match self.newest.get(&series.id) {
            Some(newest) => Some(newest.clone()),
            None => series.newest(),
        };
        // A total is changed at one end only: an increment that is dated earlier counts at the newest sample's time.
        let not_before = newest
            .as_ref()
            .map_or(item.at_ms, |newest| newest.at_ms.max(item.at_ms));
        let (at_ms, value) = match &item.change {
            Change::Set(value) => (item.at_ms, Value::Scalar(*value)),
            Change::Add(delta) => {
                let total = newest.as_ref().map_or(0.0, |newest| newest.value.number());
                // A total that would pass the largest double stays there.
                (not_before, Value::Scalar((total + delta).min(f64::MAX)))
            }
            Change::Merge(observed) => (not_before, merged(newest.as_ref(), observed)),
        };
        let sample = StoredSample { at_ms, value };
        let (count, sum) = match &sample.value {
            Value::Scalar(_) => (0, 0.0),
            Value::Histogram(state) => (state.count(), state.sum),
        };
        let stored = Stored {
            at_ms,
            value: sample.value.number(),
            count,
            sum,
        };
        if is_newest(newest.as_ref(), at_ms) {
            self.newest.insert(series.id, sample.clone());
        } else if let Some(newest) = newest {
            self.newest.insert(series.id, newest);
        }
        self.effects.samples.push((series, sample));
        stored
    }

    /// Keeps the row of a metric in step with its definition.
    fn note_metric(&mut self, tenant: &TenantId, definition: &Arc<MetricDefinition>) {
        let known = self.index.metric(tenant, &definition.name);
        if known.is_some_and(|known| known.ttl_ms == definition.ttl_ms) {
            return;
        }
        if self
            .checked
            .insert((tenant.clone(), definition.name.clone()))
        {
            self.effects.metrics.push(MetricRow {
                tenant: tenant.clone(),
                definition: Arc::clone(definition),
                id: known.map_or(0, |known| known.id),
            });
        }
    }

    fn write_rows(&mut self, transaction: &Connection) -> Result<(), MonitorError> {
        for row in &mut self.effects.metrics {
            row.id = put_metric_row(transaction, &row.tenant, &row.definition)?;
        }
        let metric_ids: HashMap<(&TenantId, &str), i64> = self
            .effects
            .metrics
            .iter()
            .map(|row| ((&row.tenant, row.definition.name.as_str()), row.id))
            .collect();
        for created in &self.effects.created {
            let (tenant, name) = (&created.tenant, created.metric.name.as_str());
            let id = metric_ids
                .get(&(tenant, name))
                .copied()
                .or_else(|| self.index.metric(tenant, name).map(|found| found.id))
                .ok_or(MonitorError::Corrupt { what: "metric" })?;
            if let Some(replaced) = &created.replaces {
                delete_series(transaction, replaced.id)?;
            }
            insert_series(transaction, id, &created.series)?;
        }
        if self.effects.samples.is_empty() {
            return Ok(());
        }
        let entries = self.effects.samples.iter();
        let entry = codec::encode_journal(entries.map(|(series, sample)| (series.id, sample)));
        transaction
            .prepare_cached("INSERT INTO journal (entry) VALUES (?1)")?
            .execute([entry])?;
        self.effects.journal_seq = Some(transaction.last_insert_rowid());
        Ok(())
    }
}

fn merged(newest: Option<&StoredSample>, observed: &HistogramState) -> Value {
    let mut state = match newest.map(|newest| &newest.value) {
        Some(Value::Histogram(state)) if state.counts.len() == observed.counts.len() => {
            HistogramState::clone(state)
        }
        _ => HistogramState::empty(observed.counts.len().saturating_sub(1)),
    };
    state.merge(observed);
    state.sum = state.sum.clamp(f64::MIN, f64::MAX);
    Value::Histogram(Arc::new(state))
}

/// Writes the row of a metric and returns its id.
pub(super) fn put_metric_row(
    transaction: &Connection,
    tenant: &TenantId,
    definition: &MetricDefinition,
) -> Result<i64, MonitorError> {
    let id = transaction
        .prepare_cached(
            "INSERT INTO metric (tenant, name, ttl_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant, name) DO UPDATE SET ttl_ms = excluded.ttl_ms RETURNING id",
        )?
        .query_row(
            (tenant.as_str(), &definition.name, definition.ttl_ms),
            |row| row.get(0),
        )?;
    Ok(id)
}

fn insert_series(
    transaction: &Connection,
    metric: i64,
    series: &Series,
) -> Result<(), MonitorError> {
    transaction
        .prepare_cached(
            "INSERT INTO series (id, metric, labels, from_zero, first_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            series.id,
            metric,
            series.labels.to_stored(),
            series.from_zero,
            i64::MAX,
        ))?;
    Ok(())
}

/// Deletes a series and its chunks. What the journal still holds of it is passed over when it is read.
pub(super) fn delete_series(transaction: &Connection, id: i64) -> Result<(), MonitorError> {
    transaction
        .prepare_cached("DELETE FROM chunk WHERE series = ?1")?
        .execute([id])?;
    transaction
        .prepare_cached("DELETE FROM series WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
