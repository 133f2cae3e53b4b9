//! Servers that take a connection and say nothing.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails here")]

use std::time::Duration;

use plinth_core::{Error, ErrorCode, Outcome};
use plinth_database::model::{
    AnalyzeRequest, EngineKind, ListDatabasesRequest, PoolOptions, QueryRequest, Value,
};
use plinth_testkit::chaos::{Chaos, ChaosProxy};

use crate::support::{Bench, address, context, context_in, engines, text};

/// The name of the database behind the proxy.
const FAR: &str = "far";

/// A way to the engine's server that can be made silent, registered as [`FAR`].
async fn proxied(bench: &Bench, pool: PoolOptions) -> ChaosProxy {
    let (url, _) = address(bench.engine).expect("is up");
    let (_, rest) = url.split_once('@').expect("has a user");
    let (server, _) = rest.split_once('/').expect("has a path");
    let proxy = ChaosProxy::start(server.parse().expect("is an address"))
        .await
        .expect("listens");
    let mut request = bench.definition(pool, false);
    request.url = format!(
        "{}?sslmode=disable",
        url.replace(server, &proxy.address().to_string())
    );
    bench
        .service
        .register_database(&context(), FAR, request)
        .await
        .expect("registers");
    proxy
}

async fn ask(bench: &Bench, deadline_ms: u64) -> Result<(), Error> {
    let request = QueryRequest {
        sql: "select 1".to_owned(),
        ..QueryRequest::default()
    };
    let context = context_in("test", None, deadline_ms);
    let reply = bench.service.execute_query(&context, FAR, request).await;
    reply.map(|_| ()).map_err(Error::from)
}

async fn breaker(bench: &Bench) -> String {
    let listed = bench
        .service
        .list_databases(&context(), ListDatabasesRequest::default())
        .await
        .expect("lists");
    let far = listed.databases.iter().find(|known| known.database == FAR);
    let status = far.and_then(|far| far.pool_status.clone());
    status.expect("is at work").breaker
}

fn servers() -> impl Iterator<Item = EngineKind> {
    engines()
        .into_iter()
        .filter(|engine| *engine != EngineKind::Sqlite)
}

#[tokio::test]
async fn a_silent_host_opens_the_breaker_however_short_its_callers_wait() {
    for engine in servers() {
        let bench = Bench::new(engine).await;
        let pool = PoolOptions {
            acquire_timeout_ms: Some(400),
            ..PoolOptions::default()
        };
        let proxy = proxied(&bench, pool).await;
        proxy.set(Chaos::BlackHole);
        // Callers with deadlines far below the time-out of connecting.
        for _call in 0..3 {
            let error = ask(&bench, 20).await.expect_err("is silent");
            assert_eq!(
                (error.code(), error.outcome()),
                (ErrorCode::DeadlineExceeded, Outcome::NotApplied),
                "{engine:?}"
            );
        }
        let opened = async {
            while breaker(&bench).await == "closed" {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), opened)
            .await
            .expect("opens");
        let error = ask(&bench, 10_000).await.expect_err("is left alone");
        assert_eq!(error.code(), ErrorCode::DatabaseConnection, "{engine:?}");
        assert!(error.retry_after().is_some(), "{engine:?}: {error}");
        // It is tried again, and is well.
        proxy.set(Chaos::Calm);
        let well = async {
            while ask(&bench, 10_000).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), well)
            .await
            .expect("comes back");
        bench.end(&[]).await;
    }
}

#[tokio::test]
async fn a_caller_who_waits_for_a_silent_host_hears_that_it_is_silent() {
    for engine in servers() {
        let bench = Bench::new(engine).await;
        let pool = PoolOptions {
            acquire_timeout_ms: Some(200),
            ..PoolOptions::default()
        };
        let proxy = proxied(&bench, pool).await;
        proxy.set(Chaos::BlackHole);
        let error = ask(&bench, 10_000).await.expect_err("is silent");
        assert_eq!(
            (error.code(), error.outcome(), error.is_retriable()),
            (ErrorCode::DatabaseConnection, Outcome::NotApplied, true),
            "{engine:?}: {error}"
        );
        bench.end(&[]).await;
    }
}

#[tokio::test]
async fn an_explanation_ends_with_its_deadline_also_where_the_server_fell_silent() {
    for engine in servers() {
        let bench = Bench::new(engine).await;
        let proxy = proxied(&bench, PoolOptions::default()).await;
        ask(&bench, 10_000).await.expect("is well");
        let sql = match engine {
            EngineKind::Postgres => "select pg_sleep(1)",
            _ => "select sleep(1)",
        };
        let request = AnalyzeRequest {
            sql: sql.to_owned(),
            analyze: Some(true),
            timeout_ms: Some(1_500),
            ..AnalyzeRequest::default()
        };
        let context = context();
        let explained = bench.service.analyze_query(&context, FAR, request);
        let silence = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            proxy.set(Chaos::BlackHole);
        };
        let both = async { tokio::join!(explained, silence).0 };
        let explained = tokio::time::timeout(Duration::from_secs(15), both).await;
        let error: Error = explained
            .expect("ends")
            .expect_err("the server is silent")
            .into();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded, "{engine:?}");
        bench.end(&[]).await;
    }
}

#[tokio::test]
async fn a_statement_ends_at_the_server_also_where_nobody_can_ask_it_to() {
    if !engines().contains(&EngineKind::Postgres) {
        return;
    }
    let bench = Bench::new(EngineKind::Postgres).await;
    let proxy = proxied(&bench, PoolOptions::default()).await;
    ask(&bench, 10_000).await.expect("is well");
    let name = bench.table("abandoned");
    let count = "select count(*) from pg_stat_activity where state = 'active' and query like ? and pid <> pg_backend_pid()";
    let running = || bench.cell(count, vec![text(&format!("%as {name}%"))]);
    let request = QueryRequest {
        sql: format!("select pg_sleep(60) as {name}"),
        timeout_ms: Some(2_000),
        ..QueryRequest::default()
    };
    let context = context();
    let abandoned = bench.service.execute_query(&context, FAR, request);
    let silence = async {
        while running().await == Value::Int(0) {
            tokio::task::yield_now().await;
        }
        // From here on nothing reaches the server: no request to stop either.
        proxy.set(Chaos::BlackHole);
    };
    let (abandoned, ()) = tokio::join!(abandoned, silence);
    let error: Error = abandoned.expect_err("is silent").into();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    assert_eq!(running().await, Value::Int(1));
    proxy.cut();
    let ended = async {
        while running().await != Value::Int(0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .expect("the server notices that its client is gone");
    bench.end(&[]).await;
}
