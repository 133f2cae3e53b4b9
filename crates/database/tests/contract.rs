//! One list of behaviours, run against SQLite, PostgreSQL and MariaDB.

mod support;

use plinth_core::{Error, ErrorCode, Outcome};
use plinth_database::model::{
    EngineKind, ListDatabasesRequest, PoolOptions, QueryRequest, RegisterDatabaseRequest,
    RemoveDatabaseRequest, Step, TransactionRequest, Value,
};
use support::{Bench, DB, context, context_in, engines, step, text};

fn code(error: impl Into<Error>) -> u16 {
    error.into().code().number()
}

fn field(error: &Error) -> &str {
    error
        .violations()
        .first()
        .map_or("", |violation| violation.field.as_str())
}

#[tokio::test]
async fn every_value_survives_a_round_trip() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = bench.table("every");
        let columns = match engine {
            EngineKind::Sqlite => {
                "b boolean, i bigint, f double, d text, t text, r blob, da date, ti time, ts timestamp, z timestamp, \
                 j text, u text"
            }
            EngineKind::Postgres => {
                "b boolean, i bigint, f double precision, d numeric, t text, r bytea, da date, ti time, \
                 ts timestamp, z timestamptz, j jsonb, u uuid"
            }
            EngineKind::Mariadb => {
                "b boolean, i bigint, f double, d decimal(60,20), t text, r blob, da date, ti time(6), \
                 ts datetime(6), z timestamp(6) null, j json, u char(36)"
            }
        };
        bench
            .run(&format!("create table {table} ({columns})"), vec![])
            .await;
        let decimal = "-123456789012345678901234567890.12345678901234567890";
        let sent = vec![
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Float(0.1 + 0.2),
            Value::Decimal(decimal.to_owned()),
            text("it's \"é\" 名 \\ ?"),
            Value::Bytes(vec![0, 1, 255]),
            Value::Date("2024-02-29".to_owned()),
            Value::Time("23:59:59.123456".to_owned()),
            Value::Timestamp("2026-11-23T19:30:00.25".to_owned()),
            Value::Timestamp("2026-11-23T19:30:00.000001Z".to_owned()),
            Value::Json("{\"a\": 1}".to_owned()),
            Value::Uuid("01935b6e-1c6f-7c4e-8f3a-0123456789ab".to_owned()),
        ];
        let marks = vec!["?"; sent.len()].join(", ");
        let insert = format!("insert into {table} values ({marks})");
        assert_eq!(bench.run(&insert, sent.clone()).await.rows_affected, 1);
        bench.run(&insert, vec![Value::Null; sent.len()]).await;
        let reply = bench
            .run(&format!("select * from {table} order by i desc"), vec![])
            .await;
        let (full, empty) = match reply.rows.as_slice() {
            [one, other] if one.values[0] == Value::Null => (other, one),
            [one, other] => (one, other),
            other => panic!("{engine:?}: {other:?}"),
        };
        assert!(
            empty.values.iter().all(|value| *value == Value::Null),
            "{engine:?}"
        );
        for (at, (sent, got)) in sent.iter().zip(&full.values).enumerate() {
            let name = &reply.columns[at].name;
            // An engine without a type of its own gives the same content as text.
            let same = match (sent, got) {
                (
                    Value::Decimal(sent) | Value::Json(sent) | Value::Uuid(sent),
                    Value::Text(got),
                ) => sent == got,
                (sent, got) => sent == got,
            };
            assert!(same, "{engine:?}.{name}: sent {sent:?}, got {got:?}");
        }
        bench.end(&["every"]).await;
    }
}

#[tokio::test]
async fn an_empty_result_still_has_its_columns() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let reply = bench
            .run(
                "select 1 as a, 'x' as b from (select 1 as one) as q where 1 = 0",
                vec![],
            )
            .await;
        let names: Vec<&str> = reply
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!((names, reply.rows.len()), (vec!["a", "b"], 0), "{engine:?}");
        bench.end(&[]).await;
    }
}

#[tokio::test]
async fn types_without_a_field_come_as_text_and_go_in_as_text() {
    if !engines().contains(&EngineKind::Postgres) {
        return;
    }
    let bench = Bench::new(EngineKind::Postgres).await;
    let (table, mood) = (bench.table("odd"), bench.table("mood"));
    bench
        .run(
            &format!("create type {mood} as enum ('sad', 'glad')"),
            vec![],
        )
        .await;
    let create = format!("create table {table} (a inet, l int[], p interval, m {mood}, n int)");
    bench.run(&create, vec![]).await;
    let insert = format!("insert into {table} values (?, ?, ?, ?, ?) returning a, l, p, m, n");
    let reply = bench
        .run(
            &insert,
            vec![
                text("10.0.0.1"),
                text("{1,2}"),
                text("1 day 02:00:00"),
                text("glad"),
                Value::Int(7),
            ],
        )
        .await;
    assert_eq!(
        reply.rows[0].values,
        [
            text("10.0.0.1/32"),
            text("{1,2}"),
            text("1 day 02:00:00"),
            text("glad"),
            Value::Int(7)
        ]
    );
    assert_eq!(
        (reply.rows_affected, reply.columns[0].type_name.as_str()),
        (1, "inet")
    );
    let found = bench
        .cell(
            &format!("select a from {table} where m = ?"),
            vec![text("glad")],
        )
        .await;
    assert_eq!(found, text("10.0.0.1/32"));
    let error = bench
        .refused(
            &format!("insert into {table} (n) values (?)"),
            vec![Value::Int(1 << 40)],
        )
        .await;
    assert_eq!(
        (error.code(), field(&error)),
        (ErrorCode::InvalidArgument, "params[0]")
    );
    bench.run(&format!("drop table {table}"), vec![]).await;
    bench.run(&format!("drop type {mood}"), vec![]).await;
    bench.end(&[]).await;
}

#[tokio::test]
async fn a_bare_placeholder_has_its_values_type() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        assert_eq!(
            bench.cell("select ? as a", vec![text("x")]).await,
            text("x")
        );
        assert_eq!(
            bench.cell("select ? as a", vec![Value::Int(5)]).await,
            Value::Int(5),
            "{engine:?}"
        );
        assert_eq!(
            bench.cell("select ? as a", vec![Value::Float(1.5)]).await,
            Value::Float(1.5),
            "{engine:?}"
        );
        assert_eq!(
            bench.cell("select ? as a", vec![Value::Null]).await,
            Value::Null
        );
        let error = bench.refused("select ?", vec![]).await;
        assert_eq!(
            (error.code(), field(&error)),
            (ErrorCode::InvalidArgument, "params")
        );
        let error = bench
            .refused("select ?", vec![Value::Date("2023-02-29".to_owned())])
            .await;
        assert_eq!(field(&error), "params[0]");
        bench.end(&[]).await;
    }
}

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

async fn numbers(bench: &Bench, name: &str, rows: i64) -> String {
    let table = bench.table(name);
    bench
        .run(
            &format!("create table {table} (n int primary key, pad varchar(100))"),
            vec![],
        )
        .await;
    for first in (0..rows).step_by(1_000) {
        let values: Vec<String> = (first..rows.min(first + 1_000))
            .map(|n| format!("({n}, 'row {n}')"))
            .collect();
        bench
            .run(
                &format!("insert into {table} values {}", values.join(",")),
                vec![],
            )
            .await;
    }
    table
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

/// A statement that runs for a minute or more, and a name by which it is found at the server.
fn endless(bench: &Bench) -> (String, String) {
    let name = bench.table("endless");
    let sql = match bench.engine {
        EngineKind::Sqlite => {
            "with recursive n(x) as (select 1 union all select x + 1 from n where x < 1000000000) select count(*) from n"
                .to_owned()
        }
        EngineKind::Postgres => format!("select count(*) as {name} from generate_series(1, 10000000000)"),
        EngineKind::Mariadb => format!("select sleep(60) as {name}"),
    };
    (sql, name)
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
async fn a_transaction_is_all_or_nothing() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "moved", 2).await;
        let delete = format!("delete from {table} where n = ?");
        let count = format!("select count(*) from {table}");
        let good = bench
            .transact(
                vec![step(&delete, vec![Value::Int(0)]), step(&count, vec![])],
                None,
            )
            .await
            .expect("commits");
        assert_eq!(good.results[0].rows_affected, 1);
        assert_eq!(good.results[1].rows[0].values[0], Value::Int(1));
        let missing = Step {
            expect_rows_affected: Some(1),
            ..step(&delete, vec![Value::Int(0)])
        };
        let failing = vec![step(&delete, vec![Value::Int(1)]), missing];
        let error: Error = bench
            .transact(failing, None)
            .await
            .expect_err("fails")
            .into();
        assert_eq!(
            (error.code(), field(&error)),
            (ErrorCode::PreconditionFailed, "steps[1]"),
            "{engine:?}"
        );
        let failing = vec![
            step(&delete, vec![Value::Int(1)]),
            step("select * from nowhere_at_all", vec![]),
        ];
        let error: Error = bench
            .transact(failing, None)
            .await
            .expect_err("fails")
            .into();
        assert_eq!(
            (error.code(), field(&error)),
            (ErrorCode::DatabaseTransaction, "steps[1]"),
            "{engine:?}"
        );
        let many = Step {
            max_rows: Some(1),
            ..step("select 1 union all select 2", vec![])
        };
        let failing = vec![step(&delete, vec![Value::Int(1)]), many];
        let error: Error = bench
            .transact(failing, None)
            .await
            .expect_err("fails")
            .into();
        assert_eq!(
            (error.code(), field(&error)),
            (ErrorCode::TooLarge, "steps[1].max_rows"),
            "{engine:?}"
        );
        let few = Step {
            expect_rows_min: Some(2),
            ..step("select 1", vec![])
        };
        let error: Error = bench
            .transact(vec![step(&delete, vec![Value::Int(1)]), few], None)
            .await
            .expect_err("fails")
            .into();
        assert_eq!(error.code(), ErrorCode::PreconditionFailed, "{engine:?}");
        assert_eq!(
            bench.cell(&count, vec![]).await,
            Value::Int(1),
            "{engine:?}: all was rolled back"
        );
        assert_eq!(bench.pool().await.in_use, 0);
        bench.end(&["moved"]).await;
    }
}

#[tokio::test]
async fn the_same_key_gets_the_first_answer() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "once", 0).await;
        let key = bench.table("key");
        let insert = |n| {
            vec![step(
                &format!("insert into {table} (n) values (?)"),
                vec![Value::Int(n)],
            )]
        };
        let first = bench
            .transact(insert(1), Some(&key))
            .await
            .expect("commits");
        let again = bench
            .transact(insert(1), Some(&key))
            .await
            .expect("repeats");
        assert!(!first.repeated && again.repeated, "{engine:?}");
        assert_eq!(first.results, again.results);
        let error = bench
            .transact(insert(2), Some(&key))
            .await
            .expect_err("is refused");
        assert_eq!(code(error), 1005, "{engine:?}");
        // Many at once with one key: one of them does the work.
        let shared = bench.table("shared");
        let many = (0..8).map(|_| bench.transact(insert(9), Some(&shared)));
        let replies = futures::future::join_all(many).await;
        let fresh = replies
            .iter()
            .filter(|reply| !reply.as_ref().expect("answers").repeated)
            .count();
        assert_eq!(fresh, 1, "{engine:?}");
        // A roll-back leaves no record: the same key may try again.
        let failed = bench.table("failed");
        let twice = vec![insert(20).remove(0), insert(20).remove(0)];
        assert_eq!(
            code(
                bench
                    .transact(twice.clone(), Some(&failed))
                    .await
                    .expect_err("violates")
            ),
            2403
        );
        bench.run(&format!("drop table {table}"), vec![]).await;
        bench
            .run(&format!("create table {table} (n int)"), vec![])
            .await;
        assert!(
            !bench
                .transact(twice, Some(&failed))
                .await
                .expect("commits")
                .repeated,
            "{engine:?}"
        );
        bench.end(&["once"]).await;
    }
}

#[tokio::test]
async fn concurrent_increments_are_not_lost_at_serializable() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = bench.table("counter");
        bench
            .run(
                &format!("create table {table} (id int primary key, n int not null)"),
                vec![],
            )
            .await;
        bench
            .run(&format!("insert into {table} values (1, 0)"), vec![])
            .await;
        let increment = || async {
            // Read, then write what was read plus one, in one transaction: lost unless it is serializable.
            let request = TransactionRequest {
                steps: vec![
                    step(&format!("select n from {table} where id = 1"), vec![]),
                    step(
                        &format!(
                            "update {table} set n = (select m from (select n + 1 as m from {table} where id = 1) as q) where id = 1"
                        ),
                        vec![],
                    ),
                ],
                isolation: Some("serializable".to_owned()),
                max_attempts: Some(10),
                ..TransactionRequest::default()
            };
            bench
                .service
                .execute_transaction(&context(), DB, request)
                .await
        };
        let outcomes = futures::future::join_all((0..12).map(|_| increment())).await;
        let mut done = 0;
        for outcome in outcomes {
            match outcome {
                Ok(_) => done += 1,
                Err(error) => assert_eq!(code(error), 2405, "{engine:?}: only conflicts may fail"),
            }
        }
        assert_eq!(
            bench.cell(&format!("select n from {table}"), vec![]).await,
            Value::Int(done),
            "{engine:?}"
        );
        assert!(done >= 1);
        bench.end(&["counter"]).await;
    }
}

#[tokio::test]
async fn isolation_levels_show_what_they_promise() {
    for engine in engines()
        .into_iter()
        .filter(|engine| *engine != EngineKind::Sqlite)
    {
        let bench = Bench::new(engine).await;
        let table = bench.table("seen");
        bench
            .run(&format!("create table {table} (n int)"), vec![])
            .await;
        let nap = match engine {
            EngineKind::Postgres => "select pg_sleep(0.6)",
            _ => "select sleep(0.6)",
        };
        for (isolation, second) in [("read_committed", 1), ("repeatable_read", 0)] {
            bench.run(&format!("delete from {table}"), vec![]).await;
            let count = step(&format!("select count(*) from {table}"), vec![]);
            let request = TransactionRequest {
                steps: vec![count.clone(), step(nap, vec![]), count],
                isolation: Some(isolation.to_owned()),
                ..TransactionRequest::default()
            };
            let context = context();
            let reads = bench.service.execute_transaction(&context, DB, request);
            let writes = async {
                // Beside the reader, once it holds its connection and has read.
                while bench.pool().await.in_use == 0 {
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                bench
                    .run(&format!("insert into {table} values (1)"), vec![])
                    .await;
            };
            let (reads, ()) = tokio::join!(reads, writes);
            let results = reads.expect("commits").results;
            let counts: Vec<&Value> = [0, 2]
                .iter()
                .map(|at: &usize| &results[*at].rows[0].values[0])
                .collect();
            assert_eq!(
                counts,
                [&Value::Int(0), &Value::Int(second)],
                "{engine:?} {isolation}"
            );
        }
        bench.end(&["seen"]).await;
    }
}

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
        assert_eq!(code(ended.expect_err("was stopped")), 1004, "{engine:?}");
        assert_eq!((removed.removed, removed.aborted), (true, 1), "{engine:?}");
    }
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

#[tokio::test]
async fn a_sqlite_path_does_not_leave_its_directory() {
    let bench = Bench::new(EngineKind::Sqlite).await;
    let request = |url: &str| RegisterDatabaseRequest {
        engine: "sqlite".to_owned(),
        url: url.to_owned(),
        secret: None,
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
