//! The whole table of operations and roles: who may do what, and that the three powers stay apart.

use std::collections::BTreeMap;
use std::path::Path;

use plinth_core::{Resource, RoleName};
use plinth_gate::access::{Right, role_tables_markdown};
use plinth_gate::catalogue::{AuditRule, Operation, Reach, operations};
use plinth_security::RoleBook;

const ROLES: [&str; 6] = [
    "audit-admin",
    "developer",
    "operator",
    "owner",
    "security-admin",
    "system-admin",
];

fn may(book: &RoleBook, role: &str, operation: &Operation) -> bool {
    let held: [RoleName; 1] = [role.into()];
    let decide =
        |resource: Option<&Resource>| book.decide(&held, operation.id, resource).is_allowed();
    let named = Resource::new("cache", "orders");
    // The built-in roles hold no permission for a part of the resources: what they may, they may everywhere.
    assert_eq!(
        decide(None),
        decide(Some(&named)),
        "{role} {}",
        operation.id
    );
    decide(None)
}

#[test]
fn the_matrix_holds_for_every_operation_and_role() {
    let book = RoleBook::built_in();
    let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut decisions = 0;
    for operation in operations() {
        for role in ROLES {
            let right = may(&book, role, operation);
            *allowed.entry(role).or_default() += usize::from(right);
            let shown = Right::of(&book, book.get(role).expect("exists"), operation);
            let expected = match (operation.reach, right) {
                (Reach::Authenticated, _) => Right::Everybody,
                (_, false) => Right::Refused,
                (Reach::Platform, true) => Right::OnPlatform,
                (Reach::Permission, true) => Right::Allowed,
            };
            assert_eq!(shown, expected, "{role} {}", operation.id);
            decisions += 1;
        }
        assert!(may(&book, "owner", operation));
        let stranger: [RoleName; 2] = ["unknown".into(), "Owner".into()];
        assert!(!book.decide(&stranger, operation.id, None).is_allowed());
        assert!(!book.decide(&[], operation.id, None).is_allowed());
    }
    println!(
        "{decisions} decisions: {} operations × {} roles",
        operations().len(),
        ROLES.len()
    );
    assert_eq!(book.roles().count(), ROLES.len());
    for (role, count) in allowed {
        assert!(count > 0, "{role} may do nothing");
    }
}

#[test]
fn none_of_the_three_powers_can_do_anothers_work() {
    let book = RoleBook::built_in();
    for operation in operations() {
        let holders: Vec<&str> = ["system-admin", "security-admin", "audit-admin"]
            .into_iter()
            .filter(|role| may(&book, role, operation))
            .collect();
        assert!(
            holders.len() <= 1,
            "{} is the work of {holders:?}",
            operation.id
        );
        let expected = match operation.id.as_str() {
            "audit.log_operation" | "audit.log_batch" => None,
            id if id.starts_with("access.") => Some("security-admin"),
            id if id.starts_with("audit.") => Some("audit-admin"),
            _ => holders
                .first()
                .copied()
                .filter(|role| *role == "system-admin"),
        };
        assert_eq!(holders.first().copied(), expected, "{}", operation.id);
    }
}

#[test]
fn administration_is_closed_to_those_who_only_use_and_watch() {
    let book = RoleBook::built_in();
    for operation in operations() {
        let sensitive = [
            "access.",
            "db.register",
            "db.remove",
            "audit.query",
            "audit.export",
            "audit.get",
            "audit.verify",
        ]
        .iter()
        .any(|prefix| operation.id.as_str().starts_with(prefix));
        if sensitive {
            assert!(!may(&book, "developer", operation), "{}", operation.id);
            assert!(!may(&book, "operator", operation), "{}", operation.id);
            let recorded =
                operation.audit == AuditRule::Always || operation.reach == Reach::Authenticated;
            assert!(recorded, "{} leaves no record", operation.id);
        }
    }
}

#[test]
fn the_guide_shows_the_matrix_as_it_is() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide-access.md");
    let text = std::fs::read_to_string(&guide).expect("the guide exists");
    let (before, rest) = text
        .split_once("<!-- roles: begin -->\n")
        .expect("a begin mark");
    let (shown, after) = rest.split_once("<!-- roles: end -->").expect("an end mark");
    let tables = role_tables_markdown(&RoleBook::built_in());
    if std::env::var_os("PLINTH_UPDATE_DOCS").is_some() {
        let updated = format!("{before}<!-- roles: begin -->\n{tables}<!-- roles: end -->{after}");
        std::fs::write(&guide, updated).expect("the guide is written");
        return;
    }
    assert_eq!(
        shown, tables,
        "run the test with PLINTH_UPDATE_DOCS=1 to write the tables"
    );
}
