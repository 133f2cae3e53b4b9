//! What is written down of a call: audit records and metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use plinth_core::{Error, ErrorCode, Result};
use plinth_gate::catalogue::ops;
use plinth_gate::{AuditFailure, AuditSettings, GateSettings, Target};

use crate::pipeline::{code_of, orders};
use crate::support::World;

#[tokio::test]
async fn an_audited_call_writes_intent_before_and_outcome_after() {
    let world = World::new().await;
    let owner = world.owner().await;
    let log = Arc::clone(&world.audit);
    let call = async |fails: bool| {
        let log = Arc::clone(&log);
        let service = async move |_| {
            log.note("work");
            match fails {
                true => Err(Error::not_found("gone")),
                false => Ok(()),
            }
        };
        let result = world
            .gate
            .call(&owner, &ops::QUEUE_PURGE, Target::none(), service)
            .await;
        (result.is_ok(), world.audit.take())
    };
    let lines = [
        "begin queue.purge",
        "work",
        "complete queue.purge Succeeded",
    ];
    assert_eq!(call(false).await, (true, lines.map(str::to_owned).to_vec()));
    let lines = [
        "begin queue.purge",
        "work",
        "complete queue.purge Failed(NotFound, NotApplied)",
    ];
    assert_eq!(call(true).await, (false, lines.map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn what_is_audited_follows_the_catalogue_and_the_policy() {
    let settings = GateSettings {
        audit: AuditSettings {
            also: vec!["cache.*".to_owned(), "audit.*".to_owned()],
            ..AuditSettings::default()
        },
        ..GateSettings::default()
    };
    let (plain, strict) = (World::new().await, World::with(settings).await);
    for (operation, target, in_plain, in_strict) in [
        (&ops::CACHE_SET, orders(), false, true),
        (&ops::QUEUE_PUBLISH, Target::none(), false, false),
        (&ops::DB_EXECUTE_QUERY, Target::none(), false, false),
        (
            &ops::DB_EXECUTE_QUERY,
            Target::none().writes(true),
            true,
            true,
        ),
        (&ops::ACCESS_LIST_KEYS, Target::none(), true, true),
        (&ops::AUDIT_LOG_OPERATION, Target::none(), false, false),
    ] {
        for (world, expected) in [(&plain, in_plain), (&strict, in_strict)] {
            let owner = world.owner().await;
            assert_eq!(
                code_of(world, &owner, operation, target.clone()).await,
                None
            );
            assert_eq!(!world.audit.take().is_empty(), expected, "{}", operation.id);
        }
    }
}

#[tokio::test]
async fn refusals_of_audited_operations_are_recorded() {
    let world = World::new().await;
    let developer = world.holder_of("dev", &["developer"]).await;
    assert_eq!(
        code_of(&world, &developer, &ops::ACCESS_REVOKE_KEY, Target::none()).await,
        Some(ErrorCode::Forbidden)
    );
    assert_eq!(world.audit.take(), ["refused access.revoke_key 1003"]);
}

#[tokio::test]
async fn without_the_log_an_audited_operation_is_not_done_unless_the_settings_say_so() {
    let lenient = GateSettings {
        audit: AuditSettings {
            on_failure: AuditFailure::Continue,
            ..AuditSettings::default()
        },
        ..GateSettings::default()
    };
    for (settings, expected) in [
        (
            GateSettings::default(),
            Some(ErrorCode::DependencyUnavailable),
        ),
        (lenient, None),
    ] {
        let world = World::with(settings).await;
        let owner = world.owner().await;
        world.audit.down.store(true, Ordering::SeqCst);
        assert_eq!(
            code_of(&world, &owner, &ops::QUEUE_PURGE, Target::none()).await,
            expected
        );
        assert_eq!(
            code_of(&world, &owner, &ops::QUEUE_ACK, Target::none()).await,
            None
        );
        assert_eq!(
            world.metrics.get("plinth_audit_gaps_total{record=intent}"),
            1
        );
    }
}

#[tokio::test]
async fn every_call_is_counted_once_also_when_its_caller_goes_away() {
    let world = World::new().await;
    let owner = world.owner().await;
    let nobody = world.holder_of("nobody", &[]).await;
    code_of(&world, &owner, &ops::CACHE_GET, orders()).await;
    code_of(&world, &nobody, &ops::CACHE_GET, orders()).await;
    {
        let forever = world
            .gate
            .call(&owner, &ops::CACHE_GET, orders(), async |_| {
                std::future::pending::<Result<()>>().await
            });
        tokio::select! {
            biased;
            _ = forever => panic!("never ends"),
            () = tokio::task::yield_now() => {}
        }
    }
    for code in ["0", "1003", "cancelled"] {
        let series =
            format!("plinth_operations_total{{operation=cache.get,code={code},transport=http}}");
        assert_eq!(world.metrics.get(&series), 1, "{code}");
    }
    let series = "plinth_operation_duration_seconds{operation=cache.get,transport=http}";
    assert_eq!(world.metrics.get(series), 3);
}
