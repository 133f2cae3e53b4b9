//! Behaviours of the schema and of the connection.

use std::sync::Arc;

use plinth_core::access::AccessDirectory as _;
use plinth_core::{ErrorCode, Outcome, SystemClock, TenantId};
use plinth_store::{ControlStore, DefinitionKind, Definitions as _, Expected};
use serde_json::json;

use super::access::{new_key, new_tenant};
use super::backend::{Fixture, execute};

pub(crate) async fn reopening_finds_everything(fixture: Arc<Fixture>) {
    let store = &fixture.store;
    store
        .create_tenant(&new_tenant("shop"), &[new_key("k1", "shop", "admin")], None)
        .await
        .expect("creates");
    let tenant = TenantId::parse("shop").expect("parses");
    store
        .put(
            DefinitionKind::Queue,
            &tenant,
            "q",
            json!({"a": 1}),
            Expected::Absent,
        )
        .await
        .expect("puts");
    store.close().await;
    let again = fixture.open_again().await.expect("opens again");
    assert!(!again.is_empty().await.expect("reads"));
    let found = again
        .get(DefinitionKind::Queue, &tenant, "q")
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!((found.version, found.document), (1, json!({"a": 1})));
    again.close().await;
}

pub(crate) async fn a_newer_schema_is_refused(fixture: Arc<Fixture>) {
    fixture.store.close().await;
    execute(
        &fixture.url,
        "INSERT INTO plinth_control_schema (version, applied_at) VALUES ('m9999_later', 0)",
    )
    .await;
    let Err(error) = fixture.open_again().await else {
        panic!("a newer schema was opened");
    };
    assert_eq!(error.code(), ErrorCode::Internal);
    let source = std::error::Error::source(&error).expect("has a cause");
    assert!(source.to_string().contains("m9999_later"), "{source}");
}

pub(crate) async fn instances_may_start_at_once(fixture: Arc<Fixture>) {
    const INSTANCES: usize = 4;
    // An empty database again, so that every instance finds the migration missing.
    let tables = [
        "api_keys",
        "role_bindings",
        "principals",
        "tenants",
        "idempotency_records",
        "plinth_control_schema",
    ];
    for table in tables {
        execute(&fixture.url, &format!("DROP TABLE {table}")).await;
    }
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..INSTANCES {
        let fixture = Arc::clone(&fixture);
        starts.spawn(async move { fixture.open_again().await });
    }
    while let Some(start) = starts.join_next().await {
        let store = start.expect("joins").expect("opens");
        assert!(store.is_empty().await.expect("reads"));
        store.close().await;
    }
}

/// A store opens on a URL where nothing listens; its calls say so.
pub(crate) async fn away(url: &str) {
    let store = ControlStore::open(url, SystemClock::shared())
        .await
        .expect("opens although the database is away");
    let tenant = TenantId::parse("shop").expect("parses");
    let read = store.get(DefinitionKind::Queue, &tenant, "q").await;
    let write = store
        .put(
            DefinitionKind::Queue,
            &tenant,
            "q",
            json!({}),
            Expected::Any,
        )
        .await;
    for error in [read.err(), write.err()] {
        let error = error.expect("is refused");
        assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(!error.to_string().contains("secret"));
    }
    assert!(store.ping().await.is_err());
}
