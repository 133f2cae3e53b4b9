//! `docs/operations.md`: the catalogue for people.

use std::fmt::Write as _;

use plinth_gate::catalogue::{AuditRule, Operation, Reach, operations};

#[test]
fn operations_document_is_current() {
    crate::check_document("docs/operations.md", &document());
}

fn document() -> String {
    let mut text = String::from(
        "# Operations\n\nEvery operation of Plinth, made from the catalogue by `cargo xtask docs`. The id is the name of the permission, of the metric \
         label and in the audit log. The command line has the same words: `cache.set` is `plinth cache set`.\n\nAudit: *always* writes an intent before and an \
         outcome after; *writes* does so for statements that write; *policy* only where the settings add it (`gate.audit.also`). Refusals of audited \
         operations are recorded too. Once: takes an idempotency key (`request_id`, HTTP `Idempotency-Key`).\n",
    );
    let mut block = "";
    for operation in operations() {
        if operation.block != block {
            block = operation.block;
            let _infallible = write!(
                text,
                "\n## {block}\n\n| operation | Thrift | HTTP | what it does | audit | once | deadline |\n|---|---|---|---|---|---|---|\n"
            );
        }
        let _infallible = writeln!(text, "{}", row(operation));
    }
    text
}

fn row(operation: &Operation) -> String {
    let audit = match operation.audit {
        AuditRule::Unless => "policy",
        AuditRule::Always => "always",
        AuditRule::Writes => "writes",
    };
    let reach = match operation.reach {
        Reach::Permission => "",
        Reach::Platform => " Platform tenant only.",
        Reach::Authenticated => " Every authenticated caller.",
    };
    let once = if operation.takes_idempotency_key {
        "yes"
    } else {
        ""
    };
    let wait = if operation.long_poll { " + wait" } else { "" };
    format!(
        "| `{}` | `{}` | `{} {}` | {}{reach} | {audit} | {once} | {} s{wait} |",
        operation.id,
        operation.thrift_method,
        operation.http_method,
        operation.http_path,
        operation.summary,
        operation.deadline_ms_default / 1_000,
    )
}
