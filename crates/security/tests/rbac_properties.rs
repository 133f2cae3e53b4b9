//! Property: the access decision denies by default, grows only with permissions, says truly why, and nobody hands out more
//! than he may.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a generator that breaks must fail the test"
)]

use plinth_core::{OperationId, Resource, RoleName};
use plinth_security::rbac::{Decision, Pattern, Permission, Role, RoleBook};
use proptest::prelude::*;

const OPERATIONS: [OperationId; 6] = [
    OperationId::new("cache.get"),
    OperationId::new("cache.set"),
    OperationId::new("cache.batch_get"),
    OperationId::new("queue.publish"),
    OperationId::new("access.bind_role"),
    OperationId::new("audit.verify"),
];

fn pattern(alphabet: &'static str) -> impl Strategy<Value = Pattern> {
    alphabet.prop_filter_map("must parse", |text| Pattern::parse(&text).ok())
}

fn permission() -> impl Strategy<Value = Permission> {
    let operations = prop_oneof![
        Just("*"),
        Just("cache.*"),
        Just("cache.get"),
        Just("*.get"),
        Just("*_*"),
        Just("queue.publish"),
        Just("a*"),
    ];
    let resources = prop_oneof![Just("*"), Just("cache/*"), Just("cache/a.*"), Just("*/b")];
    (operations, resources).prop_map(|(operations, resources)| {
        Permission::parse(operations, resources).expect("literal patterns parse")
    })
}

fn role(name: &'static str) -> impl Strategy<Value = Role> {
    proptest::collection::vec(permission(), 0..4).prop_map(move |permissions| Role {
        name: name.into(),
        summary: String::new(),
        permissions,
        granted_by: Vec::new(),
    })
}

fn question() -> impl Strategy<Value = (OperationId, Option<Resource>)> {
    let resource = prop_oneof![
        Just(None),
        prop_oneof![Just("a.x"), Just("b"), Just("*")]
            .prop_map(|name| Some(Resource::new("cache", name))),
        Just(Some(Resource::new("queue", "b"))),
    ];
    (proptest::sample::select(&OPERATIONS[..]), resource)
}

/// What a pattern means, written the slow and obvious way.
fn means(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| means(rest, &text[skip..])),
        Some((byte, rest)) => text
            .split_first()
            .is_some_and(|(first, tail)| first == byte && means(rest, tail)),
    }
}

proptest! {
    #[test]
    fn a_pattern_means_what_the_obvious_reading_means(
        pattern in pattern("[ab*]{1,8}"),
        text in "[ab]{0,10}",
    ) {
        prop_assert_eq!(pattern.matches(&text), means(pattern.as_str().as_bytes(), text.as_bytes()));
    }

    #[test]
    fn a_covering_pattern_takes_all_that_the_covered_takes(
        wide in pattern("[ab*]{1,6}"),
        narrow in pattern("[ab*]{1,6}"),
        text in "[ab]{0,8}",
    ) {
        if wide.covers(&narrow) && narrow.matches(&text) {
            prop_assert!(wide.matches(&text));
        }
    }

    #[test]
    fn nothing_is_allowed_without_a_permission_and_the_reason_is_true(
        roles in (role("r1"), role("r2"), role("r3")),
        (operation, resource) in question(),
    ) {
        let held: Vec<RoleName> = vec!["r1".into(), "unknown".into(), "r2".into()];
        let expected = [&roles.0, &roles.1]
            .iter()
            .flat_map(|role| &role.permissions)
            .any(|permission| permission.allows(operation, resource.as_ref()));
        let book = RoleBook::of([roles.0, roles.1, roles.2]);
        match book.decide(&held, operation, resource.as_ref()) {
            Decision::Allowed { role, permission } => {
                prop_assert!(expected);
                prop_assert!(held.contains(role));
                prop_assert!(book.get(role).expect("stands in the book").permissions.contains(permission));
                prop_assert!(permission.allows(operation, resource.as_ref()));
            }
            Decision::Refused => prop_assert!(!expected),
        }
        prop_assert!(!book.decide(&[], operation, resource.as_ref()).is_allowed());
    }

    #[test]
    fn more_roles_never_allow_less(
        roles in (role("r1"), role("r2")),
        (operation, resource) in question(),
    ) {
        let book = RoleBook::of([roles.0, roles.1]);
        let one: Vec<RoleName> = vec!["r1".into()];
        let both: Vec<RoleName> = vec!["r2".into(), "r1".into()];
        if book.decide(&one, operation, resource.as_ref()).is_allowed() {
            prop_assert!(book.decide(&both, operation, resource.as_ref()).is_allowed());
        }
    }

    #[test]
    fn a_grant_never_gives_what_the_granter_lacks(
        roles in (role("r1"), role("r2"), role("wanted")),
        (operation, resource) in question(),
    ) {
        let book = RoleBook::of([roles.0, roles.1, roles.2]);
        let holder: Vec<RoleName> = vec!["r1".into(), "r2".into()];
        let wanted = book.get("wanted").expect("stands in the book");
        let granted: Vec<RoleName> = vec!["wanted".into()];
        if book.may_grant(&holder, wanted)
            && book.decide(&granted, operation, resource.as_ref()).is_allowed()
        {
            prop_assert!(book.decide(&holder, operation, resource.as_ref()).is_allowed());
        }
    }
}
