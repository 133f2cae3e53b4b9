//! Time series in one SQLite file, with the index and the newest samples in memory.
//!
//! A write goes through one task that gathers what waits into groups ([`ingest`]), and each group is one transaction
//! ([`group`]): the rows of new series, the idempotency records and one journal entry. It is answered after the commit has
//! been synced, and only then do queries see it. From time to time the journal goes into chunks ([`compact`]), and what is
//! too old goes away ([`upkeep`]). At start the index is rebuilt from the series rows and the journal ([`recover`]).

mod codec;
mod compact;
mod group;
mod index;
mod ingest;
mod read;
mod recover;
mod schema;
mod upkeep;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use plinth_core::access::IdempotencyScope;
use plinth_core::{MetricSink, SharedClock, TenantId};
use plinth_store::{Engine, EngineLimits, EngineLocation, EngineOptions, WriteCondition};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    CurrentSeries, Selection, SeriesBackend, SeriesVisitor, UpkeepReport, Usage, Write, WriteAnswer,
};
use crate::error::MonitorError;
use crate::model::MetricDefinition;
use crate::settings::MonitorSettings;
use group::SeriesLimits;
use index::{Index, Refusals};
use ingest::{Ingest, Job};

/// Most requests that wait to be written.
const JOBS_QUEUED_MAX: usize = 4_096;
/// Most samples that wait to be written, with those of the group under way.
const SAMPLES_QUEUED_MAX: usize = 131_072;
/// How long a write waits for its place among those, in milliseconds.
const ADMISSION_WAIT_MS_MAX: u64 = 2_000;

/// How the embedded backend is opened.
pub struct EmbeddedOptions {
    /// Where the file is.
    pub location: EngineLocation,
    /// Series limits and retention.
    pub settings: MonitorSettings,
    /// The time.
    pub clock: SharedClock,
    /// Where its own numbers go.
    pub metrics: Arc<dyn MetricSink>,
}

/// What the writing task and the readers share.
struct Shared {
    engine: Engine,
    index: RwLock<Index>,
    refusals: Refusals,
    limits: SeriesLimits,
    settings: MonitorSettings,
    clock: SharedClock,
    metrics: Arc<dyn MetricSink>,
}

/// The embedded store of time series. Clones share it.
#[derive(Clone)]
pub struct EmbeddedBackend {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
}

impl EmbeddedBackend {
    /// Opens the file, rebuilds the index and starts the writing task. Opening blocks on the disk: call it at start.
    ///
    /// Errors: the file cannot be opened, is of a newer release, or holds what cannot be read.
    pub async fn open(options: EmbeddedOptions) -> Result<Self, MonitorError> {
        let EmbeddedOptions {
            location,
            settings,
            clock,
            metrics,
        } = options;
        let engine = Engine::open(EngineOptions {
            name: "monitor",
            location,
            migrations: schema::MIGRATIONS,
            metrics: Arc::clone(&metrics),
            limits: EngineLimits::default(),
        })?;
        let recovered = engine.read(recover::recover).await?;
        let shared = Arc::new(Shared {
            engine,
            index: RwLock::new(recovered.index),
            refusals: Refusals::default(),
            limits: SeriesLimits {
                per_tenant_max: settings.series_per_tenant_max,
                instance_max: settings.series_max,
                label_bytes_per_tenant_max: settings.label_bytes_per_tenant_max,
                label_bytes_max: settings.label_bytes_max,
            },
            settings,
            clock,
            metrics,
        });
        let (jobs, receiver) = mpsc::channel(JOBS_QUEUED_MAX);
        let ingest = Ingest::new(Arc::clone(&shared), receiver, recovered.tail);
        tokio::spawn(ingest.run());
        Ok(Self {
            shared,
            jobs,
            places: Arc::new(Semaphore::new(SAMPLES_QUEUED_MAX)),
        })
    }

    /// Whether what comes is written: the disk takes it, and the task that writes runs.
    #[must_use]
    pub fn write_condition(&self) -> WriteCondition {
        self.shared.engine.write_condition()
    }

    async fn send<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, MonitorError>>) -> Job,
    ) -> Result<T, MonitorError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.send(job(reply)).await;
        sent.map_err(|_| self.not_taken())?;
        // A job that was taken is answered, unless the task ended in the middle.
        answer
            .await
            .unwrap_or(Err(MonitorError::WriterEnded { handed_over: true }))
    }

    /// Why the task takes no job.
    fn not_taken(&self) -> MonitorError {
        if self.shared.engine.write_condition().has_ended() {
            MonitorError::WriterEnded { handed_over: false }
        } else {
            MonitorError::Closed
        }
    }
}

#[async_trait]
impl SeriesBackend for EmbeddedBackend {
    async fn write(&self, write: Write) -> Result<WriteAnswer, MonitorError> {
        let samples = write.items.len().clamp(1, SAMPLES_QUEUED_MAX);
        let waiting =
            Arc::clone(&self.places).acquire_many_owned(u32::try_from(samples).unwrap_or(u32::MAX));
        let wait = std::time::Duration::from_millis(ADMISSION_WAIT_MS_MAX);
        let place = tokio::time::timeout(wait, waiting)
            .await
            .map_err(|_elapsed| MonitorError::Overloaded)?
            .map_err(|_closed| MonitorError::Closed)?;
        self.send(|reply| Job::Write {
            write,
            place,
            reply,
        })
        .await
    }

    async fn recall(&self, scope: IdempotencyScope) -> Result<Option<WriteAnswer>, MonitorError> {
        self.send(|reply| Job::Recall { scope, reply }).await
    }

    async fn define(
        &self,
        tenant: &TenantId,
        definition: Arc<MetricDefinition>,
    ) -> Result<(), MonitorError> {
        let tenant = tenant.clone();
        self.send(|reply| Job::Define {
            tenant,
            definition,
            reply,
        })
        .await
    }

    async fn read(&self, selection: Selection, visit: SeriesVisitor) -> Result<u64, MonitorError> {
        read::read(&self.shared, selection, visit)
            .await
            .map_err(MonitorError::while_reading)
    }

    fn current(&self, tenant: &TenantId, metric: &str, now_ms: i64) -> Vec<CurrentSeries> {
        read::current(&self.shared, tenant, metric, now_ms)
    }

    fn usage(&self, tenant: &TenantId, metric: &str) -> Usage {
        read::usage(&self.shared, tenant, metric)
    }

    async fn upkeep(&self, now_ms: i64) -> Result<UpkeepReport, MonitorError> {
        self.send(|reply| Job::Upkeep { now_ms, reply }).await
    }

    async fn close(&self) {
        self.places.close();
        let closed = self.send(|reply| Job::Close { reply }).await;
        if closed.is_err() {
            // Closed before, or the task has ended: close the file, or wait for that, all the same.
            self.shared.engine.close().await;
        }
    }
}
