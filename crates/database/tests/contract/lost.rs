//! Transactions whose connection breaks on the wire: before COMMIT nothing is applied; between COMMIT and its reply nobody
//! knows, and a repeat with the same key finds out.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails here")]

use plinth_core::{Error, ErrorCode, Outcome};
use plinth_database::DatabaseError;
use plinth_database::model::{
    EngineKind, PoolOptions, Step, TransactionReply, TransactionRequest, Value,
};
use plinth_testkit::cut_proxy::CutProxy;

use crate::support::{Bench, address, context, context_in, engines, step};

/// The name of the database that is reached through the proxy; `Bench` reaches the same one directly.
const PROXIED: &str = "proxied";

async fn through_proxy(bench: &Bench) -> CutProxy {
    let (url, _) = address(bench.engine).expect("is up");
    let (_, rest) = url.split_once('@').expect("has a user");
    let (server, _) = rest.split_once('/').expect("has a path");
    let proxy = CutProxy::to(server.parse().expect("is an address"))
        .await
        .expect("listens");
    let mut request = bench.definition(PoolOptions::default(), false);
    request.url = format!(
        "{}?sslmode=disable",
        url.replace(server, &proxy.address().to_string())
    );
    bench
        .service
        .register_database(&context(), PROXIED, request)
        .await
        .expect("registers");
    proxy
}

async fn transact(
    bench: &Bench,
    steps: Vec<Step>,
    key: Option<&str>,
) -> Result<TransactionReply, DatabaseError> {
    let request = TransactionRequest {
        steps,
        ..TransactionRequest::default()
    };
    let context = context_in("test", key, 60_000);
    bench
        .service
        .execute_transaction(&context, PROXIED, request)
        .await
}

async fn count(bench: &Bench, table: &str) -> Value {
    bench
        .cell(&format!("select count(*) from {table}"), vec![])
        .await
}

/// A bench on each server that is up, its table, and the way to it that can be cut.
async fn each_server(check: impl AsyncFn(&Bench, &str, &CutProxy)) {
    for engine in engines() {
        if engine == EngineKind::Sqlite {
            continue;
        }
        let bench = Bench::new(engine).await;
        let table = bench.table("lost");
        bench
            .run(&format!("create table {table} (n int primary key)"), vec![])
            .await;
        let proxy = through_proxy(&bench).await;
        check(&bench, &table, &proxy).await;
        bench.end(&["lost"]).await;
    }
}

fn insert(table: &str, number: i64) -> Vec<Step> {
    vec![step(
        &format!("insert into {table} values (?)"),
        vec![Value::Int(number)],
    )]
}

/// The first use of a key makes the table of records, which is not what these tests are about.
async fn warm_up(bench: &Bench, table: &str) {
    let delete = step(&format!("delete from {table} where n < 0"), vec![]);
    transact(bench, vec![delete], Some(&bench.table("warm")))
        .await
        .expect("calm");
}

#[tokio::test]
async fn a_lost_commit_is_unknown_and_its_repeat_gets_the_first_answer() {
    each_server(async |bench, table, proxy| {
        warm_up(bench, table).await;
        let key = bench.table("key");
        proxy.cut("COMMIT", 0);
        let error: Error = transact(bench, insert(table, 1), Some(&key))
            .await
            .expect_err("the answer was lost")
            .into();
        let engine = bench.engine;
        assert_eq!(error.code(), ErrorCode::DatabaseConnection, "{engine:?}");
        assert_eq!(error.outcome(), Outcome::Unknown, "{engine:?}");
        assert!(error.is_retriable(), "{engine:?}: the key makes it safe");
        // The server had applied it.
        assert_eq!(count(bench, table).await, Value::Int(1), "{engine:?}");
        let repeat = transact(bench, insert(table, 1), Some(&key)).await;
        let repeat = repeat.expect("finds out");
        assert!(repeat.repeated, "{engine:?}");
        assert_eq!(repeat.results[0].rows_affected, 1, "{engine:?}");
        assert_eq!(count(bench, table).await, Value::Int(1), "{engine:?}");
    })
    .await;
}

#[tokio::test]
async fn a_lost_commit_without_a_key_is_unknown_and_not_to_be_repeated_blindly() {
    each_server(async |bench, table, proxy| {
        proxy.cut("COMMIT", 0);
        let error: Error = transact(bench, insert(table, 1), None)
            .await
            .expect_err("the answer was lost")
            .into();
        let engine = bench.engine;
        assert_eq!(error.code(), ErrorCode::DatabaseConnection, "{engine:?}");
        assert_eq!(error.outcome(), Outcome::Unknown, "{engine:?}");
        assert!(!error.is_retriable(), "{engine:?}");
        assert_eq!(count(bench, table).await, Value::Int(1), "{engine:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_lost_before_commit_is_not_applied_and_its_repeat_applies_it_once() {
    each_server(async |bench, table, proxy| {
        warm_up(bench, table).await;
        let key = bench.table("key");
        // The request after the statement was prepared carries its values.
        proxy.cut("insert into", 1);
        let error: Error = transact(bench, insert(table, 1), Some(&key))
            .await
            .expect_err("the connection was lost")
            .into();
        let engine = bench.engine;
        assert_eq!(error.code(), ErrorCode::DatabaseConnection, "{engine:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{engine:?}");
        let repeat = transact(bench, insert(table, 1), Some(&key)).await;
        assert!(!repeat.expect("applies it").repeated, "{engine:?}");
        assert_eq!(count(bench, table).await, Value::Int(1), "{engine:?}");
    })
    .await;
}
