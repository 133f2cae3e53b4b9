//! Counts by several dimensions.

use plinth_core::{Error, WideInt};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::select::{Condition, EFFECTIVE_RESULT};
use crate::backend::StatisticsQuery;
use crate::error::AuditError;
use crate::log::sequencer::to_sql;
use crate::model::{AuditBreakdown, AuditCount, AuditTimeBucket, BUCKETS_MAX, GetStatisticsReply};

/// Everything that a statistics query asks for.
pub(super) fn statistics(
    connection: &Connection,
    query: &StatisticsQuery,
) -> Result<GetStatisticsReply, AuditError> {
    let condition = Condition::of(&query.selection);
    let snapshot = to_sql(query.selection.snapshot);
    let (total, earliest, latest) = extent(connection, &condition)?;
    let by = |key: &str, parameters: &[Value]| {
        breakdown(connection, &condition, key, parameters, total, query.top)
    };
    Ok(GetStatisticsReply {
        total,
        by_time: match (query.bucket_ms, earliest, latest) {
            (Some(bucket_ms), Some(earliest), Some(latest)) => {
                check_buckets(bucket_ms, earliest, latest)?;
                buckets(connection, &condition, bucket_ms)?
            }
            _ => Vec::new(),
        },
        by_operation: by("r.operation", &[])?,
        by_operator: by("r.operator_id", &[])?,
        by_resource_type: by("r.resource_type", &[])?,
        by_result: by(EFFECTIVE_RESULT, &[Value::Integer(snapshot)])?,
        by_severity: by("r.severity", &[])?,
        snapshot_size: WideInt(snapshot),
    })
}

fn extent(
    connection: &Connection,
    condition: &Condition,
) -> Result<(i64, Option<i64>, Option<i64>), AuditError> {
    let sql = format!(
        "SELECT COUNT(*), MIN(r.time_ms), MAX(r.time_ms) FROM records AS r WHERE {}",
        condition.sql()
    );
    let extent = connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(condition.values_after([])), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    Ok(extent)
}

/// Refuses before the work where the records span too many buckets.
fn check_buckets(bucket_ms: i64, earliest: i64, latest: i64) -> Result<(), AuditError> {
    let count = latest / bucket_ms - earliest / bucket_ms + 1;
    if count <= BUCKETS_MAX {
        return Ok(());
    }
    let message = format!("makes {count} buckets, at most {BUCKETS_MAX} are allowed");
    Err(Error::invalid("bucket_ms", message).into())
}

fn buckets(
    connection: &Connection,
    condition: &Condition,
    bucket_ms: i64,
) -> Result<Vec<AuditTimeBucket>, AuditError> {
    let sql = format!(
        "SELECT r.time_ms / ? AS bucket, COUNT(*) FROM records AS r WHERE {} GROUP BY bucket ORDER BY bucket",
        condition.sql()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let values = condition.values_after([Value::Integer(bucket_ms)]);
    let mut rows = statement.query(params_from_iter(values))?;
    let mut buckets: Vec<AuditTimeBucket> = Vec::new();
    while let Some(row) = rows.next()? {
        let (bucket, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        let from_ms = bucket * bucket_ms;
        // Times of a span without records stand as zeroes, so that a chart need not guess.
        while let Some(last) = buckets.last()
            && last.from_ms + bucket_ms < from_ms
        {
            let from_ms = last.from_ms + bucket_ms;
            buckets.push(AuditTimeBucket { from_ms, count: 0 });
        }
        buckets.push(AuditTimeBucket { from_ms, count });
    }
    Ok(buckets)
}

fn breakdown(
    connection: &Connection,
    condition: &Condition,
    key: &str,
    parameters: &[Value],
    total: i64,
    top: u32,
) -> Result<AuditBreakdown, AuditError> {
    let sql = format!(
        "WITH counts AS (
            SELECT {key} AS name, COUNT(*) AS count FROM records AS r WHERE {} GROUP BY name)
         SELECT name, count, (SELECT COUNT(*) FROM counts) FROM counts ORDER BY count DESC, name LIMIT ?",
        condition.sql()
    );
    let mut values = condition.values_after(parameters.iter().cloned());
    values.push(Value::Integer(i64::from(top)));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut breakdown = AuditBreakdown {
        other_count: total,
        ..AuditBreakdown::default()
    };
    while let Some(row) = rows.next()? {
        let count: i64 = row.get(1)?;
        breakdown.distinct = row.get(2)?;
        breakdown.other_count -= count;
        breakdown.top.push(AuditCount {
            key: row.get(0)?,
            count,
        });
    }
    Ok(breakdown)
}
