//! Every operation, over both transports of a real server: without a credential, without the permission, under each role,
//! and with another tenant's credential.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture must fail the test"
)]

mod edges;
mod samples;
mod thrift;

use std::path::Path;

use plinth_core::RoleName;
use plinth_gate::access::Right;
use plinth_gate::catalogue::{Operation, Reach, by_id, operations};
use plinth_security::RoleBook;
use plinth_testkit::process::{Server, ServerOptions};
use serde_json::{Value, json};

use edges::{Answer, Edges, TRANSPORTS, Transport};
use samples::{MARKER, Names, sample};

const UNAUTHENTICATED: i64 = 1002;
const FORBIDDEN: i64 = 1003;

async fn start() -> (Server, Edges, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_plinth"));
    let server = Server::start(binary, &ServerOptions::default())
        .await
        .expect("starts");
    let edges = Edges::of(server.announcement());
    let key = server.first_key().expect("a first key").to_owned();
    (server, edges, key)
}

fn operation(id: &str) -> &'static Operation {
    by_id(id).expect("stands in the catalogue")
}

/// Calls an operation over HTTP and takes its answer, which must be a success.
async fn done(edges: &Edges, key: &str, id: &str, request: Value) -> Value {
    let answer = edges
        .call(Transport::Http, Some(key), operation(id), &request)
        .await;
    assert_eq!(answer.code, None, "{id}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

async fn new_key(edges: &Edges, owner: &str, principal: &str, roles: &[&str]) -> String {
    let request = json!({ "principal": principal, "roles": roles });
    let reply = done(edges, owner, "access.create_key", request).await;
    let text = reply["created"]["key"].as_str();
    text.expect("a new key has a text").to_owned()
}

async fn new_tenant(edges: &Edges, owner: &str, tenant: &str) -> String {
    let reply = done(
        edges,
        owner,
        "access.create_tenant",
        json!({ "tenant": tenant }),
    )
    .await;
    let text = reply["first_key"]["key"].as_str();
    text.expect("a new key has a text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_a_credential() {
    let (server, edges, _) = start().await;
    let mut walked = 0;
    for operation in operations() {
        for transport in TRANSPORTS {
            let request = sample(operation.id.as_str(), &Names::of_nothing());
            let answer = edges.call(transport, None, operation, &request).await;
            assert_eq!(
                answer.code,
                Some(UNAUTHENTICATED),
                "{} {transport:?}",
                operation.id
            );
            walked += 1;
        }
    }
    println!("{walked} calls without a credential");
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_what_the_matrix_says_and_no_more() {
    let (server, edges, owner) = start().await;
    let book = RoleBook::built_in();
    let mut walked = 0;
    let mut roles: Vec<Option<RoleName>> =
        book.roles().map(|role| Some(role.name.clone())).collect();
    roles.push(None);
    for role in roles {
        let (holder, held) = match &role {
            Some(role) => (format!("holder-of-{role}"), vec![role.as_ref()]),
            None => ("holder-of-nothing".to_owned(), vec![]),
        };
        let key = new_key(&edges, &owner, &holder, &held).await;
        for operation in operations() {
            let right = match role.as_ref().and_then(|role| book.get(role)) {
                Some(role) => Right::of(&book, role, operation),
                None if operation.reach == Reach::Authenticated => Right::Everybody,
                None => Right::Refused,
            };
            for transport in TRANSPORTS {
                let request = sample(operation.id.as_str(), &Names::of_nothing());
                let answer = edges.call(transport, Some(&key), operation, &request).await;
                check_right(operation, transport, &holder, right, &answer);
                walked += 1;
            }
        }
    }
    println!(
        "{walked} calls under {} roles and under none",
        book.roles().count()
    );
    server.stop().await.expect("ends well");
}

fn check_right(
    operation: &Operation,
    transport: Transport,
    holder: &str,
    right: Right,
    answer: &Answer,
) {
    let what = format!(
        "{} over {transport:?} as {holder}: {}",
        operation.id,
        answer.text()
    );
    match right {
        Right::Refused => assert_eq!(answer.code, Some(FORBIDDEN), "{what}"),
        Right::Allowed | Right::OnPlatform | Right::Everybody => {
            let refused = [1001, UNAUTHENTICATED, FORBIDDEN];
            assert!(
                answer.code.is_none_or(|code| !refused.contains(&code)),
                "{what}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_credential_sees_and_changes_nothing() {
    let (server, edges, platform) = start().await;
    let mine = new_tenant(&edges, &platform, "mine").await;
    let other = new_tenant(&edges, &platform, "other").await;
    let names = furnish(&edges, &mine).await;
    assert_eq!(
        visible(&edges, &mine, &names).await,
        EVERYTHING,
        "the fixture itself"
    );
    let mut walked = 0;
    for operation in operations() {
        for transport in TRANSPORTS {
            let request = sample(operation.id.as_str(), &names);
            let answer = edges
                .call(transport, Some(&other), operation, &request)
                .await;
            let what = format!("{} over {transport:?}: {}", operation.id, answer.text());
            assert!(!answer.shows(MARKER), "{what}");
            let expected = operation.reach == Reach::Platform;
            assert_eq!(answer.code == Some(FORBIDDEN), expected, "{what}");
            walked += 1;
        }
    }
    assert_eq!(
        visible(&edges, &mine, &names).await,
        EVERYTHING,
        "after the walk"
    );
    println!("{walked} calls with another tenant's credential");
    server.stop().await.expect("ends well");
}

/// The reads that show the tenant's own data; each answer holds the marker.
const EVERYTHING: [&str; 8] = [
    "cache.get",
    "queue.peek",
    "monitor.get_metrics",
    "audit.get_record",
    "db.execute_query",
    "lock.get",
    "access.list_keys",
    "access.who_am_i",
];

/// Gives a tenant data that hold the marker, under the names of the samples.
async fn furnish(edges: &Edges, key: &str) -> Names {
    let value = json!({ "namespace_name": "matrix", "key": "k", "value": MARKER });
    done(edges, key, "cache.set", value).await;
    done(
        edges,
        key,
        "queue.create_queue",
        sample("queue.create_queue", &Names::of_nothing()),
    )
    .await;
    done(
        edges,
        key,
        "queue.bind",
        sample("queue.bind", &Names::of_nothing()),
    )
    .await;
    let message =
        json!({ "message": { "exchange": "matrix", "routing_key": "k", "body": MARKER } });
    done(edges, key, "queue.publish", message).await;
    let metric =
        json!({ "metric": "matrix_gauge", "metric_type": "gauge", "label_names": ["who"] });
    done(edges, key, "monitor.register_metric", metric).await;
    let gauge = json!({ "metric": "matrix_gauge", "labels": { "who": MARKER }, "value": 1.0 });
    done(edges, key, "monitor.set_gauge", gauge).await;
    let mut entry = sample("audit.log_operation", &Names::of_nothing());
    entry["entry"]["reason"] = json!(MARKER);
    let record = done(edges, key, "audit.log_operation", entry).await;
    let database = sample("db.register_database", &Names::of_nothing());
    done(edges, key, "db.register_database", database).await;
    let steps = json!({ "database": "matrix-db", "steps": [
        { "sql": "CREATE TABLE facts (fact TEXT)" },
        { "sql": format!("INSERT INTO facts (fact) VALUES ('{MARKER}')") },
    ] });
    done(edges, key, "db.execute_transaction", steps).await;
    let mut lock = sample("lock.acquire", &Names::of_nothing());
    lock["owner"] = json!(MARKER);
    lock["lease_ms"] = json!(3_600_000);
    done(edges, key, "lock.acquire", lock).await;
    let request = json!({ "principal": "app", "label": MARKER, "principal_name": MARKER });
    let created = done(edges, key, "access.create_key", request).await;
    Names {
        key_id: created["created"]["key_id"]
            .as_str()
            .expect("an id")
            .to_owned(),
        record: samples::record_id(&record),
    }
}

/// Which reads show the tenant's own data.
async fn visible(edges: &Edges, key: &str, names: &Names) -> Vec<&'static str> {
    let mut shown = Vec::new();
    for id in EVERYTHING {
        let request = sample(id, names);
        let answer = edges
            .call(Transport::Http, Some(key), operation(id), &request)
            .await;
        let intact = match id {
            // Its key works still, and the listed one is not revoked.
            "access.who_am_i" => answer.code.is_none(),
            "access.list_keys" => answer.shows(MARKER) && !answer.shows("revoked_at_ms"),
            _ => answer.shows(MARKER),
        };
        if intact {
            shown.push(id);
        }
    }
    shown
}
