//! The block's replies as structs of the IDL.

use faststr::FastStr;
use plinth_audit::model as block;
use plinth_idl::audit::*;

pub(super) fn receipt(receipt: block::AuditReceipt) -> AuditReceipt {
    AuditReceipt {
        id: receipt.id.into(),
        index: receipt.index.0,
        recorded_at_ms: receipt.recorded_at_ms,
    }
}

pub(super) fn record(record: block::AuditRecord) -> AuditRecord {
    let roles = record.operator.roles;
    AuditRecord {
        id: record.id.into(),
        index: record.index.0,
        tenant: record.tenant.into(),
        operation: record.operation.into(),
        operator: AuditOperator {
            id: record.operator.id.into(),
            name: record.operator.name.map(Into::into),
            roles: (!roles.is_empty()).then(|| roles.into_iter().map(Into::into).collect()),
        },
        recorded_by: AuditRecordedBy {
            principal: record.recorded_by.principal.into(),
            kind: record.recorded_by.kind.into(),
            credential: record.recorded_by.credential.into(),
            ip: record.recorded_by.ip.map(Into::into),
            transport: record.recorded_by.transport.into(),
        },
        resource: AuditResource {
            r#type: record.resource.kind.into(),
            id: record.resource.id.into(),
        },
        result: record.result.as_str().into(),
        severity: record.severity.as_str().into(),
        time_ms: record.time_ms,
        recorded_at_ms: record.recorded_at_ms,
        reason: record.reason.map(Into::into),
        details: json(record.details),
        before: json(record.before),
        after: json(record.after),
        ip: record.ip.map(Into::into),
        user_agent: record.user_agent.map(Into::into),
        trace_id: record.trace_id.into(),
        phase: record.phase.as_str().into(),
        source: record.source.as_str().into(),
        intent_id: record.intent_id.map(Into::into),
        outcome: record.outcome.map(outcome),
    }
}

fn outcome(outcome: block::JoinedOutcome) -> AuditOutcome {
    AuditOutcome {
        id: outcome.id.into(),
        index: outcome.index.0,
        result: outcome.result.as_str().into(),
        reason: outcome.reason.map(Into::into),
        time_ms: outcome.time_ms,
        details: json(outcome.details),
        before: json(outcome.before),
        after: json(outcome.after),
    }
}

fn json(value: Option<block::JsonText>) -> Option<FastStr> {
    value.map(|value| FastStr::new(value.as_str()))
}

pub(super) fn proof(proof: block::AuditProof) -> AuditProof {
    AuditProof {
        leaf_index: proof.leaf_index.0,
        tree_size: proof.tree_size.0,
        leaf_hash: proof.leaf_hash.into(),
        hashes: proof.hashes.into_iter().map(Into::into).collect(),
        checkpoint: proof.checkpoint.into(),
        entry: proof.entry,
        tlog_proof: proof.tlog_proof.into(),
    }
}

pub(super) fn statistics(reply: block::GetStatisticsReply) -> AuditGetStatisticsResponse {
    let bucket = |bucket: block::AuditTimeBucket| AuditTimeBucket {
        from_ms: bucket.from_ms,
        count: bucket.count,
    };
    AuditGetStatisticsResponse {
        total: reply.total,
        by_time: reply.by_time.into_iter().map(bucket).collect(),
        by_operation: breakdown(reply.by_operation),
        by_operator: breakdown(reply.by_operator),
        by_resource_type: breakdown(reply.by_resource_type),
        by_result: breakdown(reply.by_result),
        by_severity: breakdown(reply.by_severity),
        snapshot_size: reply.snapshot_size.0,
        base_resp: None,
    }
}

fn breakdown(breakdown: block::AuditBreakdown) -> AuditBreakdown {
    let count = |count: block::AuditCount| AuditCount {
        key: count.key.into(),
        count: count.count,
    };
    AuditBreakdown {
        top: breakdown.top.into_iter().map(count).collect(),
        distinct: breakdown.distinct,
        other_count: breakdown.other_count,
    }
}

pub(super) fn verification(reply: block::VerifyReply) -> AuditVerifyResponse {
    let discrepancy = |found: block::AuditDiscrepancy| AuditDiscrepancy {
        kind: found.kind.into(),
        location: found.location.into(),
        leaf_index: found.leaf_index.map(|index| index.0),
        message: found.message.into(),
    };
    AuditVerifyResponse {
        valid: reply.valid,
        discrepancy: reply.discrepancy.map(discrepancy),
        tree_size: reply.tree_size.0,
        root: reply.root.into(),
        checkpoint: reply.checkpoint.into(),
        public_key: reply.public_key.into(),
        entries_checked: reply.entries_checked.0,
        tiles_checked: reply.tiles_checked.0,
        checkpoints_checked: reply.checkpoints_checked.0,
        index_rows_checked: reply.index_rows_checked.0,
        base_resp: None,
    }
}
