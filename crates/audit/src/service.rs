//! The use cases of the audit block.

mod export;
mod listing;
mod read;
mod sink;
mod verify;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use plinth_core::{CallContext, Deadline, MetricSink, SharedClock};
use plinth_resilience::health::Component;
use plinth_security::Entropy;
use plinth_store::{Engine, EngineLimits, EngineLocation, EngineOptions, WriteCondition};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::AuditIndex;
use crate::backend::sqlite::SqliteIndex;
use crate::error::AuditError;
use crate::log::condition::Condition;
use crate::log::files::{Directory, LogFiles, Memory};
use crate::log::indexer::Indexer;
use crate::log::integrator::{Integrator, blocking};
use crate::log::key;
use crate::log::sequencer::{self, Sequencer};
use crate::tree::note::check_key_name;
use crate::verify::offline::{INDEX_DATABASE, LOG_DATABASE, LOG_FOLDER};

/// Longest time between two checkpoints of a log that grows, in milliseconds.
pub const INTEGRATION_INTERVAL_MS_MAX: u64 = 1_000;
/// Longest wait for the index to take what was acknowledged before a query began, in milliseconds.
pub const CATCH_UP_MS_MAX: u64 = 5_000;
/// Longest wait for a checkpoint over a record that is asked for, in milliseconds.
pub const INTEGRATION_WAIT_MS_MAX: u64 = 5_000;

/// Settings of the audit block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// Name of the log: the origin of its checkpoints and the name of its key. Unique among all logs, best a name under
    /// a domain of yours; no spaces, no plus; at most 128 bytes. Cannot change once the key is made.
    pub origin: String,
    /// Time between two checkpoints of a log that grows, in milliseconds; 1 to 1,000.
    pub integration_interval_ms: u64,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            origin: "plinth.local/audit".to_owned(),
            integration_interval_ms: 500,
        }
    }
}

impl AuditSettings {
    /// Checks the settings. Errors: 1001 naming the setting.
    pub fn check(&self) -> plinth_core::Result<()> {
        if check_key_name(&self.origin).is_err() {
            return Err(plinth_core::Error::invalid(
                "audit.origin",
                "must be 1 to 128 bytes without spaces and plus",
            ));
        }
        if !(1..=INTEGRATION_INTERVAL_MS_MAX).contains(&self.integration_interval_ms) {
            return Err(plinth_core::Error::invalid(
                "audit.integration_interval_ms",
                format!("must lie in 1..={INTEGRATION_INTERVAL_MS_MAX}"),
            ));
        }
        Ok(())
    }
}

/// Where a log is kept.
#[derive(Clone, Debug)]
pub enum AuditLocation {
    /// Under a directory: `key`, `log.pub`, `audit.db`, `index.db`, `log/…`.
    Directory(PathBuf),
    /// In memory, with a key that nobody keeps.
    Memory,
}

/// The handles by which time, randomness and numbers go in and out.
#[derive(Clone)]
pub struct AuditHandles {
    /// The clock.
    pub clock: SharedClock,
    /// Where the block's own numbers go.
    pub metrics: Arc<dyn MetricSink>,
    /// Randomness, for the key and for ids.
    pub entropy: Arc<dyn Entropy>,
    /// Where the block reports how it is.
    pub health: Component,
}

/// The parts that a log is put together of.
pub struct AuditParts {
    /// Where the durable leaves go.
    pub log: EngineLocation,
    /// Where the tiles go.
    pub files: Arc<dyn LogFiles>,
    /// The query index.
    pub index: Arc<dyn AuditIndex>,
    /// The key of the log.
    pub signer: crate::tree::NoteSigner,
}

/// The audit log of one instance.
pub struct AuditService {
    handles: AuditHandles,
    sequencer: Sequencer,
    integrator: Arc<Integrator>,
    indexer: Arc<Indexer>,
    index: Arc<dyn AuditIndex>,
    verifications: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl AuditService {
    /// Opens the log of a place, or makes it, and starts to integrate and index. Errors: settings that do not hold, a
    /// file that cannot be read, or a log that is not what was written.
    pub async fn open(
        settings: &AuditSettings,
        location: AuditLocation,
        handles: AuditHandles,
    ) -> Result<Self, AuditError> {
        settings.check()?;
        let origin = settings.origin.clone();
        let given = handles.clone();
        let parts = blocking(move || open_parts(&origin, location, &given)).await?;
        Self::with_parts(settings, parts, handles).await
    }

    /// Puts a log together of given parts. Errors: as [`AuditService::open`].
    pub async fn with_parts(
        settings: &AuditSettings,
        parts: AuditParts,
        handles: AuditHandles,
    ) -> Result<Self, AuditError> {
        settings.check()?;
        let options = EngineOptions {
            name: "audit",
            location: parts.log,
            migrations: sequencer::MIGRATIONS,
            metrics: Arc::clone(&handles.metrics),
            limits: EngineLimits::default(),
        };
        let engine = blocking(move || Ok(Engine::open(options)?)).await?;
        let sequencer = Sequencer::open(engine, Arc::clone(&handles.clock)).await?;
        let condition = Arc::new(Condition::new(handles.health.clone()));
        let (integrator, writer) = Integrator::open(
            sequencer.clone(),
            parts.files,
            parts.signer,
            handles.clone(),
            Arc::clone(&condition),
            settings.integration_interval_ms,
        )
        .await?;
        let indexer = Indexer::open(
            sequencer.clone(),
            integrator.files(),
            Arc::clone(&parts.index),
            handles.clone(),
            condition,
            integrator.published(),
        )
        .await?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(Arc::clone(&integrator).run(writer, stop.clone()));
        tasks.spawn(Arc::clone(&indexer).run(stop.clone()));
        tasks.close();
        Ok(Self {
            handles,
            sequencer,
            integrator,
            indexer,
            index: parts.index,
            verifications: Semaphore::new(1),
            tasks,
            stop,
        })
    }

    /// The public key of the log, as a C2SP verifier key.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.integrator.verifier().text()
    }

    /// Whether the disk takes the records.
    #[must_use]
    pub fn write_condition(&self) -> WriteCondition {
        self.sequencer.write_condition()
    }

    /// Signs what is durable a last time and closes the files. Calls that come later fail.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
        self.sequencer.close().await;
        self.index.close().await;
    }

    /// Waits until everything that is durable now can be found, for a bounded time. Returns that size.
    async fn catch_up(&self, context: &CallContext) -> Result<u64, AuditError> {
        context.check_deadline()?;
        let bound = Deadline::after_ms(CATCH_UP_MS_MAX).min(context.deadline);
        self.indexer.catch_up(bound).await
    }
}

fn open_parts(
    origin: &str,
    location: AuditLocation,
    handles: &AuditHandles,
) -> Result<AuditParts, AuditError> {
    let metrics = Arc::clone(&handles.metrics);
    match location {
        AuditLocation::Directory(directory) => Ok(AuditParts {
            signer: key::load_or_create(&directory, origin, &*handles.entropy)?,
            log: EngineLocation::File(directory.join(LOG_DATABASE)),
            files: Arc::new(Directory::new(directory.join(LOG_FOLDER))),
            index: Arc::new(SqliteIndex::open(
                EngineLocation::File(directory.join(INDEX_DATABASE)),
                metrics,
            )?),
        }),
        AuditLocation::Memory => Ok(AuditParts {
            signer: key::ephemeral(origin, &*handles.entropy)?,
            log: EngineLocation::Memory,
            files: Arc::new(Memory::default()),
            index: Arc::new(SqliteIndex::open(EngineLocation::Memory, metrics)?),
        }),
    }
}
