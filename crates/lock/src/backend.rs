//! What keeps the records of locks: a small required core, plus declared capabilities.

pub mod redis;
pub mod shared;
pub mod sqlite;

use async_trait::async_trait;
use plinth_core::TenantId;

use crate::error::LockError;
use crate::machine::{Command, Now, Reply};
use crate::model::LockName;
use crate::record::Record;

/// A lock of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: LockName,
}

/// What a backend can do beyond the required core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Leases and places survive a restart of the process.
    pub durable: bool,
    /// Several instances share its locks.
    pub shared: bool,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The record; the default one where there is none.
    pub record: Record,
    /// When, on the backend's clock.
    pub now: Now,
}

/// What keeps locks. A grant that is answered is kept by the backend's own definition.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Its name: `sqlite`, `control`, `redis`.
    fn name(&self) -> &'static str;
    /// What it can do beyond the required core.
    fn capabilities(&self) -> Capabilities;
    /// Applies a command to one lock in one transaction, and then wakes whoever waits for what it changed.
    async fn apply(&self, key: &LockKey, command: Command) -> Result<Reply, LockError>;
    /// Reads one lock.
    async fn read(&self, key: &LockKey) -> Result<Seen, LockError>;
    /// Locks of a tenant whose name begins with `prefix`, by name, after `after`; at most `limit`.
    async fn list(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(LockName, Seen)>, LockError>;
    /// Locks of a tenant that somebody waits for, by name; at most `limit`.
    async fn contended(
        &self,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<Vec<(String, Record)>, LockError>;
    /// Lets time do its work on locks that nobody asks for; at most `limit` of them. Returns how many changed.
    async fn sweep(&self, limit: u32) -> Result<usize, LockError>;
    /// Ends its tasks and closes its files.
    async fn close(&self);
}
