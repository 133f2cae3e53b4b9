//! From the file into the index, at start.

use std::collections::HashMap;
use std::sync::Arc;

use plinth_core::TenantId;
use rusqlite::{Connection, OptionalExtension};

use super::codec;
use super::index::{Index, Series, SeriesState, weight};
use super::ingest::Tail;
use crate::error::MonitorError;
use crate::model::Labels;

/// What the file holds.
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) tail: Tail,
}

/// Reads metrics, series and journal. Errors: the store failed, or a row cannot be read.
pub(super) fn recover(connection: &Connection) -> Result<Recovered, MonitorError> {
    let mut index = Index::default();
    let metrics = read_metrics(connection, &mut index)?;
    let series = read_series(connection, &mut index, &metrics)?;
    let mut tail = Tail {
        next_series: next_series(connection)?,
        ..Tail::default()
    };
    replay(connection, &series, &mut tail)?;
    Ok(Recovered { index, tail })
}

type MetricNames = HashMap<i64, (TenantId, String)>;

fn read_metrics(connection: &Connection, index: &mut Index) -> Result<MetricNames, MonitorError> {
    let mut names = MetricNames::new();
    let mut statement = connection.prepare("SELECT id, tenant, name, ttl_ms FROM metric")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let tenant = TenantId::parse(&row.get::<_, String>(1)?)
            .map_err(|_| MonitorError::Corrupt { what: "tenant" })?;
        let name: String = row.get(2)?;
        index.put_metric(&tenant, &name, id, row.get(3)?);
        names.insert(id, (tenant, name));
    }
    Ok(names)
}

fn read_series(
    connection: &Connection,
    index: &mut Index,
    metrics: &MetricNames,
) -> Result<HashMap<i64, Arc<Series>>, MonitorError> {
    let mut by_id = HashMap::new();
    let mut statement = connection.prepare(
        "SELECT id, metric, labels, from_zero, first_ms, newest FROM series ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let (tenant, name) = metrics
            .get(&row.get(1)?)
            .ok_or(MonitorError::Corrupt { what: "series" })?;
        let labels = Labels::from_stored(&row.get::<_, String>(2)?)
            .map_err(|_| MonitorError::Corrupt { what: "labels" })?;
        let newest = match row.get::<_, Option<Vec<u8>>>(5)? {
            Some(bytes) => Some(codec::decode_sample(&bytes)?),
            None => None,
        };
        let state = SeriesState {
            first_ms: row.get(4)?,
            newest,
            head: Vec::new(),
            removed: false,
        };
        let series = Arc::new(Series::new(id, labels, row.get(3)?, state));
        index.put_series(tenant, name, Arc::clone(&series));
        by_id.insert(id, series);
    }
    Ok(by_id)
}

/// Ids are never given twice, also after the series of the greatest id has ended.
fn next_series(connection: &Connection) -> Result<i64, MonitorError> {
    let last: Option<i64> = connection
        .query_row(
            "SELECT seq FROM sqlite_sequence WHERE name = 'series'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(last.unwrap_or(0) + 1)
}

fn replay(
    connection: &Connection,
    series: &HashMap<i64, Arc<Series>>,
    tail: &mut Tail,
) -> Result<(), MonitorError> {
    let mut statement = connection.prepare("SELECT seq, entry FROM journal ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        tail.last_seq = row.get(0)?;
        let entry = row
            .get_ref(1)?
            .as_blob()
            .map_err(|_| MonitorError::Corrupt {
                what: "journal entry",
            })?;
        for (id, sample) in codec::decode_journal(entry)? {
            // A series that has ended since is no longer there.
            if let Some(series) = series.get(&id) {
                tail.head_bytes += weight(&sample);
                series.state.lock().push(sample);
            }
        }
    }
    Ok(())
}
