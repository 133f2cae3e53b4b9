//! Behaviours when the connection to the control database breaks in the middle.

use std::sync::Arc;

use plinth_core::access::{AccessDirectory as _, Creation, IdempotencyScope};
use plinth_core::{ErrorCode, Outcome, PrincipalId, TenantId, TimestampMs};
use plinth_store::{ControlStore, DefinitionKind, Definitions as _, Expected};
use plinth_testkit::cut_proxy::CutProxy;
use serde_json::json;

use super::access::{new_key, new_tenant};
use super::backend::{BEGIN_MS, Fixture};

/// The same database through a proxy.
async fn through_proxy(fixture: &Fixture) -> (ControlStore, CutProxy) {
    let (_, rest) = fixture.url.split_once('@').expect("has a user");
    let (server, _) = rest.split_once('/').expect("has a path");
    let proxy = CutProxy::to(server.parse().expect("is an address"))
        .await
        .expect("listens");
    // The proxy reads the requests, so they must not be encrypted.
    let plain = if fixture.url.starts_with("mysql") {
        "ssl-mode=DISABLED"
    } else {
        "sslmode=disable"
    };
    let url = fixture.url.replace(server, &proxy.address().to_string());
    let url = format!("{url}?{plain}");
    let store = ControlStore::open(&url, fixture.clock.clone())
        .await
        .expect("opens");
    (store, proxy)
}

fn shop() -> TenantId {
    TenantId::parse("shop").expect("a good name")
}

pub(crate) async fn a_write_whose_answer_is_lost_is_unknown(fixture: Arc<Fixture>) {
    let (store, proxy) = through_proxy(&fixture).await;
    let put = async |name: &str| {
        store
            .put(
                DefinitionKind::Queue,
                &shop(),
                name,
                json!({}),
                Expected::Any,
            )
            .await
    };
    // First the statement is prepared, then executed: the second request carries the effect.
    proxy.cut("INSERT INTO", 1);
    let error = put("q").await.expect_err("the answer was lost");
    assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
    assert_eq!(error.outcome(), Outcome::Unknown);
    // It had been applied, and the next call finds a new connection.
    assert_eq!(put("q").await.expect("puts").version, 2);
    store.close().await;
}

pub(crate) async fn a_transaction_lost_before_its_commit_is_not_applied(fixture: Arc<Fixture>) {
    let (store, proxy) = through_proxy(&fixture).await;
    proxy.cut("INSERT INTO", 1);
    let key = new_key("k1", "shop", "admin");
    let error = store
        .create_tenant(&new_tenant("shop"), &[key], None)
        .await
        .expect_err("the connection was lost");
    assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(store.tenant(&shop()).await.expect("reads"), None);
    store.close().await;
}

pub(crate) async fn a_lost_commit_is_unknown_and_its_repeat_gets_the_first_answer(
    fixture: Arc<Fixture>,
) {
    let (store, proxy) = through_proxy(&fixture).await;
    let scope = IdempotencyScope {
        tenant: TenantId::parse("platform").expect("a good name"),
        principal: PrincipalId::parse("root").expect("a good name"),
        operation: "access.create_tenant",
        key: "a-1".to_owned(),
        fingerprint: [1; 32],
        at: TimestampMs(BEGIN_MS),
    };
    let (tenant, keys) = (new_tenant("shop"), [new_key("k1", "shop", "admin")]);
    proxy.cut("COMMIT", 0);
    let error = store
        .create_tenant(&tenant, &keys, Some((&scope, "first")))
        .await
        .expect_err("the answer was lost");
    assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
    assert_eq!(error.outcome(), Outcome::Unknown);
    let repeat = store
        .create_tenant(&tenant, &keys, Some((&scope, "second")))
        .await;
    assert_eq!(
        repeat.expect("repeats"),
        Creation::Repeated("first".to_owned())
    );
    store.close().await;
}
