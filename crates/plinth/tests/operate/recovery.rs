//! `plinth access recover-key`: with a real server before and after.

use std::path::Path;

use plinth_client::AuditQuery;
use plinth_testkit::scratch::on_each_product;
use serde_json::Value;

use crate::tool::{Answer, run, serve, text};

async fn recover(data: &Path, more: &[&str], environment: &[(&str, &str)]) -> Answer {
    let begin = ["access", "recover-key", "--output", "json", "--data-dir"];
    let arguments: Vec<&str> = begin
        .into_iter()
        .chain([text(data)])
        .chain(more.iter().copied())
        .collect();
    run(&arguments, environment).await
}

/// The whole way: a key is lost, the server stopped, the key replaced and the old one revoked, the server started.
async fn replaces_a_lost_key(data: &Path, environment: &[(&str, &str)]) {
    let server = serve(data, environment).await;
    let lost = server.first_key().expect("a first key").to_owned();
    let refused = recover(data, &[], environment).await;
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("in use by another plinth; stop it"),
        "{}",
        refused.stderr
    );
    server.stop().await.expect("ends well");

    let kept = recover(data, &[], environment).await;
    assert_eq!(kept.code, 0, "{}", kept.stderr);
    assert_eq!(kept.json()["revoked"], Value::Array(vec![]));
    let answer = recover(data, &["--revoke-others"], environment).await;
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let recovered = answer.json();
    let revoked = recovered["revoked"].as_array().expect("a list");
    assert_eq!(
        revoked.len(),
        2,
        "the lost one and the one before: {recovered}"
    );
    assert!(
        !answer
            .stderr
            .contains(recovered["key"].as_str().expect("a key"))
    );
    let verified = run(
        &["audit", "verify", text(data), "--output", "json"],
        environment,
    )
    .await;
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);

    let server = serve(data, environment).await;
    let key = recovered["key"].as_str().expect("a key");
    let clients = server.clients(key).expect("clients");
    for client in server.clients(&lost).expect("clients") {
        let error = client.access().who_am_i().await.expect_err("is revoked");
        assert_eq!(error.code, 1002);
    }
    for client in clients {
        let me = client.access().who_am_i().await.expect("is let in");
        assert_eq!(
            (me.principal.as_str(), me.roles),
            ("owner", vec!["owner".to_owned()])
        );
        let mut query = AuditQuery::default();
        query.filter.operation = Some("access.recover_key".to_owned());
        let page = client.audit().query(&query).await.expect("finds");
        // An intent shows with the outcome that was joined to it; the latest comes first.
        let results: Vec<(&str, &str)> = page
            .records
            .iter()
            .map(|record| (record.phase.as_str(), record.result.as_str()))
            .collect();
        assert_eq!(results, [("intent", "success"), ("intent", "success")]);
        let intent = &page.records[0];
        assert_eq!(
            intent.id,
            recovered["audit_record"].as_str().expect("an id")
        );
        let details = intent.details.as_ref().expect("details").to_string();
        for id in revoked.iter().chain([&recovered["key_id"]]) {
            assert!(details.contains(id.as_str().expect("an id")), "{details}");
        }
        assert!(client.audit().verify(None).await.expect("verifies").valid);
    }
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_replaced_on_the_data_directory() {
    let place = tempfile::tempdir().expect("a directory");
    replaces_a_lost_key(&place.path().join("data"), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_replaced_in_a_control_database_of_its_own() {
    on_each_product(async |url: String| {
        let place = tempfile::tempdir().expect("a directory");
        let environment = [("PLINTH__CONTROL__URL", url.as_str())];
        replaces_a_lost_key(&place.path().join("data"), &environment).await;
    })
    .await
    .expect("the servers answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_one_administrator_is_replaced_where_duties_are_separated() {
    let place = tempfile::tempdir().expect("a directory");
    let (data, enforced) = (
        place.path().join("data"),
        [("PLINTH__ACCESS__SEPARATION", "enforced")],
    );
    let server = serve(&data, &enforced).await;
    let lost = server
        .first_key_of("audit-admin")
        .expect("announced")
        .to_owned();
    server.stop().await.expect("ends well");
    for (more, code, said) in [
        (&[][..], 2, "--role says whose key is replaced"),
        (&["--role", "owner"], 1, "access.separation"),
        (&["--role", "developer"], 1, "security administrator"),
        (
            &["--role", "audit-admin", "--principal", "system-admin"],
            1,
            "these powers are separated",
        ),
        (
            &["--role", "audit-admin", "--tenant", "shop"],
            1,
            "the tenant shop does not exist",
        ),
        (
            &["--role", "audit-admin", "--principal", "a b"],
            1,
            "principal",
        ),
    ] {
        let refused = recover(&data, more, &enforced).await;
        assert_eq!(refused.code, code, "{more:?} {}", refused.stderr);
        assert!(refused.stderr.contains(said), "{more:?} {}", refused.stderr);
    }
    let key_id = lost.split('_').nth(1).expect("has an id");
    let answer = recover(
        &data,
        &["--role", "audit-admin", "--revoke", key_id],
        &enforced,
    )
    .await;
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let recovered = answer.json();
    let server = serve(&data, &enforced).await;
    for client in server
        .clients(recovered["key"].as_str().expect("a key"))
        .expect("clients")
    {
        assert!(client.audit().verify(None).await.expect("verifies").valid);
    }
    for client in server.clients(&lost).expect("clients") {
        assert_eq!(
            client
                .access()
                .who_am_i()
                .await
                .expect_err("is revoked")
                .code,
            1002
        );
    }
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_fails_leaves_the_new_key_and_is_said() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    serve(&data, &[]).await.stop().await.expect("ends well");
    let answer = recover(&data, &["--revoke", "aaaaaaaaaaaaaaaa"], &[]).await;
    assert_eq!(answer.code, 1);
    assert!(
        answer
            .stderr
            .contains("the new key is good, but not every old key"),
        "{}",
        answer.stderr
    );
    let server = serve(&data, &[]).await;
    let recovered = answer.json();
    for client in server
        .clients(recovered["key"].as_str().expect("a key"))
        .expect("clients")
    {
        assert!(client.access().who_am_i().await.is_ok());
    }
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_no_server_has_used_is_left_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let absent = place.path().join("absent");
    let refused = recover(&absent, &[], &[]).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("no data directory of plinth"),
        "{}",
        refused.stderr
    );
    assert!(!absent.exists());
}
