// What every block shares.
namespace go support.common
namespace py support.common
namespace java support.common
namespace js support.common

// One field that was refused.
struct FieldViolation {
    // Path of the field: `items[3].ttl_ms`.
    1: required string field
    // What is wrong and what is allowed.
    2: required string message
}

// Every refusal and failure. The numbers of `code` are a contract, the same over HTTP.
exception SupportError {
    // 1001 …; see docs/errors.md.
    1: required i32 code
    // The code's name in upper snake case: `INVALID_ARGUMENT`.
    2: required string reason
    // What is wrong and what to do.
    3: required string message
    // Whether the same request may succeed later.
    4: required bool retriable
    // What is known of the effect: `not_applied` or `unknown`.
    5: required string outcome
    // The refused fields; empty where no field is to blame.
    6: optional list<FieldViolation> violations
    // When to come back, in milliseconds.
    7: optional i64 retry_after_ms
    // Facts that a program can read.
    8: optional map<string, string> details
    // Id of the trace, to be found in our log: 32 hexadecimal digits.
    9: optional string trace_id
}

// Under which grant of which lock a write is made. The resource keeps the highest token that it has seen for the name,
// without expiry, and refuses a lower one with 1006 naming `fence.token`.
struct Fence {
    // Name of the lock, 1 to 128 bytes.
    1: required string name
    // Token of the grant, at least 1.
    2: required i64 token
}
