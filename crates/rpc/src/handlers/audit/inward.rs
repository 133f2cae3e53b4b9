//! Structs of the IDL as the block's requests.

use faststr::FastStr;
use plinth_audit::model::{
    AuditEntry as Entry, AuditFilter as Filter, EntryOperator, EntryResource, JsonText,
};
use plinth_core::{Error, Result};
use plinth_idl::audit::{AuditEntry, AuditFilter};

use super::super::convert::{text, text_list};

/// One entry. Errors: 1001 naming the field whose text is no JSON.
pub(super) fn entry(entry: AuditEntry) -> Result<Entry> {
    Ok(Entry {
        operation: entry.operation.to_string(),
        operator: EntryOperator {
            id: entry.operator.id.to_string(),
            name: text(entry.operator.name),
            roles: text_list(entry.operator.roles.unwrap_or_default()),
        },
        resource: EntryResource {
            kind: entry.resource.r#type.to_string(),
            id: entry.resource.id.to_string(),
        },
        result: entry.result.to_string(),
        time_ms: entry.time_ms,
        severity: text(entry.severity),
        reason: text(entry.reason),
        details: json("details", entry.details)?,
        before: json("before", entry.before)?,
        after: json("after", entry.after)?,
        ip: text(entry.ip),
        user_agent: text(entry.user_agent),
        trace_id: text(entry.trace_id),
        phase: text(entry.phase),
        intent_id: text(entry.intent_id),
    })
}

/// Many entries. Errors: as [`entry`], with the place.
pub(super) fn entries(entries: Vec<AuditEntry>) -> Result<Vec<Entry>> {
    let in_place = |(place, item)| {
        entry(item).map_err(|error: Error| error.in_field(&format!("entries[{place}]")))
    };
    entries.into_iter().enumerate().map(in_place).collect()
}

fn json(field: &str, value: Option<FastStr>) -> Result<Option<JsonText>> {
    value
        .map(|value| JsonText::parse(field, value.to_string()))
        .transpose()
}

/// A filter.
pub(super) fn filter(filter: AuditFilter) -> Filter {
    Filter {
        operation: text(filter.operation),
        operation_prefix: text(filter.operation_prefix),
        operator_id: text(filter.operator_id),
        operator_name: text(filter.operator_name),
        operator_role: text(filter.operator_role),
        resource_type: text(filter.resource_type),
        resource_id: text(filter.resource_id),
        results: text_list(filter.results.unwrap_or_default()),
        severities: text_list(filter.severities.unwrap_or_default()),
        ip: text(filter.ip),
        user_agent: text(filter.user_agent),
        trace_id: text(filter.trace_id),
        text: text(filter.text),
        from_ms: filter.from_ms,
        to_ms: filter.to_ms,
        recorded_from_ms: filter.recorded_from_ms,
        recorded_to_ms: filter.recorded_to_ms,
        recorded_by: text(filter.recorded_by),
        credential: text(filter.credential),
        source: text(filter.source),
        phase: text(filter.phase),
    }
}
