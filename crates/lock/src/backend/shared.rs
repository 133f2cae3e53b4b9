//! Records that instances share: on the control database (PostgreSQL, MariaDB; a SQLite file for one instance) or in Redis.
//!
//! A record is read, changed by the rules, and written back where its stamp is still the one that was read. No transaction
//! stays open, so an instance that is stopped anywhere stops nobody else. Commands on one lock that come while one is under way
//! are applied together, in the order of coming. The clock that decides is the database's, watched by the monotonic one of this
//! process. Who waits here for a lock that another instance frees is woken by what the database tells of changes
//! ([`Changes`]), or where it tells nothing by one look of the whole instance in each
//! [`POLL_MS`](crate::model::limits::POLL_MS).

mod batch;
mod lanes;
mod poll;

use std::sync::Arc;

use async_trait::async_trait;
use plinth_core::{SharedClock, TenantId};
use plinth_store::locks::{ListedLock, LockReading, LockRow};
use plinth_store::{Epochs, LockRecords};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::lanes::Lanes;
use super::{Backend, Capabilities, LockKey, Seen};
use crate::changes::Changes;
use crate::error::LockError;
use crate::machine::{Command, Now, Reply};
use crate::model::LockName;
use crate::record::Record;
use crate::trust::Trust;
use crate::wakes::Wakes;

/// How the backend is made.
pub struct SharedOptions {
    /// What it is called: `control`, `redis`.
    pub name: &'static str,
    /// Where the records are.
    pub records: Arc<dyn LockRecords>,
    /// Time of this process.
    pub clock: SharedClock,
    /// Where epochs come from: one is taken before the first command. `None`: the records have epochs of their own.
    pub epochs: Option<Arc<dyn Epochs>>,
    /// What the records tell of changes by others; `None`: nothing, they have to be looked at.
    pub changes: Option<Arc<Changes>>,
    /// Whom it wakes.
    pub wakes: Arc<Wakes>,
    /// Most locks of a tenant that are in use at one time; instances that grant at the same instant may pass it by one each.
    pub locks_per_tenant_max: u32,
}

/// Locks on records that instances share.
pub struct SharedBackend {
    shared: Arc<Shared>,
    lanes: Arc<Lanes>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// What the tasks of the backend share.
struct Shared {
    records: Arc<dyn LockRecords>,
    clock: SharedClock,
    trust: Trust,
    name: &'static str,
    epochs: Option<Arc<dyn Epochs>>,
    /// The epoch of this process, once it was taken.
    epoch: OnceCell<i64>,
    wakes: Arc<Wakes>,
    locks_per_tenant_max: u32,
}

impl SharedBackend {
    /// Makes the backend. A database that is away is met by the first call.
    #[must_use]
    pub fn new(options: SharedOptions) -> Self {
        let SharedOptions {
            name,
            records,
            clock,
            epochs,
            changes,
            wakes,
            locks_per_tenant_max,
        } = options;
        let shared = Arc::new(Shared {
            records,
            clock,
            trust: Trust::default(),
            name,
            epochs,
            epoch: OnceCell::new(),
            wakes,
            locks_per_tenant_max,
        });
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        if shared.records.is_shared() {
            tasks.spawn(poll::until(Arc::clone(&shared), changes, cancel.clone()));
        }
        Self {
            shared,
            lanes: Arc::default(),
            tasks,
            cancel,
        }
    }
}

impl Shared {
    /// The epoch of this process: above every one that was taken before. 0 where the records have epochs of their own.
    async fn epoch(&self) -> Result<i64, LockError> {
        let Some(epochs) = &self.epochs else {
            return Ok(0);
        };
        let raise = || async {
            let raised = epochs.raise(self.name, 0).await;
            raised.map_err(LockError::database)
        };
        self.epoch.get_or_try_init(raise).await.copied()
    }

    /// Reads one lock, and the clock with it.
    async fn read(
        &self,
        key: &LockKey,
        busy_max: Option<u32>,
    ) -> Result<(LockReading, Now), LockError> {
        let before = self.clock.monotonic_ms();
        let reading = self
            .records
            .read_lock(key.tenant.as_str(), key.name.as_str(), busy_max)
            .await
            .map_err(LockError::database)?;
        let now = self
            .trust
            .observe(before, reading.at_ms, self.clock.monotonic_ms());
        Ok((reading, now))
    }

    /// The record that was read; the default one where there is none.
    fn record(reading: &LockReading) -> Result<Record, LockError> {
        let stored = reading.stored.as_ref();
        let record = stored.map(|stored| Record::parse(&stored.record));
        Ok(record.transpose()?.unwrap_or_default())
    }
}

#[async_trait]
impl Backend for SharedBackend {
    fn name(&self) -> &'static str {
        self.shared.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            shared: self.shared.records.is_shared(),
        }
    }

    async fn apply(&self, key: &LockKey, command: Command) -> Result<Reply, LockError> {
        let (told, lane_begins) = self.lanes.queue(key, command);
        if lane_begins {
            // In a task of its own: a caller that goes away does not take the others' answers with it.
            let (shared, lanes) = (Arc::clone(&self.shared), Arc::clone(&self.lanes));
            let key = key.clone();
            self.tasks
                .spawn(async move { lanes.run(&shared, &key).await });
        }
        told.await.map_err(|_| LockError::Lost)?
    }

    async fn read(&self, key: &LockKey) -> Result<Seen, LockError> {
        let (reading, now) = self.shared.read(key, None).await?;
        let record = Shared::record(&reading)?;
        Ok(Seen { record, now })
    }

    async fn list(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(LockName, Seen)>, LockError> {
        let shared = &self.shared;
        let before = shared.clock.monotonic_ms();
        let (at_ms, listed) = shared
            .records
            .list_locks(tenant.as_str(), prefix, after, limit)
            .await
            .map_err(LockError::database)?;
        let now = shared
            .trust
            .observe(before, at_ms, shared.clock.monotonic_ms());
        let seen = |ListedLock { name, stored }| {
            let record = Record::parse(&stored.record)?;
            Ok((LockName::parse("lock", &name)?, Seen { record, now }))
        };
        listed.into_iter().map(seen).collect()
    }

    async fn contended(
        &self,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<Vec<(String, Record)>, LockError> {
        let found = self
            .shared
            .records
            .contended_locks(tenant.as_str(), limit)
            .await
            .map_err(LockError::database)?;
        let parsed = |ListedLock { name, stored }| Ok((name, Record::parse(&stored.record)?));
        found.into_iter().map(parsed).collect()
    }

    async fn sweep(&self, limit: u32) -> Result<usize, LockError> {
        let shared = &self.shared;
        let before = shared.clock.monotonic_ms();
        let at_ms = shared.records.database_ms().await;
        let at_ms = at_ms.map_err(LockError::database)?;
        shared
            .trust
            .observe(before, at_ms, shared.clock.monotonic_ms());
        let forgotten = shared.records.forget_locks(at_ms).await;
        let mut count = usize::try_from(forgotten.map_err(LockError::database)?).unwrap_or(0);
        let due = shared.records.due_locks(at_ms, limit).await;
        for (tenant, name) in due.map_err(LockError::database)? {
            let key = LockKey {
                tenant: TenantId::parse(&tenant)?,
                name: LockName::parse("lock", &name)?,
            };
            self.apply(&key, Command::Sweep).await?;
            count += 1;
        }
        Ok(count)
    }

    async fn close(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A record that nobody holds, as it is kept, made at an instant of the backend's clock.
pub(super) fn fresh_row(at_ms: i64) -> Result<LockRow, LockError> {
    let now = Now {
        at: at_ms,
        trusted_ms: 0,
    };
    batch::row(&Record::default(), now)
}
