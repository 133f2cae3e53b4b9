//! One statement: what is refused, counted, cut, stopped.

use plinth_core::{Error, ErrorCode, Outcome};
use plinth_database::model::{EngineKind, PoolOptions, QueryRequest, Value};

use crate::support::{Bench, DB, context, engines, step, text};
use crate::{code, endless, field, numbers};

#[tokio::test]
async fn one_statement_and_no_session_state() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        for sql in ["select 1; select 2", "begin", "commit", "set x = 1"] {
            let error = bench.refused(sql, vec![]).await;
            assert_eq!(
                (error.code(), field(&error)),
                (ErrorCode::InvalidArgument, "sql"),
                "{engine:?}: {sql}"
            );
        }
        let error = bench
            .refused("select * from no_such_table_here", vec![])
            .await;
        assert_eq!(error.code(), ErrorCode::DatabaseQuery, "{engine:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied);
        bench.end(&[]).await;
    }
}

#[tokio::test]
async fn a_changed_session_is_not_for_the_next_caller() {
    for engine in engines() {
        let pool = PoolOptions {
            max_connections: Some(1),
            ..PoolOptions::default()
        };
        let bench = Bench::with_pool(engine, pool).await;
        let name = bench.table("session");
        let (change, ask, fails) = match engine {
            EngineKind::Postgres => (
                format!("select \"set_config\"('plinth.{name}', 'changed', false)"),
                format!("select current_setting('plinth.{name}', true)"),
                "select pg_advisory_lock(75), 1 / (x - 1) from generate_series(1, 1) as g(x)",
            ),
            EngineKind::Mariadb => (
                format!("select `get_lock`('{name}', 0)"),
                format!("select is_used_lock('{name}')"),
                "select get_lock('plinth', 0), (select 1 union select 2)",
            ),
            EngineKind::Sqlite => (
                format!("create table \"temp\".{name} (a int)"),
                format!("select max(name) from sqlite_temp_schema where name = '{name}'"),
                "create temp table t as select abs(-9223372036854775808)",
            ),
        };
        bench.run(&change, vec![]).await;
        assert_eq!(bench.cell(&ask, vec![]).await, Value::Null, "{engine:?}");
        assert_eq!(bench.pool().await.opened, 2, "{engine:?}");
        // What fails may have changed the session before.
        bench.refused(fails, vec![]).await;
        bench.run("select 1", vec![]).await;
        assert_eq!(bench.pool().await.opened, 3, "{engine:?}");
        // Inside a transaction too.
        let steps = vec![step(&change, vec![])];
        bench.transact(steps, None).await.expect("is done");
        assert_eq!(bench.cell(&ask, vec![]).await, Value::Null, "{engine:?}");
        bench.end(&[]).await;
    }
}

#[tokio::test]
async fn changes_are_counted_and_keys_are_told() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = bench.table("counted");
        let key = match engine {
            EngineKind::Sqlite => "integer primary key",
            EngineKind::Postgres => "serial primary key",
            EngineKind::Mariadb => "int auto_increment primary key",
        };
        bench
            .run(&format!("create table {table} (id {key}, a int)"), vec![])
            .await;
        let insert = format!("insert into {table} (a) values (?), (?), (?)");
        let reply = bench
            .run(&insert, vec![Value::Int(1), Value::Int(1), Value::Int(2)])
            .await;
        assert_eq!(reply.rows_affected, 3, "{engine:?}");
        assert_eq!(
            reply.last_insert_id.is_some(),
            engine != EngineKind::Postgres
        );
        let read = bench.run(&format!("select * from {table}"), vec![]).await;
        assert_eq!(
            (read.rows_affected, read.last_insert_id),
            (0, None),
            "{engine:?}"
        );
        let update = format!("update {table} set a = a where a = ?");
        assert_eq!(
            bench.run(&update, vec![Value::Int(1)]).await.rows_affected,
            2,
            "{engine:?}"
        );
        let error = bench
            .refused(
                &format!("insert into {table} (id, a) values (1, 1)"),
                vec![],
            )
            .await;
        assert_eq!(error.code(), ErrorCode::DatabaseQuery);
        bench.end(&["counted"]).await;
    }
}

#[tokio::test]
async fn pages_neither_lose_nor_repeat_a_row() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "paged", 25).await;
        // With a LIMIT of its own the rows are passed over here, else at the server.
        for sql in [
            format!("select n from {table} where n >= ? order by n desc"),
            format!("select n from {table} where n >= ? order by n desc limit 1000"),
        ] {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let request = QueryRequest {
                    sql: sql.clone(),
                    params: vec![Value::Int(0)],
                    max_rows: Some(10),
                    cursor: cursor.clone(),
                    ..QueryRequest::default()
                };
                let reply = bench
                    .service
                    .execute_query(&context(), DB, request)
                    .await
                    .expect("reads a page");
                assert_eq!(reply.truncated, reply.next_cursor.is_some());
                seen.extend(reply.rows.into_iter().map(|row| row.values[0].clone()));
                cursor = reply.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            let expected: Vec<Value> = (0..25).rev().map(Value::Int).collect();
            assert_eq!(seen, expected, "{engine:?}: {sql}");
        }
        let request = |sql: String, cursor| QueryRequest {
            sql,
            max_rows: Some(10),
            cursor,
            ..QueryRequest::default()
        };
        let unordered = request(format!("select n from {table}"), None);
        let reply = bench
            .service
            .execute_query(&context(), DB, unordered)
            .await
            .expect("reads");
        assert_eq!((reply.truncated, reply.next_cursor), (true, None));
        let ordered = request(format!("select n from {table} order by n"), None);
        let reply = bench
            .service
            .execute_query(&context(), DB, ordered)
            .await
            .expect("reads");
        let other = request(
            format!("select n from {table} order by pad"),
            reply.next_cursor,
        );
        let error: Error = bench
            .service
            .execute_query(&context(), DB, other)
            .await
            .expect_err("is refused")
            .into();
        assert_eq!(field(&error), "cursor");
        bench.end(&["paged"]).await;
    }
}

#[tokio::test]
async fn an_answer_stays_within_its_bytes() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "heavy", 500).await;
        let request = |max_bytes| QueryRequest {
            sql: format!("select n, pad from {table} order by n"),
            max_bytes: Some(max_bytes),
            ..QueryRequest::default()
        };
        let reply = bench
            .service
            .execute_query(&context(), DB, request(2_048))
            .await
            .expect("reads");
        assert!(reply.truncated && reply.next_cursor.is_some() && !reply.rows.is_empty());
        let wide = QueryRequest {
            sql: format!("select {} from {table}", vec!["pad"; 100].join(", ")),
            max_bytes: Some(1_024),
            ..QueryRequest::default()
        };
        let error = bench
            .service
            .execute_query(&context(), DB, wide)
            .await
            .expect_err("is too large");
        assert_eq!(code(error), 1007, "{engine:?}");
        // The connection that was left in the middle is not given to the next caller.
        for _again in 0..5 {
            assert_eq!(
                bench
                    .cell(&format!("select count(*) from {table}"), vec![])
                    .await,
                Value::Int(500)
            );
        }
        bench.end(&["heavy"]).await;
    }
}

#[tokio::test]
async fn a_deadline_stops_the_statement_at_the_server() {
    for engine in engines() {
        let pool = PoolOptions {
            max_connections: Some(1),
            ..PoolOptions::default()
        };
        let bench = Bench::with_pool(engine, pool).await;
        bench.run("select 1", vec![]).await;
        let (sql, name) = endless(&bench);
        let request = QueryRequest {
            sql,
            timeout_ms: Some(200),
            ..QueryRequest::default()
        };
        let began = std::time::Instant::now();
        let error: Error = bench
            .service
            .execute_query(&context(), DB, request)
            .await
            .expect_err("passes")
            .into();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded, "{engine:?}");
        // The only permit comes back when the server has stopped, far before the statement would have ended.
        bench.run("select 1", vec![]).await;
        assert!(
            began.elapsed().as_secs() < 5,
            "{engine:?}: {:?}",
            began.elapsed()
        );
        let running = match engine {
            EngineKind::Sqlite => Value::Int(0),
            EngineKind::Postgres => {
                let sql = "select count(*) from pg_stat_activity where state = 'active' and query like ? and pid <> pg_backend_pid()";
                bench.cell(sql, vec![text(&format!("%{name}%"))]).await
            }
            EngineKind::Mariadb => {
                let sql = "select count(*) from information_schema.processlist where info like ? and id <> connection_id()";
                bench.cell(sql, vec![text(&format!("%{name}%"))]).await
            }
        };
        assert_eq!(running, Value::Int(0), "{engine:?}: still runs");
        bench.end(&[]).await;
    }
}

#[tokio::test]
async fn a_read_only_database_refuses_writes() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "fixed", 3).await;
        bench.register(PoolOptions::default(), true).await;
        let error = bench.refused(&format!("delete from {table}"), vec![]).await;
        assert_eq!(error.code(), ErrorCode::Forbidden, "{engine:?}");
        assert_eq!(
            bench
                .cell(&format!("select count(*) from {table}"), vec![])
                .await,
            Value::Int(3)
        );
        bench.register(PoolOptions::default(), false).await;
        if engine == EngineKind::Postgres {
            // What the parser cannot know the engine itself refuses.
            let sequence = bench.table("sequence");
            bench
                .run(&format!("create sequence {sequence}"), vec![])
                .await;
            bench.register(PoolOptions::default(), true).await;
            let error = bench
                .refused(&format!("select nextval('{sequence}')"), vec![])
                .await;
            assert_eq!(error.code(), ErrorCode::DatabaseQuery);
            bench.register(PoolOptions::default(), false).await;
            bench
                .run(&format!("drop sequence {sequence}"), vec![])
                .await;
        }
        bench.end(&["fixed"]).await;
    }
}

#[tokio::test]
async fn slow_statements_are_gathered_by_shape() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "shapes", 10).await;
        for n in 0..3 {
            bench
                .run(
                    &format!("select pad from {table} where n = {n} and pad <> 'secret'"),
                    vec![],
                )
                .await;
        }
        bench
            .run(
                &format!("SELECT pad FROM {table} WHERE n = ? AND pad <> ?"),
                vec![Value::Int(1), text("x")],
            )
            .await;
        let reply = bench
            .service
            .get_slow_queries(
                &context(),
                DB,
                plinth_database::model::SlowQueriesRequest {
                    limit: Some(100),
                    ..Default::default()
                },
            )
            .await
            .expect("lists");
        let row = reply
            .queries
            .iter()
            .find(|row| row.statement.contains("pad <> ?") || row.statement.contains("pad<>?"))
            .expect("is listed");
        assert_eq!(
            (row.calls, row.rows_returned),
            (4, 4),
            "{engine:?}: {row:?}"
        );
        assert!(!row.sample.contains("secret") && !row.statement.contains("secret"));
        bench.end(&["shapes"]).await;
    }
}
