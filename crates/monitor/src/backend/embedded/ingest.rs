//! The one task that changes the file and the index.

use std::sync::Arc;

use plinth_core::access::IdempotencyScope;
use plinth_core::{Error, TenantId};
use plinth_store::{WriteCondition, idempotency};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::compact::Compaction;
use super::group::{Effects, Group, MetricRow, put_metric_row};
use super::index::weight;
use super::{Shared, upkeep};
use crate::backend::{UpkeepReport, Write, WriteAnswer};
use crate::error::MonitorError;
use crate::model::MetricDefinition;

/// Most samples of one group commit, about: a request is not split.
const GROUP_SAMPLES_MAX: usize = 32_768;
/// Size of the heads from which on the journal goes into chunks, in bytes.
const HEAD_BYTES_TRIGGER: usize = 24 * 1024 * 1024;
/// Most bytes that the heads may take: writes wait for the chunks from there on.
const HEAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Age of the oldest journal entry from which on it goes into chunks, in milliseconds: two hours.
const HEAD_AGE_MS_MAX: u64 = 2 * 60 * 60 * 1_000;
/// How long a failed compaction rests, in milliseconds.
const COMPACTION_REST_MS: u64 = 5_000;

type Reply<T> = oneshot::Sender<Result<T, MonitorError>>;

/// What the task is asked to do.
pub(super) enum Job {
    /// Write samples.
    Write {
        write: Write,
        /// The samples' place in the queue; given back when the job ends.
        place: OwnedSemaphorePermit,
        reply: Reply<WriteAnswer>,
    },
    /// Find the answer that the writes before have stored.
    Recall {
        scope: IdempotencyScope,
        reply: Reply<Option<WriteAnswer>>,
    },
    /// Take a changed definition over.
    Define {
        tenant: TenantId,
        definition: Arc<MetricDefinition>,
        reply: Reply<()>,
    },
    /// Remove what is too old.
    Upkeep {
        now_ms: i64,
        reply: Reply<UpkeepReport>,
    },
    /// Finish and close the file.
    Close { reply: Reply<()> },
}

/// Where the journal ends, and what the heads take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail {
    pub(super) next_series: i64,
    pub(super) last_seq: i64,
    pub(super) head_bytes: usize,
}

/// Says when the task ends by a fault. The first to go of what the task holds, so that it is known before the queue of jobs
/// is gone.
struct Alive(WriteCondition);

impl Drop for Alive {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "the task that writes samples has ended by a fault: restart the instance";
            self.0.ends("monitor", why.to_owned());
        }
    }
}

/// The task.
pub(super) struct Ingest {
    _alive: Alive,
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    /// A job that came behind a group and is no write.
    next: Option<Job>,
    tail: Tail,
    compaction: Option<Compaction>,
    /// Not before this monotonic time is a compaction begun again.
    compaction_rests_until_ms: u64,
    /// Since when the head holds something, on the monotonic clock.
    head_since_ms: u64,
}

/// One write of a group, without its samples.
struct Waiting {
    reply: Reply<WriteAnswer>,
    _place: OwnedSemaphorePermit,
}

impl Ingest {
    pub(super) fn new(shared: Arc<Shared>, jobs: mpsc::Receiver<Job>, tail: Tail) -> Self {
        let head_since_ms = shared.clock.monotonic_ms();
        Self {
            _alive: Alive(shared.engine.write_condition()),
            shared,
            jobs,
            next: None,
            tail,
            compaction: None,
            compaction_rests_until_ms: 0,
            head_since_ms,
        }
    }

    /// Runs until it is told to close or the last handle is gone.
    pub(super) async fn run(mut self) {
        loop {
            self.begin_compaction_where_due();
            let job = match self.next.take() {
                Some(job) => Some(job),
                // Between two slices only what waits already is taken.
                None if self.compaction.is_some() => self.jobs.try_recv().ok(),
                None => match self.jobs.recv().await {
                    Some(job) => Some(job),
                    None => break,
                },
            };
            match job {
                Some(Job::Write {
                    write,
                    place,
                    reply,
                }) => self.write_group(write, place, reply).await,
                Some(Job::Recall { scope, reply }) => answer(reply, self.recall(scope).await),
                Some(Job::Define {
                    tenant,
                    definition,
                    reply,
                }) => answer(reply, self.define(tenant, definition).await),
                Some(Job::Upkeep { now_ms, reply }) => answer(reply, self.upkeep(now_ms).await),
                Some(Job::Close { reply }) => {
                    self.close().await;
                    answer(reply, Ok(()));
                    return;
                }
                None => {}
            }
            self.compact_slice().await;
            while self.tail.head_bytes >= HEAD_BYTES_MAX && self.compaction.is_some() {
                self.compact_slice().await;
            }
        }
        self.close().await;
    }

    async fn close(&mut self) {
        self.jobs.close();
        while let Some(job) = self.jobs.recv().await {
            match job {
                Job::Write { reply, .. } => answer(reply, Err(MonitorError::Closed)),
                Job::Recall { reply, .. } => answer(reply, Err(MonitorError::Closed)),
                Job::Define { reply, .. } => answer(reply, Err(MonitorError::Closed)),
                Job::Upkeep { reply, .. } => answer(reply, Err(MonitorError::Closed)),
                Job::Close { reply } => answer(reply, Ok(())),
            }
        }
        self.shared.engine.close().await;
    }

    /// Takes the writes that wait behind the first one into its group, commits it, and answers them all.
    async fn write_group(
        &mut self,
        first: Write,
        place: OwnedSemaphorePermit,
        reply: Reply<WriteAnswer>,
    ) {
        let mut samples = first.items.len();
        let mut writes = vec![first];
        let mut waiting = vec![Waiting {
            reply,
            _place: place,
        }];
        while samples < GROUP_SAMPLES_MAX && self.next.is_none() {
            match self.jobs.try_recv() {
                Ok(Job::Write {
                    write,
                    place,
                    reply,
                }) => {
                    samples += write.items.len();
                    writes.push(write);
                    waiting.push(Waiting {
                        reply,
                        _place: place,
                    });
                }
                Ok(other) => self.next = Some(other),
                Err(_) => break,
            }
        }
        if self.tail.head_bytes >= HEAD_BYTES_MAX {
            // The chunks cannot be written: what came in would only grow the heads.
            for one in waiting {
                answer(one.reply, Err(MonitorError::Overloaded));
            }
            return;
        }
        match self.commit(writes).await {
            Ok((answers, effects)) => {
                self.apply(effects);
                for (one, result) in waiting.into_iter().zip(answers) {
                    answer(one.reply, result);
                }
            }
            Err(cause) => {
                let error = Error::from(cause);
                for one in waiting {
                    answer(one.reply, Err(MonitorError::replicate(&error)));
                }
                tracing::error!(monitor.error = %error, cause = ?std::error::Error::source(&error), "a group of samples was not written");
            }
        }
    }

    async fn commit(
        &self,
        writes: Vec<Write>,
    ) -> Result<(Vec<Result<WriteAnswer, MonitorError>>, Effects), MonitorError> {
        let shared = Arc::clone(&self.shared);
        let next_series = self.tail.next_series;
        self.shared
            .engine
            .write(move |transaction| {
                let index = shared.index.read();
                Group::new(&index, &shared.refusals, shared.limits, next_series)
                    .run(transaction, &writes)
            })
            .await
    }

    /// Brings the index up to what is now durable.
    fn apply(&mut self, effects: Effects) {
        self.tail.next_series = effects.next_series;
        if !effects.metrics.is_empty() || !effects.created.is_empty() {
            let mut index = self.shared.index.write();
            for row in &effects.metrics {
                index.put_metric(
                    &row.tenant,
                    &row.definition.name,
                    row.id,
                    row.definition.ttl_ms,
                );
            }
            for created in effects.created {
                index.put_series(&created.tenant, &created.metric.name, created.series);
            }
        }
        if self.tail.head_bytes == 0 {
            self.head_since_ms = self.shared.clock.monotonic_ms();
        }
        let samples = u64::try_from(effects.samples.len()).unwrap_or(u64::MAX);
        for (series, sample) in effects.samples {
            self.tail.head_bytes += weight(&sample);
            series.state.lock().push(sample);
        }
        if let Some(seq) = effects.journal_seq {
            self.tail.last_seq = seq;
        }
        let metrics = &self.shared.metrics;
        metrics.add("plinth_monitor_samples_total", &[], samples);
        metrics.observe("plinth_monitor_group_samples", &[], samples as f64);
    }

    async fn recall(&self, scope: IdempotencyScope) -> Result<Option<WriteAnswer>, MonitorError> {
        self.shared
            .engine
            .read(move |connection| Ok(idempotency::recall(connection, &scope)?))
            .await
            .map_err(MonitorError::while_reading)
    }

    async fn define(
        &mut self,
        tenant: TenantId,
        definition: Arc<MetricDefinition>,
    ) -> Result<(), MonitorError> {
        let row = {
            let (tenant, definition) = (tenant.clone(), Arc::clone(&definition));
            self.shared
                .engine
                .write(move |transaction| {
                    let id = put_metric_row(transaction, &tenant, &definition)?;
                    Ok::<_, MonitorError>(MetricRow {
                        tenant,
                        definition,
                        id,
                    })
                })
                .await?
        };
        self.shared
            .index
            .write()
            .put_metric(&tenant, &definition.name, row.id, definition.ttl_ms);
        Ok(())
    }

    async fn upkeep(&mut self, now_ms: i64) -> Result<UpkeepReport, MonitorError> {
        let aged_ms = self
            .shared
            .clock
            .monotonic_ms()
            .saturating_sub(self.head_since_ms);
        if self.tail.head_bytes > 0 && aged_ms >= HEAD_AGE_MS_MAX {
            self.begin_compaction();
        }
        upkeep::run(&self.shared, now_ms).await
    }

    fn begin_compaction_where_due(&mut self) {
        if self.tail.head_bytes >= HEAD_BYTES_TRIGGER {
            self.begin_compaction();
        }
    }

    fn begin_compaction(&mut self) {
        let now_ms = self.shared.clock.monotonic_ms();
        if self.compaction.is_none() && now_ms >= self.compaction_rests_until_ms {
            let index = self.shared.index.read();
            self.compaction = Some(Compaction::plan(&index, self.tail.last_seq));
        }
    }

    /// Does one slice of the compaction under way, if there is one.
    async fn compact_slice(&mut self) {
        let Some(mut compaction) = self.compaction.take() else {
            return;
        };
        match self.next_step(&mut compaction).await {
            Ok(true) => self.compaction = Some(compaction),
            Ok(false) => {
                self.tail.head_bytes = self.tail.head_bytes.saturating_sub(compaction.head_bytes);
                self.head_since_ms = self.shared.clock.monotonic_ms();
                self.shared
                    .metrics
                    .add("plinth_monitor_compactions_total", &[], 1);
            }
            Err(error) => {
                // The journal is still there; what is in chunks already is read once all the same.
                tracing::error!(monitor.error = %error, "the journal was not written into chunks");
                self.tail.head_bytes = self.shared.head_bytes();
                self.compaction_rests_until_ms = self
                    .shared
                    .clock
                    .monotonic_ms()
                    .saturating_add(COMPACTION_REST_MS);
            }
        }
    }

    /// Returns whether there is more to do.
    async fn next_step(&self, compaction: &mut Compaction) -> Result<bool, MonitorError> {
        let engine = &self.shared.engine;
        let Some(slice) = compaction.next_slice() else {
            let upto_seq = compaction.upto_seq();
            engine
                .write(move |transaction| Compaction::delete_journal(upto_seq, transaction))
                .await?;
            return Ok(false);
        };
        let slice = engine
            .write(move |transaction| slice.write(transaction).map(|()| slice))
            .await?;
        slice.forget_heads();
        Ok(true)
    }
}

impl Shared {
    /// What the heads take, counted anew.
    fn head_bytes(&self) -> usize {
        let index = self.index.read();
        index
            .all()
            .map(|(_, _, _, series)| series.state.lock().head.iter().map(weight).sum::<usize>())
            .sum()
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, MonitorError>) {
    // A caller that went away does not need the answer; what was done stays done.
    let _caller_gone = reply.send(result).is_err();
}
