//! The gate's own records: an intent before an audited operation, an outcome after it.

use async_trait::async_trait;
use plinth_core::{
    AuditEvent, AuditOutcome, AuditSink, Error, ErrorCode, Outcome, Resource, Result,
};

use super::AuditService;
use crate::error::AuditError;
use crate::log::leaf::PendingLeaf;
use crate::model::{
    AuditResult, EntryOperator, EntryResource, JsonText, OPERATOR_BYTES_MAX, Phase,
    RESOURCE_ID_BYTES_MAX, RESOURCE_TYPE_BYTES_MAX, ROLE_BYTES_MAX, ROLES_MAX, Severity, Source,
    USER_AGENT_BYTES_MAX, ValidEntry,
};

/// Most resources of one operation that a record names; of more it tells the number.
const RESOURCES_MAX: usize = 50;

#[async_trait]
impl AuditSink for AuditService {
    async fn begin(&self, event: &AuditEvent) -> Result<String> {
        let entry = entry_of(event, Phase::Intent, AuditResult::Unknown, Severity::Info)?;
        self.record(event, entry).await
    }

    async fn complete(
        &self,
        intent: &str,
        event: &AuditEvent,
        outcome: AuditOutcome,
    ) -> Result<()> {
        let (result, severity, failed) = match outcome {
            AuditOutcome::Succeeded => (AuditResult::Success, Severity::Info, None),
            AuditOutcome::Refused(code) => (
                AuditResult::Denied,
                Severity::Warning,
                Some((code, Outcome::NotApplied)),
            ),
            AuditOutcome::Failed(code, effect) => {
                let result = match effect {
                    Outcome::NotApplied => AuditResult::Failure,
                    Outcome::Unknown => AuditResult::Unknown,
                };
                (result, Severity::Error, Some((code, effect)))
            }
        };
        let (code, effect) = failed.unzip();
        let mut entry = entry_of(event, Phase::Outcome, result, severity)?;
        entry.details = details_of(event, effect)?;
        entry.intent_id = Some(intent.to_owned());
        entry.reason = code.map(|code| code.to_string());
        // The outcome happens now; the event tells when the operation began.
        entry.time_ms = None;
        self.record(event, entry).await.map(|_id| ())
    }

    async fn refused(&self, event: &AuditEvent, code: ErrorCode) -> Result<()> {
        let mut entry = entry_of(event, Phase::Event, AuditResult::Denied, Severity::Warning)?;
        entry.reason = Some(code.to_string());
        self.record(event, entry).await.map(|_id| ())
    }
}

impl AuditService {
    async fn record(&self, event: &AuditEvent, entry: ValidEntry) -> Result<String> {
        let id = self.new_id()?;
        let pending =
            PendingLeaf::encode(id, Source::Gate, &event.caller, event.transport, &entry)?;
        let id = pending.id.clone();
        let appended = self.sequencer.append(vec![pending], None).await;
        appended.map_err(AuditError::into).map(|_receipts| id)
    }
}

/// An event as an entry. Nothing in it may be refused, or an operation could be kept out of the log by its name: texts
/// past their limits are clipped.
fn entry_of(
    event: &AuditEvent,
    phase: Phase,
    result: AuditResult,
    severity: Severity,
) -> Result<ValidEntry> {
    let caller = &event.caller;
    let block = event
        .operation
        .as_str()
        .split('.')
        .next()
        .unwrap_or_default();
    let everything = Resource::new("", "*");
    let first = event.resources.first().unwrap_or(&everything);
    let kind = if first.kind.is_empty() {
        block
    } else {
        &first.kind
    };
    let roles = caller.roles.iter().take(ROLES_MAX);
    Ok(ValidEntry {
        operation: event.operation.as_str().to_owned(),
        operator: EntryOperator {
            id: clip(caller.principal.id.as_str(), OPERATOR_BYTES_MAX),
            name: non_empty(clip(&caller.principal.name, OPERATOR_BYTES_MAX)),
            roles: roles.map(|role| clip(role, ROLE_BYTES_MAX)).collect(),
        },
        resource: EntryResource {
            kind: clip(kind, RESOURCE_TYPE_BYTES_MAX),
            id: non_empty(clip(&first.name, RESOURCE_ID_BYTES_MAX))
                .unwrap_or_else(|| "*".to_owned()),
        },
        result,
        time_ms: Some(event.at.0.max(0)),
        severity,
        reason: None,
        details: details_of(event, None)?,
        before: None,
        after: None,
        ip: caller.address.map(|address| address.to_string()),
        user_agent: caller
            .user_agent
            .as_deref()
            .and_then(|agent| non_empty(clip(agent, USER_AGENT_BYTES_MAX))),
        trace_id: None,
        phase,
        intent_id: None,
    })
}

/// What no field of a record holds: the resources of an operation on several, and what is known of the effect of one that
/// failed.
fn details_of(event: &AuditEvent, effect: Option<Outcome>) -> Result<Option<JsonText>> {
    let mut details = serde_json::Map::new();
    if event.resources.len() > 1 {
        let named: Vec<String> = event
            .resources
            .iter()
            .take(RESOURCES_MAX)
            .map(|resource| clip(&resource.to_string(), RESOURCE_ID_BYTES_MAX))
            .collect();
        details.insert("resource_count".to_owned(), event.resources.len().into());
        details.insert("resources".to_owned(), named.into());
    }
    if let Some(effect) = effect {
        details.insert("outcome".to_owned(), effect.as_str().into());
    }
    if details.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(&details).map_err(Error::internal)?;
    JsonText::parse("details", text)?
        .canonical("details")
        .map(Some)
}

/// A text without control characters, cut at a character to at most some bytes.
fn clip(text: &str, bytes_max: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let end = clean.floor_char_boundary(bytes_max);
    clean.get(..end).unwrap_or_default().to_owned()
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_clipped_at_a_character() {
        assert_eq!(clip("审核", 6), "审核");
        assert_eq!(clip("审核", 5), "审");
        assert_eq!(clip("a\nb", 5), "a\u{fffd}b");
    }
}
