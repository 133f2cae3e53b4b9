//! Who is let in, for how long, and what floods cost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use plinth_core::{CallContext, Error, ErrorCode};
use plinth_gate::access::{CreateKeyRequest, RevokeKeyRequest};
use plinth_gate::catalogue::ops;
use plinth_gate::{AddressLimit, GateSettings};
use plinth_security::{ApiKey, SeededEntropy};

use crate::pipeline::{code_of, context_of, orders};
use crate::support::{World, meta};

fn finds(world: &World) -> usize {
    world.directory.finds.load(Ordering::SeqCst)
}

fn stranger(seed: u64) -> String {
    let (_, text) = ApiKey::generate(&SeededEntropy::new(seed)).expect("generates");
    text.expose().to_owned()
}

fn key_id(text: &str) -> String {
    ApiKey::parse(text).expect("a key").id().as_str().to_owned()
}

async fn refusal(world: &World, key: &str) -> Error {
    match world.authenticate(key).await {
        Ok(_) => panic!("{key} was let in"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_caller_is_told_that_a_key_is_bad_but_never_why() {
    let world = World::new().await;
    let revoked = world.key_for("revoked", &[]).await;
    world.directory.revoke_elsewhere(&key_id(&revoked));
    let other = stranger(77);
    let forged = forge(&key_id(&world.owner_key), &other);
    let mut texts = Vec::new();
    for key in [
        "",
        "plk_",
        "Bearer x",
        &world.owner_key[..world.owner_key.len() - 1],
        &forged,
        &other,
        &revoked,
    ] {
        let error = refusal(&world, key).await;
        assert_eq!(error.code(), ErrorCode::Unauthenticated, "{key}");
        texts.push(error.message().to_owned());
    }
    world.directory.set_active("default", false);
    texts.push(refusal(&world, &world.owner_key).await.message().to_owned());
    texts.dedup();
    assert_eq!(texts, ["the credential is not valid"]);
    let missing = world.gate.authenticate(meta(None)).await;
    assert_eq!(
        missing.err().map(|error| error.code()),
        Some(ErrorCode::Unauthenticated)
    );
}

/// A well-formed text of one key's id and another's secret.
fn forge(id: &str, other: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let body = format!("plk_{id}_{}", &other[21..53]);
    let check = u64::from(crc32fast::hash(body.as_bytes())) << 3;
    let digits = (0..7).rev().map(|place| {
        let digit = usize::try_from((check >> (5 * place)) & 31).expect("a digit");
        char::from(ALPHABET[digit])
    });
    body.chars().chain(digits).collect()
}

#[tokio::test]
async fn an_expired_key_is_refused_at_its_instant_even_from_memory() {
    let world = World::new().await;
    let ctx = context_of(&world.owner().await, "access.create_key");
    let request = CreateKeyRequest {
        principal: "short".to_owned(),
        expires_in_ms: Some(1_000),
        ..CreateKeyRequest::default()
    };
    let reply = world
        .access
        .create_key(&ctx, request)
        .await
        .expect("creates");
    let key = reply.created.key.expect("is new").expose().to_owned();
    world.clock.advance_ms(999);
    assert!(world.authenticate(&key).await.is_ok());
    world.clock.advance_ms(1);
    assert_eq!(
        refusal(&world, &key).await.code(),
        ErrorCode::Unauthenticated
    );
}

#[tokio::test]
async fn a_busy_key_costs_one_look_up_for_each_half_of_its_time() {
    let world = World::new().await;
    world.owner().await;
    let before = finds(&world);
    for _ in 0..100 {
        world.owner().await;
    }
    assert_eq!(finds(&world), before);
    world.clock.advance_ms(500);
    for _ in 0..100 {
        world.owner().await;
    }
    assert_eq!(finds(&world), before + 1);
}

#[tokio::test]
async fn callers_who_come_at_once_with_an_unknown_key_share_one_look_up() {
    let settings = GateSettings {
        lookups_concurrent_max: 1,
        ..GateSettings::default()
    };
    let world = Arc::new(World::with(settings).await);
    let before = finds(&world);
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.authenticate(&world.owner_key).await.is_ok() })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.expect("joins"));
    }
    assert_eq!(finds(&world), before + 1);
}

#[tokio::test]
async fn a_revocation_works_at_once_here_and_within_a_second_elsewhere() {
    let world = World::new().await;
    let (here, elsewhere) = (
        world.key_for("here", &[]).await,
        world.key_for("elsewhere", &[]).await,
    );
    assert!(world.authenticate(&here).await.is_ok());
    assert!(world.authenticate(&elsewhere).await.is_ok());

    let ctx = context_of(&world.owner().await, "access.revoke_key");
    let request = RevokeKeyRequest {
        key_id: key_id(&here),
    };
    world
        .access
        .revoke_key(&ctx, request)
        .await
        .expect("revokes");
    assert_eq!(
        refusal(&world, &here).await.code(),
        ErrorCode::Unauthenticated
    );

    assert!(world.authenticate(&elsewhere).await.is_ok());
    world.directory.revoke_elsewhere(&key_id(&elsewhere));
    world.clock.advance_ms(1_000);
    assert_eq!(
        refusal(&world, &elsewhere).await.code(),
        ErrorCode::Unauthenticated
    );
}

#[tokio::test]
async fn without_the_directory_known_keys_go_on_for_a_second_and_new_ones_wait() {
    let world = World::new().await;
    let unseen = world.key_for("unseen", &[]).await;
    world.owner().await;
    world.directory.down.store(true, Ordering::SeqCst);
    assert_eq!(
        refusal(&world, &unseen).await.code(),
        ErrorCode::DependencyUnavailable
    );
    world.clock.advance_ms(999);
    assert!(world.authenticate(&world.owner_key).await.is_ok());
    world.clock.advance_ms(1);
    let error = refused_call(&world, &world.owner_key).await;
    assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
    assert!(error.is_retriable());
    world.directory.down.store(false, Ordering::SeqCst);
    let session = world
        .authenticate(&world.owner_key)
        .await
        .expect("is let in");
    let code = code_of(&world, &session, &ops::CACHE_GET, orders()).await;
    assert_eq!(code, None);
}

/// What stands in the way of a call, at the door or behind it.
async fn refused_call(world: &World, key: &str) -> Error {
    let session = match world.authenticate(key).await {
        Ok(session) => session,
        Err(error) => return error,
    };
    let call = async |_: CallContext| Ok::<_, Error>(());
    let called = world.gate.call(&session, &ops::CACHE_GET, orders(), call);
    called.await.expect_err("is refused")
}

#[tokio::test]
async fn without_the_directory_a_key_that_was_good_lately_still_sees_the_health() {
    let world = World::new().await;
    let registry = plinth_resilience::HealthRegistry::new(world.clock.clone());
    registry.essential_component("control").down("away");
    registry.serve();
    let operator = world.key_for("operator", &["operator"]).await;
    let stranger = world.key_for("stranger", &["operator"]).await;
    let revoked = world.key_for("revoked", &["operator"]).await;
    for key in [&operator, &revoked] {
        world.authenticate(key).await.expect("is let in");
    }
    world.directory.down.store(true, Ordering::SeqCst);
    world.clock.advance_ms(599_999);
    let session = world.authenticate(&operator).await.expect("is let in");
    let reply = world.gate.health(&session, &registry).await;
    let reply = reply.expect("answers");
    assert_eq!(reply.status, "down");
    assert_eq!(reply.components.expect("may see them")[0].name, "control");
    for operation in [&ops::CACHE_GET, &ops::ACCESS_WHO_AM_I] {
        let code = code_of(&world, &session, operation, orders()).await;
        assert_eq!(code, Some(ErrorCode::DependencyUnavailable));
    }
    let unseen = refusal(&world, &stranger).await;
    assert_eq!(unseen.code(), ErrorCode::DependencyUnavailable);
    world.gate.credentials().forget_all();
    let changed = refusal(&world, &revoked).await;
    assert_eq!(changed.code(), ErrorCode::DependencyUnavailable);
    world.directory.down.store(false, Ordering::SeqCst);
    world.authenticate(&operator).await.expect("is let in");
    world.directory.down.store(true, Ordering::SeqCst);
    world.clock.advance_ms(600_000);
    let late = refusal(&world, &operator).await;
    assert_eq!(late.code(), ErrorCode::DependencyUnavailable);
}

#[tokio::test]
async fn a_flood_of_bad_keys_is_refused_unheard_and_harms_no_good_one() {
    let settings = GateSettings {
        address: AddressLimit {
            per_second: 1,
            burst: 10,
            ..AddressLimit::default()
        },
        ..GateSettings::default()
    };
    let world = World::with(settings).await;
    let late = world.key_for("late", &[]).await;
    world.owner().await;
    for seed in 100..110 {
        let error = refusal(&world, &stranger(seed)).await;
        assert_eq!(error.code(), ErrorCode::Unauthenticated);
    }
    let before = finds(&world);
    for seed in 110..200 {
        let error = refusal(&world, &stranger(seed)).await;
        assert_eq!(error.code(), ErrorCode::RateLimited);
        assert_eq!(error.retry_after(), Some(1_000));
    }
    assert_eq!(
        refusal(&world, "plk_nonsense").await.code(),
        ErrorCode::RateLimited
    );
    assert_eq!(finds(&world), before, "nobody was looked up");

    world.owner().await;
    assert_eq!(refusal(&world, &late).await.code(), ErrorCode::RateLimited);
    let mut from_elsewhere = meta(Some(&late));
    from_elsewhere.address = Some([10, 0, 0, 2].into());
    assert!(world.gate.authenticate(from_elsewhere).await.is_ok());
    // Once heard, it is no stranger any more, whatever the address, and long after its second in memory.
    world.clock.advance_ms(1);
    assert!(world.authenticate(&late).await.is_ok());
}

#[tokio::test]
async fn a_bad_key_shown_again_and_again_costs_one_look_up() {
    let world = World::new().await;
    let before = finds(&world);
    let bad = stranger(9);
    for _ in 0..50 {
        assert_eq!(
            refusal(&world, &bad).await.code(),
            ErrorCode::Unauthenticated
        );
    }
    assert_eq!(finds(&world), before + 1);
}

#[tokio::test]
async fn a_tenant_that_is_switched_on_again_is_let_in_promptly() {
    let world = World::new().await;
    world.directory.set_active("default", false);
    assert_eq!(
        refusal(&world, &world.owner_key).await.code(),
        ErrorCode::Unauthenticated
    );
    world.directory.set_active("default", true);
    world.clock.advance_ms(500);
    assert!(world.authenticate(&world.owner_key).await.is_ok());
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_once_a_minute() {
    let world = World::new().await;
    for _ in 0..60 {
        world.owner().await;
        world.clock.advance_ms(1_000);
    }
    world.gate.close().await;
    assert_eq!(world.directory.touches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn refusals_are_counted_by_their_true_reason() {
    let world = World::new().await;
    refusal(&world, "nonsense").await;
    refusal(&world, &stranger(3)).await;
    refusal(&world, &stranger(3)).await;
    for reason in ["malformed", "unknown", "remembered"] {
        let series = format!("plinth_credentials_refused_total{{reason={reason},transport=http}}");
        assert_eq!(world.metrics.get(&series), 1, "{reason}");
    }
}
