// The structs of the audit block.
//
// The log is one Merkle tree for each instance (RFC 6962, SHA-256); every record is one leaf. Texts are UTF-8 without
// control characters (`reason` may hold tab and line ends). A record's canonical leaf has at most 65,535 bytes.
namespace go support.audit
namespace py support.audit
namespace java support.audit
namespace js support.audit

include "../base.thrift"

// Who did it, as the caller claims. The credential that wrote the record stands beside it in `recorded_by`.
struct AuditOperator {
    // Id of the person or program; 1 to 256 bytes.
    1: required string id
    // Name for people; 1 to 256 bytes.
    2: optional string name
    // Roles held at that moment; at most 32 of 1 to 128 bytes each. Default: none.
    3: optional list<string> roles
}

// On what it was done.
struct AuditResource {
    // Kind of thing: `merchant_application`; 1 to 128 bytes.
    1: required string type
    // Which one; 1 to 512 bytes.
    2: required string id
}

// One operation to be recorded.
struct AuditEntry {
    // Operation type: `merchant.approve`; 1 to 128 bytes.
    1: required string operation
    2: required AuditOperator operator
    3: required AuditResource resource
    // How it ended: `success`, `failure`, `denied` or `unknown`. An entry of phase `intent` says `unknown`.
    4: required string result
    // When it happened, unix milliseconds; 0 to 253402300799999. Default: the moment of recording.
    5: optional i64 time_ms
    // `debug`, `info`, `notice`, `warning`, `error` or `critical`. Default: `info`.
    6: optional string severity
    // Why it ended so, or why it was done; 1 to 4,096 bytes.
    7: optional string reason
    // Anything more, one JSON value as text; `null` counts as absent. `details`, `before` and `after` have at most 49,152 bytes together and
    // nest at most 32 deep. In the record keys are sorted and numbers stand as they were written.
    8: optional string details
    // State of the resource before, one JSON value as text.
    9: optional string before
    // State of the resource after, one JSON value as text.
    10: optional string after
    // From where: an IPv4 or IPv6 address. Default: none; the address of the caller itself stands in `recorded_by`.
    11: optional string ip
    // What the operator's client calls itself; 1 to 512 bytes.
    12: optional string user_agent
    // Trace that the operation belongs to; 1 to 64 of `a-z A-Z 0-9 -`. Default: the trace of this request.
    13: optional string trace_id
    // `event` (complete in itself), `intent` (before the operation) or `outcome` (after it). Default: `event`.
    14: optional string phase
    // Required with phase `outcome`, refused otherwise: id of the intent that it completes.
    15: optional string intent_id
}

// Which credential wrote a record. Taken from the credential, never from the request.
struct AuditRecordedBy {
    // Id of the principal.
    1: required string principal
    // `service`, `user` or `system`.
    2: required string kind
    // Id of the credential, without its secret.
    3: required string credential
    // Address that the request came from.
    4: optional string ip
    // The way in: `thrift`, `http` or `internal`.
    5: required string transport
}

// The outcome that was joined to an intent.
struct AuditOutcome {
    // Id of the outcome's own record.
    1: required string id
    // Its leaf index.
    2: required i64 index
    3: required string result
    4: optional string reason
    // Unix milliseconds.
    5: required i64 time_ms
    // One JSON value as text.
    6: optional string details
    7: optional string before
    8: optional string after
}

// One record of the log.
struct AuditRecord {
    // UUID version 7.
    1: required string id
    // Leaf index in the log: contiguous from 0 over all tenants, never reused.
    2: required i64 index
    3: required string tenant
    4: required string operation
    5: required AuditOperator operator
    6: required AuditRecordedBy recorded_by
    7: required AuditResource resource
    // For an intent: the result of its outcome, `unknown` while there is none.
    8: required string result
    9: required string severity
    // When it happened, unix milliseconds.
    10: required i64 time_ms
    // When it was recorded, unix milliseconds; never decreases along the log.
    11: required i64 recorded_at_ms
    12: optional string reason
    // One JSON value as text, keys sorted.
    13: optional string details
    14: optional string before
    15: optional string after
    16: optional string ip
    17: optional string user_agent
    18: required string trace_id
    // `event`, `intent` or `outcome`.
    19: required string phase
    // Who wrote it: `caller` through this interface, or `gate`, Plinth's own record of an operation.
    20: required string source
    // Of an outcome: the intent that it completes.
    21: optional string intent_id
    // Of an intent: its outcome, once there is one.
    22: optional AuditOutcome outcome
}

// What a caller holds of a record that is durable.
struct AuditReceipt {
    // UUID version 7.
    1: required string id
    // Leaf index in the log.
    2: required i64 index
    // Unix milliseconds.
    3: required i64 recorded_at_ms
}

struct AuditLogOperationRequest {
    1: required AuditEntry entry
    // Idempotency key; 1 to 128 visible ASCII characters. A repeat within 24 hours gets the first receipt.
    254: optional string request_id
    255: optional base.Base base
}

struct AuditLogOperationResponse {
    1: required AuditReceipt receipt
    255: optional base.BaseResp base_resp
}

struct AuditLogBatchRequest {
    // 1 to 1,000 entries, recorded in this order at consecutive leaf indices in one commit, or none of them.
    1: required list<AuditEntry> entries
    // Idempotency key of the whole batch; 1 to 128 visible ASCII characters.
    254: optional string request_id
    255: optional base.Base base
}

struct AuditLogBatchResponse {
    // One for each entry, in their order.
    1: required list<AuditReceipt> receipts
    255: optional base.BaseResp base_resp
}

// Conditions that must all hold. An absent field holds for every record. Outcomes that complete an intent are not rows
// of their own: they are joined to it, and `results` looks at the joined result.
struct AuditFilter {
    // Operation type, exactly.
    1: optional string operation
    // First part of the operation type: `merchant.`
    2: optional string operation_prefix
    3: optional string operator_id
    4: optional string operator_name
    // One of the operator's roles.
    5: optional string operator_role
    6: optional string resource_type
    7: optional string resource_id
    // Any of these results; at most 4.
    8: optional list<string> results
    // Any of these severities; at most 6.
    9: optional list<string> severities
    // An IPv4 or IPv6 address.
    10: optional string ip
    11: optional string user_agent
    12: optional string trace_id
    // Occurs in the reason, or in the compact JSON text of details, before or after, of the record or of its outcome;
    // ASCII letters match in both cases; 1 to 256 bytes.
    13: optional string text
    // Event time from, inclusive; unix milliseconds.
    14: optional i64 from_ms
    // Event time to, exclusive; unix milliseconds.
    15: optional i64 to_ms
    // Time of recording from, inclusive; unix milliseconds.
    16: optional i64 recorded_from_ms
    // Time of recording to, exclusive; unix milliseconds.
    17: optional i64 recorded_to_ms
    // Principal whose credential wrote the record.
    18: optional string recorded_by
    // Credential that wrote the record.
    19: optional string credential
    // `caller` or `gate`.
    20: optional string source
    // `event`, `intent` or `outcome` (one that completes no intent).
    21: optional string phase
}

struct AuditQueryLogsRequest {
    1: optional AuditFilter filter
    // `time_desc` or `time_asc`: by event time, then by leaf index. Default: `time_desc`.
    2: optional string sort
    // Rows of the page; 1 to 1,000, default 50. A page also ends before it passes 4 MiB.
    3: optional i64 limit
    // `next_cursor` of the page before; the filter and the order must be the same.
    4: optional string cursor
    // Whether `total` is wanted. Default: false.
    5: optional bool count_total
    255: optional base.Base base
}

struct AuditQueryLogsResponse {
    1: required list<AuditRecord> records
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    // Number of matching records over all pages.
    3: optional i64 total
    // All pages show the log as it stood at this size when the first was read: writes in between change nothing.
    4: required i64 snapshot_size
    255: optional base.BaseResp base_resp
}

// Proof that a record is in the log: RFC 6962 section 2.1.1 against a signed checkpoint.
struct AuditProof {
    1: required i64 leaf_index
    // Size of the tree that the checkpoint signs.
    2: required i64 tree_size
    // Hash of the leaf, base64.
    3: required string leaf_hash
    // Siblings from the leaf up to the root's child, base64.
    4: required list<string> hashes
    // The checkpoint as a C2SP signed note.
    5: required string checkpoint
    // The canonical bytes of the leaf: SHA-256 over 0x00 and these is the leaf hash.
    6: required binary entry
    // The whole proof as a C2SP `.tlog-proof` text.
    7: required string tlog_proof
}

struct AuditGetRecordRequest {
    // Id of the record.
    1: required string record
    255: optional base.Base base
}

struct AuditGetRecordResponse {
    1: required AuditRecord record
    2: required AuditProof proof
    255: optional base.BaseResp base_resp
}

struct AuditExportLogsRequest {
    1: optional AuditFilter filter
    // `csv` or `jsonl`.
    2: required string format
    // `time_desc` or `time_asc`. Default: `time_asc`.
    3: optional string sort
    // Most records of the piece; 1 to 1,000, default 500. A piece also ends before it passes 4 MiB.
    4: optional i64 limit
    // `next_cursor` of the piece before.
    5: optional string cursor
    255: optional base.Base base
}

struct AuditExportLogsResponse {
    // The piece, UTF-8; pieces put one after the other are the file. The CSV header stands in the first piece alone; a
    // cell that a spreadsheet would run as a formula begins with an apostrophe.
    1: required binary data
    // Records in the piece.
    2: required i64 records
    // Where the next piece begins; absent at the end.
    3: optional string next_cursor
    // The log's size that the whole export shows.
    4: required i64 snapshot_size
    255: optional base.BaseResp base_resp
}

// Records under one key.
struct AuditCount {
    1: required string key
    2: required i64 count
}

// The most frequent keys of one dimension.
struct AuditBreakdown {
    // By count, the largest first, then by key.
    1: required list<AuditCount> top
    // Number of different keys.
    2: required i64 distinct
    // Records under the keys that are not in `top`.
    3: required i64 other_count
}

// Records of one span of time.
struct AuditTimeBucket {
    // Begin of the span, unix milliseconds; a multiple of the bucket's length.
    1: required i64 from_ms
    2: required i64 count
}

struct AuditGetStatisticsRequest {
    1: optional AuditFilter filter
    // Length of a time bucket, milliseconds; at least 1,000. The matching records may span at most 1,000 buckets.
    // Default: no time buckets.
    2: optional i64 bucket_ms
    // Keys of each breakdown; 1 to 100, default 10.
    3: optional i64 top
    255: optional base.Base base
}

struct AuditGetStatisticsResponse {
    1: required i64 total
    // Every bucket from the first to the last that holds a record, empty ones between them included.
    2: required list<AuditTimeBucket> by_time
    3: required AuditBreakdown by_operation
    4: required AuditBreakdown by_operator
    5: required AuditBreakdown by_resource_type
    6: required AuditBreakdown by_result
    7: required AuditBreakdown by_severity
    // The log's size that the numbers show.
    8: required i64 snapshot_size
    255: optional base.BaseResp base_resp
}

// The first thing found that cannot be.
struct AuditDiscrepancy {
    // `checkpoint`, `signature`, `entry`, `tile`, `root`, `history`, `pinned` or `index`.
    1: required string kind
    // File, or table and row, under the data directory.
    2: required string location
    // First leaf index that is concerned.
    3: optional i64 leaf_index
    // What was found and what had to be there; never the content of a record.
    4: required string message
}

struct AuditVerifyRequest {
    // A checkpoint that was seen earlier, as a signed note: the log must be an extension of it. At most 4,096 bytes.
    1: optional string checkpoint
    255: optional base.Base base
}

struct AuditVerifyResponse {
    // Whether everything held.
    1: required bool valid
    // The first discrepancy; absent where `valid`.
    2: optional AuditDiscrepancy discrepancy
    // Size of the tree that the latest checkpoint signs.
    3: required i64 tree_size
    // Its root, base64.
    4: required string root
    // That checkpoint as a signed note: keep it, and hand it in next time.
    5: required string checkpoint
    // The public key as a C2SP verifier key: `<name>+<id>+<key>`.
    6: required string public_key
    7: required i64 entries_checked
    8: required i64 tiles_checked
    // Earlier checkpoints whose roots were recomputed.
    9: required i64 checkpoints_checked
    10: required i64 index_rows_checked
    255: optional base.BaseResp base_resp
}
