//! What a call passes through.

use std::sync::Arc;

use plinth_core::{
    CallContext, Deadline, Error, ErrorCode, OperationId, Outcome, Resource, Result, Transport,
};
use plinth_gate::catalogue::{Operation, by_id, ops};
use plinth_gate::{ConcurrencyLimits, GateSettings, RateLimits, Session, Target};
use plinth_resilience::RateLimit;
use tokio::sync::oneshot;

use crate::support::{World, meta};

/// The context that the gate would make for a session.
pub(crate) fn context_of(session: &Session, operation: &str) -> CallContext {
    CallContext {
        caller: session.caller.clone(),
        operation: by_id(operation).map_or(OperationId::new("?"), |operation| operation.id),
        transport: Transport::Internal,
        deadline: Deadline::after_ms(60_000),
        idempotency_key: None,
    }
}

pub(crate) fn orders() -> Target {
    Target::resource(Resource::new("cache", "orders"))
}

async fn done(_: CallContext) -> Result<&'static str> {
    Ok("done")
}

pub(crate) async fn code_of(
    world: &World,
    session: &Session,
    operation: &'static Operation,
    target: Target,
) -> Option<ErrorCode> {
    let result = world.gate.call(session, operation, target, done).await;
    result.err().map(|error| error.code())
}

#[tokio::test]
async fn each_resource_of_a_batch_needs_the_permission() {
    let world = World::new().await;
    let developer = world.holder_of("dev", &["developer"]).await;
    let nobody = world.holder_of("nobody", &[]).await;
    let batch = || {
        Target::resources(vec![
            Resource::new("cache", "orders"),
            Resource::new("cache", "carts"),
        ])
    };
    for (session, operation, target, expected) in [
        (&developer, &ops::CACHE_GET, orders(), None),
        (&developer, &ops::CACHE_BATCH_GET, batch(), None),
        (&developer, &ops::QUEUE_LIST_QUEUES, Target::none(), None),
        (
            &developer,
            &ops::ACCESS_CREATE_KEY,
            Target::none(),
            Some(ErrorCode::Forbidden),
        ),
        (
            &nobody,
            &ops::CACHE_GET,
            orders(),
            Some(ErrorCode::Forbidden),
        ),
        (
            &nobody,
            &ops::CACHE_BATCH_GET,
            batch(),
            Some(ErrorCode::Forbidden),
        ),
        (&nobody, &ops::ACCESS_WHO_AM_I, Target::none(), None),
    ] {
        assert_eq!(
            code_of(&world, session, operation, target).await,
            expected,
            "{}",
            operation.id
        );
    }
}

#[tokio::test]
async fn only_the_platform_creates_tenants() {
    let world = World::new().await;
    let owner = world.owner().await;
    let ctx = context_of(&owner, "access.create_tenant");
    let request = plinth_gate::access::CreateTenantRequest {
        tenant: "shop".to_owned(),
        name: None,
    };
    let reply = world
        .access
        .create_tenant(&ctx, request)
        .await
        .expect("creates");
    let key = reply.first_key.key.expect("is new");
    let stranger = world.authenticate(key.expose()).await.expect("is let in");
    let operation = &ops::ACCESS_CREATE_TENANT;
    assert_eq!(
        code_of(&world, &owner, operation, Target::none()).await,
        None
    );
    let refused = code_of(&world, &stranger, operation, Target::none()).await;
    assert_eq!(refused, Some(ErrorCode::Forbidden));
}

#[tokio::test]
async fn an_idempotency_key_is_taken_only_where_it_means_something() {
    let world = World::new().await;
    let session = |key: Option<&str>| {
        let mut meta = meta(Some(&world.owner_key));
        meta.idempotency_key = key.map(str::to_owned);
        world.gate.authenticate(meta)
    };
    let queue = || Target::resource(Resource::new("queue", "q"));
    for (key, operation, expected) in [
        (None, &ops::QUEUE_PUBLISH, Ok(None)),
        (Some("a-1"), &ops::QUEUE_PUBLISH, Ok(Some("a-1"))),
        (Some("a 1"), &ops::QUEUE_PUBLISH, Err("request_id")),
        (Some("a-1"), &ops::QUEUE_ACK, Err("request_id")),
        (Some("a-1"), &ops::QUEUE_PEEK, Err("request_id")),
    ] {
        let session = session(key).await.expect("is let in");
        let result = world
            .gate
            .call(&session, operation, queue(), async |ctx: CallContext| {
                Ok::<_, Error>(ctx.idempotency_key)
            })
            .await;
        match (result, expected) {
            (Ok(key), Ok(expected)) => assert_eq!(key.as_ref().map(|key| key.as_str()), expected),
            (Err(error), Err(field)) => {
                assert_eq!(error.code(), ErrorCode::InvalidArgument);
                assert_eq!(error.violations()[0].field, field);
            }
            (result, expected) => panic!("{result:?} is not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn after_the_deadline_a_mutation_says_that_its_effect_is_unknown() {
    let world = World::new().await;
    let mut hasty = meta(Some(&world.owner_key));
    hasty.deadline_ms = Some(5);
    let session = world.gate.authenticate(hasty).await.expect("is let in");
    for (operation, target, outcome) in [
        (&ops::CACHE_SET, orders(), Outcome::Unknown),
        (&ops::CACHE_GET, orders(), Outcome::NotApplied),
        (&ops::DB_EXECUTE_QUERY, Target::none(), Outcome::NotApplied),
        (
            &ops::DB_EXECUTE_QUERY,
            Target::none().writes(true),
            Outcome::Unknown,
        ),
    ] {
        let error = world
            .gate
            .call(&session, operation, target, async |_| {
                std::future::pending::<Result<()>>().await
            })
            .await
            .expect_err("never ends");
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
        assert_eq!(error.outcome(), outcome, "{}", operation.id);
    }
}

#[tokio::test]
async fn deadlines_are_capped_by_the_catalogue_and_count_from_the_end_of_a_wait() {
    let world = World::new().await;
    let with_deadline = |deadline_ms: Option<u64>| {
        let mut meta = meta(Some(&world.owner_key));
        meta.deadline_ms = deadline_ms;
        world.gate.authenticate(meta)
    };
    let receive = &ops::QUEUE_RECEIVE;
    let cap_ms = receive.deadline_ms_max;
    for (own_ms, waiting_ms, expected_ms) in [
        (None, 0, receive.deadline_ms_default),
        (Some(7_000), 0, 7_000),
        (Some(7_000), 20_000, 27_000),
        (Some(cap_ms + 1), 0, cap_ms),
        (
            Some(u64::MAX),
            u64::MAX,
            cap_ms + plinth_core::limits::WAIT_MS_MAX,
        ),
    ] {
        let session = with_deadline(own_ms).await.expect("is let in");
        let target = Target::resource(Resource::new("queue", "q")).waiting_ms(waiting_ms);
        let left = world
            .gate
            .call(&session, receive, target, async |ctx: CallContext| {
                Ok::<_, Error>(ctx.deadline.remaining())
            })
            .await
            .expect("ends in time");
        let slack_ms = u128::from(expected_ms) - left.as_millis();
        assert!(
            slack_ms < 5_000,
            "{expected_ms} ms were asked for, {left:?} are left"
        );
    }
}

#[tokio::test]
async fn a_panic_is_one_failed_request_and_nothing_of_it_is_shown() {
    let world = World::new().await;
    let owner = world.owner().await;
    let late = world
        .gate
        .call(&owner, &ops::CACHE_SET, orders(), async |_| -> Result<()> {
            tokio::task::yield_now().await;
            panic!("secret of the service")
        })
        .await
        .expect_err("panics");
    let early = world
        .gate
        .call(
            &owner,
            &ops::CACHE_GET,
            orders(),
            |_| -> std::future::Ready<Result<()>> { panic!("secret of the service") },
        )
        .await
        .expect_err("panics");
    for (error, outcome) in [(late, Outcome::Unknown), (early, Outcome::NotApplied)] {
        assert_eq!(
            (error.code(), error.outcome()),
            (ErrorCode::Internal, outcome)
        );
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    assert_eq!(
        code_of(&world, &owner, &ops::CACHE_GET, orders()).await,
        None
    );
}

#[tokio::test]
async fn the_cause_of_an_internal_error_stays_inside() {
    let world = World::new().await;
    let owner = world.owner().await;
    let error = world
        .gate
        .call(&owner, &ops::CACHE_GET, orders(), async |_| -> Result<()> {
            Err(Error::new(ErrorCode::Internal, "row 7 of /secret/path")
                .with_source(std::io::Error::other("/secret/path")))
        })
        .await
        .expect_err("fails");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn the_rate_of_a_tenant_is_limited_by_class() {
    let settings = GateSettings {
        rates: RateLimits {
            write: RateLimit::new(1, 2),
            ..RateLimits::default()
        },
        ..GateSettings::default()
    };
    let world = World::with(settings).await;
    let owner = world.owner().await;
    for expected in [None, None, Some(ErrorCode::RateLimited)] {
        assert_eq!(
            code_of(&world, &owner, &ops::CACHE_SET, orders()).await,
            expected
        );
    }
    assert_eq!(
        code_of(&world, &owner, &ops::CACHE_GET, orders()).await,
        None
    );
    world.clock.advance_ms(1_000);
    assert_eq!(
        code_of(&world, &owner, &ops::CACHE_SET, orders()).await,
        None
    );
}

#[tokio::test]
async fn a_long_poll_takes_a_waiters_place_and_no_workers() {
    let settings = GateSettings {
        concurrency: ConcurrencyLimits {
            calls_per_block_max: 1,
            place_wait_ms: 0,
            waiters_max: 1,
        },
        ..GateSettings::default()
    };
    let world = Arc::new(World::with(settings).await);
    let owner = world.owner().await;
    let queue = || Target::resource(Resource::new("queue", "q"));
    let hold = |target: Target| {
        let (entered, is_in) = oneshot::channel();
        let (release, released) = oneshot::channel::<()>();
        let (world, owner) = (Arc::clone(&world), owner.clone());
        let task = tokio::spawn(async move {
            let service = async move |_| {
                entered.send(()).ok();
                released.await.map_err(Error::internal)
            };
            world
                .gate
                .call(&owner, &ops::QUEUE_RECEIVE, target, service)
                .await
                .is_ok()
        });
        (is_in, release, task)
    };
    let (waiter_is_in, release_waiter, waiter) = hold(queue().waiting_ms(60_000));
    waiter_is_in.await.expect("enters");
    assert_eq!(
        code_of(&world, &owner, &ops::QUEUE_ACK, queue()).await,
        None
    );
    let second = queue().waiting_ms(60_000);
    assert_eq!(
        code_of(&world, &owner, &ops::QUEUE_RECEIVE, second).await,
        Some(ErrorCode::Overloaded)
    );
    let (worker_is_in, release_worker, worker) = hold(queue());
    worker_is_in.await.expect("enters");
    assert_eq!(
        code_of(&world, &owner, &ops::QUEUE_ACK, queue()).await,
        Some(ErrorCode::Overloaded)
    );
    assert_eq!(
        code_of(&world, &owner, &ops::CACHE_GET, orders()).await,
        None
    );
    release_waiter.send(()).expect("waits");
    release_worker.send(()).expect("waits");
    assert!(waiter.await.expect("joins") && worker.await.expect("joins"));
    assert_eq!(
        code_of(&world, &owner, &ops::QUEUE_ACK, queue()).await,
        None
    );
}

#[tokio::test]
async fn the_parts_of_the_instance_are_shown_only_to_those_who_may_see_them() {
    let world = World::new().await;
    let registry = plinth_resilience::HealthRegistry::new(world.clock.clone());
    registry.component("queue.engine").down("disk full");
    registry.serve();
    let nobody = world.holder_of("nobody", &[]).await;
    let reply = world
        .gate
        .health(&nobody, &registry)
        .await
        .expect("answers");
    assert_eq!((reply.status.as_str(), reply.ready), ("degraded", true));
    assert!(reply.components.is_none() && reply.version.is_none() && reply.uptime_ms.is_none());
    let operator = world.holder_of("operator", &["operator"]).await;
    let reply = world
        .gate
        .health(&operator, &registry)
        .await
        .expect("answers");
    let components = reply.components.expect("may see them");
    assert_eq!(components[0].name, "queue.engine");
    assert_eq!(components[0].message.as_deref(), Some("disk full"));
}
