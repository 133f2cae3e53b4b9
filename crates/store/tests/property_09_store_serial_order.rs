//! Property 9 on the embedded engine: whatever is written concurrently, with failures and panics among it, the result
//! equals some serial order of exactly the operations that were acknowledged.

mod engine_support;

use std::collections::BTreeMap;

use plinth_core::access::IdempotencyScope;
use plinth_core::{PrincipalId, TenantId, TimestampMs};
use plinth_store::idempotency::once;
use plinth_store::{Engine, EngineLimits, EngineLocation, StoreError};
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;

use engine_support::open;

/// How an operation ends after it has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Succeed,
    Fail,
    Panic,
}

/// Adds to a counter, perhaps under an idempotency key.
#[derive(Clone, Debug)]
struct Operation {
    counter: u8,
    delta: i64,
    end: End,
    key: Option<u8>,
}

fn operation() -> impl Strategy<Value = Operation> {
    let end = prop_oneof![4 => Just(End::Succeed), 1 => Just(End::Fail), 1 => Just(End::Panic)];
    (0..3_u8, 1..100_i64, end, prop::option::of(0..4_u8)).prop_map(|(counter, delta, end, key)| {
        Operation {
            counter,
            delta,
            end,
            key,
        }
    })
}

/// What an acknowledged operation saw: the counter after its own addition.
type Seen = i64;

fn apply(connection: &Connection, operation: &Operation) -> Result<Seen, StoreError> {
    let seen = connection.query_row(
        "INSERT INTO counters VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = value + excluded.value RETURNING value",
        (operation.counter.to_string(), operation.delta),
        |row| row.get(0),
    )?;
    match operation.end {
        End::Succeed => Ok(seen),
        End::Fail => Err(StoreError::GroupRolledBack),
        End::Panic => std::panic::resume_unwind(Box::new("on purpose")),
    }
}

fn scope(operation: &Operation) -> Result<Option<IdempotencyScope>, plinth_core::Error> {
    let Some(key) = operation.key else {
        return Ok(None);
    };
    let counter = operation.counter;
    let delta = u8::try_from(operation.delta).unwrap_or(u8::MAX);
    Ok(Some(IdempotencyScope {
        tenant: TenantId::parse("shop")?,
        principal: PrincipalId::parse("robot")?,
        operation: "monitor.increment_counter",
        key: key.to_string(),
        fingerprint: std::array::from_fn(|index| if index == 0 { counter } else { delta }),
        at: TimestampMs(1),
    }))
}

async fn run(engine: Engine, operation: Operation) -> Option<Seen> {
    let scope = scope(&operation).ok()?;
    engine
        .write(move |connection| {
            once(connection, scope.as_ref(), |connection| {
                apply(connection, &operation)
            })
        })
        .await
        .ok()
}

async fn counters(engine: &Engine) -> Result<BTreeMap<u8, i64>, StoreError> {
    engine
        .read(|connection| {
            let mut statement =
                connection.prepare("SELECT CAST(name AS INTEGER), value FROM counters")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
}

/// The acknowledged operations that had an effect: each without a key, and of each key the first.
fn check_serial(
    operations: &[Operation],
    seen: &[Option<Seen>],
    finally: &BTreeMap<u8, i64>,
) -> Result<(), TestCaseError> {
    for counter in 0..3_u8 {
        let mut steps: Vec<(Seen, i64, Option<u8>)> = operations
            .iter()
            .zip(seen)
            .filter(|(operation, _)| operation.counter == counter)
            .filter_map(|(operation, seen)| Some(((*seen)?, operation.delta, operation.key)))
            .collect();
        // A repeat under a key sees what the first use saw.
        steps.sort_unstable();
        steps.dedup_by(|later, first| later.2.is_some() && later == first);
        let mut value = 0;
        for (seen, delta, _) in steps {
            value += delta;
            prop_assert_eq!(value, seen, "counter {} in no serial order", counter);
        }
        prop_assert_eq!(finally.get(&counter).copied().unwrap_or(0), value);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_operations_equal_a_serial_order(
        operations in vec(operation(), 1..60),
        ops_per_group_max in 1..12_usize,
        on_disk in any::<bool>(),
    ) {
        let folder = tempfile::tempdir()?;
        let location = if on_disk {
            engine_support::file(folder.path())
        } else {
            EngineLocation::Memory
        };
        let limits = EngineLimits { ops_per_group_max, ..EngineLimits::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()?;
        let (seen, finally) = runtime.block_on(async {
            let engine = open(location, limits)?;
            let tasks: Vec<_> = operations
                .iter()
                .map(|operation| tokio::spawn(run(engine.clone(), operation.clone())))
                .collect();
            let mut seen = Vec::new();
            for task in tasks {
                seen.push(task.await.unwrap_or(None));
            }
            let finally = counters(&engine).await?;
            engine.close().await;
            Ok::<_, StoreError>((seen, finally))
        })?;
        check_serial(&operations, &seen, &finally)?;
    }
}
