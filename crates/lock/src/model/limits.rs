//! Named limits of the lock block, each with its unit.

/// Longest name of a lock, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest name of an owner, in bytes.
pub const OWNER_BYTES_MAX: usize = 128;
/// Shortest lease, in milliseconds.
pub const LEASE_MS_MIN: i64 = 100;
/// Longest lease, in milliseconds: one hour.
pub const LEASE_MS_MAX: i64 = 60 * 60 * 1_000;
/// Lease where the caller names none, in milliseconds.
pub const LEASE_MS_DEFAULT: i64 = 30_000;
/// Longest wait of one call, in milliseconds.
pub const WAIT_MS_MAX: i64 = 60_000;
/// How long a place may be kept for a waiter that is between two calls, in milliseconds.
pub const KEEP_PLACE_MS_MAX: i64 = 30_000;
/// How long a place lasts without being renewed by the call that waits, in milliseconds.
pub const PLACE_MS: i64 = 6_000;
/// How often a call that waits renews its place, in milliseconds.
pub const PLACE_RENEW_MS: i64 = 2_000;
/// Most locks of one request.
pub const RESOURCES_MAX: usize = 16;
/// Largest size of a semaphore, in permits.
pub const PERMITS_MAX: i32 = 1_000;
/// Most holders of one lock, shared or of a semaphore.
pub const HOLDERS_MAX: usize = 1_000;
/// Most waiters of one lock.
pub const WAITERS_PER_LOCK_MAX: usize = 1_000;
/// Deepest re-entrance of one owner.
pub const HOLDS_MAX: usize = 64;
/// Calls that wait in the whole process.
pub const WAITERS_MAX: usize = 10_000;
/// Locks of a tenant that are looked at for one check for circles; where more are waited for, the check is left out.
pub const GRAPH_LOCKS_MAX: u32 = 1_000;
/// How long the counters of a lock that was fought for are kept after it is free, in milliseconds.
pub const COUNTERS_KEPT_MS: i64 = 10 * 60 * 1_000;
/// Records that one run of the housekeeping tidies up.
pub const SWEEP_RECORDS_MAX: u32 = 500;
/// How often the housekeeping runs, in milliseconds.
pub const SWEEP_MS: u64 = 5_000;
/// Longest reason of a forced release, in bytes.
pub const REASON_BYTES_MAX: usize = 1_024;
/// How long the record of a lock that nobody fought for is kept after it is free, on backends where making one costs, in
/// milliseconds.
pub const QUIET_KEPT_MS: i64 = 60 * 1_000;
/// How often an instance looks at what others did to the locks that its calls wait for, in milliseconds: by so much at most
/// does a waiter of one instance learn later of a release by another.
pub const POLL_MS: u64 = 50;
/// The same where every change is told, in milliseconds: only for what a lost message left.
pub const POLL_MS_TOLD: u64 = 1_000;
/// The same after a look that failed, in milliseconds.
pub const POLL_MS_AWAY: u64 = 1_000;
