//! Requests and replies, and the limits of the block.
//!
//! The request types are what both edges fill in; words and ranges are checked in one place, by the `parse` functions
//! here, so that both transports refuse alike.

pub(crate) mod base64_bytes;
pub mod entry;
pub mod filter;
pub mod json_text;
pub mod query;
pub mod record;
pub mod verify;
pub mod words;

pub use entry::{AuditEntry, EntryOperator, EntryResource, ValidEntry};
pub use filter::{AuditFilter, Filter};
pub use json_text::JsonText;
pub use query::{
    AuditBreakdown, AuditCount, AuditTimeBucket, ExportLogsReply, ExportLogsRequest,
    GetRecordReply, GetRecordRequest, GetStatisticsReply, GetStatisticsRequest, QueryLogsReply,
    QueryLogsRequest,
};
pub use record::{
    AuditProof, AuditReceipt, AuditRecord, JoinedOutcome, LogBatchReply, LogBatchRequest,
    LogOperationReply, LogOperationRequest, RecordedBy,
};
pub use verify::{AuditDiscrepancy, VerifyReply, VerifyRequest};
pub use words::{AuditResult, ExportFormat, Phase, Severity, SortOrder, Source};

/// Longest operation type, in bytes.
pub const OPERATION_BYTES_MAX: usize = 128;
/// Longest id or name of an operator, in bytes.
pub const OPERATOR_BYTES_MAX: usize = 256;
/// Longest name of a role, in bytes.
pub const ROLE_BYTES_MAX: usize = 128;
/// Most roles of an operator.
pub const ROLES_MAX: usize = 32;
/// Longest type of a resource, in bytes.
pub const RESOURCE_TYPE_BYTES_MAX: usize = 128;
/// Longest id of a resource, in bytes.
pub const RESOURCE_ID_BYTES_MAX: usize = 512;
/// Longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 4_096;
/// Longest user agent, in bytes.
pub const USER_AGENT_BYTES_MAX: usize = 512;
/// Longest trace id, in bytes.
pub const TRACE_ID_BYTES_MAX: usize = 64;
/// Most bytes of `details`, `before` and `after` together, as compact JSON.
pub const DETAILS_BYTES_MAX: usize = 49_152;
/// Deepest nesting of `details`, `before` and `after`.
pub const DETAILS_DEPTH_MAX: usize = 32;
/// Latest event time: the last millisecond of the year 9999.
pub const TIME_MS_MAX: i64 = 253_402_300_799_999;
/// Longest text that a filter looks for, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// Most bytes of leaves that one page or one piece of an export is made of; its first record is never refused.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records of a piece of an export where the caller names no number.
pub const EXPORT_LIMIT_DEFAULT: i64 = 500;
/// Keys of each breakdown where the caller names no number.
pub const TOP_DEFAULT: i64 = 10;
/// Most keys of a breakdown.
pub const TOP_MAX: i64 = 100;
/// Shortest time bucket, in milliseconds.
pub const BUCKET_MS_MIN: i64 = 1_000;
/// Most time buckets of one answer.
pub const BUCKETS_MAX: i64 = 1_000;

use plinth_core::{Error, Result};

/// Checks a text: 1 to `bytes_max` bytes without control characters. Errors: 1001 naming the field.
pub(crate) fn check_text(field: &str, text: &str, bytes_max: usize) -> Result<()> {
    check_length(field, text, bytes_max)?;
    if text.contains(char::is_control) {
        return Err(Error::invalid(field, "must not hold control characters"));
    }
    Ok(())
}

/// Checks the length of a text: 1 to `bytes_max` bytes. Errors: 1001 naming the field.
pub(crate) fn check_length(field: &str, text: &str, bytes_max: usize) -> Result<()> {
    if (1..=bytes_max).contains(&text.len()) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("has {} bytes, must have 1 to {bytes_max}", text.len()),
    ))
}

/// Checks a number against its range. Errors: 1001 naming the field.
pub(crate) fn check_range(field: &str, number: i64, min: i64, max: i64) -> Result<i64> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(Error::invalid(
        field,
        format!("is {number}, must lie in {min}..={max}"),
    ))
}

/// Parses an address. Errors: 1001 naming the field.
pub(crate) fn parse_ip(field: &str, text: &str) -> Result<std::net::IpAddr> {
    text.parse()
        .map_err(|_| Error::invalid(field, "must be an IPv4 or IPv6 address"))
}
