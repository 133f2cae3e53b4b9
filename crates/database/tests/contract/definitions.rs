//! Named databases: registering, removing, being away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use plinth_core::{Error, ErrorCode, Outcome, Result, SystemClock};
use plinth_database::model::{
    EngineKind, ListDatabasesRequest, PoolOptions, QueryRequest, RegisterDatabaseRequest,
    RemoveDatabaseRequest,
};
use plinth_store::memory::{MemoryDefinitions, Stage, Staged};
use tokio::sync::Notify;

use crate::support::{Bench, DB, context, context_in, engines};
use crate::{code, endless, field};

#[tokio::test]
async fn definitions_are_versioned_and_show_no_secret() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let mut request: RegisterDatabaseRequest = bench.definition(PoolOptions::default(), false);
        request.if_version = Some(plinth_core::WideInt(0));
        let error = bench
            .service
            .register_database(&context(), DB, request)
            .await
            .expect_err("exists");
        assert_eq!(code(error), 1006);
        let mut request = bench.definition(PoolOptions::default(), false);
        request.secret = None;
        request.if_version = Some(plinth_core::WideInt(1));
        let changed = bench
            .service
            .register_database(&context(), DB, request)
            .await
            .expect("changes");
        assert_eq!((changed.created, changed.info.version.0), (false, 2));
        // The secret stayed, because the place did.
        bench.run("select 1", vec![]).await;
        let listed = bench
            .service
            .list_databases(&context(), ListDatabasesRequest::default())
            .await
            .expect("lists");
        let shown = serde_json::to_string(&listed).expect("serializes");
        assert!(!shown.contains("plinth-test"), "{shown}");
        let stranger = context_in("other", None, 10_000);
        let error = bench
            .service
            .execute_query(
                &stranger,
                DB,
                QueryRequest {
                    sql: "select 1".to_owned(),
                    ..QueryRequest::default()
                },
            )
            .await
            .expect_err("is another's");
        assert_eq!(code(error), 1004);
        let removed = bench
            .service
            .remove_database(&context(), DB, RemoveDatabaseRequest::default())
            .await
            .expect("removes");
        assert_eq!((removed.removed, removed.aborted), (true, 0));
        assert_eq!(
            bench.refused("select 1", vec![]).await.code(),
            ErrorCode::NotFound
        );
        let removed = bench
            .service
            .remove_database(&context(), DB, RemoveDatabaseRequest::default())
            .await
            .expect("removes");
        assert!(!removed.removed);
    }
}

#[tokio::test]
async fn removing_a_database_stops_what_does_not_end() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let request = QueryRequest {
            sql: endless(&bench).0,
            ..QueryRequest::default()
        };
        let context_of_query = context();
        let running = bench.service.execute_query(&context_of_query, DB, request);
        let removing = async {
            while bench.pool().await.in_use == 0 {
                tokio::task::yield_now().await;
            }
            let request = RemoveDatabaseRequest {
                drain_timeout_ms: Some(100),
            };
            bench
                .service
                .remove_database(&context(), DB, request)
                .await
                .expect("removes")
        };
        let (ended, removed) = tokio::join!(running, removing);
        assert_eq!(code(ended.expect_err("was stopped")), 2401, "{engine:?}");
        assert_eq!((removed.removed, removed.aborted), (true, 1), "{engine:?}");
    }
}

/// Definitions whose first look-up is answered late, with what was true when it began.
struct SlowFirst {
    inner: MemoryDefinitions,
    held: AtomicBool,
    reached: Notify,
    go_on: Notify,
}

#[async_trait]
impl Stage for SlowFirst {
    fn there(&self) -> Result<&MemoryDefinitions> {
        Ok(&self.inner)
    }

    async fn looked(&self) {
        if self.held.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.go_on.notified().await;
        }
    }
}

#[tokio::test]
async fn a_definition_that_was_read_late_does_not_take_the_place_of_a_newer() {
    let definitions = Arc::new(Staged(SlowFirst {
        inner: MemoryDefinitions::new(SystemClock::shared()),
        held: AtomicBool::new(false),
        reached: Notify::new(),
        go_on: Notify::new(),
    }));
    let bench = Bench::on_definitions(EngineKind::Sqlite, Arc::clone(&definitions) as _).await;
    // A second instance, which has not opened the database yet.
    let other = bench.another(Arc::clone(&definitions) as _);
    bench.run("create table old (a int)", vec![]).await;
    definitions.0.held.store(true, Ordering::SeqCst);
    let request = |sql: &str| QueryRequest {
        sql: sql.to_owned(),
        ..QueryRequest::default()
    };
    let context = context();
    let late = other.execute_query(&context, DB, request("select * from new"));
    let newer = async {
        definitions.0.reached.notified().await;
        let mut changed = bench.definition(PoolOptions::default(), false);
        changed.url = "test/new.db".to_owned();
        other
            .register_database(&context, DB, changed)
            .await
            .expect("registers");
        let create = request("create table new (a int)");
        other
            .execute_query(&context, DB, create)
            .await
            .expect("is new");
        definitions.0.go_on.notify_one();
    };
    let (late, ()) = tokio::join!(late, newer);
    // The late one works with the newer definition, and so does whoever comes next.
    late.expect("finds the table of the newer");
    other
        .execute_query(&context, DB, request("select * from new"))
        .await
        .expect("finds it too");
    other.close().await;
    bench.end(&[]).await;
}

#[tokio::test]
async fn a_database_that_is_away_fails_fast_and_is_tried_again() {
    let bench = Bench::new(EngineKind::Sqlite).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let port = listener.local_addr().expect("is bound").port();
    drop(listener);
    let request = RegisterDatabaseRequest {
        engine: "postgres".to_owned(),
        url: format!("postgres://nobody@127.0.0.1:{port}/none"),
        secret: None,
        tls_ca: None,
        read_only: None,
        pool: None,
        slow_query_threshold_ms: None,
        if_version: None,
    };
    bench
        .service
        .register_database(&context(), "away", request)
        .await
        .expect("registering needs no database");
    let mut open = false;
    for _call in 0..10 {
        let request = QueryRequest {
            sql: "select 1".to_owned(),
            ..QueryRequest::default()
        };
        let error: Error = bench
            .service
            .execute_query(&context(), "away", request)
            .await
            .expect_err("is away")
            .into();
        assert_eq!(
            (error.code(), error.outcome()),
            (ErrorCode::DatabaseConnection, Outcome::NotApplied)
        );
        assert!(error.is_retriable());
        open |= error.retry_after().is_some();
    }
    assert!(open, "the breaker opened");
    bench.run("select 1", vec![]).await;
    bench.end(&[]).await;
}

#[tokio::test]
async fn a_sqlite_path_does_not_leave_its_directory() {
    let bench = Bench::new(EngineKind::Sqlite).await;
    let request = |url: &str| RegisterDatabaseRequest {
        engine: "sqlite".to_owned(),
        url: url.to_owned(),
        secret: None,
        tls_ca: None,
        read_only: None,
        pool: None,
        slow_query_threshold_ms: None,
        if_version: None,
    };
    for url in ["../x.db", "/etc/passwd", "a/../../x.db"] {
        let error: Error = bench
            .service
            .register_database(&context(), "out", request(url))
            .await
            .expect_err(url)
            .into();
        assert_eq!(field(&error), "url");
    }
    bench.run("select 1", vec![]).await;
    let outside = tempfile::tempdir().expect("makes a directory");
    let link = bench.sqlite_directory().join("test").join("link");
    std::os::unix::fs::symlink(outside.path(), link).expect("links");
    bench
        .service
        .register_database(&context(), "link", request("link/x.db"))
        .await
        .expect("looks harmless");
    let query = QueryRequest {
        sql: "select 1".to_owned(),
        ..QueryRequest::default()
    };
    let error = bench
        .service
        .execute_query(&context(), "link", query)
        .await
        .expect_err("is refused");
    assert_eq!(code(error), 2401);
    assert!(
        std::fs::read_dir(outside.path())
            .expect("reads")
            .next()
            .is_none()
    );
    bench.end(&[]).await;
}
