//! Property 15: for all database requests, connections are reused or made in time, and none leaks, however calls end.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

#[expect(dead_code, reason = "this file uses some of the helpers")]
mod support;

use std::time::Duration;

use plinth_database::model::{
    EngineKind, PoolOptions, QueryRequest, Step, TransactionRequest, Value,
};
use proptest::prelude::*;
use support::{Bench, DB, context, context_in, engines, step};

/// One call of a generated workload.
#[derive(Clone, Debug)]
enum Call {
    /// A short read.
    Read,
    /// A statement that the engine refuses.
    Bad,
    /// A statement that is cancelled from outside after some microseconds.
    Cancelled { after_us: u64 },
    /// A statement that passes its own limit.
    TimedOut { after_ms: i64 },
    /// An answer that is cut in the middle.
    Truncated,
    /// A transaction whose second step fails.
    RolledBack,
    /// A transaction that is cancelled from outside.
    CancelledTransaction { after_us: u64 },
    /// A statement that leaves its session changed.
    Tainted,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        4 => Just(Call::Read),
        1 => Just(Call::Bad),
        3 => (0_u64..3_000).prop_map(|after_us| Call::Cancelled { after_us }),
        1 => (1_i64..20).prop_map(|after_ms| Call::TimedOut { after_ms }),
        1 => Just(Call::Truncated),
        1 => Just(Call::RolledBack),
        2 => (0_u64..3_000).prop_map(|after_us| Call::CancelledTransaction { after_us }),
        1 => Just(Call::Tainted),
    ];
    proptest::collection::vec(call, 1..24)
}

/// Rows for as long as anyone reads them.
fn long(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => "select count(*) from generate_series(1, 100000000)",
        EngineKind::Mariadb => "select sleep(20)",
        EngineKind::Sqlite => {
            "with recursive n(x) as (select 1 union all select x + 1 from n where x < 100000000) select count(*) from n"
        }
    }
}

/// As long, at no cost to the server: what is measured is stopping it.
fn waiting(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => "select pg_sleep(20)",
        EngineKind::Mariadb | EngineKind::Sqlite => long(engine),
    }
}

fn many(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => "select x from generate_series(1, 5000) as g(x) limit 5000",
        EngineKind::Mariadb => "select seq from seq_1_to_5000 limit 5000",
        EngineKind::Sqlite => {
            "with recursive n(x) as (select 1 union all select x + 1 from n where x < 5000) select x from n limit 5000"
        }
    }
}

fn tainting(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => "select set_config('application_name', 'changed', false)",
        EngineKind::Mariadb => "select get_lock('plinth_property_15', 0)",
        EngineKind::Sqlite => "create temp table if not exists leftover (a int)",
    }
}

async fn query(bench: &Bench, sql: &str, change: impl FnOnce(&mut QueryRequest)) -> bool {
    let mut request = QueryRequest {
        sql: sql.to_owned(),
        ..QueryRequest::default()
    };
    change(&mut request);
    bench
        .service
        .execute_query(&context(), DB, request)
        .await
        .is_ok()
}

async fn transaction(bench: &Bench, steps: Vec<Step>) -> bool {
    let request = TransactionRequest {
        steps,
        ..TransactionRequest::default()
    };
    bench
        .service
        .execute_transaction(&context(), DB, request)
        .await
        .is_ok()
}

async fn make(bench: &Bench, call: Call) {
    let engine = bench.engine;
    let cancel = Duration::from_micros;
    match call {
        Call::Read => assert!(query(bench, "select 1", |_| {}).await, "{engine:?}"),
        Call::Bad => assert!(!query(bench, "select * from not_there_at_all", |_| {}).await),
        Call::Cancelled { after_us } => {
            let _cancelled =
                tokio::time::timeout(cancel(after_us), query(bench, long(engine), |_| {})).await;
        }
        Call::TimedOut { after_ms } => {
            assert!(
                !query(bench, long(engine), |request| request.timeout_ms =
                    Some(after_ms))
                .await
            );
        }
        Call::Truncated => {
            assert!(
                query(bench, many(engine), |request| request.max_rows = Some(3)).await,
                "{engine:?}"
            );
        }
        Call::RolledBack => {
            let steps = vec![
                step("select 1", vec![]),
                step("select * from not_there_at_all", vec![]),
            ];
            assert!(!transaction(bench, steps).await);
        }
        Call::CancelledTransaction { after_us } => {
            let steps = vec![step("select 1", vec![]), step(long(engine), vec![])];
            let _cancelled =
                tokio::time::timeout(cancel(after_us), transaction(bench, steps)).await;
        }
        Call::Tainted => {
            query(bench, tainting(engine), |_| {}).await;
        }
    }
}

const CONNECTIONS: i32 = 3;

async fn bench(engine: EngineKind) -> Bench {
    bench_of(engine, CONNECTIONS).await
}

async fn bench_of(engine: EngineKind, connections: i32) -> Bench {
    let pool = PoolOptions {
        max_connections: Some(connections),
        acquire_timeout_ms: Some(20_000),
        ..PoolOptions::default()
    };
    Bench::with_pool(engine, pool).await
}

/// Nothing is out, nothing waits, and the whole pool can be had at once: no permit and no connection is lost.
async fn check_none_leaked(bench: &Bench, connections: i32) {
    let engine = bench.engine;
    let all = (0..connections).map(|_| bench.query("select 1", vec![]));
    let all = tokio::time::timeout(Duration::from_secs(10), futures::future::join_all(all)).await;
    for reply in all.unwrap_or_else(|_| {
        panic!(
            "{engine:?}: a permit is lost: {:?}",
            "no connection in time"
        )
    }) {
        assert_eq!(reply.expect("is answered").rows[0].values[0], Value::Int(1));
    }
    let pool = bench.pool().await;
    assert_eq!((pool.in_use, pool.waiting), (0, 0), "{engine:?}");
    assert!(
        pool.connections <= i64::from(connections),
        "{engine:?}: {pool:?}"
    );
    assert!(pool.idle <= pool.connections, "{engine:?}: {pool:?}");
    assert_eq!(
        pool.breaker, "closed",
        "{engine:?}: cancelled calls say nothing of the database"
    );
}

fn property(engine: EngineKind, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("builds a runtime");
    let bench = runtime.block_on(bench(engine));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&calls(), |calls| {
        runtime.block_on(async {
            futures::future::join_all(calls.into_iter().map(|call| make(&bench, call))).await;
            check_none_leaked(&bench, CONNECTIONS).await;
        });
        Ok(())
    });
    runtime.block_on(bench.end(&[]));
    if let Err(failure) = outcome {
        panic!("{engine:?}: {failure}");
    }
}

#[test]
fn no_connection_leaks_on_sqlite() {
    property(EngineKind::Sqlite, 16);
}

#[test]
fn no_connection_leaks_on_postgres() {
    if engines().contains(&EngineKind::Postgres) {
        property(EngineKind::Postgres, 12);
    }
}

#[test]
fn no_connection_leaks_on_mariadb() {
    if engines().contains(&EngineKind::Mariadb) {
        property(EngineKind::Mariadb, 12);
    }
}

#[tokio::test]
async fn connections_are_reused() {
    for engine in engines() {
        let bench = bench(engine).await;
        for _call in 0..200 {
            bench.run("select 1", vec![]).await;
        }
        let pool = bench.pool().await;
        assert_eq!((pool.opened, pool.acquired), (1, 200), "{engine:?}");
        // As many at once as there may be, and no more.
        futures::future::join_all((0..50).map(|_| bench.run("select 1", vec![]))).await;
        assert!(
            bench.pool().await.opened <= i64::from(CONNECTIONS),
            "{engine:?}"
        );
        bench.end(&[]).await;
    }
}

#[tokio::test]
async fn a_full_pool_refuses_in_time_and_recovers() {
    for engine in engines() {
        let pool = PoolOptions {
            max_connections: Some(1),
            acquire_timeout_ms: Some(1_000),
            ..PoolOptions::default()
        };
        let bench = Bench::with_pool(engine, pool).await;
        bench.run("select 1", vec![]).await;
        let blocking = context_in("test", None, 2_000);
        let request = QueryRequest {
            sql: long(engine).to_owned(),
            ..QueryRequest::default()
        };
        let blocker = bench.service.execute_query(&blocking, DB, request);
        let waiter = async {
            while bench.pool().await.in_use == 0 {
                tokio::task::yield_now().await;
            }
            bench.refused("select 1", vec![]).await
        };
        let (_, refused) = tokio::join!(blocker, waiter);
        assert_eq!(refused.code().number(), 2404, "{engine:?}");
        assert!(refused.is_retriable());
        let status = bench.pool().await;
        assert_eq!(status.acquire_timeouts, 1, "{engine:?}");
        bench.end(&[]).await;
    }
}

/// Calls that are cancelled on each engine where `PLINTH_CANCELLED_CALLS` names no other number.
const CANCELLED_CALLS_DEFAULT: u64 = 100;

fn cancelled_calls() -> u64 {
    std::env::var("PLINTH_CANCELLED_CALLS").map_or(CANCELLED_CALLS_DEFAULT, |text| {
        text.parse().expect("PLINTH_CANCELLED_CALLS is a number")
    })
}

/// Callers that are cancelled at the same time.
const LANES: u64 = 16;

/// The statements and sessions of a server that belong to us: after many cancelled calls no more than the pool holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_keeps_nothing_of_cancelled_calls() {
    // Twice as many as callers, so that they seldom wait for a connection that is being closed.
    let connections = i32::try_from(LANES * 2).expect("is small");
    for engine in engines() {
        let bench = bench_of(engine, connections).await;
        let (calls, began) = (cancelled_calls(), std::time::Instant::now());
        let lane = async |first: u64| {
            for round in (first..calls).step_by(usize::try_from(LANES).expect("is small")) {
                // A connection that is ready, so that a statement is cancelled and not the opening.
                bench.run("select 1", vec![]).await;
                let _cancelled = tokio::time::timeout(
                    Duration::from_micros(round * 10 % 2_000),
                    query(&bench, waiting(engine), |_| {}),
                )
                .await;
            }
        };
        futures::future::join_all((0..LANES).map(lane)).await;
        let pool = bench.pool().await;
        let acquired = u64::try_from(pool.acquired).expect("counts up");
        assert!(acquired > calls + calls / 2, "{engine:?}: {pool:?}");
        check_none_leaked(&bench, connections).await;
        let pool = bench.pool().await;
        eprintln!(
            "{engine:?}: after {calls} cancelled calls in {:?} {pool:?}",
            began.elapsed()
        );
        bench.end(&[]).await;
    }
}
