//! Records of locks that several instances share: text that the lock block reads and writes by compare-and-set.

use async_trait::async_trait;
use plinth_core::Result;

/// What one lock was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockReading {
    /// Its record, where there is one.
    pub stored: Option<StoredLock>,
    /// No token of a record that was forgotten lies above this one.
    pub floor: i64,
    /// Locks of the tenant that are in use, counted up to the limit that was named; 0 where none was.
    pub busy: u32,
    /// When it was read, in milliseconds on the clock of the database.
    pub at_ms: i64,
}

/// A record and the stamp that it stands under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLock {
    /// Names this writing of the record; no other one, of any record, has the same.
    pub stamp: i64,
    /// The record.
    pub record: String,
}

/// A record as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRow {
    /// Names this writing; drawn at random by the writer.
    pub stamp: i64,
    /// Whether somebody holds it or waits for it.
    pub busy: bool,
    /// Whether somebody waits for it.
    pub waiting: bool,
    /// Whether a listing shows it.
    pub listed: bool,
    /// The highest token that it granted.
    pub token: i64,
    /// When time changes something next, or a free record is forgotten, on the clock of the database.
    pub due_ms: i64,
    /// The record.
    pub record: String,
}

/// A lock as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLock {
    /// Its name.
    pub name: String,
    /// Its record.
    pub stored: StoredLock,
}

/// Records of locks on a database that instances share.
///
/// A write is one statement that names the stamp which it replaces: no transaction is held open, so an instance that stops
/// anywhere stops nobody else. A write that is answered is as durable as the database makes a commit.
///
/// Errors of all: 1012 where the database is away, with outcome `unknown` where a write's answer was lost; 1009 where its
/// calls take too long to begin.
#[async_trait]
pub trait LockRecords: Send + Sync {
    /// Whether other processes share the database.
    fn is_shared(&self) -> bool;
    /// The clock of the database, in milliseconds since 1970.
    async fn database_ms(&self) -> Result<i64>;
    /// Reads one lock. Where `busy_max` is given, the tenant's locks in use are counted up to it.
    async fn read_lock(
        &self,
        tenant: &str,
        name: &str,
        busy_max: Option<u32>,
    ) -> Result<LockReading>;
    /// Makes a record where there is none.
    async fn create_lock(&self, tenant: &str, name: &str, row: LockRow) -> Result<()>;
    /// Replaces the record that stands under a stamp. Returns whether it was replaced.
    async fn replace_lock(
        &self,
        tenant: &str,
        name: &str,
        stamp: i64,
        row: LockRow,
    ) -> Result<bool>;
    /// Listed locks of a tenant whose name begins with `prefix`, by name, after `after`; at most `limit`. With the clock of
    /// the database.
    async fn list_locks(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(i64, Vec<ListedLock>)>;
    /// Locks of a tenant that somebody waits for, by name; at most `limit`.
    async fn contended_locks(&self, tenant: &str, limit: u32) -> Result<Vec<ListedLock>>;
    /// The stamps of some locks of a tenant; absent ones are left out.
    async fn lock_stamps(&self, tenant: &str, names: &[String]) -> Result<Vec<(String, i64)>>;
    /// Locks in use, as tenant and name, on which time has something to do at an instant; at most `limit`.
    async fn due_locks(&self, at_ms: i64, limit: u32) -> Result<Vec<(String, String)>>;
    /// Forgets free records that are due at an instant, after the floor was raised to their tokens. Returns how many.
    async fn forget_locks(&self, at_ms: i64) -> Result<u64>;
}
