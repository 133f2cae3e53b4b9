//! How access is handed out: keys, roles, tenants.

use plinth_core::{CallContext, ErrorCode, IdempotencyKey, Result};
use plinth_gate::access::{
    CreateKeyRequest, CreateTenantRequest, EXPIRES_IN_MS_MAX, EXPIRES_IN_MS_MIN, LABEL_BYTES_MAX,
    ListBindingsRequest, ListKeysRequest, ROLES_MAX, RevokeKeyRequest,
};

use crate::pipeline::context_of;
use crate::support::{World, bind, unbind};

fn code<T>(result: Result<T>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

fn key_of(principal: &str, roles: &[&str]) -> CreateKeyRequest {
    CreateKeyRequest {
        principal: principal.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..CreateKeyRequest::default()
    }
}

async fn owner_of(world: &World) -> CallContext {
    context_of(&world.owner().await, "access.create_key")
}

#[tokio::test]
async fn the_first_key_is_made_once() {
    let world = World::new().await;
    assert!(world.access.bootstrap().await.expect("answers").is_empty());
    let me = world
        .access
        .who_am_i(&owner_of(&world).await)
        .await
        .expect("answers");
    assert_eq!(
        (me.tenant.as_str(), me.principal.as_str()),
        ("default", "owner")
    );
    assert_eq!(me.roles, ["owner"]);
    assert_eq!(me.permissions[0].operations, "*");
}

#[tokio::test]
async fn a_repeated_creation_gets_the_first_answer_without_the_text() {
    let world = World::new().await;
    let mut ctx = owner_of(&world).await;
    ctx.idempotency_key = Some(IdempotencyKey::parse("try-1").expect("a key"));
    let first = world
        .access
        .create_key(&ctx, key_of("app", &["developer"]))
        .await
        .expect("creates");
    let again = world
        .access
        .create_key(&ctx, key_of("app", &["developer"]))
        .await
        .expect("repeats");
    assert_eq!(first.created.key_id, again.created.key_id);
    assert!(first.created.key.is_some() && again.created.key.is_none());
    let other = world.access.create_key(&ctx, key_of("other", &[])).await;
    assert_eq!(code(other), Some(ErrorCode::Conflict));
    let listed = world
        .access
        .list_keys(&ctx, ListKeysRequest::default())
        .await
        .expect("lists");
    assert_eq!(listed.keys.len(), 2);
}

#[tokio::test]
async fn nobody_hands_out_more_than_he_holds() {
    let world = World::new().await;
    world.holder_of("app", &[]).await;
    world.holder_of("boss", &["owner"]).await;
    let grantable = |granter: &'static str| match granter {
        "owner" => vec![
            "owner",
            "system-admin",
            "security-admin",
            "audit-admin",
            "operator",
            "developer",
        ],
        "security-admin" => vec!["security-admin", "operator", "developer"],
        other => vec![other],
    };
    for granter in [
        "owner",
        "system-admin",
        "security-admin",
        "audit-admin",
        "operator",
        "developer",
    ] {
        let ctx = context_of(
            &world.holder_of(granter, &[granter]).await,
            "access.bind_role",
        );
        for role in [
            "owner",
            "system-admin",
            "security-admin",
            "audit-admin",
            "operator",
            "developer",
        ] {
            let may = grantable(granter).contains(&role);
            // An operator's permissions are in part a developer's; only whole roles count.
            let expected = (!may).then_some(ErrorCode::Forbidden);
            let bound = world.access.bind_role(&ctx, bind("app", role)).await;
            assert_eq!(code(bound), expected, "{granter} gives {role}");
            if may {
                world
                    .access
                    .unbind_role(&ctx, unbind("app", role))
                    .await
                    .expect("takes back");
            }
            let taken = world.access.unbind_role(&ctx, unbind("boss", role)).await;
            assert_eq!(code(taken), expected, "{granter} takes {role}");
            world.holder_of("boss", &["owner"]).await;
            let fresh = format!("{granter}-{role}");
            let made = world.access.create_key(&ctx, key_of(&fresh, &[role])).await;
            assert_eq!(code(made), expected, "{granter} makes a key with {role}");
        }
    }
}

#[tokio::test]
async fn a_key_of_a_mightier_holder_is_not_to_be_had() {
    let world = World::new().await;
    let guard = context_of(
        &world.holder_of("guard", &["security-admin"]).await,
        "access.create_key",
    );
    let key = world.access.create_key(&guard, key_of("owner", &[])).await;
    assert_eq!(code(key), Some(ErrorCode::Forbidden));
    assert_eq!(
        code(world.access.create_key(&guard, key_of("guard", &[])).await),
        None
    );
}

#[tokio::test]
async fn the_three_powers_never_meet_in_one_holder() {
    let world = World::new().await;
    let ctx = owner_of(&world).await;
    let powers = ["system-admin", "security-admin", "audit-admin"];
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        let holder = powers[one];
        world
            .access
            .create_key(&ctx, key_of(holder, &[holder]))
            .await
            .expect("creates");
        let second = world
            .access
            .bind_role(&ctx, bind(holder, powers[other]))
            .await;
        assert_eq!(code(second), Some(ErrorCode::Conflict));
        let both = world
            .access
            .create_key(&ctx, key_of("both", &[powers[one], powers[other]]))
            .await;
        assert_eq!(code(both), Some(ErrorCode::Conflict));
        let later = world
            .access
            .create_key(&ctx, key_of(holder, &[powers[other]]))
            .await;
        assert_eq!(code(later), Some(ErrorCode::Conflict));
        let more = world.access.bind_role(&ctx, bind(holder, "operator")).await;
        assert_eq!(code(more), None);
    }
}

#[tokio::test]
async fn the_last_owner_stays() {
    let world = World::new().await;
    let ctx = owner_of(&world).await;
    assert_eq!(
        code(
            world
                .access
                .unbind_role(&ctx, unbind("owner", "owner"))
                .await
        ),
        Some(ErrorCode::Conflict)
    );
    let no_owner = world
        .access
        .unbind_role(&ctx, unbind("nobody", "owner"))
        .await;
    assert!(!no_owner.expect("changes nothing").removed);
    world.holder_of("second", &["owner"]).await;
    let reply = world
        .access
        .unbind_role(&ctx, unbind("owner", "owner"))
        .await;
    assert!(reply.expect("is not the last").removed);
    assert_eq!(
        code(
            world
                .access
                .unbind_role(&ctx, unbind("second", "owner"))
                .await
        ),
        Some(ErrorCode::Conflict)
    );
    let me = world.owner().await;
    assert!(
        me.caller.roles.is_empty(),
        "a change of roles is in force at once"
    );
}

#[tokio::test]
async fn bad_requests_name_their_field() {
    let world = World::new().await;
    let ctx = owner_of(&world).await;
    let with = |change: fn(&mut CreateKeyRequest)| {
        let mut request = key_of("app", &[]);
        change(&mut request);
        request
    };
    let life = |life_ms: i64| {
        let mut request = key_of("app", &[]);
        request.expires_in_ms = Some(life_ms);
        request
    };
    for (request, field) in [
        (with(|r| r.principal = String::new()), Some("principal")),
        (with(|r| r.principal = "a b".to_owned()), Some("principal")),
        (
            with(|r| r.principal_name = Some(String::new())),
            Some("principal_name"),
        ),
        (
            with(|r| r.principal_kind = Some("system".to_owned())),
            Some("principal_kind"),
        ),
        (with(|r| r.label = Some("a\u{7}".to_owned())), Some("label")),
        (with(|r| r.label = Some("a".repeat(LABEL_BYTES_MAX))), None),
        (
            with(|r| r.label = Some("a".repeat(LABEL_BYTES_MAX + 1))),
            Some("label"),
        ),
        (
            with(|r| r.roles = vec!["developer".to_owned(), "king".to_owned()]),
            Some("roles[1]"),
        ),
        (
            with(|r| r.roles = vec!["developer".to_owned(); ROLES_MAX]),
            None,
        ),
        (
            with(|r| r.roles = vec!["developer".to_owned(); ROLES_MAX + 1]),
            Some("roles"),
        ),
        (life(EXPIRES_IN_MS_MIN), None),
        (life(EXPIRES_IN_MS_MIN - 1), Some("expires_in_ms")),
        (life(EXPIRES_IN_MS_MAX), None),
        (life(EXPIRES_IN_MS_MAX + 1), Some("expires_in_ms")),
    ] {
        let error = world.access.create_key(&ctx, request).await.err();
        let named = error
            .as_ref()
            .map(|error| error.violations()[0].field.as_str());
        assert_eq!(named, field);
    }
    let unknown = world.access.bind_role(&ctx, bind("owner", "king")).await;
    assert_eq!(
        unknown.expect_err("is refused").violations()[0].field,
        "role"
    );
    let absent = world
        .access
        .bind_role(&ctx, bind("nobody", "developer"))
        .await;
    assert_eq!(code(absent), Some(ErrorCode::NotFound));
    let absent = RevokeKeyRequest {
        key_id: "nobody".to_owned(),
    };
    assert_eq!(
        code(world.access.revoke_key(&ctx, absent).await),
        Some(ErrorCode::NotFound)
    );
}

#[tokio::test]
async fn pages_neither_lose_nor_repeat_a_key_or_binding() {
    let world = World::new().await;
    let ctx = owner_of(&world).await;
    for number in 0..8 {
        let request = key_of(&format!("app-{number}"), &["developer", "operator"]);
        world
            .access
            .create_key(&ctx, request)
            .await
            .expect("creates");
    }
    let (mut keys, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let request = ListKeysRequest {
            limit: Some(3),
            cursor,
            ..ListKeysRequest::default()
        };
        let page = world.access.list_keys(&ctx, request).await.expect("lists");
        keys.extend(page.keys.into_iter().map(|key| key.key_id));
        pages += 1;
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(
        (keys.len(), pages),
        (9, 3),
        "a full last page has no next one"
    );
    assert!(keys.is_sorted_by(|one, next| one < next));
    let (mut bindings, mut cursor) = (Vec::new(), None);
    loop {
        let request = ListBindingsRequest {
            limit: Some(5),
            cursor,
            ..ListBindingsRequest::default()
        };
        let page = world
            .access
            .list_bindings(&ctx, request)
            .await
            .expect("lists");
        bindings.extend(
            page.bindings
                .into_iter()
                .map(|row| (row.principal, row.role)),
        );
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(bindings.len(), 17);
    assert!(bindings.is_sorted_by(|one, next| one < next));
    let one = ListBindingsRequest {
        principal: Some("app-3".to_owned()),
        ..ListBindingsRequest::default()
    };
    assert_eq!(
        world
            .access
            .list_bindings(&ctx, one)
            .await
            .expect("lists")
            .bindings
            .len(),
        2
    );
}

#[tokio::test]
async fn a_tenant_sees_and_revokes_only_its_own_keys() {
    let world = World::new().await;
    let ctx = owner_of(&world).await;
    let request = |tenant: &str| CreateTenantRequest {
        tenant: tenant.to_owned(),
        name: None,
    };
    let reply = world
        .access
        .create_tenant(&ctx, request("shop"))
        .await
        .expect("creates");
    assert_eq!(
        code(world.access.create_tenant(&ctx, request("shop")).await),
        Some(ErrorCode::Conflict)
    );
    let shop_key = reply.first_key.key.expect("is new");
    let shop = world
        .authenticate(shop_key.expose())
        .await
        .expect("is let in");
    assert_eq!(shop.caller.tenant.as_str(), "shop");
    let shop = context_of(&shop, "access.list_keys");
    let listed = world
        .access
        .list_keys(&shop, ListKeysRequest::default())
        .await
        .expect("lists");
    assert_eq!(listed.keys.len(), 1);
    let foreign = world
        .access
        .list_keys(&ctx, ListKeysRequest::default())
        .await
        .expect("lists");
    let foreign = RevokeKeyRequest {
        key_id: foreign.keys[0].key_id.clone(),
    };
    assert_eq!(
        code(world.access.revoke_key(&shop, foreign).await),
        Some(ErrorCode::NotFound)
    );
}
