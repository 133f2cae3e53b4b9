//! Leaves: the canonical, versioned envelope of a record. Its bytes are what the tree hashes.
//!
//! An envelope is one compact JSON object. It begins with what the sequencer alone knows,
//! `{"v":1,"index":…,"recorded_ms":…,"time_ms":…`, and goes on with the body, whose fields stand in the order of
//! [`Leaf`]; absent fields are left out. A reader of version 1 refuses other versions by name, so later versions can hold
//! other bodies, ciphertext among them.

use plinth_core::{CallContext, Error};
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::model::{
    AuditResult, EntryOperator, EntryResource, JsonText, Phase, RecordedBy, Severity, Source,
    ValidEntry,
};
use crate::tree::bundle::ENTRY_BYTES_MAX;

/// Version of the envelope.
pub const LEAF_VERSION: u32 = 1;
/// Most bytes that the part of the sequencer takes: three numbers of 19 digits and a sign each, and their names.
const HEADER_BYTES_MAX: usize = 112;
/// Most bytes of a record's body. With the sequencer's part, whatever its numbers, the envelope is never longer than an
/// entry may be, so whether a record fits does not depend on where it lands.
pub const BODY_BYTES_MAX: usize = ENTRY_BYTES_MAX - HEADER_BYTES_MAX;

/// One record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    pub(crate) v: u32,
    pub(crate) index: u64,
    pub(crate) recorded_ms: i64,
    pub(crate) time_ms: i64,
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) source: Source,
    pub(crate) phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intent_id: Option<String>,
    pub(crate) operation: String,
    pub(crate) operator: EntryOperator,
    pub(crate) recorded_by: RecordedBy,
    pub(crate) resource: EntryResource,
    pub(crate) result: AuditResult,
    pub(crate) severity: Severity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<JsonText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<JsonText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<JsonText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_agent: Option<String>,
    pub(crate) trace_id: String,
}

impl Leaf {
    /// Reads an envelope. Errors: it is none of this version, or says another index than where it stands.
    pub fn decode(index: u64, envelope: &[u8]) -> Result<Self, AuditError> {
        let leaf: Self = serde_json::from_slice(envelope)
            .map_err(|_| AuditError::malformed(index, "is not an envelope of version 1"))?;
        if leaf.v != LEAF_VERSION {
            return Err(AuditError::malformed(index, "has an unknown version"));
        }
        if leaf.index != index {
            let message = format!("says that it is leaf {}", leaf.index);
            return Err(AuditError::malformed(index, message));
        }
        Ok(leaf)
    }

    /// The text that a filter's `text` looks into; empty where the record has none.
    #[must_use]
    pub fn search_text(&self) -> String {
        let documents = [&self.details, &self.before, &self.after];
        let documents = documents.into_iter().flatten().map(JsonText::as_str);
        let parts: Vec<&str> = self
            .reason
            .as_deref()
            .into_iter()
            .chain(documents)
            .collect();
        parts.join("\n")
    }
}

/// A record that waits for its place in the log: everything but what the sequencer gives it.
#[derive(Clone, Debug)]
pub struct PendingLeaf {
    /// The record's id.
    pub id: String,
    time_ms: Option<i64>,
    /// The body: a JSON object without its opening brace.
    body: Vec<u8>,
}

#[derive(Serialize)]
struct Body<'r> {
    id: &'r str,
    tenant: &'r str,
    source: Source,
    phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent_id: Option<&'r str>,
    operation: &'r str,
    operator: &'r EntryOperator,
    recorded_by: RecordedBy,
    resource: &'r EntryResource,
    result: AuditResult,
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'r JsonText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'r JsonText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'r JsonText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'r str>,
    trace_id: &'r str,
}

impl PendingLeaf {
    /// Encodes a record of a caller. Errors: 1007 where the whole record is too large.
    pub fn encode(
        id: uuid::Uuid,
        source: Source,
        caller: &plinth_core::Caller,
        transport: plinth_core::Transport,
        entry: &ValidEntry,
    ) -> Result<Self, AuditError> {
        let id = id.hyphenated().to_string();
        let own_trace = caller.trace.trace_id_hex();
        let body = Body {
            id: &id,
            tenant: caller.tenant.as_str(),
            source,
            phase: entry.phase,
            intent_id: entry.intent_id.as_deref(),
            operation: &entry.operation,
            operator: &entry.operator,
            recorded_by: RecordedBy {
                principal: caller.principal.id.as_str().to_owned(),
                kind: kind_word(caller.principal.kind).to_owned(),
                credential: caller.credential.as_str().to_owned(),
                transport: transport.as_str().to_owned(),
                ip: caller.address.map(|address| address.to_string()),
            },
            resource: &entry.resource,
            result: entry.result,
            severity: entry.severity,
            reason: entry.reason.as_deref(),
            details: entry.details.as_ref(),
            before: entry.before.as_ref(),
            after: entry.after.as_ref(),
            ip: entry.ip.as_deref(),
            user_agent: entry.user_agent.as_deref(),
            trace_id: entry.trace_id.as_deref().unwrap_or(&own_trace),
        };
        let mut body = serde_json::to_vec(&body).map_err(Error::internal)?;
        // The opening brace is the sequencer's to write.
        body.remove(0);
        if body.len() > BODY_BYTES_MAX {
            let message = format!(
                "the record has {} bytes as JSON, at most {BODY_BYTES_MAX} are allowed",
                body.len()
            );
            return Err(Error::new(plinth_core::ErrorCode::TooLarge, message).into());
        }
        Ok(Self {
            id,
            time_ms: entry.time_ms,
            body,
        })
    }

    /// Encodes a record of a caller of the interface.
    pub fn of_call(
        id: uuid::Uuid,
        context: &CallContext,
        entry: &ValidEntry,
    ) -> Result<Self, AuditError> {
        Self::encode(
            id,
            Source::Caller,
            &context.caller,
            context.transport,
            entry,
        )
    }

    /// The envelope at a place in the log.
    #[must_use]
    pub fn envelope(&self, index: u64, recorded_ms: i64) -> Vec<u8> {
        let time_ms = self.time_ms.unwrap_or(recorded_ms);
        let mut envelope = Vec::with_capacity(HEADER_BYTES_MAX + self.body.len());
        envelope.extend_from_slice(
            format!(
                "{{\"v\":{LEAF_VERSION},\"index\":{index},\"recorded_ms\":{recorded_ms},\"time_ms\":{time_ms},"
            )
            .as_bytes(),
        );
        envelope.extend_from_slice(&self.body);
        envelope
    }
}

const fn kind_word(kind: plinth_core::PrincipalKind) -> &'static str {
    match kind {
        plinth_core::PrincipalKind::Service => "service",
        plinth_core::PrincipalKind::User => "user",
        plinth_core::PrincipalKind::System => "system",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_never_passes_its_share() {
        let pending = PendingLeaf {
            id: String::new(),
            time_ms: Some(i64::MIN),
            body: Vec::new(),
        };
        let header = pending.envelope(u64::MAX, i64::MIN).len();
        assert!(header <= HEADER_BYTES_MAX, "{header}");
    }
}
