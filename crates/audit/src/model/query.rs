//! Reading: queries, single records, exports, statistics.

use bytes::Bytes;
use plinth_core::WideInt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AuditFilter, AuditProof, AuditRecord};

/// Finds records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryLogsRequest {
    /// Which; absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<AuditFilter>,
    /// `time_desc` (the default) or `time_asc`: by event time, then by leaf index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Rows of the page; 1 to 1,000, default 50. A page also ends before it passes 4 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before; the filter and the order must be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Whether `total` is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_total: Option<bool>,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryLogsReply {
    /// The records, in the order asked for.
    pub records: Vec<AuditRecord>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Number of matching records over all pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// All pages show the log as it stood at this size when the first was read.
    #[schema(value_type = String)]
    pub snapshot_size: WideInt,
}

/// Reads one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GetRecordRequest {
    /// Id of the record.
    pub record: String,
}

/// One record and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GetRecordReply {
    /// The record.
    pub record: AuditRecord,
    /// Proof that it is in the log.
    pub proof: AuditProof,
}

/// Exports one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportLogsRequest {
    /// Which; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<AuditFilter>,
    /// `csv` or `jsonl`.
    pub format: String,
    /// `time_desc` or `time_asc` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Most records of the piece; 1 to 1,000, default 500. A piece also ends before it passes 4 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `next_cursor` of the piece before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One piece of an export: the pieces put one after the other are the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportLogsReply {
    /// The piece, UTF-8, as base64. The CSV header stands in the first piece alone.
    #[serde(rename = "data_base64", with = "crate::model::base64_bytes")]
    #[schema(value_type = String)]
    pub data: Bytes,
    /// Records in the piece.
    pub records: i64,
    /// Where the next piece begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// The log's size that the whole export shows.
    #[schema(value_type = String)]
    pub snapshot_size: WideInt,
}

/// Counts records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GetStatisticsRequest {
    /// Which; absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<AuditFilter>,
    /// Length of a time bucket, milliseconds; at least 1,000. The matching records may span at most 1,000 buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_ms: Option<i64>,
    /// Keys of each breakdown; 1 to 100, default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<i64>,
}

/// Records under one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditCount {
    /// The key.
    pub key: String,
    /// How many.
    pub count: i64,
}

/// The most frequent keys of one dimension.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditBreakdown {
    /// By count, the largest first, then by key.
    pub top: Vec<AuditCount>,
    /// Number of different keys.
    pub distinct: i64,
    /// Records under the keys that are not in `top`.
    pub other_count: i64,
}

/// Records of one span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditTimeBucket {
    /// Begin of the span, unix milliseconds; a multiple of the bucket's length.
    pub from_ms: i64,
    /// How many.
    pub count: i64,
}

/// Counts by several dimensions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GetStatisticsReply {
    /// Matching records.
    pub total: i64,
    /// Every bucket from the first to the last that holds a record, empty ones between them included.
    pub by_time: Vec<AuditTimeBucket>,
    /// By operation type.
    pub by_operation: AuditBreakdown,
    /// By id of the operator.
    pub by_operator: AuditBreakdown,
    /// By type of the resource.
    pub by_resource_type: AuditBreakdown,
    /// By result.
    pub by_result: AuditBreakdown,
    /// By severity.
    pub by_severity: AuditBreakdown,
    /// The log's size that the numbers show.
    #[schema(value_type = String)]
    pub snapshot_size: WideInt,
}
