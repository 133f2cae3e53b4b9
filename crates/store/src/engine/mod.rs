//! One SQLite file with one writer that commits groups.

mod condition;
mod connection;
mod job;
mod readers;
mod schema;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use plinth_core::MetricSink;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::error::StoreError;
use job::{Access, Job, Task};
use readers::Readers;

pub use condition::WriteCondition;
pub(crate) use connection::create_private;
pub use schema::Migration;

/// Where an engine keeps its data.
#[derive(Clone, Debug)]
pub enum EngineLocation {
    /// A file; its folder is created where absent, and `-wal` and `-shm` stand beside it.
    File(PathBuf),
    /// One private connection in memory: gone with the engine. Reads share the writer's connection.
    Memory,
}

/// The limits of one engine.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Most operations that are queued or in the group being committed.
    pub ops_queued_max: usize,
    /// Most operations of one group commit.
    pub ops_per_group_max: usize,
    /// How long a group that is not full waits for more operations, in microseconds. Zero takes what is there: while one
    /// group is being synced the next one gathers by itself.
    pub group_wait_us: u64,
    /// How long a caller waits for a place in the queue, or for a reader, before it is refused, in milliseconds.
    pub admission_wait_ms_max: u64,
    /// Most connections that read at once.
    pub readers_max: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            ops_queued_max: 4_096,
            ops_per_group_max: 512,
            group_wait_us: 0,
            admission_wait_ms_max: 2_000,
            readers_max: 4,
        }
    }
}

/// How an engine is opened.
pub struct EngineOptions {
    /// A short name for threads, metrics and errors: the block's.
    pub name: &'static str,
    /// Where the data is.
    pub location: EngineLocation,
    /// The schema: applied in order, each once. Only ever appended to.
    pub migrations: &'static [Migration],
    /// Where the engine's own numbers go.
    pub metrics: Arc<dyn MetricSink>,
    /// The limits.
    pub limits: EngineLimits,
}

/// What the writer thread and the callers share.
struct Shared {
    name: &'static str,
    limits: EngineLimits,
    metrics: Arc<dyn MetricSink>,
    commits: AtomicU64,
    condition: WriteCondition,
}

/// A message to the writer thread.
enum Message {
    /// Run this in the next group.
    Run(Box<dyn Job>),
    /// Finish what is queued, checkpoint and end.
    Close,
}

/// Room in the channel beside the queued operations, for [`Message::Close`].
const CLOSE_MESSAGES_MAX: usize = 1;

/// One SQLite file. Clones share it; when the last clone goes, the writer finishes what is queued and ends.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    sender: SyncSender<Message>,
    /// A permit per operation that is queued or running, so that the channel can never be full.
    places: Arc<Semaphore>,
    /// `None` in memory, where reads share the writer's connection.
    readers: Option<Arc<Readers>>,
    /// Becomes `true` when the writer has closed the file.
    ended: watch::Receiver<bool>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("name", &self.shared.name)
            .field("commits", &self.commits())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the file, brings its schema up to date and starts the writer. Blocks: call it at start.
    ///
    /// Errors: the file cannot be created or opened, belongs to another block, or was written by a newer release.
    pub fn open(options: EngineOptions) -> Result<Self, StoreError> {
        let EngineOptions {
            name,
            location,
            migrations,
            metrics,
            limits,
        } = options;
        let mut connection = connection::open_writer(&location)?;
        schema::migrate(&mut connection, migrations)?;
        let readers = match &location {
            EngineLocation::File(path) => Some(Arc::new(Readers::new(name, path.clone(), &limits))),
            EngineLocation::Memory => None,
        };
        let places_max = limits.ops_queued_max.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, receiver) = sync_channel(places_max.saturating_add(CLOSE_MESSAGES_MAX));
        let (end, ended) = watch::channel(false);
        let shared = Arc::new(Shared {
            name,
            limits,
            metrics,
            commits: AtomicU64::new(0),
            condition: WriteCondition::default(),
        });
        let writer = writer::Writer::new(connection, receiver, Arc::clone(&shared), end);
        std::thread::Builder::new()
            .name(format!("store-{name}"))
            .spawn(move || writer.run())
            .map_err(|source| StoreError::Thread {
                engine: name,
                source,
            })?;
        Ok(Self {
            shared,
            sender,
            places: Arc::new(Semaphore::new(places_max)),
            readers,
            ended,
        })
    }

    /// Runs `work` in a savepoint of its own inside the next group commit, and returns after that commit has been
    /// synced. An `Err` from `work` rolls back this work alone.
    ///
    /// `work` must not begin, commit or roll back the transaction itself, and must not block on anything but the
    /// connection. Where the caller goes away before its work began, the work is not run.
    ///
    /// Errors: whatever `work` returns; 1009 where the queue stays full; 1012 with outcome `unknown` where the commit
    /// failed.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.submit(Access::Write, work).await
    }

    /// Runs `work` on a read-only connection off the runtime, on one snapshot of what is committed.
    ///
    /// Errors: whatever `work` returns; 1009 where no reader becomes free in time.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => readers.read(work).await,
            None => self.submit(Access::Read, work).await,
        }
    }

    /// How many groups were committed since the engine was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Acquire)
    }

    /// Whether the disk takes what is written, to be looked at while the engine runs.
    #[must_use]
    pub fn write_condition(&self) -> WriteCondition {
        self.shared.condition.clone()
    }

    /// Finishes what is queued, writes the log back into the file and closes it. Later calls fail; closing again waits
    /// for the first close.
    pub async fn close(&self) {
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        self.places.close();
        // The channel has one place beside the permits, so the first Close always fits. A second one, or one after the
        // writer ended, has nothing to say.
        let _already_closing = self.sender.try_send(Message::Close).is_err();
        let _writer_gone = self.ended.clone().wait_for(|ended| *ended).await.is_err();
    }

    async fn submit<T, E, F>(&self, access: Access, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let engine = self.shared.name;
        let place = self.place().await?;
        let (reply, answer) = oneshot::channel();
        let task = Task::new(engine, access, work, reply, place);
        match self.sender.try_send(Message::Run(Box::new(task))) {
            Ok(()) => {}
            Err(TrySendError::Disconnected(_)) => return Err(StoreError::Closed { engine }.into()),
            Err(TrySendError::Full(_)) => return Err(self.overloaded(0).into()),
        }
        // A task that is dropped answers for itself, so a missing answer means that the thread was torn down with it.
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Abandoned { engine }.into()))
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let wait_ms = self.shared.limits.admission_wait_ms_max;
        let waiting = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(Duration::from_millis(wait_ms), waiting).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(StoreError::Closed {
                engine: self.shared.name,
            }),
            Err(_elapsed) => Err(self.overloaded(wait_ms)),
        }
    }

    fn overloaded(&self, waited_ms: u64) -> StoreError {
        let engine = self.shared.name;
        self.shared
            .metrics
            .add("plinth_store_refused_total", &[("engine", engine)], 1);
        StoreError::Overloaded {
            engine,
            place: "place in the write queue",
            waited_ms,
        }
    }
}
