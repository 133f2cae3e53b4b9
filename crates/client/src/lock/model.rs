//! What a caller says and is told. The names are those of the HTTP interface, so these types are its bodies too.

use serde::{Deserialize, Serialize};

use crate::wide;

/// One lock that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LockAsk {
    /// Name of the lock.
    pub lock: String,
    /// `exclusive`, `shared` or `permits`; `None` is `exclusive`.
    pub mode: Option<String>,
    /// Permits of a semaphore.
    pub permits: Option<i32>,
    /// Size of the semaphore.
    pub permits_max: Option<i32>,
}

impl LockAsk {
    /// All of a lock.
    pub fn exclusive(lock: impl Into<String>) -> Self {
        Self {
            lock: lock.into(),
            ..Self::default()
        }
    }

    /// A lock together with others that share it.
    pub fn shared(lock: impl Into<String>) -> Self {
        Self {
            mode: Some("shared".to_owned()),
            ..Self::exclusive(lock)
        }
    }

    /// Permits of a semaphore of `permits_max`.
    pub fn permits(lock: impl Into<String>, permits: i32, permits_max: i32) -> Self {
        Self {
            mode: Some("permits".to_owned()),
            permits: Some(permits),
            permits_max: Some(permits_max),
            ..Self::exclusive(lock)
        }
    }
}

/// How locks are acquired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcquireOptions {
    /// The lease, in milliseconds; `None` is the server's default of 30,000.
    pub lease_ms: Option<i64>,
    /// How long one call waits, at most 60,000 ms; `None` tries once.
    pub wait_ms: Option<i64>,
    /// Whether an owner that holds a lock already is let in again.
    pub reentrant: bool,
    /// How long the place in the queue stays after the wait, in milliseconds, for a call with the same `request_id`.
    pub keep_place_ms: Option<i64>,
    /// Names the attempt, so that a repeat gets the same grant; one is made up where none is given.
    pub request_id: Option<String>,
}

impl AcquireOptions {
    /// Waits so long.
    #[must_use]
    pub fn waiting_ms(wait_ms: i64) -> Self {
        Self {
            wait_ms: Some(wait_ms),
            ..Self::default()
        }
    }
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockGrant {
    /// Name of the lock.
    pub lock: String,
    /// Fencing token.
    #[serde(with = "wide")]
    pub token: i64,
    /// How deep its owner holds it.
    pub depth: i32,
    /// How much of the lease was left at least when this was answered, in milliseconds.
    pub lease_ms: i64,
}

/// All that was asked for is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquired {
    /// One grant for each lock, in the order of the request.
    pub grants: Vec<LockGrant>,
    /// How long the call waited, in milliseconds.
    pub waited_ms: i64,
}

/// What became of one grant in a renewal or release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockClaimResult {
    /// Name of the lock.
    pub lock: String,
    /// Token of the grant.
    #[serde(with = "wide")]
    pub token: i64,
    /// Whether it is held now.
    pub held: bool,
    /// How much of the lease was left at least when this was answered, in milliseconds.
    pub lease_ms: Option<i64>,
    /// How deep it is held.
    pub depth: i32,
    /// 2602 where the grant was lost before.
    pub code: Option<i32>,
    /// What it means.
    pub message: Option<String>,
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockVerified {
    /// Whether its grant is alive.
    pub held: bool,
    /// Who holds it.
    pub owner: Option<String>,
    /// How long the lease lasts unless it is renewed, in milliseconds.
    pub left_ms: Option<i64>,
    /// The highest token known of the lock.
    #[serde(default, with = "wide::option")]
    pub last_token: Option<i64>,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The owner.
    pub owner: String,
    /// The authenticated caller.
    pub principal: String,
    /// `exclusive`, `shared` or `permits`.
    pub mode: String,
    /// Permits.
    pub permits: i32,
    /// Fencing token.
    #[serde(with = "wide")]
    pub token: i64,
    /// How deep.
    pub depth: i32,
    /// For how long, in milliseconds.
    pub held_ms: i64,
    /// How long the lease lasts, in milliseconds.
    pub left_ms: i64,
}

/// Who waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWaiter {
    /// The owner.
    pub owner: String,
    /// The authenticated caller.
    pub principal: String,
    /// `exclusive`, `shared` or `permits`.
    pub mode: String,
    /// Permits.
    pub permits: i32,
    /// Since how long, in milliseconds.
    pub waiting_ms: i64,
    /// Owners that must go first.
    pub waits_for: Vec<String>,
}

/// What happened to a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockCounters {
    /// Grants.
    pub granted: i64,
    /// Attempts that found it taken.
    pub contended: i64,
    /// Time that granted attempts had waited, in milliseconds.
    pub waited_ms: i64,
    /// Waits that ended without a grant.
    pub timed_out: i64,
    /// Waiters that vanished and were skipped.
    pub vanished: i64,
    /// Leases that ended without a release.
    pub expired: i64,
    /// Leases that an operator ended.
    pub forced: i64,
    /// Waits that were refused because they would never have ended.
    pub deadlocks: i64,
}

/// One lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// Its name.
    pub lock: String,
    /// Size of the semaphore.
    pub permits_max: Option<i32>,
    /// The highest token that was granted.
    #[serde(default, with = "wide::option")]
    pub last_token: Option<i64>,
    /// Who holds it.
    pub holders: Vec<LockHolder>,
    /// Who waits, in the order of coming.
    pub waiters: Vec<LockWaiter>,
    /// What happened to it.
    pub counters: LockCounters,
}

/// One lock of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSummary {
    /// Its name.
    pub lock: String,
    /// Size of the semaphore.
    pub permits_max: Option<i32>,
    /// How many hold it.
    pub holders: i32,
    /// How many wait for it.
    pub waiters: i32,
    /// The longest wait, in milliseconds.
    pub longest_wait_ms: i64,
    /// Attempts that found it taken.
    pub contended: i64,
}

/// A page of locks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockPage {
    /// Locks by name.
    pub locks: Vec<LockSummary>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}
