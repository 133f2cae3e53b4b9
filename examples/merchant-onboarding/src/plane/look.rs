//! Reading everything back, for the proofs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use plinth_client::{AuditQuery, CacheClient, DbStatement, DbValue, MetricMatcher, MetricQuery};
use serde::Deserialize;
use serde_json::Value;

use super::{COUNTER, DATABASE, OPERATION, Plane};
use crate::model::{ApplicationNumber, ReviewStatus, StatusChange};

/// Most rows of one page.
const PAGE_ROWS: i32 = 1_000;
/// Most keys of one look into the cache.
const KEYS_MAX: usize = 1_000;
/// Most keys of one look into the cache that loads what it lacks.
const LOADED_KEYS_MAX: usize = 200;

/// What the database holds.
pub(crate) struct Written {
    /// Where each application is.
    pub(crate) states: BTreeMap<ApplicationNumber, ReviewStatus>,
    /// Every step.
    pub(crate) changes: BTreeSet<StatusChange>,
    /// How many rows the steps have.
    pub(crate) rows: usize,
}

/// What the queues hold.
pub(crate) struct Depth {
    /// Messages that are not acknowledged.
    pub(crate) left: i64,
    /// Messages that were given up.
    pub(crate) dead: i64,
}

/// What the verification of the log says.
pub(crate) struct Verified {
    /// Whether nothing was changed.
    pub(crate) intact: bool,
    /// In words.
    pub(crate) told: String,
}

impl Plane {
    /// Reads the service's database.
    pub(crate) async fn written(&self) -> Result<Written> {
        let states = self
            .rows("SELECT number, status FROM application WHERE run = ? ORDER BY number")
            .await?;
        let changes = self
            .rows("SELECT number, step, from_status, to_status FROM status_change WHERE run = ? ORDER BY number, step")
            .await?;
        let rows = changes.len();
        Ok(Written {
            states: states.iter().map(|row| state(row)).collect::<Result<_>>()?,
            changes: changes
                .iter()
                .map(|row| change(row))
                .collect::<Result<_>>()?,
            rows,
        })
    }

    /// Reads all pages of a statement over this run.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Vec<DbValue>>> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let statement = DbStatement {
                max_rows: Some(PAGE_ROWS),
                cursor,
                ..DbStatement::new(sql, vec![DbValue::Text(self.run.clone())])
            };
            let page = self
                .persist("read the database", || async {
                    self.client.db().query(DATABASE, &statement).await
                })
                .await?;
            rows.extend(page.rows.into_iter().map(|row| row.values));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Looks at the notifier's queue and its dead letters.
    pub(crate) async fn depth(&self) -> Result<Depth> {
        let queue = self.queue();
        let info = self
            .persist("look at the queue", || async {
                self.client.queue().queue_info(&queue).await
            })
            .await?;
        let depth = info.depth;
        Ok(Depth {
            left: depth.ready + depth.leased + depth.delayed,
            dead: depth.dead,
        })
    }

    /// Reads the counters of this run by state.
    pub(crate) async fn counted(&self) -> Result<BTreeMap<String, u64>> {
        let query = MetricQuery {
            metric: COUNTER.to_owned(),
            matchers: vec![MetricMatcher {
                label: "run".to_owned(),
                op: "=".to_owned(),
                value: self.run.clone(),
            }],
            aggregate: Some("sum".to_owned()),
            by: vec!["to".to_owned()],
            ..MetricQuery::default()
        };
        let answer = self
            .persist("read the metrics", || async {
                self.client.monitor().get(&query).await
            })
            .await?;
        answer
            .series
            .into_iter()
            .map(|series| {
                let state = series
                    .labels
                    .get("to")
                    .context("a counter without its state")?
                    .clone();
                let point = series.points.last().context("a counter without a value")?;
                Ok((state, whole(point.value)?))
            })
            .collect()
    }

    /// Reads the audit records of this run.
    pub(crate) async fn recorded(&self) -> Result<Vec<StatusChange>> {
        let mut changes = Vec::new();
        let mut query = AuditQuery {
            limit: Some(PAGE_ROWS.into()),
            ..AuditQuery::default()
        };
        query.filter.operation = Some(OPERATION.to_owned());
        query.filter.resource_type = Some("application".to_owned());
        loop {
            let page = self
                .persist("read the audit log", || async {
                    self.client.audit().query(&query).await
                })
                .await?;
            for record in page.records {
                let details: Details = serde_json::from_value(record.details.unwrap_or_default())?;
                if details.run != self.run {
                    continue;
                }
                let state = |value: Option<Value>| -> Result<Option<ReviewStatus>> {
                    value
                        .map(|value| Ok(serde_json::from_value::<State>(value)?.status))
                        .transpose()
                };
                changes.push(StatusChange {
                    number: ApplicationNumber(record.resource.id),
                    step: details.step,
                    from: state(record.before)?,
                    to: state(record.after)?.context("a record without its state")?,
                });
            }
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return Ok(changes);
            }
        }
    }

    /// Has the log verified.
    pub(crate) async fn verify_log(&self) -> Result<Verified> {
        let answer = self
            .persist("verify the audit log", || async {
                self.client.audit().verify(None).await
            })
            .await?;
        let told = match answer.discrepancy {
            None => format!("{} leaves under the signed root", answer.tree_size),
            Some(discrepancy) => discrepancy.message,
        };
        Ok(Verified {
            intact: answer.valid,
            told,
        })
    }

    /// Reads what is cached of some applications.
    pub(crate) async fn cached<'a>(
        &self,
        numbers: impl Iterator<Item = &'a ApplicationNumber>,
    ) -> Result<BTreeMap<ApplicationNumber, ReviewStatus>> {
        let stored = self.client.cache().without_loading();
        self.statuses(stored, numbers, KEYS_MAX).await
    }

    /// Empties the cache, and reads some applications, which it loads from the service's database.
    pub(crate) async fn loaded<'a>(
        &self,
        numbers: impl Iterator<Item = &'a ApplicationNumber>,
    ) -> Result<BTreeMap<ApplicationNumber, ReviewStatus>> {
        let cache = self.client.cache();
        self.persist("empty the cache", || cache.clear(DATABASE))
            .await?;
        self.statuses(cache, numbers, LOADED_KEYS_MAX).await
    }

    async fn statuses<'a>(
        &self,
        cache: CacheClient<'_>,
        numbers: impl Iterator<Item = &'a ApplicationNumber>,
        keys_max: usize,
    ) -> Result<BTreeMap<ApplicationNumber, ReviewStatus>> {
        let numbers: Vec<&ApplicationNumber> = numbers.collect();
        let mut cached = BTreeMap::new();
        for part in numbers.chunks(keys_max) {
            let keys: Vec<&str> = part.iter().map(|number| number.0.as_str()).collect();
            let found = self
                .persist("read the cache", || cache.batch_get(DATABASE, &keys))
                .await?;
            for (number, value) in part.iter().zip(found) {
                if let Some(value) = value {
                    cached.insert(
                        (*number).clone(),
                        status(std::str::from_utf8(&value.value)?)?,
                    );
                }
            }
        }
        Ok(cached)
    }
}

/// What the service puts into the details of a record.
#[derive(Deserialize)]
struct Details {
    run: String,
    step: u32,
}

/// What the service puts before and after.
#[derive(Deserialize)]
struct State {
    status: ReviewStatus,
}

fn state(row: &[DbValue]) -> Result<(ApplicationNumber, ReviewStatus)> {
    match row {
        [DbValue::Text(number), DbValue::Text(word)] => {
            Ok((ApplicationNumber(number.clone()), status(word)?))
        }
        other => anyhow::bail!("a row of another shape: {other:?}"),
    }
}

fn change(row: &[DbValue]) -> Result<StatusChange> {
    let [
        DbValue::Text(number),
        DbValue::Int(step),
        from,
        DbValue::Text(to),
    ] = row
    else {
        anyhow::bail!("a row of another shape: {row:?}");
    };
    let from = match from {
        DbValue::Text(word) => Some(status(word)?),
        _ => None,
    };
    let number = ApplicationNumber(number.clone());
    Ok(StatusChange {
        number,
        step: u32::try_from(*step)?,
        from,
        to: status(to)?,
    })
}

fn status(word: &str) -> Result<ReviewStatus> {
    ReviewStatus::ALL
        .into_iter()
        .find(|status| status.word() == word)
        .with_context(|| format!("`{word}` is no state"))
}

/// A counter's value as the whole number that it is.
fn whole(value: f64) -> Result<u64> {
    let text = format!("{value:.0}");
    anyhow::ensure!(value.fract() == 0.0, "{value} is no whole number");
    Ok(text.parse()?)
}
