//! Access where the duties of administration are separated, and where a lost key is replaced.

use std::sync::Arc;

use plinth_core::{CallContext, Error, ErrorCode, PrincipalId, TenantId};
use plinth_gate::GateSettings;
use plinth_gate::access::{
    CreateKeyRequest, CreateTenantRequest, RecoverRequest, Separation, SeparationState,
};
use plinth_gate::catalogue::operations;

use crate::pipeline::context_of;
use crate::support::{World, bind, unbind};

async fn separated() -> World {
    World::over(
        Arc::default(),
        GateSettings::default(),
        Separation::Enforced,
    )
    .await
}

/// A world in which duties were united before: its keys and bindings are there, its owner's key among them.
async fn separated_later() -> (World, String) {
    let before = World::new().await;
    let owner_key = before.owner_key.clone();
    let directory = Arc::clone(&before.directory);
    let world = World::over(directory, GateSettings::default(), Separation::Enforced).await;
    (world, owner_key)
}

async fn acting(world: &World, key: &str) -> CallContext {
    let session = world.authenticate(key).await.expect("is let in");
    context_of(&session, "access.bind_role")
}

fn refusal(error: &Error) -> (ErrorCode, Option<&str>) {
    let field = error.violations().first().map(|found| found.field.as_str());
    (error.code(), field)
}

#[tokio::test]
async fn the_first_start_issues_the_three_keys_and_no_other() {
    let world = separated().await;
    let roles: Vec<&str> = world.first_keys.keys().map(String::as_str).collect();
    assert_eq!(roles, ["audit-admin", "security-admin", "system-admin"]);
    for (role, key) in &world.first_keys {
        let me = world.access.who_am_i(&acting(&world, key).await).await;
        let me = me.expect("answers");
        assert_eq!((&me.principal, &me.roles), (role, &vec![role.clone()]));
    }
    assert!(world.access.bootstrap().await.expect("answers").is_empty());
    let state = world.access.separation_state().await.expect("answers");
    let nothing_amiss = SeparationState {
        owners: 0,
        vacant: vec![],
    };
    assert_eq!(state, Some(nothing_amiss));
}

#[tokio::test]
async fn owner_can_neither_be_bound_nor_be_given_with_a_key() {
    let world = separated().await;
    for key in world.first_keys.values() {
        let ctx = acting(&world, key).await;
        let bound = world.access.bind_role(&ctx, bind("system-admin", "owner"));
        let error = bound.await.map(drop).expect_err("is refused");
        assert_eq!(refusal(&error), (ErrorCode::InvalidArgument, Some("role")));
        let message = &error.violations()[0].message;
        assert!(message.contains("access.separation"), "{message}");
        let request = CreateKeyRequest {
            principal: "app".to_owned(),
            roles: vec!["developer".to_owned(), "owner".to_owned()],
            ..CreateKeyRequest::default()
        };
        let created = world.access.create_key(&ctx, request).await.map(drop);
        let error = created.expect_err("is refused");
        assert_eq!(
            refusal(&error),
            (ErrorCode::InvalidArgument, Some("roles[1]"))
        );
    }
}

#[tokio::test]
async fn a_binding_of_owner_from_before_holds_nothing_and_can_be_taken_away() {
    let (world, owner_key) = separated_later().await;
    let owner = world.authenticate(&owner_key).await.expect("is let in");
    for operation in operations() {
        let decision = world.gate.decide(&owner.caller, operation.id, None);
        assert!(!decision.is_allowed(), "{}", operation.id);
    }
    let state = world.access.separation_state().await.expect("answers");
    assert_eq!(
        state.expect("is separated"),
        SeparationState {
            owners: 1,
            vacant: vec!["system-admin", "security-admin", "audit-admin"],
        }
    );
    let security = world.key_for("alice", &["security-admin"]).await;
    let ctx = acting(&world, &security).await;
    // A key made now would open everything again once duties are united.
    let request = CreateKeyRequest {
        principal: "owner".to_owned(),
        roles: vec!["developer".to_owned()],
        ..CreateKeyRequest::default()
    };
    let created = world.access.create_key(&ctx, request.clone()).await;
    let error = created.map(drop).expect_err("is refused");
    assert_eq!(error.code(), ErrorCode::Conflict);
    let removed = world.access.unbind_role(&ctx, unbind("owner", "owner"));
    assert!(removed.await.expect("unbinds").removed);
    assert!(world.access.create_key(&ctx, request).await.is_ok());
}

#[tokio::test]
async fn the_last_holder_of_a_power_stays() {
    let world = separated().await;
    for (role, key) in &world.first_keys {
        let ctx = acting(&world, key).await;
        let unbound = world.access.unbind_role(&ctx, unbind(role, role)).await;
        let error = unbound.map(drop).expect_err("is the last");
        assert_eq!(error.code(), ErrorCode::Conflict, "{role}");
        world.key_for(&format!("second-{role}"), &[role]).await;
        let unbound = world.access.unbind_role(&ctx, unbind(role, role)).await;
        assert!(unbound.expect("is not the last").removed, "{role}");
    }
}

#[tokio::test]
async fn a_new_tenant_gets_three_keys_and_a_repeat_tells_of_the_same_ones() {
    let world = separated().await;
    let mut ctx = acting(&world, &world.first_keys["security-admin"]).await;
    ctx.idempotency_key = plinth_core::IdempotencyKey::parse("try-1").ok();
    let request = CreateTenantRequest {
        tenant: "shop".to_owned(),
        name: None,
    };
    let reply = world.access.create_tenant(&ctx, request.clone()).await;
    let reply = reply.expect("creates");
    let keys: Vec<_> = std::iter::once(&reply.first_key)
        .chain(&reply.further_keys)
        .collect();
    let roles: Vec<&str> = keys.iter().map(|key| key.roles[0].as_str()).collect();
    assert_eq!(roles, ["security-admin", "system-admin", "audit-admin"]);
    for key in &keys {
        let text = key.key.as_ref().expect("is new").expose();
        let session = world.authenticate(text).await.expect("is let in");
        assert_eq!(session.caller.tenant.as_str(), "shop");
        assert_eq!(session.caller.principal.id.as_str(), key.roles[0]);
    }
    let again = world.access.create_tenant(&ctx, request).await;
    let again = again.expect("repeats");
    assert!(again.first_key.key.is_none());
    let ids = |reply: &plinth_gate::access::CreateTenantReply| -> Vec<String> {
        std::iter::once(&reply.first_key)
            .chain(&reply.further_keys)
            .map(|key| key.key_id.clone())
            .collect()
    };
    assert_eq!(ids(&again), ids(&reply));
}

fn recovery(role: &str, principal: Option<&str>) -> RecoverRequest {
    RecoverRequest {
        tenant: TenantId::parse("default").expect("a tenant id"),
        role: role.to_owned(),
        principal: principal.map(|id| PrincipalId::parse(id).expect("a principal id")),
    }
}

#[tokio::test]
async fn a_lost_key_is_replaced_beside_those_that_live() {
    let world = World::new().await;
    let (access, tenant) = (&world.access, recovery("owner", None).tenant);
    let prepared = access.prepare_recovery(&recovery("owner", None)).await;
    let key = access.recover(prepared.expect("prepares")).await;
    let key = key.expect("recovers");
    let session = world.authenticate(key.text.expose()).await;
    let session = session.expect("is let in");
    assert_eq!(session.caller.principal.id.as_str(), "owner");
    assert_eq!(session.caller.roles[0].as_ref(), "owner");
    let live = access.live_keys(&tenant, &key.principal).await;
    let live = live.expect("lists");
    assert_eq!(live.len(), 2);
    for old in live.iter().filter(|id| **id != key.id) {
        access.revoke_offline(&tenant, old).await.expect("revokes");
    }
    let live = access.live_keys(&tenant, &key.principal).await;
    assert_eq!(live.expect("lists"), [key.id]);
}

#[tokio::test]
async fn what_cannot_be_recovered_is_said() {
    let united = World::new().await;
    let (later, _) = separated_later().await;
    united.key_for("auditor", &["audit-admin"]).await;
    let absent = RecoverRequest {
        tenant: TenantId::parse("absent").expect("a tenant id"),
        ..recovery("owner", None)
    };
    for (world, request, code, field) in [
        (
            &united,
            recovery("developer", None),
            ErrorCode::InvalidArgument,
            Some("role"),
        ),
        (
            &united,
            recovery("boss", None),
            ErrorCode::InvalidArgument,
            Some("role"),
        ),
        (&united, absent, ErrorCode::NotFound, None),
        (
            &united,
            recovery("system-admin", Some("auditor")),
            ErrorCode::Conflict,
            None,
        ),
        (
            &later,
            recovery("owner", None),
            ErrorCode::InvalidArgument,
            Some("role"),
        ),
        (
            &later,
            recovery("system-admin", Some("owner")),
            ErrorCode::Conflict,
            None,
        ),
    ] {
        let refused = world.access.prepare_recovery(&request).await.map(drop);
        let error = refused.expect_err(&request.role);
        assert_eq!(refusal(&error), (code, field), "{request:?}");
    }
    united.directory.set_active("default", false);
    let refused = united
        .access
        .prepare_recovery(&recovery("owner", None))
        .await;
    let error = refused.map(drop).expect_err("is switched off");
    assert_eq!(error.code(), ErrorCode::Conflict);
}
