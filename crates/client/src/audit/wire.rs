//! The shapes on both wires, and their way to and from the client's own.

use faststr::FastStr;
use plinth_idl::audit as idl;
use serde::Deserialize;
use serde_json::Value;

use super::model::{
    AuditBreakdown, AuditCount, AuditDiscrepancy, AuditEntry, AuditExportPiece, AuditFilter,
    AuditJoinedOutcome, AuditOperator, AuditPage, AuditProof, AuditReceipt, AuditRecord,
    AuditRecordedBy, AuditResource, AuditStatistics, AuditTimeBucket, AuditVerification,
};
use crate::error::{ClientError, Result};

#[derive(Deserialize)]
pub(super) struct ReceiptBody {
    pub(super) receipt: AuditReceipt,
}

#[derive(Deserialize)]
pub(super) struct ReceiptsBody {
    pub(super) receipts: Vec<AuditReceipt>,
}

pub(super) fn text(text: &str) -> FastStr {
    FastStr::new(text)
}

pub(super) fn optional_text(value: Option<&str>) -> Option<FastStr> {
    value.map(FastStr::new)
}

fn own(value: Option<FastStr>) -> Option<String> {
    value.map(|text| text.to_string())
}

fn list(values: &[String]) -> Option<Vec<FastStr>> {
    (!values.is_empty()).then(|| values.iter().map(|value| text(value)).collect())
}

fn json_text(value: Option<&Value>) -> Result<Option<FastStr>> {
    let written = value.map(serde_json::to_string).transpose();
    let written = written.map_err(|error| {
        ClientError::from(plinth_core::Error::invalid(
            "entry",
            format!("is not JSON: {error}"),
        ))
    })?;
    Ok(written.map(FastStr::from))
}

fn json_value(text: Option<FastStr>) -> Result<Option<Value>> {
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(ClientError::malformed)
}

pub(super) fn thrift_entry(entry: &AuditEntry) -> Result<idl::AuditEntry> {
    Ok(idl::AuditEntry {
        operation: text(&entry.operation),
        operator: idl::AuditOperator {
            id: text(&entry.operator.id),
            name: optional_text(entry.operator.name.as_deref()),
            roles: list(&entry.operator.roles),
        },
        resource: idl::AuditResource {
            r#type: text(&entry.resource.kind),
            id: text(&entry.resource.id),
        },
        result: text(&entry.result),
        time_ms: entry.time_ms,
        severity: optional_text(entry.severity.as_deref()),
        reason: optional_text(entry.reason.as_deref()),
        details: json_text(entry.details.as_ref())?,
        before: json_text(entry.before.as_ref())?,
        after: json_text(entry.after.as_ref())?,
        ip: optional_text(entry.ip.as_deref()),
        user_agent: optional_text(entry.user_agent.as_deref()),
        trace_id: optional_text(entry.trace_id.as_deref()),
        phase: optional_text(entry.phase.as_deref()),
        intent_id: optional_text(entry.intent_id.as_deref()),
    })
}

pub(super) fn thrift_filter(filter: &AuditFilter) -> idl::AuditFilter {
    let text = |value: &Option<String>| optional_text(value.as_deref());
    idl::AuditFilter {
        operation: text(&filter.operation),
        operation_prefix: text(&filter.operation_prefix),
        operator_id: text(&filter.operator_id),
        operator_name: text(&filter.operator_name),
        operator_role: text(&filter.operator_role),
        resource_type: text(&filter.resource_type),
        resource_id: text(&filter.resource_id),
        results: list(&filter.results),
        severities: list(&filter.severities),
        ip: text(&filter.ip),
        user_agent: text(&filter.user_agent),
        trace_id: text(&filter.trace_id),
        text: text(&filter.text),
        from_ms: filter.from_ms,
        to_ms: filter.to_ms,
        recorded_from_ms: filter.recorded_from_ms,
        recorded_to_ms: filter.recorded_to_ms,
        recorded_by: text(&filter.recorded_by),
        credential: text(&filter.credential),
        source: text(&filter.source),
        phase: text(&filter.phase),
    }
}

impl From<idl::AuditReceipt> for AuditReceipt {
    fn from(receipt: idl::AuditReceipt) -> Self {
        Self {
            id: receipt.id.to_string(),
            index: receipt.index,
            recorded_at_ms: receipt.recorded_at_ms,
        }
    }
}

pub(super) fn record_from(record: idl::AuditRecord) -> Result<AuditRecord> {
    let roles = record.operator.roles.unwrap_or_default();
    Ok(AuditRecord {
        id: record.id.to_string(),
        index: record.index,
        tenant: record.tenant.to_string(),
        operation: record.operation.to_string(),
        operator: AuditOperator {
            id: record.operator.id.to_string(),
            name: own(record.operator.name),
            roles: roles.iter().map(FastStr::to_string).collect(),
        },
        recorded_by: AuditRecordedBy {
            principal: record.recorded_by.principal.to_string(),
            kind: record.recorded_by.kind.to_string(),
            credential: record.recorded_by.credential.to_string(),
            transport: record.recorded_by.transport.to_string(),
            ip: own(record.recorded_by.ip),
        },
        resource: AuditResource {
            kind: record.resource.r#type.to_string(),
            id: record.resource.id.to_string(),
        },
        result: record.result.to_string(),
        severity: record.severity.to_string(),
        time_ms: record.time_ms,
        recorded_at_ms: record.recorded_at_ms,
        reason: own(record.reason),
        details: json_value(record.details)?,
        before: json_value(record.before)?,
        after: json_value(record.after)?,
        ip: own(record.ip),
        user_agent: own(record.user_agent),
        trace_id: record.trace_id.to_string(),
        phase: record.phase.to_string(),
        source: record.source.to_string(),
        intent_id: own(record.intent_id),
        outcome: record.outcome.map(outcome_from).transpose()?,
    })
}

fn outcome_from(outcome: idl::AuditOutcome) -> Result<AuditJoinedOutcome> {
    Ok(AuditJoinedOutcome {
        id: outcome.id.to_string(),
        index: outcome.index,
        result: outcome.result.to_string(),
        reason: own(outcome.reason),
        time_ms: outcome.time_ms,
        details: json_value(outcome.details)?,
        before: json_value(outcome.before)?,
        after: json_value(outcome.after)?,
    })
}

impl TryFrom<idl::AuditQueryLogsResponse> for AuditPage {
    type Error = ClientError;

    fn try_from(reply: idl::AuditQueryLogsResponse) -> Result<Self> {
        let records: Result<Vec<_>> = reply.records.into_iter().map(record_from).collect();
        Ok(Self {
            records: records?,
            next_cursor: own(reply.next_cursor),
            total: reply.total,
            snapshot_size: reply.snapshot_size,
        })
    }
}

impl From<idl::AuditProof> for AuditProof {
    fn from(proof: idl::AuditProof) -> Self {
        Self {
            leaf_index: proof.leaf_index,
            tree_size: proof.tree_size,
            leaf_hash: proof.leaf_hash.to_string(),
            hashes: proof.hashes.iter().map(FastStr::to_string).collect(),
            checkpoint: proof.checkpoint.to_string(),
            entry: proof.entry,
            tlog_proof: proof.tlog_proof.to_string(),
        }
    }
}

impl From<idl::AuditExportLogsResponse> for AuditExportPiece {
    fn from(reply: idl::AuditExportLogsResponse) -> Self {
        Self {
            data: reply.data,
            records: reply.records,
            next_cursor: own(reply.next_cursor),
            snapshot_size: reply.snapshot_size,
        }
    }
}

impl From<idl::AuditBreakdown> for AuditBreakdown {
    fn from(breakdown: idl::AuditBreakdown) -> Self {
        let count = |count: idl::AuditCount| AuditCount {
            key: count.key.to_string(),
            count: count.count,
        };
        Self {
            top: breakdown.top.into_iter().map(count).collect(),
            distinct: breakdown.distinct,
            other_count: breakdown.other_count,
        }
    }
}

impl From<idl::AuditGetStatisticsResponse> for AuditStatistics {
    fn from(reply: idl::AuditGetStatisticsResponse) -> Self {
        let bucket = |bucket: idl::AuditTimeBucket| AuditTimeBucket {
            from_ms: bucket.from_ms,
            count: bucket.count,
        };
        Self {
            total: reply.total,
            by_time: reply.by_time.into_iter().map(bucket).collect(),
            by_operation: reply.by_operation.into(),
            by_operator: reply.by_operator.into(),
            by_resource_type: reply.by_resource_type.into(),
            by_result: reply.by_result.into(),
            by_severity: reply.by_severity.into(),
            snapshot_size: reply.snapshot_size,
        }
    }
}

impl From<idl::AuditVerifyResponse> for AuditVerification {
    fn from(reply: idl::AuditVerifyResponse) -> Self {
        let discrepancy = |found: idl::AuditDiscrepancy| AuditDiscrepancy {
            kind: found.kind.to_string(),
            location: found.location.to_string(),
            leaf_index: found.leaf_index,
            message: found.message.to_string(),
        };
        Self {
            valid: reply.valid,
            discrepancy: reply.discrepancy.map(discrepancy),
            tree_size: reply.tree_size,
            root: reply.root.to_string(),
            checkpoint: reply.checkpoint.to_string(),
            public_key: reply.public_key.to_string(),
            entries_checked: reply.entries_checked,
            tiles_checked: reply.tiles_checked,
            checkpoints_checked: reply.checkpoints_checked,
            index_rows_checked: reply.index_rows_checked,
        }
    }
}

/// Integers that are text in JSON.
pub(super) mod wide {
    use plinth_core::WideInt;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands the field over by reference"
    )]
    pub(crate) fn serialize<S: Serializer>(number: &i64, to: S) -> Result<S::Ok, S::Error> {
        WideInt(*number).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        WideInt::deserialize(from).map(|number| number.0)
    }
}

/// As [`wide`], where the field may be absent.
pub(super) mod wide_option {
    use plinth_core::WideInt;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(number: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
        number.map(WideInt).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        let number = Option::<WideInt>::deserialize(from)?;
        Ok(number.map(|number| number.0))
    }
}

/// Bytes that are base64 text in JSON.
pub(super) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| de::Error::custom("expected base64"))?;
        Ok(bytes.into())
    }
}
