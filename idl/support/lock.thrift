// The structs of the lock block.
//
// Names of locks and owners hold letters, digits, '.', '_', '-' and ':', begin with a letter, a digit or '_', and have at
// most 128 bytes. Spans are in milliseconds and count from the answer.
namespace go support.lock
namespace py support.lock
namespace java support.lock
namespace js support.lock

include "../base.thrift"

// One lock that is asked for.
struct LockAsk {
    // Name of the lock.
    1: required string lock
    // `exclusive`, `shared`, or `permits` of a semaphore. Default `exclusive`.
    2: optional string mode
    // With `permits`: how many, 1 to `permits_max`. Default 1.
    3: optional i32 permits
    // With `permits`, required: the size of the semaphore, 1 to 1,000; the same for all who use it at one time.
    4: optional i32 permits_max
}

struct LockAcquireRequest {
    // 1 to 16 locks, each once. They are taken in the order of their names, all or none.
    1: required list<LockAsk> locks
    // Who will hold them: one thread of work. Two that hold at the same time must have two names.
    2: required string owner
    // The lease, 100 to 3,600,000 ms. Default 30,000.
    3: optional i64 lease_ms
    // How long to wait, 0 to 60,000 ms. Default 0: try once.
    4: optional i64 wait_ms
    // Whether an owner that holds a lock already is let in again. Default false.
    5: optional bool reentrant
    // With one lock: how long its place in the queue stays after the wait, 0 to 30,000 ms, for a call that comes back with the
    // same request id. Default 0.
    6: optional i64 keep_place_ms
    // Idempotency key: names the attempt. A repeat gets the grant of the first call, or goes on waiting at its place.
    254: optional string request_id
    255: optional base.Base base
}

// One grant.
struct LockGrant {
    // Name of the lock.
    1: required string lock
    // Its fencing token: higher than that of every grant of this lock before.
    2: required i64 token
    // How deep its owner holds it; 1 without re-entrance.
    3: required i32 depth
    // How much of the lease is left at least when this is answered, in ms.
    4: required i64 lease_ms
}

struct LockAcquireResponse {
    // One grant for each lock, in the order of the request.
    1: required list<LockGrant> grants
    // How long the call waited, in ms.
    2: required i64 waited_ms
    255: optional base.BaseResp base_resp
}

// One grant that its owner names.
struct LockClaim {
    // Name of the lock.
    1: required string lock
    // Token of the grant.
    2: required i64 token
    // In a release: the depth that is released, as the grant told it; a repeat then releases nothing twice. Default: the
    // deepest.
    3: optional i32 depth
}

// What became of one grant.
struct LockClaimResult {
    // Name of the lock.
    1: required string lock
    // Token of the grant.
    2: required i64 token
    // Whether the owner holds the lock by this grant now.
    3: required bool held
    // How much of the lease is left at least when this is answered, in ms; absent where it is not held or was not renewed.
    4: optional i64 lease_ms
    // How deep it is held; 0 where it is not.
    5: required i32 depth
    // Error code of a grant that was lost: 2602.
    6: optional i32 code
    // What it means.
    7: optional string message
}

struct LockRenewRequest {
    // Who holds them.
    1: required string owner
    // 1 to 16 grants.
    2: required list<LockClaim> claims
    // A new lease, 100 to 3,600,000 ms. Default: the old one.
    3: optional i64 lease_ms
    255: optional base.Base base
}

struct LockRenewResponse {
    // What became of each grant, in the order of the request.
    1: required list<LockClaimResult> items
    255: optional base.BaseResp base_resp
}

struct LockReleaseRequest {
    // Who holds them.
    1: required string owner
    // 1 to 16 grants.
    2: required list<LockClaim> claims
    255: optional base.Base base
}

struct LockReleaseResponse {
    // What became of each grant, in the order of the request.
    1: required list<LockClaimResult> items
    255: optional base.BaseResp base_resp
}

struct LockVerifyRequest {
    // Name of the lock.
    1: required string lock
    // The token.
    2: required i64 token
    // How long to watch for its loss, 0 to 60,000 ms. Default 0: answer at once.
    3: optional i64 wait_ms
    255: optional base.Base base
}

struct LockVerifyResponse {
    // Whether its grant is alive.
    1: required bool held
    // Who holds it by this token; absent where nobody does.
    2: optional string owner
    // How long the lease lasts unless it is renewed, in ms; absent where it is not held.
    3: optional i64 left_ms
    // The highest token known of this lock; absent where nothing is known.
    4: optional i64 last_token
    255: optional base.BaseResp base_resp
}

struct LockForceReleaseRequest {
    // Name of the lock.
    1: required string lock
    // Token of the grant to end. Default: all.
    2: optional i64 token
    // Why, for the log; 1 to 1,024 bytes.
    3: required string reason
    255: optional base.Base base
}

struct LockForceReleaseResponse {
    // How many leases were ended.
    1: required i32 released
    255: optional base.BaseResp base_resp
}

// Who holds a lock.
struct LockHolder {
    // The owner.
    1: required string owner
    // The authenticated caller.
    2: required string principal
    // `exclusive`, `shared` or `permits`.
    3: required string mode
    // Permits; 0 for the other modes.
    4: required i32 permits
    // Fencing token.
    5: required i64 token
    // How deep.
    6: required i32 depth
    // For how long, in ms.
    7: required i64 held_ms
    // How long the lease lasts unless it is renewed, in ms.
    8: required i64 left_ms
}

// Who waits for a lock.
struct LockWaiter {
    // The owner.
    1: required string owner
    // The authenticated caller.
    2: required string principal
    // `exclusive`, `shared` or `permits`.
    3: required string mode
    // Permits; 0 for the other modes.
    4: required i32 permits
    // Since how long, in ms.
    5: required i64 waiting_ms
    // Owners that must go first: holders, then earlier waiters; at most 16.
    6: required list<string> waits_for
}

// What happened to a lock while it was in use, and for ten minutes after.
struct LockCounters {
    // Grants.
    1: required i64 granted
    // Attempts that found it taken.
    2: required i64 contended
    // Time that granted attempts had waited, in ms.
    3: required i64 waited_ms
    // Waits that ended without a grant.
    4: required i64 timed_out
    // Waiters that vanished and were skipped.
    5: required i64 vanished
    // Leases that ended without a release.
    6: required i64 expired
    // Leases that an operator ended.
    7: required i64 forced
    // Waits that were refused because they would never have ended.
    8: required i64 deadlocks
}

struct LockGetRequest {
    // Name of the lock.
    1: required string lock
    255: optional base.Base base
}

struct LockGetResponse {
    // Its name.
    1: required string lock
    // Size of the semaphore; absent for a lock that is exclusive or shared.
    2: optional i32 permits_max
    // The highest token that was granted; absent where nothing is known.
    3: optional i64 last_token
    // Who holds it, the earliest grant first.
    4: required list<LockHolder> holders
    // Who waits, in the order of coming.
    5: required list<LockWaiter> waiters
    // What happened to it.
    6: required LockCounters counters
    255: optional base.BaseResp base_resp
}

struct LockListRequest {
    // Beginning of the names.
    1: optional string prefix
    // Where a page before ended.
    2: optional string cursor
    // Locks of the page, 1 to 1,000. Default 50.
    3: optional i32 limit
    255: optional base.Base base
}

// One lock of a listing.
struct LockSummary {
    // Its name.
    1: required string lock
    // Size of the semaphore; absent for a lock that is exclusive or shared.
    2: optional i32 permits_max
    // How many hold it.
    3: required i32 holders
    // How many wait for it.
    4: required i32 waiters
    // The longest wait, in ms; 0 where nobody waits.
    5: required i64 longest_wait_ms
    // Attempts that found it taken.
    6: required i64 contended
}

struct LockListResponse {
    // Locks by name: those in use, and those that were fought for in the last ten minutes.
    1: required list<LockSummary> locks
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}
