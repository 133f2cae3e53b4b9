//! Reading: the index selects the series, heads and chunks together give their samples.

use std::sync::Arc;

use plinth_core::TenantId;
use rusqlite::{Connection, OptionalExtension as _};

use super::Shared;
use super::codec;
use super::compact::in_time_order;
use super::index::Series;
use crate::backend::{
    CurrentSeries, Selection, SeriesRead, SeriesVisitor, StoredSample, Usage, Value,
};
use crate::error::MonitorError;

/// How many series are read on one snapshot. Their heads are copied first, so this bounds the copies.
const SERIES_PER_SNAPSHOT: usize = 256;

/// What a read may still take, and what it found.
struct Progress {
    selection: Selection,
    visit: SeriesVisitor,
    /// What samples may still cost.
    left: u64,
    /// Samples in the range.
    found: u64,
}

/// Reads the selected series, by labels. Returns how many samples they had in the range.
pub(super) async fn read(
    shared: &Arc<Shared>,
    selection: Selection,
    visit: SeriesVisitor,
) -> Result<u64, MonitorError> {
    let series = select(shared, &selection)?;
    let mut progress = Progress {
        left: selection.samples_max,
        selection,
        visit,
        found: 0,
    };
    for part in series.chunks(SERIES_PER_SNAPSHOT) {
        let part = part.to_vec();
        progress = shared
            .engine
            .read(move |connection| {
                progress.read_part(connection, &part)?;
                Ok::<_, MonitorError>(progress)
            })
            .await?;
    }
    Ok(progress.found)
}

fn select(shared: &Shared, selection: &Selection) -> Result<Vec<Arc<Series>>, MonitorError> {
    let live = live_series(
        shared,
        &selection.tenant,
        &selection.metric,
        selection.now_ms,
    );
    let mut matching: Vec<_> = live
        .into_iter()
        .filter(|series| {
            selection
                .matchers
                .iter()
                .all(|matcher| matcher.matches(&series.labels))
        })
        .collect();
    if matching.len() > selection.series_max {
        return Err(MonitorError::QueryTooLarge {
            what: "series",
            limit: u64::try_from(selection.series_max).unwrap_or(u64::MAX),
        });
    }
    matching.sort_by(|left, right| left.labels.cmp(&right.labels));
    Ok(matching)
}

/// The series of a metric that have not ended. Copied out, so that the lock is short.
fn live_series(shared: &Shared, tenant: &TenantId, metric: &str, now_ms: i64) -> Vec<Arc<Series>> {
    let (ttl_ms, all) = {
        let index = shared.index.read();
        match index.metric(tenant, metric) {
            None => return Vec::new(),
            Some(found) => (
                found.ttl_ms,
                found.series.values().cloned().collect::<Vec<_>>(),
            ),
        }
    };
    all.into_iter()
        .filter(|series| !series.has_ended(ttl_ms, now_ms))
        .collect()
}

/// A series' samples in memory, copied before the snapshot begins: what a compaction moves out of the head later was
/// committed after the copy, and what it moved before is in the snapshot. So a sample may be seen twice, never missed.
struct InMemory {
    first_ms: i64,
    samples: Vec<StoredSample>,
}

impl Progress {
    fn read_part(
        &mut self,
        connection: &Connection,
        part: &[Arc<Series>],
    ) -> Result<(), MonitorError> {
        let to_ms = self.selection.to_ms;
        let in_memory: Vec<InMemory> = part
            .iter()
            .map(|series| {
                let state = series.state.lock();
                // The newest sample stands for itself where the size limit has removed its chunk.
                let newest = state.newest.iter();
                InMemory {
                    first_ms: state.first_ms,
                    samples: state
                        .head
                        .iter()
                        .chain(newest)
                        .filter(|sample| sample.at_ms <= to_ms)
                        .cloned()
                        .collect(),
                }
            })
            .collect();
        for (series, in_memory) in part.iter().zip(in_memory) {
            self.read_series(connection, series, in_memory)?;
        }
        Ok(())
    }

    fn read_series(
        &mut self,
        connection: &Connection,
        series: &Series,
        in_memory: InMemory,
    ) -> Result<(), MonitorError> {
        self.check_deadline()?;
        let mut samples = self.read_chunks(connection, series.id)?;
        samples.extend(in_memory.samples);
        let samples = in_time_order(samples);
        let weight = samples.iter().map(cost).sum::<u64>();
        self.left = self
            .left
            .checked_sub(weight)
            .ok_or_else(|| self.too_many_samples())?;
        let (from_ms, to_ms) = (self.selection.from_ms, self.selection.to_ms);
        let begin = samples.partition_point(|sample| sample.at_ms <= from_ms);
        let end = samples.partition_point(|sample| sample.at_ms <= to_ms);
        let in_range = samples.get(begin..end).unwrap_or(&[]);
        let baseline = begin
            .checked_sub(1)
            .and_then(|before| samples.get(before))
            .filter(|_| self.selection.baseline);
        self.found += u64::try_from(in_range.len()).unwrap_or(u64::MAX);
        (self.visit)(SeriesRead {
            labels: &series.labels,
            first_ms: in_memory.first_ms,
            from_zero: series.from_zero,
            baseline,
            samples: in_range,
        })
    }

    /// The samples of the chunks that touch the range, and of the one before it where a baseline is wanted, in the order
    /// in which they were written. One chunk at a time is read, and none past the limit.
    fn read_chunks(
        &self,
        connection: &Connection,
        series: i64,
    ) -> Result<Vec<StoredSample>, MonitorError> {
        let mut chunk = connection.prepare_cached("SELECT samples FROM chunk WHERE id = ?1")?;
        let mut samples = Vec::new();
        let mut taken = 0_u64;
        for id in self.chunk_ids(connection, series)? {
            self.check_deadline()?;
            let known = samples.len();
            let mut rows = chunk.query([id])?;
            if let Some(row) = rows.next()? {
                let bytes = row.get_ref(0)?.as_blob();
                let bytes = bytes.map_err(|_| MonitorError::Corrupt { what: "chunk" })?;
                codec::decode_chunk(bytes, &mut samples)?;
            }
            taken = taken.saturating_add(samples.iter().skip(known).map(cost).sum());
            // Twice, because what is about to be seen double counts once.
            if taken / 2 > self.left {
                return Err(self.too_many_samples());
            }
        }
        Ok(samples)
    }

    /// The chunks to read, in the order in which they were written. Each holds a sample at least, so no more are asked for
    /// than the limit lets through.
    fn chunk_ids(&self, connection: &Connection, series: i64) -> Result<Vec<i64>, MonitorError> {
        let (from_ms, to_ms) = (self.selection.from_ms, self.selection.to_ms);
        let most = i64::try_from(self.left.saturating_add(1).saturating_mul(2)).unwrap_or(i64::MAX);
        let mut ids = connection
            .prepare_cached(
                "SELECT id FROM chunk WHERE series = ?1 AND end_ms > ?2 AND start_ms <= ?3 LIMIT ?4",
            )?
            .query_map((series, from_ms, to_ms, most), |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        if self.selection.baseline {
            let before: Option<i64> = connection
                .prepare_cached(
                    "SELECT id FROM chunk WHERE series = ?1 AND end_ms <= ?2
                     ORDER BY end_ms DESC, id DESC LIMIT 1",
                )?
                .query_row((series, from_ms), |row| row.get(0))
                .optional()?;
            ids.extend(before);
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn check_deadline(&self) -> Result<(), MonitorError> {
        if self.selection.deadline.remaining().is_zero() {
            return Err(MonitorError::Deadline);
        }
        Ok(())
    }

    fn too_many_samples(&self) -> MonitorError {
        MonitorError::QueryTooLarge {
            what: "samples",
            limit: self.selection.samples_max,
        }
    }
}

/// What a sample counts against the limit of a read.
fn cost(sample: &StoredSample) -> u64 {
    match &sample.value {
        Value::Scalar(_) => 1,
        Value::Histogram(state) => u64::try_from(state.counts.len()).unwrap_or(u64::MAX),
    }
}

/// The series of a metric as they stand now, by labels.
pub(super) fn current(
    shared: &Shared,
    tenant: &TenantId,
    metric: &str,
    now_ms: i64,
) -> Vec<CurrentSeries> {
    let mut series: Vec<_> = live_series(shared, tenant, metric, now_ms)
        .into_iter()
        .filter_map(|series| {
            Some(CurrentSeries {
                labels: series.labels.clone(),
                newest: series.newest()?,
            })
        })
        .collect();
    series.sort_by(|left, right| left.labels.cmp(&right.labels));
    series
}

/// How a metric is used.
pub(super) fn usage(shared: &Shared, tenant: &TenantId, metric: &str) -> Usage {
    let series = {
        let index = shared.index.read();
        index
            .metric(tenant, metric)
            .map(|found| found.series.values().cloned().collect::<Vec<_>>())
            .unwrap_or_default()
    };
    Usage {
        series: series.len(),
        newest_ms: series
            .iter()
            .filter_map(|series| Some(series.newest()?.at_ms))
            .max(),
        refused: shared.refusals.get(tenant, metric),
    }
}
