//! `access.separation = "enforced"` on a real server, over both transports.

use plinth_client::{Client, ClientError, KeyOptions, SetOptions};
use plinth_testkit::process::Server;

use crate::tool::serve;

const ENFORCED: (&str, &str) = ("PLINTH__ACCESS__SEPARATION", "enforced");

fn clients(server: &Server, key: &str) -> [Client; 2] {
    server.clients(key).expect("clients")
}

fn refused<T>(outcome: Result<T, ClientError>) -> ClientError {
    outcome.map(drop).expect_err("is refused")
}

fn role(role: &str) -> KeyOptions {
    KeyOptions {
        roles: vec![role.to_owned()],
        ..KeyOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_keys_are_announced_and_no_owner_comes_in_over_either_transport() {
    let place = tempfile::tempdir().expect("a directory");
    let server = serve(&place.path().join("data"), &[ENFORCED]).await;
    assert!(server.announcement().key.is_none());
    let security = server.first_key_of("security-admin").expect("announced");
    for (number, client) in clients(&server, security).iter().enumerate() {
        let access = client.access();
        for outcome in [
            access.bind_role("security-admin", "owner").await.map(drop),
            access
                .create_key("boss", &role("owner"), None)
                .await
                .map(drop),
        ] {
            let error = refused(outcome);
            assert_eq!(error.code, 1001);
            let violation = &error.violations[0];
            assert!(["role", "roles[0]"].contains(&violation.field.as_str()));
            assert!(
                violation.message.contains("access.separation"),
                "{violation:?}"
            );
        }
        // Work goes on by those who are given it.
        let created = access
            .create_key(&format!("app-{number}"), &role("developer"), None)
            .await
            .expect("creates");
        let app = created.key.expect("is new");
        for client in clients(&server, &app) {
            client
                .cache()
                .set("orders", "A-1", "approved", SetOptions::default())
                .await
                .expect("sets");
        }
        let tenant = access
            .create_tenant(&format!("shop-{number}"), None, None)
            .await
            .expect("creates");
        assert_eq!(tenant.first_key.roles, ["security-admin"]);
        let further: Vec<&str> = tenant
            .further_keys
            .iter()
            .map(|key| key.roles[0].as_str())
            .collect();
        assert_eq!(further, ["system-admin", "audit-admin"]);
    }
    // None of the three does another's work.
    let system = server.first_key_of("system-admin").expect("announced");
    let audit = server.first_key_of("audit-admin").expect("announced");
    for client in clients(&server, system) {
        let outcome = client.access().list_keys(None, None, None).await;
        assert_eq!(refused(outcome).code, 1003);
    }
    for client in clients(&server, audit) {
        assert!(client.audit().verify(None).await.expect("verifies").valid);
        let access = client.access();
        let outcome = access.create_key("x", &role("developer"), None).await;
        assert_eq!(refused(outcome).code, 1003);
    }
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_on_later_it_takes_everything_from_the_owner_and_gives_it_back_when_switched_off()
{
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let server = serve(&data, &[]).await;
    let owner = server.first_key().expect("a first key").to_owned();
    let access = clients(&server, &owner);
    let security = access[0]
        .access()
        .create_key("alice", &role("security-admin"), None)
        .await
        .expect("creates");
    let security = security.key.expect("is new");
    server.stop().await.expect("ends well");

    let server = serve(&data, &[ENFORCED]).await;
    assert!(server.announcement().key.is_none() && server.announcement().keys.is_empty());
    for client in clients(&server, &owner) {
        let me = client.access().who_am_i().await.expect("is let in");
        assert!(me.permissions.is_empty(), "{me:?}");
        let outcome = client.access().bind_role("owner", "security-admin").await;
        assert_eq!(refused(outcome).code, 1003);
        assert_eq!(
            refused(client.cache().get("orders", "A-1").await).code,
            1003
        );
    }
    for client in clients(&server, &security) {
        assert!(
            client
                .access()
                .list_bindings(None, None, None)
                .await
                .is_ok()
        );
    }
    server.stop().await.expect("ends well");

    let server = serve(&data, &[]).await;
    for client in clients(&server, &owner) {
        assert!(client.access().list_keys(None, None, None).await.is_ok());
    }
    server.stop().await.expect("ends well");
}
