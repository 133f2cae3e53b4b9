//! Requests and replies: the words of the IDL, used by the HTTP edge as they stand.

use plinth_core::{Resource, WideInt};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::names::lock_resource;

/// Declares structs with what every request and reply has in common.
macro_rules! wire {
    ($( $(#[$meta:meta])* $name:ident as $schema:ident { $( $(#[$field_meta:meta])* $field:ident: $kind:ty, )* } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(as = $schema)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $kind, )* }
    )* };
}

wire! {
    /// One lock that is asked for.
    LockAsk as LockAsk {
        /// Name of the lock.
        lock: String,
        /// `exclusive`, `shared`, or `permits` of a semaphore. Default `exclusive`.
        mode: Option<String>,
        /// With `permits`: how many, 1 to `permits_max`. Default 1.
        permits: Option<i32>,
        /// With `permits`, required: the size of the semaphore, 1 to 1,000; the same for all who use it at one time.
        permits_max: Option<i32>,
    }
    /// Acquires locks, waiting for them if asked.
    AcquireRequest as LockAcquireRequest {
        /// 1 to 16 locks, each once. They are taken in the order of their names, all or none.
        locks: Vec<LockAsk>,
        /// Who will hold them: one thread of work. Two that hold at the same time must have two names.
        owner: String,
        /// The lease, 100 to 3,600,000 ms. Default 30,000.
        lease_ms: Option<i64>,
        /// How long to wait, 0 to 60,000 ms. Default 0: try once.
        wait_ms: Option<i64>,
        /// Whether an owner that holds a lock already is let in again. Default false.
        reentrant: Option<bool>,
        /// With one lock: how long its place in the queue stays after the wait, 0 to 30,000 ms, for a call that comes back with
        /// the same idempotency key. Default 0.
        keep_place_ms: Option<i64>,
    }
    /// One grant.
    LockGrant as LockGrant {
        /// Name of the lock.
        lock: String,
        /// Its fencing token: higher than that of every grant of this lock before.
        #[schema(value_type = String)]
        token: WideInt,
        /// How deep its owner holds it; 1 without re-entrance.
        depth: i32,
        /// How much of the lease is left at least when this is answered, in ms.
        lease_ms: i64,
    }
    /// All that was asked for is held.
    AcquireReply as LockAcquireReply {
        /// One grant for each lock, in the order of the request.
        grants: Vec<LockGrant>,
        /// How long the call waited, in ms.
        waited_ms: i64,
    }
    /// One grant that its owner names.
    LockClaim as LockClaim {
        /// Name of the lock.
        lock: String,
        /// Token of the grant.
        #[schema(value_type = String)]
        token: WideInt,
        /// In a release: the depth that is released, as the grant told it; a repeat then releases nothing twice. Default: the
        /// deepest.
        depth: Option<i32>,
    }
    /// Begins leases anew.
    RenewRequest as LockRenewRequest {
        /// Who holds them.
        owner: String,
        /// 1 to 16 grants.
        claims: Vec<LockClaim>,
        /// A new lease, 100 to 3,600,000 ms. Default: the old one.
        lease_ms: Option<i64>,
    }
    /// What became of one grant.
    ClaimResult as LockClaimResult {
        /// Name of the lock.
        lock: String,
        /// Token of the grant.
        #[schema(value_type = String)]
        token: WideInt,
        /// Whether the owner holds the lock by this grant now.
        held: bool,
        /// How much of the lease is left at least when this is answered, in ms; absent where it is not held.
        lease_ms: Option<i64>,
        /// How deep it is held; 0 where it is not.
        depth: i32,
        /// Error code of a grant that was lost: 2602.
        code: Option<i32>,
        /// What it means.
        message: Option<String>,
    }
    /// What became of each grant.
    RenewReply as LockRenewReply {
        /// In the order of the request.
        items: Vec<ClaimResult>,
    }
    /// Ends holds.
    ReleaseRequest as LockReleaseRequest {
        /// Who holds them.
        owner: String,
        /// 1 to 16 grants.
        claims: Vec<LockClaim>,
    }
    /// What became of each grant.
    ReleaseReply as LockReleaseReply {
        /// In the order of the request.
        items: Vec<ClaimResult>,
    }
    /// Checks a token, and watches it if asked.
    VerifyRequest as LockVerifyRequest {
        /// Name of the lock.
        lock: String,
        /// The token.
        #[schema(value_type = String)]
        token: WideInt,
        /// How long to watch for its loss, 0 to 60,000 ms. Default 0: answer at once.
        wait_ms: Option<i64>,
    }
    /// What is known of a token.
    VerifyReply as LockVerifyReply {
        /// Whether its grant is alive.
        held: bool,
        /// Who holds it by this token; absent where nobody does.
        owner: Option<String>,
        /// How long the lease lasts unless it is renewed, in ms; absent where it is not held.
        left_ms: Option<i64>,
        /// The highest token known of this lock; absent where nothing is known.
        #[schema(value_type = Option<String>)]
        last_token: Option<WideInt>,
    }
    /// Ends leases against their holders' will.
    ForceReleaseRequest as LockForceReleaseRequest {
        /// Token of the grant to end. Default: all.
        #[schema(value_type = Option<String>)]
        token: Option<WideInt>,
        /// Why, for the log; 1 to 1,024 bytes.
        reason: String,
    }
    /// How many leases were ended.
    ForceReleaseReply as LockForceReleaseReply {
        /// How many.
        released: i32,
    }
    /// Who holds a lock.
    LockHolder as LockHolder {
        /// The owner.
        owner: String,
        /// The authenticated caller.
        principal: String,
        /// `exclusive`, `shared` or `permits`.
        mode: String,
        /// Permits; 0 for the other modes.
        permits: i32,
        /// Fencing token.
        #[schema(value_type = String)]
        token: WideInt,
        /// How deep.
        depth: i32,
        /// For how long, in ms.
        held_ms: i64,
        /// How long the lease lasts unless it is renewed, in ms.
        left_ms: i64,
    }
    /// Who waits for a lock.
    LockWaiter as LockWaiter {
        /// The owner.
        owner: String,
        /// The authenticated caller.
        principal: String,
        /// `exclusive`, `shared` or `permits`.
        mode: String,
        /// Permits; 0 for the other modes.
        permits: i32,
        /// Since how long, in ms.
        waiting_ms: i64,
        /// Owners that must go first: holders, then earlier waiters; at most 16.
        waits_for: Vec<String>,
    }
    /// What happened to a lock while it was in use, and for ten minutes after.
    LockCounters as LockCounters {
        /// Grants.
        granted: i64,
        /// Attempts that found it taken.
        contended: i64,
        /// Time that granted attempts had waited, in ms.
        waited_ms: i64,
        /// Waits that ended without a grant.
        timed_out: i64,
        /// Waiters that vanished and were skipped.
        vanished: i64,
        /// Leases that ended without a release.
        expired: i64,
        /// Leases that an operator ended.
        forced: i64,
        /// Waits that were refused because they would never have ended.
        deadlocks: i64,
    }
    /// One lock: who holds it, who waits for whom.
    LockInfo as LockInfo {
        /// Its name.
        lock: String,
        /// Size of the semaphore; absent for a lock that is exclusive or shared.
        permits_max: Option<i32>,
        /// The highest token that was granted; absent where nothing is known.
        #[schema(value_type = Option<String>)]
        last_token: Option<WideInt>,
        /// Who holds it, the earliest grant first.
        holders: Vec<LockHolder>,
        /// Who waits, in the order of coming.
        waiters: Vec<LockWaiter>,
        /// What happened to it.
        counters: LockCounters,
    }
    /// One lock of a listing.
    LockSummary as LockSummary {
        /// Its name.
        lock: String,
        /// Size of the semaphore; absent for a lock that is exclusive or shared.
        permits_max: Option<i32>,
        /// How many hold it.
        holders: i32,
        /// How many wait for it.
        waiters: i32,
        /// The longest wait, in ms; 0 where nobody waits.
        longest_wait_ms: i64,
        /// Attempts that found it taken.
        contended: i64,
    }
    /// A page of locks.
    ListReply as LockListReply {
        /// Locks by name.
        locks: Vec<LockSummary>,
        /// Where the next page begins; absent at the end.
        next_cursor: Option<String>,
    }
}

/// Which locks to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListRequest {
    /// Beginning of the names.
    pub prefix: Option<String>,
    /// Where a page before ended.
    pub cursor: Option<String>,
    /// Locks of the page, 1 to 1,000. Default 50.
    pub limit: Option<i64>,
}

impl AcquireRequest {
    /// What is asked for, for whoever decides whether a caller may.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        let names = self.locks.iter().map(|ask| ask.lock.as_str());
        distinct(names)
    }
}

/// The locks that claims name, for whoever decides whether a caller may.
#[must_use]
pub fn claimed_resources(claims: &[LockClaim]) -> Vec<Resource> {
    distinct(claims.iter().map(|claim| claim.lock.as_str()))
}

/// A request that names no lock is refused by its field; the permission is then asked for all of them.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Resource> {
    let names: std::collections::BTreeSet<&str> = names.collect();
    names.into_iter().map(lock_resource).collect()
}
