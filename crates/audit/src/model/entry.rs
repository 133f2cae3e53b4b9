//! What a caller hands in to be recorded, and its checks.

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    AuditResult, DETAILS_BYTES_MAX, JsonText, OPERATION_BYTES_MAX, OPERATOR_BYTES_MAX, Phase,
    REASON_BYTES_MAX, RESOURCE_ID_BYTES_MAX, RESOURCE_TYPE_BYTES_MAX, ROLE_BYTES_MAX, ROLES_MAX,
    Severity, TIME_MS_MAX, TRACE_ID_BYTES_MAX, USER_AGENT_BYTES_MAX, check_length, check_range,
    check_text, parse_ip,
};

/// Who did it, as the caller claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryOperator {
    /// Id of the person or program; 1 to 256 bytes.
    pub id: String,
    /// Name for people; 1 to 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Roles held at that moment; at most 32 of 1 to 128 bytes each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// On what it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryResource {
    /// Kind of thing: `merchant_application`; 1 to 128 bytes.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which one; 1 to 512 bytes.
    pub id: String,
}

/// One operation to be recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Operation type: `merchant.approve`; 1 to 128 bytes.
    pub operation: String,
    /// Who did it.
    pub operator: EntryOperator,
    /// On what.
    pub resource: EntryResource,
    /// How it ended: `success`, `failure`, `denied` or `unknown`. An entry of phase `intent` says `unknown`.
    pub result: String,
    /// When it happened, unix milliseconds; 0 to 253402300799999. Default: the moment of recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<i64>,
    /// `debug`, `info` (the default), `notice`, `warning`, `error` or `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Why it ended so, or why it was done; 1 to 4,096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Anything more; null counts as absent. `details`, `before` and `after` have at most 49,152 bytes together and nest
    /// at most 32 deep.
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
    /// From where: an IPv4 or IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// What the operator's client calls itself; 1 to 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Trace that the operation belongs to; 1 to 64 of `a-z A-Z 0-9 -`. Default: the trace of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// `event` (the default), `intent` or `outcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Required with phase `outcome`, refused otherwise: id of the intent that it completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<String>,
}

/// An entry whose every field holds to its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidEntry {
    pub(crate) operation: String,
    pub(crate) operator: EntryOperator,
    pub(crate) resource: EntryResource,
    pub(crate) result: AuditResult,
    pub(crate) time_ms: Option<i64>,
    pub(crate) severity: Severity,
    pub(crate) reason: Option<String>,
    pub(crate) details: Option<JsonText>,
    pub(crate) before: Option<JsonText>,
    pub(crate) after: Option<JsonText>,
    pub(crate) ip: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) phase: Phase,
    pub(crate) intent_id: Option<String>,
}

impl AuditEntry {
    /// Checks every field. Errors: 1001 or 1007 naming the field.
    pub fn parse(self) -> Result<ValidEntry> {
        check_text("operation", &self.operation, OPERATION_BYTES_MAX)?;
        check_operator(&self.operator)?;
        check_text(
            "resource.type",
            &self.resource.kind,
            RESOURCE_TYPE_BYTES_MAX,
        )?;
        check_text("resource.id", &self.resource.id, RESOURCE_ID_BYTES_MAX)?;
        let result = AuditResult::parse("result", &self.result)?;
        if let Some(time_ms) = self.time_ms {
            check_range("time_ms", time_ms, 0, TIME_MS_MAX)?;
        }
        let severity = match &self.severity {
            Some(word) => Severity::parse("severity", word)?,
            None => Severity::Info,
        };
        if let Some(reason) = &self.reason {
            check_reason(reason)?;
        }
        if let Some(user_agent) = &self.user_agent {
            check_text("user_agent", user_agent, USER_AGENT_BYTES_MAX)?;
        }
        if let Some(trace_id) = &self.trace_id {
            check_trace_id(trace_id)?;
        }
        let (phase, intent_id) = parse_phase(self.phase.as_deref(), self.intent_id.as_deref())?;
        if phase == Phase::Intent && result != AuditResult::Unknown {
            return Err(Error::invalid(
                "result",
                "of an intent must be unknown; its outcome tells",
            ));
        }
        let [details, before, after] = parse_details([
            ("details", self.details),
            ("before", self.before),
            ("after", self.after),
        ])?;
        let ip = match &self.ip {
            Some(text) => Some(parse_ip("ip", text)?.to_string()),
            None => None,
        };
        Ok(ValidEntry {
            operation: self.operation,
            operator: self.operator,
            resource: self.resource,
            result,
            time_ms: self.time_ms,
            severity,
            reason: self.reason,
            details,
            before,
            after,
            ip,
            user_agent: self.user_agent,
            trace_id: self.trace_id,
            phase,
            intent_id,
        })
    }
}

fn check_operator(operator: &EntryOperator) -> Result<()> {
    check_text("operator.id", &operator.id, OPERATOR_BYTES_MAX)?;
    if let Some(name) = &operator.name {
        check_text("operator.name", name, OPERATOR_BYTES_MAX)?;
    }
    let count = operator.roles.len();
    if count > ROLES_MAX {
        return Err(Error::invalid(
            "operator.roles",
            format!("has {count} roles, at most {ROLES_MAX} are allowed"),
        ));
    }
    for (place, role) in operator.roles.iter().enumerate() {
        check_text(&format!("operator.roles[{place}]"), role, ROLE_BYTES_MAX)?;
    }
    Ok(())
}

fn check_reason(reason: &str) -> Result<()> {
    check_length("reason", reason, REASON_BYTES_MAX)?;
    let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if reason.contains(forbidden) {
        return Err(Error::invalid(
            "reason",
            "must not hold control characters other than tab and line ends",
        ));
    }
    Ok(())
}

fn check_trace_id(trace_id: &str) -> Result<()> {
    check_length("trace_id", trace_id, TRACE_ID_BYTES_MAX)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !trace_id.bytes().all(allowed) {
        return Err(Error::invalid(
            "trace_id",
            "may hold letters, digits and '-'",
        ));
    }
    Ok(())
}

/// Phase and intent go together: an outcome names its intent, nothing else does.
fn parse_phase(phase: Option<&str>, intent_id: Option<&str>) -> Result<(Phase, Option<String>)> {
    let phase = match phase {
        Some(word) => Phase::parse("phase", word)?,
        None => Phase::Event,
    };
    match (phase, intent_id) {
        (Phase::Outcome, Some(id)) => Ok((phase, Some(parse_id("intent_id", id)?))),
        (Phase::Outcome, None) => Err(Error::invalid(
            "intent_id",
            "is required with phase outcome",
        )),
        (_, Some(_)) => Err(Error::invalid("intent_id", "goes with phase outcome alone")),
        (_, None) => Ok((phase, None)),
    }
}

/// Parses the id of a record. Errors: 1001 naming the field.
pub(crate) fn parse_id(field: &str, text: &str) -> Result<String> {
    uuid::Uuid::try_parse(text)
        .map(|id| id.hyphenated().to_string())
        .map_err(|_| Error::invalid(field, "must be the id of a record, a UUID"))
}

fn parse_details(values: [(&str, Option<JsonText>); 3]) -> Result<[Option<JsonText>; 3]> {
    let mut canonical = [None, None, None];
    let mut bytes = 0;
    for (to, (field, value)) in canonical.iter_mut().zip(values) {
        let Some(value) = value else { continue };
        if value.as_str().len() > DETAILS_BYTES_MAX {
            return Err(details_too_large(field));
        }
        let value = value.canonical(field)?;
        // JSON over HTTP cannot tell null from absent, so neither does the log.
        if value.as_str() == "null" {
            continue;
        }
        bytes += value.as_str().len();
        if bytes > DETAILS_BYTES_MAX {
            return Err(details_too_large(field));
        }
        *to = Some(value);
    }
    Ok(canonical)
}

fn details_too_large(field: &str) -> Error {
    Error::too_large(
        field,
        format!("details, before and after have more than {DETAILS_BYTES_MAX} bytes together"),
    )
}
