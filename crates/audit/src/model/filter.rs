//! Which records: the conditions of queries, exports and statistics.

use plinth_core::Result;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    AuditResult, OPERATION_BYTES_MAX, OPERATOR_BYTES_MAX, Phase, RESOURCE_ID_BYTES_MAX,
    RESOURCE_TYPE_BYTES_MAX, ROLE_BYTES_MAX, Severity, Source, TEXT_BYTES_MAX, TIME_MS_MAX,
    TRACE_ID_BYTES_MAX, USER_AGENT_BYTES_MAX, check_range, check_text, parse_ip,
};

/// Conditions that must all hold; an absent one holds for every record. Outcomes that complete an intent are no rows of
/// their own: they are joined to it, and `results` looks at the joined result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditFilter {
    /// Operation type, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// First part of the operation type: `merchant.`
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
    /// An IPv4 or IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// User agent, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Trace id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Occurs in the reason, or in the compact JSON text of details, before or after, of the record or of its outcome;
    /// ASCII letters match in both cases; 1 to 256 bytes.
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
    /// `event`, `intent` or `outcome` (an outcome that completes no intent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

/// A filter whose every condition is well formed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Columns that must equal a text, by their names in the record.
    pub(crate) equal: Vec<(Field, String)>,
    pub(crate) operation_prefix: Option<String>,
    pub(crate) operator_role: Option<String>,
    pub(crate) results: Vec<AuditResult>,
    pub(crate) severities: Vec<Severity>,
    pub(crate) text: Option<String>,
    pub(crate) time_ms: Span,
    pub(crate) recorded_ms: Span,
}

/// A span of time, from inclusive to exclusive, open where a side is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

/// Fields of a record that a filter compares for equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Field {
    /// Operation type.
    Operation,
    /// Id of the operator.
    OperatorId,
    /// Name of the operator.
    OperatorName,
    /// Type of the resource.
    ResourceType,
    /// Id of the resource.
    ResourceId,
    /// Address.
    Ip,
    /// User agent.
    UserAgent,
    /// Trace id.
    TraceId,
    /// Principal that wrote it.
    RecordedBy,
    /// Credential that wrote it.
    Credential,
    /// Caller or gate.
    Source,
    /// Phase.
    Phase,
}

impl AuditFilter {
    /// Checks every condition. Errors: 1001 naming the field under `filter`.
    pub fn parse(self) -> Result<Filter> {
        self.parse_fields()
            .map_err(|error| error.in_field("filter"))
    }

    fn parse_fields(self) -> Result<Filter> {
        let mut equal = Vec::new();
        let texts = [
            (
                Field::Operation,
                "operation",
                self.operation,
                OPERATION_BYTES_MAX,
            ),
            (
                Field::OperatorId,
                "operator_id",
                self.operator_id,
                OPERATOR_BYTES_MAX,
            ),
            (
                Field::OperatorName,
                "operator_name",
                self.operator_name,
                OPERATOR_BYTES_MAX,
            ),
            (
                Field::ResourceType,
                "resource_type",
                self.resource_type,
                RESOURCE_TYPE_BYTES_MAX,
            ),
            (
                Field::ResourceId,
                "resource_id",
                self.resource_id,
                RESOURCE_ID_BYTES_MAX,
            ),
            (
                Field::UserAgent,
                "user_agent",
                self.user_agent,
                USER_AGENT_BYTES_MAX,
            ),
            (
                Field::TraceId,
                "trace_id",
                self.trace_id,
                TRACE_ID_BYTES_MAX,
            ),
            (
                Field::RecordedBy,
                "recorded_by",
                self.recorded_by,
                plinth_core::limits::NAME_BYTES_MAX,
            ),
            (
                Field::Credential,
                "credential",
                self.credential,
                plinth_core::limits::NAME_BYTES_MAX,
            ),
        ];
        for (field, name, text, bytes_max) in texts {
            if let Some(text) = text {
                check_text(name, &text, bytes_max)?;
                equal.push((field, text));
            }
        }
        if let Some(ip) = self.ip {
            equal.push((Field::Ip, parse_ip("ip", &ip)?.to_string()));
        }
        if let Some(word) = self.source {
            equal.push((
                Field::Source,
                Source::parse("source", &word)?.as_str().to_owned(),
            ));
        }
        if let Some(word) = self.phase {
            equal.push((
                Field::Phase,
                Phase::parse("phase", &word)?.as_str().to_owned(),
            ));
        }
        let optional = [
            (
                "operation_prefix",
                &self.operation_prefix,
                OPERATION_BYTES_MAX,
            ),
            ("operator_role", &self.operator_role, ROLE_BYTES_MAX),
            ("text", &self.text, TEXT_BYTES_MAX),
        ];
        for (name, text, bytes_max) in optional {
            if let Some(text) = text {
                check_text(name, text, bytes_max)?;
            }
        }
        Ok(Filter {
            equal,
            operation_prefix: self.operation_prefix,
            operator_role: self.operator_role,
            results: parse_words(
                "results",
                &self.results,
                AuditResult::ALL.len(),
                AuditResult::parse,
            )?,
            severities: parse_words(
                "severities",
                &self.severities,
                Severity::ALL.len(),
                Severity::parse,
            )?,
            text: self.text,
            time_ms: parse_span("from_ms", self.from_ms, "to_ms", self.to_ms)?,
            recorded_ms: parse_span(
                "recorded_from_ms",
                self.recorded_from_ms,
                "recorded_to_ms",
                self.recorded_to_ms,
            )?,
        })
    }
}

fn parse_words<T>(
    field: &str,
    words: &[String],
    count_max: usize,
    parse: impl Fn(&str, &str) -> Result<T>,
) -> Result<Vec<T>> {
    if words.len() > count_max {
        return Err(plinth_core::Error::invalid(
            field,
            format!("has {} words, at most {count_max} are allowed", words.len()),
        ));
    }
    words
        .iter()
        .enumerate()
        .map(|(place, word)| parse(&format!("{field}[{place}]"), word))
        .collect()
}

fn parse_span(
    from_field: &str,
    from: Option<i64>,
    to_field: &str,
    to: Option<i64>,
) -> Result<Span> {
    if let Some(from) = from {
        check_range(from_field, from, 0, TIME_MS_MAX)?;
    }
    if let Some(to) = to {
        check_range(to_field, to, from.unwrap_or(0), TIME_MS_MAX + 1)?;
    }
    Ok(Span { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_condition_names_its_field() {
        let check = |filter: AuditFilter, field: &str| {
            let error = filter.parse().expect_err("refused");
            assert_eq!(error.violations()[0].field, field);
        };
        let word = |text: &str| Some(text.to_owned());
        check(
            AuditFilter {
                ip: word("1.2.3"),
                ..Default::default()
            },
            "filter.ip",
        );
        check(
            AuditFilter {
                phase: word("x"),
                ..Default::default()
            },
            "filter.phase",
        );
        check(
            AuditFilter {
                text: word(""),
                ..Default::default()
            },
            "filter.text",
        );
        check(
            AuditFilter {
                text: word(&"a".repeat(257)),
                ..Default::default()
            },
            "filter.text",
        );
        check(
            AuditFilter {
                results: vec!["success".to_owned(), "x".to_owned()],
                ..Default::default()
            },
            "filter.results[1]",
        );
        check(
            AuditFilter {
                from_ms: Some(2),
                to_ms: Some(1),
                ..Default::default()
            },
            "filter.to_ms",
        );
        assert!(
            AuditFilter {
                text: word(&"a".repeat(256)),
                ..Default::default()
            }
            .parse()
            .is_ok()
        );
    }
}
