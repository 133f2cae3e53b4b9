//! Transactions and isolation.

use plinth_core::{Error, ErrorCode};
use plinth_database::model::{EngineKind, Step, TransactionRequest, Value};

use crate::support::{Bench, DB, context, engines, step, text};
use crate::{code, field, numbers};

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
async fn ddl_is_part_of_a_transaction_or_refused() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = bench.table("made");
        let steps = vec![
            step(&format!("create table {table} (a int)"), vec![]),
            step("select * from nowhere_at_all", vec![]),
        ];
        let error: Error = bench.transact(steps, None).await.expect_err("fails").into();
        let expected = match engine {
            EngineKind::Mariadb => "steps[0].sql",
            _ => "steps[1]",
        };
        assert_eq!(field(&error), expected, "{engine:?}");
        assert_eq!(
            bench
                .refused(&format!("select * from {table}"), vec![])
                .await
                .code(),
            ErrorCode::DatabaseQuery
        );
        bench.end(&[]).await;
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
        let name = bench.table("nap");
        let (nap, asleep) = match engine {
            EngineKind::Postgres => (
                format!("select pg_sleep(0.5) as {name}"),
                "select count(*) from pg_stat_activity where state = 'active' and query like ? and pid <> pg_backend_pid()",
            ),
            _ => (
                format!("select sleep(0.5) as {name}"),
                "select count(*) from information_schema.processlist where info like ? and id <> connection_id()",
            ),
        };
        for (isolation, second) in [("read_committed", 1), ("repeatable_read", 0)] {
            bench.run(&format!("delete from {table}"), vec![]).await;
            let count = step(&format!("select count(*) from {table}"), vec![]);
            let request = TransactionRequest {
                steps: vec![count.clone(), step(&nap, vec![]), count],
                isolation: Some(isolation.to_owned()),
                ..TransactionRequest::default()
            };
            let context = context();
            let reads = bench.service.execute_transaction(&context, DB, request);
            let writes = async {
                // Beside the reader, once it has read and sleeps.
                let pattern = format!("select%sleep%{name}%");
                while bench.cell(asleep, vec![text(&pattern)]).await == Value::Int(0) {
                    tokio::task::yield_now().await;
                }
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
