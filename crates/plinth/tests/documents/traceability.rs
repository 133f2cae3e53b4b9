//! `docs/traceability.md`: criterion → operations → tests. The table names what serves a criterion; this test holds it to
//! the truth: every operation exists and serves at least one criterion, every file of tests exists and holds tests.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use plinth_gate::catalogue::{by_id, operations};

/// One criterion of the requirements, as far as it is built.
struct Criterion {
    number: &'static str,
    what: &'static str,
    operations: &'static [&'static str],
    tests: &'static [&'static str],
}

const fn criterion(
    number: &'static str,
    what: &'static str,
    operations: &'static [&'static str],
    tests: &'static [&'static str],
) -> Criterion {
    Criterion {
        number,
        what,
        operations,
        tests,
    }
}

mod table;
use table::TABLE;

#[test]
fn the_traceability_document_is_current() {
    crate::check_document("docs/traceability.md", &document());
}

#[test]
fn every_operation_serves_a_criterion_and_every_test_exists() {
    let served: BTreeSet<&str> = TABLE
        .iter()
        .flat_map(|criterion| criterion.operations.iter().copied())
        .collect();
    for operation in &served {
        assert!(
            by_id(operation).is_some(),
            "there is no operation {operation}"
        );
    }
    for operation in operations() {
        assert!(
            served.contains(operation.id.as_str()),
            "{} serves no criterion",
            operation.id
        );
    }
    for criterion in TABLE {
        assert!(
            !criterion.tests.is_empty(),
            "{} has no test",
            criterion.number
        );
        for test in criterion.tests {
            let text = std::fs::read_to_string(crate::root().join(test))
                .unwrap_or_else(|error| panic!("{}: {test}: {error}", criterion.number));
            let holds_tests = text.contains("#[test]")
                || text.contains("#[tokio::test")
                || text.contains("Scenario {");
            assert!(holds_tests, "{}: {test} holds no test", criterion.number);
        }
    }
}

#[test]
fn every_property_test_is_in_the_table() {
    let named: BTreeSet<&str> = TABLE
        .iter()
        .flat_map(|criterion| criterion.tests.iter().copied())
        .collect();
    let crates = std::fs::read_dir(crate::root().join("crates")).expect("lists");
    for tests in crates.filter_map(|entry| std::fs::read_dir(entry.ok()?.path().join("tests")).ok())
    {
        for file in tests.filter_map(Result::ok) {
            let path = file.path();
            let name = file.file_name().to_string_lossy().into_owned();
            if name.starts_with("property_") && name.ends_with(".rs") {
                let known = named.iter().any(|named| named.ends_with(&name));
                assert!(known, "{} is in no row of the table", path.display());
            }
        }
    }
}

fn document() -> String {
    let mut text = String::from(
        "# Traceability\n\nCriterion of the requirements → operations that serve it → tests that show it. Made by `cargo xtask docs` from \
         `crates/plinth/tests/documents/traceability/table.rs`; a test fails where a row names what does not exist, or an operation \
         serves nothing. A criterion that is not listed is not built.\n\n| criterion | what | operations | tests |\n|---|---|---|---|\n",
    );
    for criterion in TABLE {
        let code = |names: &[&str]| {
            names
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join("<br>")
        };
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} |",
            criterion.number,
            criterion.what,
            code(criterion.operations),
            code(criterion.tests)
        );
    }
    text
}
