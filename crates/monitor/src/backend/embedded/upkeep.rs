//! What the retention and the times to live take away. Runs in the writing task, so nothing is written meanwhile.

use std::sync::Arc;

use plinth_core::TenantId;
use rusqlite::Connection;

use super::Shared;
use super::group::delete_series;
use super::index::Series;
use crate::backend::UpkeepReport;
use crate::error::MonitorError;

/// Most series that one transaction removes.
const SERIES_PER_TRANSACTION: usize = 1_000;
/// Most chunks that one transaction removes.
const CHUNKS_PER_TRANSACTION: i64 = 5_000;
/// Most transactions of one upkeep; the next one goes on.
const TRANSACTIONS_MAX: usize = 20;

/// Removes ended series, then chunks past the retention, then the oldest chunks while all of them hold too much.
pub(super) async fn run(shared: &Arc<Shared>, now_ms: i64) -> Result<UpkeepReport, MonitorError> {
    let cutoff_ms = now_ms.saturating_sub(shared.settings.retention_ms);
    let series_removed = remove_series(shared, now_ms, cutoff_ms).await?;
    let chunks_removed = remove_chunks(shared, cutoff_ms).await?;
    let metrics = &shared.metrics;
    metrics.add(
        "plinth_monitor_series_ended_total",
        &[],
        u64::try_from(series_removed).unwrap_or(u64::MAX),
    );
    let series = shared.index.read().series;
    metrics.set("plinth_monitor_series", &[], series as f64);
    Ok(UpkeepReport {
        series_removed,
        chunks_removed,
    })
}

type Ended = (TenantId, String, Arc<Series>);

async fn remove_series(
    shared: &Arc<Shared>,
    now_ms: i64,
    cutoff_ms: i64,
) -> Result<usize, MonitorError> {
    let ended = ended_series(shared, now_ms, cutoff_ms);
    for part in ended.chunks(SERIES_PER_TRANSACTION) {
        let ids: Vec<i64> = part.iter().map(|(_, _, series)| series.id).collect();
        shared
            .engine
            .write(move |transaction| {
                ids.iter()
                    .try_for_each(|id| delete_series(transaction, *id))
            })
            .await?;
        let mut index = shared.index.write();
        for (tenant, metric, series) in part {
            index.remove_series(tenant, metric, series);
        }
    }
    Ok(ended.len())
}

fn ended_series(shared: &Shared, now_ms: i64, cutoff_ms: i64) -> Vec<Ended> {
    let index = shared.index.read();
    index
        .all()
        .filter(|(_, _, ttl_ms, series)| {
            series.has_ended(*ttl_ms, now_ms)
                || series
                    .newest()
                    .is_some_and(|newest| newest.at_ms < cutoff_ms)
        })
        .take(SERIES_PER_TRANSACTION * TRANSACTIONS_MAX)
        .map(|(tenant, metric, _, series)| (tenant.clone(), metric.to_owned(), Arc::clone(series)))
        .collect()
}

async fn remove_chunks(shared: &Arc<Shared>, cutoff_ms: i64) -> Result<usize, MonitorError> {
    let bytes_max = shared.settings.retention_bytes;
    let mut removed = 0;
    for _ in 0..TRANSACTIONS_MAX {
        let now_removed = shared
            .engine
            .write(move |transaction| remove_some_chunks(transaction, cutoff_ms, bytes_max))
            .await?;
        if now_removed == 0 {
            break;
        }
        removed += now_removed;
    }
    Ok(removed)
}

fn remove_some_chunks(
    transaction: &Connection,
    cutoff_ms: i64,
    bytes_max: u64,
) -> Result<usize, MonitorError> {
    let old = transaction
        .prepare_cached(
            "DELETE FROM chunk WHERE id IN (SELECT id FROM chunk WHERE end_ms < ?1 LIMIT ?2)",
        )?
        .execute((cutoff_ms, CHUNKS_PER_TRANSACTION))?;
    if old > 0 {
        return Ok(old);
    }
    let oldest: Vec<i64> = transaction
        .prepare_cached("SELECT id FROM chunk ORDER BY end_ms, id LIMIT ?1")?
        .query_map([CHUNKS_PER_TRANSACTION / 10], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut delete = transaction.prepare_cached("DELETE FROM chunk WHERE id = ?1")?;
    let mut removed = 0;
    for id in oldest {
        if chunk_bytes(transaction)? <= bytes_max {
            break;
        }
        removed += delete.execute([id])?;
    }
    Ok(removed)
}

/// What all chunks hold. The rest of the file does not count: to remove chunks would not make it smaller.
fn chunk_bytes(transaction: &Connection) -> Result<u64, MonitorError> {
    let bytes: i64 = transaction
        .prepare_cached("SELECT bytes FROM chunk_total")?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
