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

/// Removes ended series, then chunks past the retention, then the oldest chunks while the file is too large.
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
    if old > 0 || used_bytes(transaction)? <= bytes_max {
        return Ok(old);
    }
    let oldest = transaction
        .prepare_cached(
            "DELETE FROM chunk WHERE id IN (SELECT id FROM chunk ORDER BY end_ms LIMIT ?1)",
        )?
        .execute([CHUNKS_PER_TRANSACTION / 10])?;
    Ok(oldest)
}

/// How much of the file is in use; pages that were freed are used again.
fn used_bytes(transaction: &Connection) -> Result<u64, MonitorError> {
    let bytes: i64 = transaction
        .prepare_cached(
            "SELECT (page_count - freelist_count) * page_size
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
