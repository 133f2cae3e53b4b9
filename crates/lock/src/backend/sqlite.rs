//! The embedded engine: one SQLite file, one writer that commits groups, one process.
//!
//! The clock is the wall at the start of the process plus what the monotonic clock counted since, so that no jump of the
//! wall moves a lease, and it is trusted from the start of the process on: what was held then lasts one full lease more.

mod schema;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use plinth_core::{MetricSink, SharedClock, TenantId};
use plinth_store::{Engine, EngineLimits, EngineLocation, EngineOptions, Epochs, WriteCondition};
use tokio::sync::OnceCell;

use self::work::Work;
use super::{Backend, Capabilities, LockKey, Seen};
use crate::error::LockError;
use crate::machine::{Command, Now, Reply};
use crate::model::LockName;
use crate::record::Record;
use crate::wakes::Wakes;

/// How the embedded backend is opened.
pub struct SqliteOptions {
    /// Where the data is.
    pub location: EngineLocation,
    /// Limits of the writer and the readers.
    pub limits: EngineLimits,
    /// Time.
    pub clock: SharedClock,
    /// Where epochs come from: one is taken before the first command.
    pub epochs: Arc<dyn Epochs>,
    /// Where numbers go.
    pub metrics: Arc<dyn MetricSink>,
    /// Whom it wakes.
    pub wakes: Arc<Wakes>,
    /// Most locks of a tenant that are in use at one time.
    pub locks_per_tenant_max: u32,
}

/// The embedded backend.
pub struct SqliteBackend {
    engine: Engine,
    clock: SharedClock,
    /// What the backend's clock showed when the monotonic one was at zero.
    base: i64,
    opened_ms: u64,
    epochs: Arc<dyn Epochs>,
    /// The epoch of this process, once it was taken.
    epoch: OnceCell<i64>,
    wakes: Arc<Wakes>,
    locks_per_tenant_max: u32,
    is_file: bool,
}

impl SqliteBackend {
    /// Opens the file. Errors: it cannot be opened, or is of a later release.
    pub async fn open(options: SqliteOptions) -> Result<Self, LockError> {
        let is_file = matches!(options.location, EngineLocation::File(_));
        let engine_options = EngineOptions {
            name: "lock",
            location: options.location,
            migrations: schema::MIGRATIONS,
            metrics: options.metrics,
            limits: options.limits,
        };
        let engine = tokio::task::spawn_blocking(move || Engine::open(engine_options))
            .await
            .map_err(|_| LockError::Lost)??;
        let clock = options.clock;
        let opened_ms = clock.monotonic_ms();
        let elapsed = i64::try_from(opened_ms).unwrap_or(i64::MAX);
        Ok(Self {
            engine,
            base: clock.now().0.saturating_sub(elapsed),
            opened_ms,
            clock,
            epochs: options.epochs,
            epoch: OnceCell::new(),
            wakes: options.wakes,
            locks_per_tenant_max: options.locks_per_tenant_max,
            is_file,
        })
    }

    /// Whether the disk takes what is written.
    #[must_use]
    pub fn write_condition(&self) -> WriteCondition {
        self.engine.write_condition()
    }

    fn now(&self) -> Now {
        now(&self.clock, self.base, self.opened_ms)
    }

    /// The epoch of this process: above every one that the file has seen.
    async fn epoch(&self) -> Result<i64, LockError> {
        let raise = || async {
            let stored = self.engine.read(work::stored_tokens).await?;
            Ok::<_, LockError>(self.epochs.raise(self.name(), stored.epoch).await?)
        };
        self.epoch.get_or_try_init(raise).await.copied()
    }
}

fn now(clock: &SharedClock, base: i64, opened_ms: u64) -> Now {
    let elapsed_ms = clock.monotonic_ms();
    let as_signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Now {
        at: base.saturating_add(as_signed(elapsed_ms)),
        trusted_ms: as_signed(elapsed_ms.saturating_sub(opened_ms)),
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: self.is_file,
            shared: false,
        }
    }

    async fn apply(&self, key: &LockKey, command: Command) -> Result<Reply, LockError> {
        let epoch = self.epoch().await?;
        let (clock, base, opened_ms) = (Arc::clone(&self.clock), self.base, self.opened_ms);
        let locks_max = self.locks_per_tenant_max;
        let target = key.clone();
        let (reply, wake) = self
            .engine
            .write(move |db| {
                // The time of the transaction, not of the call: what waited for the writer must not act on an old clock.
                let now = now(&clock, base, opened_ms);
                let work = Work {
                    db,
                    now,
                    epoch,
                    locks_max,
                };
                work.apply(&target, command)
            })
            .await?;
        self.wakes.fire(key, &wake.attempts, wake.lost);
        reply
    }

    async fn read(&self, key: &LockKey) -> Result<Seen, LockError> {
        let target = key.clone();
        let record = self
            .engine
            .read(move |db| work::record(db, &target))
            .await?
            .unwrap_or_default();
        Ok(Seen {
            record,
            now: self.now(),
        })
    }

    async fn list(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(LockName, Seen)>, LockError> {
        let tenant = tenant.clone();
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let rows = self
            .engine
            .read(move |db| work::page(db, &tenant, &prefix, after.as_deref(), limit))
            .await?;
        let now = self.now();
        let seen = |(name, record)| (name, Seen { record, now });
        Ok(rows.into_iter().map(seen).collect())
    }

    async fn contended(
        &self,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<Vec<(String, Record)>, LockError> {
        let tenant = tenant.clone();
        self.engine
            .read(move |db| work::contended(db, &tenant, limit))
            .await
    }

    async fn sweep(&self, limit: u32) -> Result<usize, LockError> {
        let at = self.now().at;
        let due = self.engine.read(move |db| work::due(db, at, limit)).await?;
        let count = due.len();
        for key in due {
            self.apply(&key, Command::Sweep).await?;
        }
        Ok(count)
    }

    async fn close(&self) {
        self.engine.close().await;
    }
}
