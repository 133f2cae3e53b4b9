//! Behaviours of definitions.

use std::future::Future;
use std::sync::Arc;

use plinth_core::{ErrorCode, ManualClock, TenantId, TimestampMs};
use plinth_store::definitions::{DEFINITION_DOCUMENT_BYTES_MAX, DEFINITION_NAME_BYTES_MAX};
use plinth_store::memory::MemoryDefinitions;
use plinth_store::{DefinitionKind, Definitions, Expected};
use serde_json::json;

use super::backend::{BEGIN_MS, Fixture};

const QUEUE: DefinitionKind = DefinitionKind::Queue;

/// Definitions and the clock that dates them.
pub(crate) trait Given: Send + Sync + 'static {
    fn definitions(&self) -> Arc<dyn Definitions>;
    fn clock(&self) -> Arc<ManualClock>;
}

impl Given for Fixture {
    fn definitions(&self) -> Arc<dyn Definitions> {
        self.store.clone()
    }
    fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }
}

/// The definitions in memory.
pub(crate) struct InMemory {
    definitions: Arc<MemoryDefinitions>,
    clock: Arc<ManualClock>,
}

impl Given for InMemory {
    fn definitions(&self) -> Arc<dyn Definitions> {
        self.definitions.clone()
    }
    fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }
}

/// Runs a behaviour on the definitions in memory.
pub(crate) async fn on_memory<F, Fut>(behaviour: F)
where
    F: FnOnce(Arc<InMemory>) -> Fut,
    Fut: Future<Output = ()>,
{
    let clock = ManualClock::starting_at(TimestampMs(BEGIN_MS));
    let definitions = Arc::new(MemoryDefinitions::new(clock.clone()));
    behaviour(Arc::new(InMemory { definitions, clock })).await;
}

pub(crate) async fn every_change_changes_the_state<G: Given>(given: Arc<G>) {
    let (definitions, clock) = (given.definitions(), given.clock());
    let (here, there) = (tenant("here"), tenant("there"));
    let put = async |tenant: &TenantId, name: &str, kind| {
        definitions
            .put(kind, tenant, name, json!({}), Expected::Any)
            .await
            .expect("is put")
    };
    let mut seen = vec![definitions.state(QUEUE).await.expect("adds up")];
    assert_eq!(seen[0].count, 0);
    let mut look = async |what: &str| {
        let state = definitions.state(QUEUE).await.expect("adds up");
        assert!(!seen.contains(&state), "{what}: {state:?}");
        seen.push(state);
    };
    put(&here, "a", QUEUE).await;
    look("created").await;
    put(&there, "a", QUEUE).await;
    look("created by another tenant").await;
    put(&here, "a", QUEUE).await;
    look("changed").await;
    clock.advance_ms(1);
    definitions
        .delete(QUEUE, &there, "a")
        .await
        .expect("is deleted");
    put(&there, "a", QUEUE).await;
    look("deleted and created again").await;
    let before = definitions.state(QUEUE).await.expect("adds up");
    put(&here, "b", DefinitionKind::Exchange).await;
    let after = definitions.state(QUEUE).await.expect("adds up");
    assert_eq!(before, after, "another kind");
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("a good name")
}

async fn put_all(definitions: &dyn Definitions, tenant: &TenantId, names: &[&str]) {
    for name in names {
        definitions
            .put(QUEUE, tenant, name, json!({ "of": name }), Expected::Absent)
            .await
            .expect("puts");
    }
}

async fn names(definitions: &dyn Definitions, tenant: &TenantId, prefix: &str) -> Vec<String> {
    let rows = definitions
        .list(QUEUE, tenant, prefix, None, 1_000)
        .await
        .expect("lists");
    rows.into_iter().map(|definition| definition.name).collect()
}

pub(crate) async fn put_get_replace_and_delete(given: Arc<impl Given>) {
    let (definitions, shop) = (given.definitions(), tenant("shop"));
    let document =
        json!({"durable": true, "text": "价格 \u{1f600} '\"\\", "n": 9007199254740993_i64});
    let first = definitions
        .put(QUEUE, &shop, "orders", document.clone(), Expected::Any)
        .await
        .expect("puts");
    assert_eq!((first.version, first.created_at.0), (1, BEGIN_MS));
    let read = definitions
        .get(QUEUE, &shop, "orders")
        .await
        .expect("reads");
    assert_eq!(read.as_ref(), Some(&first));
    assert_eq!(read.expect("is there").document, document);
    given.clock().advance_ms(5);
    let second = definitions
        .put(QUEUE, &shop, "orders", json!({}), Expected::Any)
        .await
        .expect("replaces");
    assert_eq!(
        (second.version, second.created_at.0, second.updated_at.0),
        (2, BEGIN_MS, BEGIN_MS + 5)
    );
    assert!(
        definitions
            .delete(QUEUE, &shop, "orders")
            .await
            .expect("deletes")
    );
    assert!(
        !definitions
            .delete(QUEUE, &shop, "orders")
            .await
            .expect("deletes")
    );
    assert_eq!(
        definitions
            .get(QUEUE, &shop, "orders")
            .await
            .expect("reads"),
        None
    );
}

pub(crate) async fn conditions_hold_or_refuse_with_1006(given: Arc<impl Given>) {
    let (definitions, shop) = (given.definitions(), tenant("shop"));
    let cases = [
        (Expected::Version(1), None),
        (Expected::Absent, Some(1)),
        (Expected::Absent, None),
        (Expected::Version(2), None),
        (Expected::Version(1), Some(2)),
        (Expected::Version(1), None),
        (Expected::Any, Some(3)),
    ];
    for (step, (expected, version)) in cases.into_iter().enumerate() {
        let put = definitions
            .put(QUEUE, &shop, "q", json!({ "step": step }), expected)
            .await;
        match (put, version) {
            (Ok(definition), Some(version)) => assert_eq!(definition.version, version, "{step}"),
            (Err(error), None) => {
                assert_eq!(error.code(), ErrorCode::PreconditionFailed, "{step}");
            }
            (put, _) => panic!("step {step}: {put:?}"),
        }
    }
}

pub(crate) async fn names_are_compared_and_ordered_byte_by_byte(given: Arc<impl Given>) {
    let (definitions, shop) = (given.definitions(), tenant("shop"));
    let sorted = [
        "A",
        "B",
        "a",
        "a b",
        "a!",
        "aa",
        "b",
        "e",
        "z",
        "Ä",
        "ß",
        "é",
        "中",
        "\u{1f600}",
    ];
    let mut shuffled = sorted;
    shuffled.reverse();
    put_all(&*definitions, &shop, &shuffled).await;
    assert_eq!(names(&*definitions, &shop, "").await, sorted);
    for name in sorted {
        let found = definitions.get(QUEUE, &shop, name).await.expect("reads");
        assert_eq!(found.expect("is there").document, json!({ "of": name }));
    }
}

pub(crate) async fn prefixes_are_not_patterns(given: Arc<impl Given>) {
    let (definitions, shop) = (given.definitions(), tenant("shop"));
    let all = ["a", "a b", "a%b", "a%c", "a_b", "ab", "\u{10ffff}x", "B"];
    put_all(&*definitions, &shop, &all).await;
    let cases: [(&str, &[&str]); 7] = [
        ("a%", &["a%b", "a%c"]),
        ("a_", &["a_b"]),
        ("a ", &["a b"]),
        ("A", &[]),
        ("b", &[]),
        ("\u{10ffff}", &["\u{10ffff}x"]),
        ("ab", &["ab"]),
    ];
    for (prefix, expected) in cases {
        assert_eq!(
            names(&*definitions, &shop, prefix).await,
            expected,
            "{prefix:?}"
        );
    }
}

pub(crate) async fn listings_page_through_everything_once(given: Arc<impl Given>) {
    const PAGE: u32 = 3;
    let definitions = given.definitions();
    let mut expected = Vec::new();
    for tenant_name in ["a", "b", "c"] {
        let all: Vec<String> = (0..7).map(|number| format!("q{number}")).collect();
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        put_all(&*definitions, &tenant(tenant_name), &names).await;
        expected.extend(all.into_iter().map(|name| (tenant_name.to_owned(), name)));
    }
    let mut seen = Vec::new();
    let mut last: Option<(TenantId, String)> = None;
    loop {
        let after = last.as_ref().map(|(tenant, name)| (tenant, name.as_str()));
        let page = definitions
            .list_all(QUEUE, after, PAGE)
            .await
            .expect("lists");
        assert!(page.len() <= 3);
        let Some((tenant, definition)) = page.last() else {
            break;
        };
        last = Some((tenant.clone(), definition.name.clone()));
        seen.extend(
            page.into_iter()
                .map(|(tenant, row)| (tenant.to_string(), row.name)),
        );
    }
    assert_eq!(seen, expected);
    let page = definitions
        .list(QUEUE, &tenant("b"), "q", Some("q4"), PAGE)
        .await
        .expect("lists");
    let names: Vec<_> = page.into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["q5", "q6"]);
}

pub(crate) async fn limits_hold_at_the_limit_and_refuse_one_past_it(given: Arc<impl Given>) {
    let (definitions, shop) = (given.definitions(), tenant(&"t".repeat(128)));
    // Four bytes for each character of the longest index entry.
    let longest = "\u{1f600}".repeat(DEFINITION_NAME_BYTES_MAX / 4);
    let text = |bytes: usize| json!("x".repeat(bytes.saturating_sub(2)));
    let put = async |name: &str, bytes: usize| {
        definitions
            .put(QUEUE, &shop, name, text(bytes), Expected::Any)
            .await
            .map_err(|error| error.code())
            .map(|definition| definition.version)
    };
    assert_eq!(put(&longest, DEFINITION_DOCUMENT_BYTES_MAX).await, Ok(1));
    assert_eq!(put(&"n".repeat(DEFINITION_NAME_BYTES_MAX), 2).await, Ok(1));
    assert_eq!(
        put("q", DEFINITION_DOCUMENT_BYTES_MAX + 1).await,
        Err(ErrorCode::TooLarge)
    );
    for bad in [
        "",
        " a",
        "a ",
        "a\tb",
        "\0",
        &"n".repeat(DEFINITION_NAME_BYTES_MAX + 1),
    ] {
        assert_eq!(
            put(bad, 2).await,
            Err(ErrorCode::InvalidArgument),
            "{bad:?}"
        );
    }
    assert_eq!(names(&*definitions, &shop, "").await.len(), 2);
}

pub(crate) async fn names_that_cannot_exist_are_absent(given: Arc<impl Given>) {
    let (definitions, shop) = (given.definitions(), tenant("shop"));
    put_all(&*definitions, &shop, &["a"]).await;
    for name in ["a ", "a\0", "", &"a".repeat(10_000)] {
        assert_eq!(
            definitions.get(QUEUE, &shop, name).await.expect("reads"),
            None
        );
        assert!(
            !definitions
                .delete(QUEUE, &shop, name)
                .await
                .expect("deletes")
        );
    }
    for (prefix, after) in [("a\0", None), ("", Some("\0"))] {
        let refused = definitions.list(QUEUE, &shop, prefix, after, 10).await;
        assert_eq!(
            refused.map_err(|error| error.code()),
            Err(ErrorCode::InvalidArgument)
        );
    }
    assert_eq!(names(&*definitions, &shop, "").await, ["a"]);
}

pub(crate) async fn kinds_and_tenants_are_apart(given: Arc<impl Given>) {
    let definitions = given.definitions();
    for kind in DefinitionKind::ALL {
        for owner in ["a", "b"] {
            let document = json!([kind.as_str(), owner]);
            let put = definitions
                .put(*kind, &tenant(owner), "same", document, Expected::Absent)
                .await;
            assert_eq!(put.expect("puts").version, 1);
        }
    }
    assert!(
        definitions
            .delete(QUEUE, &tenant("a"), "same")
            .await
            .expect("deletes")
    );
    for kind in DefinitionKind::ALL {
        for owner in ["a", "b"] {
            let found = definitions
                .get(*kind, &tenant(owner), "same")
                .await
                .expect("reads");
            let deleted = *kind == QUEUE && owner == "a";
            let expected = (!deleted).then(|| json!([kind.as_str(), owner]));
            assert_eq!(found.map(|row| row.document), expected);
        }
    }
}

/// How many tasks write at once.
const WRITERS: usize = 6;

async fn write_at_once(given: &Arc<impl Given>, expected: Expected) -> Vec<Result<i64, ErrorCode>> {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let definitions = given.definitions();
        writers.spawn(async move {
            definitions
                .put(QUEUE, &tenant("shop"), "q", json!(writer), expected)
                .await
                .map(|definition| definition.version)
                .map_err(|error| error.code())
        });
    }
    writers.join_all().await
}

pub(crate) async fn of_concurrent_creations_one_wins(given: Arc<impl Given>) {
    let mut results = write_at_once(&given, Expected::Absent).await;
    results.sort();
    let mut expected = vec![Err(ErrorCode::PreconditionFailed); WRITERS - 1];
    expected.insert(0, Ok(1));
    assert_eq!(results, expected);
}

pub(crate) async fn concurrent_replacements_each_take_a_version(given: Arc<impl Given>) {
    let mut results = write_at_once(&given, Expected::Any).await;
    results.sort();
    let expected: Vec<_> = (1..=6).map(Ok).collect();
    assert_eq!(results, expected);
}
