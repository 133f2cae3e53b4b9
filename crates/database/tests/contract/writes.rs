//! Writes that return rows: what a limit of the answer leaves out is written all the same, and what is told of it is true.

use plinth_core::{Error, ErrorCode, Outcome};
use plinth_database::model::{
    EngineKind, PoolOptions, QueryReply, QueryRequest, RemoveDatabaseRequest, Value,
};

use crate::support::{Bench, DB, context, engines, step};
use crate::{code, field};

/// More than every buffer between the server and us holds, so that the server cannot finish by itself.
const ROWS: i64 = 100_000;

async fn wide(bench: &Bench, name: &str) -> String {
    let table = bench.table(name);
    let sql = format!("create table {table} (n int primary key, pad varchar(5000))");
    bench.run(&sql, vec![]).await;
    table
}

/// A statement that inserts so many rows of 200 bytes and returns them all.
fn insert_returning(engine: EngineKind, table: &str, rows: i64) -> String {
    match engine {
        EngineKind::Postgres => format!(
            "insert into {table} select x, repeat('x', 200) from generate_series(1, {rows}) as g(x) returning n, pad"
        ),
        EngineKind::Mariadb => format!(
            "insert into {table} select seq, repeat('x', 200) from seq_1_to_{rows} returning n, pad"
        ),
        EngineKind::Sqlite => format!(
            "insert into {table} select x, hex(zeroblob(100)) from (with recursive g(x) as \
             (select 1 union all select x + 1 from g where x < {rows}) select x from g) where true returning n, pad"
        ),
    }
}

async fn ask(
    bench: &Bench,
    sql: String,
    limits: impl FnOnce(&mut QueryRequest),
) -> Result<QueryReply, Error> {
    let mut request = QueryRequest {
        sql,
        ..QueryRequest::default()
    };
    limits(&mut request);
    let reply = bench.service.execute_query(&context(), DB, request).await;
    reply.map_err(Error::from)
}

async fn count(bench: &Bench, table: &str) -> Value {
    bench
        .cell(&format!("select count(*) from {table}"), vec![])
        .await
}

#[tokio::test]
async fn a_write_past_the_rows_of_its_answer_is_done() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = wide(&bench, "written").await;
        let sql = insert_returning(engine, &table, ROWS);
        let reply = ask(&bench, sql, |limits| limits.max_rows = Some(3))
            .await
            .expect("is done");
        assert!(reply.truncated, "{engine:?}");
        assert_eq!(
            (reply.rows.len(), reply.rows_affected),
            (3, ROWS),
            "{engine:?}"
        );
        assert_eq!(count(&bench, &table).await, Value::Int(ROWS), "{engine:?}");
        // The answer was read to its end, so the connection is as good as before.
        assert_eq!(bench.pool().await.opened, 1, "{engine:?}");
        bench.end(&["written"]).await;
    }
}

#[tokio::test]
async fn a_write_past_the_bytes_of_its_answer_is_done() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = wide(&bench, "written").await;
        let sql = insert_returning(engine, &table, 100);
        let reply = ask(&bench, sql, |limits| limits.max_bytes = Some(2_048))
            .await
            .expect("is done");
        assert!(reply.truncated && reply.rows.len() < 11, "{engine:?}");
        assert_eq!(count(&bench, &table).await, Value::Int(100), "{engine:?}");
        // One row alone is larger than the answer may be.
        let update = match engine {
            EngineKind::Mariadb => format!(
                "replace into {table} select n, repeat('y', 4000) from {table} where n < 4 returning pad"
            ),
            EngineKind::Postgres => {
                format!("update {table} set pad = repeat('y', 4000) where n < 4 returning pad")
            }
            EngineKind::Sqlite => {
                format!("update {table} set pad = hex(zeroblob(2000)) where n < 4 returning pad")
            }
        };
        let reply = ask(&bench, update, |limits| limits.max_bytes = Some(1_024))
            .await
            .expect("is done");
        assert!(reply.truncated && reply.rows.is_empty(), "{engine:?}");
        let long = format!("select count(*) from {table} where length(pad) = 4000");
        assert_eq!(bench.cell(&long, vec![]).await, Value::Int(3), "{engine:?}");
        bench.end(&["written"]).await;
    }
}

#[tokio::test]
async fn a_step_past_its_rows_rolls_everything_back() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = wide(&bench, "written").await;
        let mut first = step(&insert_returning(engine, &table, 1_000), vec![]);
        first.max_rows = Some(3);
        let second = step(&format!("delete from {table} where n = 1"), vec![]);
        let error: Error = bench
            .transact(vec![first.clone(), second], None)
            .await
            .expect_err("is too large")
            .into();
        assert_eq!(
            (error.code().number(), error.outcome(), field(&error)),
            (1007, Outcome::NotApplied, "steps[0].max_rows"),
            "{engine:?}"
        );
        assert_eq!(count(&bench, &table).await, Value::Int(0), "{engine:?}");
        // With room it is done, on the same connection.
        first.max_rows = Some(1_000);
        let done = bench.transact(vec![first], None).await.expect("fits");
        assert_eq!(done.results[0].rows.len(), 1_000, "{engine:?}");
        assert_eq!(count(&bench, &table).await, Value::Int(1_000));
        assert_eq!(bench.pool().await.opened, 1, "{engine:?}");
        bench.end(&["written"]).await;
    }
}

#[tokio::test]
async fn a_write_that_is_stopped_with_its_database_is_unknown() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = wide(&bench, "written").await;
        let sql = match engine {
            EngineKind::Postgres => {
                format!(
                    "insert into {table} select x % 2 + 1e9, '' from generate_series(1, 1000000000) as g(x) on conflict do nothing"
                )
            }
            EngineKind::Mariadb => format!("insert into {table} select sleep(60), ''"),
            EngineKind::Sqlite => format!(
                "insert into {table} select count(*), '' from (with recursive g(x) as \
                 (select 1 union all select x + 1 from g where x < 1000000000) select x from g)"
            ),
        };
        let writing = ask(&bench, sql, |_| {});
        let removing = async {
            while bench.pool().await.in_use == 0 {
                tokio::task::yield_now().await;
            }
            let request = RemoveDatabaseRequest {
                drain_timeout_ms: Some(300),
            };
            let removed = bench.service.remove_database(&context(), DB, request).await;
            assert_eq!(removed.expect("removes").aborted, 1, "{engine:?}");
        };
        let (written, ()) = tokio::join!(writing, removing);
        let error = written.expect_err("was stopped");
        assert_eq!(
            (error.code(), error.outcome(), error.is_retriable()),
            (ErrorCode::DatabaseConnection, Outcome::Unknown, false),
            "{engine:?}: {error}"
        );
        assert_eq!(code(bench.refused("select 1", vec![]).await), 1004);
        bench.register(PoolOptions::default(), false).await;
        bench.end(&["written"]).await;
    }
}
