//! The `access` block, and the health of the instance.

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use plinth_client::{Client, CreatedKey, KeyOptions, SetOptions};
use serde_json::json;

use super::{Log, Rig, Scenario, refused};

/// The scenarios of the block.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "access: a key opens what its role allows, until it is revoked",
            run: life_of_a_key,
            expect: || {
                json!([
                    ["developer"],
                    { "roles": ["developer"], "kind": "service", "expires": true },
                    "stored",
                    refused(1003, "FORBIDDEN", &[]),
                    "revoked",
                    "revoked",
                    refused(1002, "UNAUTHENTICATED", &[]),
                    [["", true, true]],
                    refused(1004, "NOT_FOUND", &[]),
                ])
            },
        },
        Scenario {
            name: "access: the same idempotency key creates one key and shows it once",
            run: repeated_creation,
            expect: || json!([true, false, true, 1, refused(1005, "CONFLICT", &[])]),
        },
        Scenario {
            name: "access: a role is in force at once when it is given or taken",
            run: roles_at_once,
            expect: || {
                json!([
                    refused(1003, "FORBIDDEN", &[]),
                    true,
                    false,
                    "seen",
                    [["operator", "owner"]],
                    true,
                    false,
                    refused(1003, "FORBIDDEN", &[]),
                ])
            },
        },
        Scenario {
            name: "access: nobody hands out more than he holds, and powers stay apart",
            run: separation,
            expect: || {
                json!([
                    "given",
                    refused(1003, "FORBIDDEN", &[]),
                    refused(1003, "FORBIDDEN", &[]),
                    refused(1003, "FORBIDDEN", &[]),
                    refused(1005, "CONFLICT", &[]),
                    refused(1005, "CONFLICT", &[]),
                    refused(1004, "NOT_FOUND", &[]),
                ])
            },
        },
        Scenario {
            name: "access: what is malformed is refused by the name of its field",
            run: malformed,
            expect: || {
                json!([
                    refused(1001, "INVALID_ARGUMENT", &["principal"]),
                    refused(1001, "INVALID_ARGUMENT", &["roles[0]"]),
                    refused(1001, "INVALID_ARGUMENT", &["principal_kind"]),
                    refused(1001, "INVALID_ARGUMENT", &["label"]),
                    refused(1001, "INVALID_ARGUMENT", &["expires_in_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["request_id"]),
                    refused(1001, "INVALID_ARGUMENT", &["role"]),
                    refused(1001, "INVALID_ARGUMENT", &["limit"]),
                    refused(1001, "INVALID_ARGUMENT", &["cursor"]),
                    refused(1001, "INVALID_ARGUMENT", &["tenant"]),
                    refused(1002, "UNAUTHENTICATED", &[]),
                ])
            },
        },
        Scenario {
            name: "access: listings page without loss",
            run: pages,
            expect: || json!([3, 2, true, [["developer"], ["operator"]]]),
        },
        Scenario {
            name: "access: another tenant has its own data and no say over tenants",
            run: tenants,
            expect: || {
                json!([
                    ["owner"],
                    refused(1005, "CONFLICT", &[]),
                    "absent",
                    refused(1003, "FORBIDDEN", &[]),
                    refused(1004, "NOT_FOUND", &[]),
                    1,
                ])
            },
        },
        Scenario {
            name: "health: the parts are shown with the permission, the state to everybody",
            run: health,
            expect: || json!(["up", true, true, true, "up", true, false, false]),
        },
    ]
}

fn with_roles(roles: &[&str]) -> KeyOptions {
    KeyOptions {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..KeyOptions::default()
    }
}

/// A key of a new holder, and a client that shows it.
async fn holder(rig: &Rig, name: &str, roles: &[&str]) -> Result<(CreatedKey, Client)> {
    let access = rig.client.access();
    let created = access
        .create_key(&rig.name(name), &with_roles(roles), None)
        .await?;
    let text = created.key.as_deref().context("a new key has a text")?;
    let client = rig.client_with(text)?;
    Ok((created, client))
}

fn life_of_a_key<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let access = rig.client.access();
        let principal = rig.name("life");
        let options = KeyOptions {
            expires_in_ms: Some(60_000),
            ..with_roles(&["developer"])
        };
        let created = access.create_key(&principal, &options, None).await?;
        let text = created.key.as_deref().context("a new key has a text")?;
        log.note(&created.roles);
        let app = rig.client_with(text)?;
        let me = app.access().who_am_i().await?;
        log.note(json!({
            "roles": me.roles, "kind": me.principal_kind, "expires": me.expires_at_ms == created.expires_at_ms,
        }));
        let space = rig.name("access");
        let stored = app
            .cache()
            .set(&space, "k", "v", SetOptions::default())
            .await;
        log.outcome(stored, |_| "stored");
        log.outcome(app.access().list_keys(None, None, None).await, |_| "listed");
        log.outcome(access.revoke_key(&created.key_id).await, |()| "revoked");
        log.outcome(access.revoke_key(&created.key_id).await, |()| "revoked");
        log.outcome(app.access().who_am_i().await, |_| "let in");
        let listed = access.list_keys(Some(&principal), None, None).await?;
        let row = |key: &plinth_client::AccessKey| {
            json!([
                key.label,
                key.revoked_at_ms.is_some(),
                key.key_id == created.key_id
            ])
        };
        log.note(listed.keys.iter().map(row).collect::<Vec<_>>());
        log.outcome(access.revoke_key("nothing").await, |()| "revoked");
        Ok(())
    })
}

fn repeated_creation<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let access = rig.client.access();
        let (principal, id) = (rig.name("repeated"), Some(rig.name("try-1")));
        let options = with_roles(&["developer"]);
        let first = access.create_key(&principal, &options, id.clone()).await?;
        let again = access.create_key(&principal, &options, id.clone()).await?;
        log.note(first.key.is_some());
        log.note(again.key.is_some());
        log.note(first.key_id == again.key_id);
        let listed = access.list_keys(Some(&principal), None, None).await?;
        log.note(listed.keys.len());
        let other = access
            .create_key(&principal, &KeyOptions::default(), id)
            .await;
        log.outcome(other, |_| "created");
        Ok(())
    })
}

fn roles_at_once<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let access = rig.client.access();
        let (_, app) = holder(rig, "roles", &[]).await?;
        let (principal, space) = (rig.name("roles"), rig.name("access"));
        let cache = app.cache();
        let stats = || cache.stats(&space);
        log.outcome(stats().await, |_| "seen");
        log.note(access.bind_role(&principal, "operator").await?);
        log.note(access.bind_role(&principal, "operator").await?);
        log.outcome(stats().await, |_| "seen");
        let bindings = access.list_bindings(Some(&principal), None, None).await?;
        let row =
            |binding: &plinth_client::AccessBinding| json!([binding.role, binding.granted_by]);
        log.note(bindings.bindings.iter().map(row).collect::<Vec<_>>());
        log.note(access.unbind_role(&principal, "operator").await?);
        log.note(access.unbind_role(&principal, "operator").await?);
        log.outcome(stats().await, |_| "seen");
        Ok(())
    })
}

fn separation<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (_, guard) = holder(rig, "guard", &["security-admin"]).await?;
        holder(rig, "app", &[]).await?;
        let (access, app) = (guard.access(), rig.name("app"));
        log.outcome(access.bind_role(&app, "developer").await, |_| "given");
        log.outcome(access.bind_role(&app, "owner").await, |_| "given");
        log.outcome(access.unbind_role("owner", "owner").await, |_| "taken");
        let of_owner = access
            .create_key("owner", &KeyOptions::default(), None)
            .await;
        log.outcome(of_owner, |_| "created");
        let owner = rig.client.access();
        let both = with_roles(&["system-admin", "audit-admin"]);
        log.outcome(
            owner.create_key(&rig.name("both"), &both, None).await,
            |_| "created",
        );
        log.outcome(owner.unbind_role("owner", "owner").await, |_| "taken");
        let nobody = owner.bind_role(&rig.name("nobody"), "developer").await;
        log.outcome(nobody, |_| "given");
        Ok(())
    })
}

fn malformed<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let access = rig.client.access();
        let plain = KeyOptions::default;
        let created = |_| "created";
        log.outcome(access.create_key("a b", &plain(), None).await, created);
        log.outcome(
            access.create_key("app", &with_roles(&["king"]), None).await,
            created,
        );
        let options = KeyOptions {
            principal_kind: Some("system".to_owned()),
            ..plain()
        };
        log.outcome(access.create_key("app", &options, None).await, created);
        let options = KeyOptions {
            label: Some("l".repeat(129)),
            ..plain()
        };
        log.outcome(access.create_key("app", &options, None).await, created);
        let options = KeyOptions {
            expires_in_ms: Some(999),
            ..plain()
        };
        log.outcome(access.create_key("app", &options, None).await, created);
        let too_long = Some("i".repeat(129));
        log.outcome(access.create_key("app", &plain(), too_long).await, created);
        log.outcome(access.bind_role("owner", "king").await, |_| "given");
        log.outcome(
            access.list_keys(None, Some(1_001), None).await,
            |_| "listed",
        );
        log.outcome(
            access.list_bindings(None, None, Some("!")).await,
            |_| "listed",
        );
        log.outcome(access.create_tenant("a/b", None, None).await, |_| "created");
        let stranger = rig.client_with("plk_not-a-key")?;
        log.outcome(stranger.access().who_am_i().await, |_| "let in");
        Ok(())
    })
}

fn pages<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let access = rig.client.access();
        let principal = rig.name("pages");
        for _ in 0..3 {
            let options = with_roles(&["developer", "operator"]);
            access.create_key(&principal, &options, None).await?;
        }
        let (mut ids, mut cursor, mut turns) = (Vec::new(), None::<String>, 0);
        loop {
            let page = access
                .list_keys(Some(&principal), Some(2), cursor.as_deref())
                .await?;
            ids.extend(page.keys.into_iter().map(|key| key.key_id));
            turns += 1;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        log.note(ids.len());
        log.note(turns);
        log.note(ids.is_sorted_by(|one, next| one < next));
        let (mut roles, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = access
                .list_bindings(Some(&principal), Some(1), cursor.as_deref())
                .await?;
            roles.push(
                page.bindings
                    .into_iter()
                    .map(|row| row.role)
                    .collect::<Vec<_>>(),
            );
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        log.note(roles);
        Ok(())
    })
}

fn tenants<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let access = rig.client.access();
        let tenant = rig.name("shop");
        let created = access.create_tenant(&tenant, Some("Shop"), None).await?;
        log.note(&created.first_key.roles);
        log.outcome(
            access.create_tenant(&tenant, None, None).await,
            |_| "created",
        );
        let text = created
            .first_key
            .key
            .as_deref()
            .context("a new key has a text")?;
        let shop = rig.client_with(text)?;
        let space = rig.name("access");
        rig.client
            .cache()
            .set(&space, "mine", "v", SetOptions::default())
            .await?;
        let found = shop.cache().get(&space, "mine").await?;
        log.note(found.map_or("absent", |_| "present"));
        let nested = shop
            .access()
            .create_tenant(&rig.name("nested"), None, None)
            .await;
        log.outcome(nested, |_| "created");
        let me = access.who_am_i().await?;
        log.outcome(shop.access().revoke_key(&me.key_id).await, |()| "revoked");
        log.note(shop.access().list_keys(None, None, None).await?.keys.len());
        Ok(())
    })
}

fn health<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (_, nobody) = holder(rig, "visitor", &[]).await?;
        for client in [&rig.client, &nobody] {
            let health = client.access().health().await?;
            log.note(&health.status);
            log.note(health.ready);
            log.note(health.version.is_some());
            log.note(health.components.is_some_and(|parts| !parts.is_empty()));
        }
        Ok(())
    })
}
