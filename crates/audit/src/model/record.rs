//! Records as they are answered, receipts and proofs.

use plinth_core::WideInt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    AuditEntry, AuditResult, EntryOperator, EntryResource, JsonText, Phase, Severity, Source,
};

/// Which credential wrote a record. Taken from the credential, never from the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordedBy {
    /// Id of the principal.
    pub principal: String,
    /// `service`, `user` or `system`.
    pub kind: String,
    /// Id of the credential, without its secret.
    pub credential: String,
    /// The way in: `thrift`, `http` or `internal`.
    pub transport: String,
    /// Address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

/// The outcome that was joined to an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinedOutcome {
    /// Id of the outcome's own record.
    pub id: String,
    /// Its leaf index.
    #[schema(value_type = String)]
    pub index: WideInt,
    /// How the operation ended.
    pub result: AuditResult,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, unix milliseconds.
    pub time_ms: i64,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub details: Option<JsonText>,
    /// State of the resource before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub before: Option<JsonText>,
    /// State of the resource after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub after: Option<JsonText>,
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// UUID version 7.
    pub id: String,
    /// Leaf index: contiguous from 0 over all tenants, never reused.
    #[schema(value_type = String)]
    pub index: WideInt,
    /// Whose record it is.
    pub tenant: String,
    /// Operation type.
    pub operation: String,
    /// Who did it, as the caller claims.
    pub operator: EntryOperator,
    /// Whose credential wrote the record.
    pub recorded_by: RecordedBy,
    /// On what it was done.
    pub resource: EntryResource,
    /// How it ended. For an intent: the result of its outcome, `unknown` while there is none.
    pub result: AuditResult,
    /// How much it matters.
    pub severity: Severity,
    /// When it happened, unix milliseconds.
    pub time_ms: i64,
    /// When it was recorded, unix milliseconds; never decreases along the log.
    pub recorded_at_ms: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub details: Option<JsonText>,
    /// State of the resource before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub before: Option<JsonText>,
    /// State of the resource after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub after: Option<JsonText>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// What the operator's client calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Trace that the operation belongs to.
    pub trace_id: String,
    /// Which part of an operation it tells of.
    pub phase: Phase,
    /// Who wrote it.
    pub source: Source,
    /// Of an outcome: the intent that it completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<String>,
    /// Of an intent: its outcome, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<JoinedOutcome>,
}

/// What a caller holds of a record that is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditReceipt {
    /// UUID version 7.
    pub id: String,
    /// Leaf index in the log.
    #[schema(value_type = String)]
    pub index: WideInt,
    /// Unix milliseconds.
    pub recorded_at_ms: i64,
}

/// Appends one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogOperationRequest {
    /// What happened.
    pub entry: AuditEntry,
}

/// The record is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogOperationReply {
    /// Its id and place.
    pub receipt: AuditReceipt,
}

/// Appends many records in one commit, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogBatchRequest {
    /// 1 to 1,000 entries, recorded in this order at consecutive leaf indices.
    pub entries: Vec<AuditEntry>,
}

/// The records are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogBatchReply {
    /// One for each entry, in their order.
    pub receipts: Vec<AuditReceipt>,
}

/// Proof that a record is in the log: RFC 6962 section 2.1.1 against a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditProof {
    /// Leaf index.
    #[schema(value_type = String)]
    pub leaf_index: WideInt,
    /// Size of the tree that the checkpoint signs.
    #[schema(value_type = String)]
    pub tree_size: WideInt,
    /// Hash of the leaf, base64.
    pub leaf_hash: String,
    /// Siblings from the leaf up to the root's child, base64.
    pub hashes: Vec<String>,
    /// The checkpoint as a C2SP signed note.
    pub checkpoint: String,
    /// The canonical bytes of the leaf, base64: SHA-256 over 0x00 and these is the leaf hash.
    #[serde(rename = "entry_base64", with = "crate::model::base64_bytes")]
    #[schema(value_type = String)]
    pub entry: bytes::Bytes,
    /// The whole proof as a C2SP `.tlog-proof` text.
    pub tlog_proof: String,
}
