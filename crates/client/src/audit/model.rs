//! The client's own words of the audit log; as JSON they have the form of the HTTP interface.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::{base64_bytes, wide, wide_option};

/// Who did it, as the caller claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditOperator {
    /// Id of the person or program.
    pub id: String,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Roles held at that moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// On what it was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditResource {
    /// Kind of thing.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which one.
    pub id: String,
}

/// One operation to be recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Operation type: `merchant.approve`.
    pub operation: String,
    /// Who did it.
    pub operator: AuditOperator,
    /// On what.
    pub resource: AuditResource,
    /// `success`, `failure`, `denied` or `unknown`; an intent says `unknown`.
    pub result: String,
    /// When it happened, unix milliseconds; absent means now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<i64>,
    /// `debug`, `info` (the default), `notice`, `warning`, `error` or `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// State of the resource before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// State of the resource after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// What the operator's client calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Trace that the operation belongs to; absent means that of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// `event` (the default), `intent` or `outcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// With phase `outcome`: the intent that it completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<String>,
}

impl AuditEntry {
    /// An entry with what every entry must hold.
    #[must_use]
    pub fn new(
        operation: impl Into<String>,
        operator: impl Into<String>,
        resource: (impl Into<String>, impl Into<String>),
        result: impl Into<String>,
    ) -> Self {
        Self {
            operation: operation.into(),
            operator: AuditOperator {
                id: operator.into(),
                ..AuditOperator::default()
            },
            resource: AuditResource {
                kind: resource.0.into(),
                id: resource.1.into(),
            },
            result: result.into(),
            ..Self::default()
        }
    }
}

/// What a caller holds of a record that is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReceipt {
    /// Id of the record.
    pub id: String,
    /// Its leaf index in the log.
    #[serde(with = "wide")]
    pub index: i64,
    /// When it was recorded, unix milliseconds.
    pub recorded_at_ms: i64,
}

/// Which credential wrote a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecordedBy {
    /// Id of the principal.
    pub principal: String,
    /// `service`, `user` or `system`.
    pub kind: String,
    /// Id of the credential.
    pub credential: String,
    /// The way in.
    pub transport: String,
    /// Address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

/// The outcome that was joined to an intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditJoinedOutcome {
    /// Id of the outcome's own record.
    pub id: String,
    /// Its leaf index.
    #[serde(with = "wide")]
    pub index: i64,
    /// How the operation ended.
    pub result: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, unix milliseconds.
    pub time_ms: i64,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// State of the resource before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// State of the resource after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its id.
    pub id: String,
    /// Its leaf index in the log.
    #[serde(with = "wide")]
    pub index: i64,
    /// Whose record it is.
    pub tenant: String,
    /// Operation type.
    pub operation: String,
    /// Who did it, as the caller claims.
    pub operator: AuditOperator,
    /// Whose credential wrote the record.
    pub recorded_by: AuditRecordedBy,
    /// On what.
    pub resource: AuditResource,
    /// How it ended; of an intent: the result of its outcome, `unknown` while there is none.
    pub result: String,
    /// How much it matters.
    pub severity: String,
    /// When it happened, unix milliseconds.
    pub time_ms: i64,
    /// When it was recorded, unix milliseconds.
    pub recorded_at_ms: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// State of the resource before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// State of the resource after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// What the operator's client calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Trace that the operation belongs to.
    pub trace_id: String,
    /// `event`, `intent` or `outcome`.
    pub phase: String,
    /// `caller` or `gate`.
    pub source: String,
    /// Of an outcome: the intent that it completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<String>,
    /// Of an intent: its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AuditJoinedOutcome>,
}

/// Which records: conditions that must all hold, absent ones hold always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditFilter {
    /// Operation type, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// First part of the operation type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_prefix: Option<String>,
    /// Id of the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<String>,
    /// Name of the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_name: Option<String>,
    /// One of the operator's roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_role: Option<String>,
    /// Type of the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Id of the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// Any of these results.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<String>,
    /// Any of these severities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<String>,
    /// Address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// User agent, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Trace id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Occurs in reason, details, before or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Event time from, inclusive; unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<i64>,
    /// Event time to, exclusive; unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<i64>,
    /// Time of recording from, inclusive; unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_from_ms: Option<i64>,
    /// Time of recording to, exclusive; unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_to_ms: Option<i64>,
    /// Principal whose credential wrote the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<String>,
    /// Credential that wrote the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// `caller` or `gate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `event`, `intent` or `outcome`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

/// A query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditQuery {
    /// Which records.
    pub filter: AuditFilter,
    /// `time_desc` (the default) or `time_asc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Rows of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Whether the total is wanted.
    pub count_total: bool,
}

/// One page of records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The records.
    pub records: Vec<AuditRecord>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Number of matching records over all pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Size of the log that all pages show.
    #[serde(with = "wide")]
    pub snapshot_size: i64,
}

/// Proof that a record is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditProof {
    /// Leaf index.
    #[serde(with = "wide")]
    pub leaf_index: i64,
    /// Size of the tree that the checkpoint signs.
    #[serde(with = "wide")]
    pub tree_size: i64,
    /// Hash of the leaf, base64.
    pub leaf_hash: String,
    /// Siblings from the leaf up to the root's child, base64.
    pub hashes: Vec<String>,
    /// The checkpoint as a signed note.
    pub checkpoint: String,
    /// The canonical bytes of the leaf.
    #[serde(rename = "entry_base64", with = "base64_bytes")]
    pub entry: Bytes,
    /// The whole proof as `.tlog-proof` text.
    pub tlog_proof: String,
}

/// One record and its proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProvenRecord {
    /// The record.
    pub record: AuditRecord,
    /// The proof.
    pub proof: AuditProof,
}

/// An export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditExport {
    /// Which records.
    pub filter: AuditFilter,
    /// `csv` or `jsonl`.
    pub format: String,
    /// `time_asc` (the default) or `time_desc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Most records of the piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// `next_cursor` of the piece before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One piece of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditExportPiece {
    /// The piece.
    #[serde(rename = "data_base64", with = "base64_bytes")]
    pub data: Bytes,
    /// Records in it.
    pub records: i64,
    /// Where the next piece begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Size of the log that the whole export shows.
    #[serde(with = "wide")]
    pub snapshot_size: i64,
}

/// Records under one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCount {
    /// The key.
    pub key: String,
    /// How many.
    pub count: i64,
}

/// The most frequent keys of one dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBreakdown {
    /// By count, the largest first, then by key.
    pub top: Vec<AuditCount>,
    /// Number of different keys.
    pub distinct: i64,
    /// Records under the keys that are not in `top`.
    pub other_count: i64,
}

/// Records of one span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTimeBucket {
    /// Begin of the span, unix milliseconds.
    pub from_ms: i64,
    /// How many.
    pub count: i64,
}

/// Counts by several dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatistics {
    /// Matching records.
    pub total: i64,
    /// By time.
    pub by_time: Vec<AuditTimeBucket>,
    /// By operation type.
    pub by_operation: AuditBreakdown,
    /// By operator.
    pub by_operator: AuditBreakdown,
    /// By type of resource.
    pub by_resource_type: AuditBreakdown,
    /// By result.
    pub by_result: AuditBreakdown,
    /// By severity.
    pub by_severity: AuditBreakdown,
    /// Size of the log that the numbers show.
    #[serde(with = "wide")]
    pub snapshot_size: i64,
}

/// The first thing found that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDiscrepancy {
    /// What kind of thing.
    pub kind: String,
    /// File, or table and row.
    pub location: String,
    /// First leaf that is concerned.
    #[serde(default, with = "wide_option", skip_serializing_if = "Option::is_none")]
    pub leaf_index: Option<i64>,
    /// What was found and what had to be there.
    pub message: String,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditVerification {
    /// Whether everything held.
    pub valid: bool,
    /// The first discrepancy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discrepancy: Option<AuditDiscrepancy>,
    /// Size of the tree that the latest checkpoint signs.
    #[serde(with = "wide")]
    pub tree_size: i64,
    /// Its root, base64.
    pub root: String,
    /// That checkpoint as a signed note: keep it, and hand it in next time.
    pub checkpoint: String,
    /// The public key as a verifier key.
    pub public_key: String,
    /// Entries that were hashed.
    #[serde(with = "wide")]
    pub entries_checked: i64,
    /// Tiles that were compared.
    #[serde(with = "wide")]
    pub tiles_checked: i64,
    /// Earlier checkpoints whose roots were recomputed.
    #[serde(with = "wide")]
    pub checkpoints_checked: i64,
    /// Rows of the index that were compared.
    #[serde(with = "wide")]
    pub index_rows_checked: i64,
}
