//! First answers to idempotency keys in the embedded engine.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests, which answer by panics"
)]

mod engine_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plinth_core::access::IdempotencyScope;
use plinth_core::limits::IDEMPOTENCY_TTL_MS;
use plinth_core::{PrincipalId, TenantId, TimestampMs};
use plinth_store::idempotency::{ANSWER_BYTES_MAX, once};
use plinth_store::{Engine, EngineLimits, EngineLocation, StoreError};

use engine_support::{file, open};

fn scope(key: &str, fingerprint: u8, at_ms: i64) -> IdempotencyScope {
    IdempotencyScope {
        tenant: TenantId::parse("shop").expect("a good name"),
        principal: PrincipalId::parse("robot").expect("a good name"),
        operation: "queue.publish",
        key: key.to_owned(),
        fingerprint: [fingerprint; 32],
        at: TimestampMs(at_ms),
    }
}

fn engine() -> Engine {
    open(EngineLocation::Memory, EngineLimits::default()).expect("opens")
}

/// Uses a key: inserts an item and answers with its id, or with the first answer.
async fn insert(engine: &Engine, scope: Option<IdempotencyScope>) -> Result<i64, StoreError> {
    engine
        .write(move |connection| {
            once(connection, scope.as_ref(), |connection| {
                connection.execute("INSERT INTO items (value) VALUES (0)", [])?;
                Ok(connection.last_insert_rowid())
            })
        })
        .await
}

async fn count(engine: &Engine, table: &'static str) -> i64 {
    engine
        .read(move |connection| -> Result<_, StoreError> {
            let sql = format!("SELECT count(*) FROM {table}");
            Ok(connection.query_row(&sql, [], |row| row.get(0))?)
        })
        .await
        .expect("counts")
}

#[tokio::test]
async fn the_same_key_gets_the_first_answer() {
    let engine = engine();
    for _ in 0..3 {
        assert_eq!(
            insert(&engine, Some(scope("a", 1, 5)))
                .await
                .expect("answers"),
            1
        );
    }
    assert_eq!(count(&engine, "items").await, 1);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_a_conflict() {
    let engine = engine();
    insert(&engine, Some(scope("a", 1, 5)))
        .await
        .expect("answers");
    let refused = insert(&engine, Some(scope("a", 2, 5))).await;
    assert!(matches!(refused, Err(StoreError::IdempotencyConflict)));
    assert_eq!(count(&engine, "items").await, 1);
}

#[tokio::test]
async fn tenants_principals_and_operations_have_keys_of_their_own() {
    let engine = engine();
    let base = scope("a", 1, 5);
    let mut scopes = vec![base.clone()];
    scopes.push(IdempotencyScope {
        tenant: TenantId::parse("mall").expect("a good name"),
        ..base.clone()
    });
    scopes.push(IdempotencyScope {
        principal: PrincipalId::parse("person").expect("a good name"),
        ..base.clone()
    });
    scopes.push(IdempotencyScope {
        operation: "audit.log_operation",
        ..base
    });
    for (scope, expected) in scopes.into_iter().zip(1..) {
        assert_eq!(
            insert(&engine, Some(scope)).await.expect("answers"),
            expected
        );
    }
}

#[tokio::test]
async fn without_a_key_every_call_runs() {
    let engine = engine();
    for expected in 1..=3 {
        assert_eq!(insert(&engine, None).await.expect("answers"), expected);
    }
    assert_eq!(count(&engine, "plinth_idempotency").await, 0);
}

#[tokio::test]
async fn a_failure_is_not_an_answer() {
    let engine = engine();
    let failed = engine
        .write(|connection| {
            once(connection, Some(&scope("a", 1, 5)), |connection| {
                connection.execute("INSERT INTO items (value) VALUES (0)", [])?;
                Err::<i64, _>(StoreError::GroupRolledBack)
            })
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(count(&engine, "items").await, 0);
    assert_eq!(
        insert(&engine, Some(scope("a", 1, 5)))
            .await
            .expect("answers"),
        1
    );
}

#[tokio::test]
async fn a_record_lives_to_its_last_millisecond() {
    let engine = engine();
    let ttl_ms = i64::try_from(IDEMPOTENCY_TTL_MS).expect("fits");
    for (at_ms, expected) in [(5, 1), (5 + ttl_ms - 1, 1), (5 + ttl_ms, 2)] {
        let answer = insert(&engine, Some(scope("a", 1, at_ms))).await;
        assert_eq!(answer.expect("answers"), expected, "at {at_ms}");
    }
}

#[tokio::test]
async fn dead_records_are_removed_while_the_table_is_used() {
    let engine = engine();
    let ttl_ms = i64::try_from(IDEMPOTENCY_TTL_MS).expect("fits");
    for number in 0..40 {
        let old = scope(&format!("old-{number}"), 1, 5);
        insert(&engine, Some(old)).await.expect("answers");
    }
    for number in 0..10 {
        let new = scope(&format!("new-{number}"), 1, 5 + ttl_ms);
        insert(&engine, Some(new)).await.expect("answers");
    }
    assert_eq!(count(&engine, "plinth_idempotency").await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_uses_of_a_key_run_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(file(folder.path()), EngineLimits::default()).expect("opens");
    let runs = Arc::new(AtomicU32::new(0));
    let mut uses = tokio::task::JoinSet::new();
    for use_number in 0..32 {
        let (engine, runs) = (engine.clone(), Arc::clone(&runs));
        uses.spawn(async move {
            engine
                .write(move |connection| {
                    once(connection, Some(&scope("a", 1, 5)), |_| {
                        runs.fetch_add(1, Ordering::AcqRel);
                        Ok::<i32, StoreError>(use_number)
                    })
                })
                .await
                .expect("answers")
        });
    }
    let answers = uses.join_all().await;
    assert_eq!(runs.load(Ordering::Acquire), 1);
    assert!(answers.iter().all(|answer| Some(answer) == answers.first()));
}

#[tokio::test]
async fn an_answer_holds_at_the_limit_and_is_refused_one_past_it() {
    // Two quotation marks belong to the JSON text.
    for (bytes, fits) in [(ANSWER_BYTES_MAX - 2, true), (ANSWER_BYTES_MAX - 1, false)] {
        let engine = engine();
        let answer = engine
            .write(move |connection| {
                once(connection, Some(&scope("a", 1, 5)), |connection| {
                    connection.execute("INSERT INTO items (value) VALUES (0)", [])?;
                    Ok::<_, StoreError>("x".repeat(bytes))
                })
            })
            .await;
        assert_eq!(answer.is_ok(), fits, "{bytes}");
        assert_eq!(count(&engine, "items").await, i64::from(fits));
    }
}
