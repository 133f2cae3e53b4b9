//! SQLite files of tenants: their bounds, and what no quoting gets past.

use plinth_core::{Error, ErrorCode, Outcome};
use plinth_database::model::{EngineKind, PoolOptions, Value};

use crate::field;
use crate::support::{Bench, SQLITE_FILE_BYTES, step, text};

async fn one_connection() -> Bench {
    let pool = PoolOptions {
        max_connections: Some(1),
        ..PoolOptions::default()
    };
    Bench::with_pool(EngineKind::Sqlite, pool).await
}

/// A query of so many rows of a million bytes.
fn megabytes(rows: u64) -> String {
    format!(
        "with recursive n(x) as (select 1 union all select x + 1 from n where x < {rows}) \
         select randomblob(1000000) as b from n"
    )
}

#[tokio::test]
async fn a_value_is_no_longer_than_a_frame() {
    let bench = one_connection().await;
    bench.run("create table t (a)", vec![]).await;
    for sql in [
        "select zeroblob(16777217)",
        "select length(hex(zeroblob(9000000)))",
        "select length(group_concat(hex(zeroblob(4000000)))) from (values (1), (2), (3))",
        "insert into t values (zeroblob(16777217))",
    ] {
        let error = bench.refused(sql, vec![]).await;
        assert_eq!(
            (error.code(), field(&error), error.outcome()),
            (ErrorCode::TooLarge, "sql", Outcome::NotApplied),
            "{sql}: {error}"
        );
    }
    let largest = "select length(zeroblob(16777216))";
    assert_eq!(bench.cell(largest, vec![]).await, Value::Int(16_777_216));
    let values = |count: usize| format!("select max({})", vec!["1"; count].join(", "));
    assert_eq!(bench.cell(&values(127), vec![]).await, Value::Int(1));
    let error = bench.refused(&values(128), vec![]).await;
    assert_eq!(error.code(), ErrorCode::DatabaseQuery, "{error}");
    // The connection is as good as before.
    assert_eq!(bench.pool().await.opened, 1);
    bench.end(&[]).await;
}

#[tokio::test]
async fn a_file_does_not_outgrow_its_bound() {
    let bench = one_connection().await;
    bench.run("create table t (a)", vec![]).await;
    let rows = SQLITE_FILE_BYTES / 1_000_000 + 1;
    let too_much = format!("insert into t select b from ({})", megabytes(rows));
    let check = |error: &Error| {
        assert_eq!(
            (error.code(), error.is_retriable(), error.outcome()),
            (ErrorCode::RateLimited, false, Outcome::NotApplied),
            "{error}"
        );
        let bound = SQLITE_FILE_BYTES.to_string();
        assert!(error.to_string().contains(&bound), "{error}");
    };
    check(&bench.refused(&too_much, vec![]).await);
    let steps = vec![
        step("insert into t values (1)", vec![]),
        step(&too_much, vec![]),
    ];
    check(
        &bench
            .transact(steps, None)
            .await
            .expect_err("is full")
            .into(),
    );
    let count = "select count(*) from t";
    assert_eq!(bench.cell(count, vec![]).await, Value::Int(0));
    // What fits is written.
    let fits = format!("insert into t select b from ({})", megabytes(10));
    assert_eq!(bench.run(&fits, vec![]).await.rows_affected, 10);
    // Temporary tables are bounded too.
    let temporary = format!("create temp table u as {}", megabytes(rows));
    check(&bench.refused(&temporary, vec![]).await);
    bench.end(&[]).await;
}

#[tokio::test]
async fn what_reaches_outside_is_refused_however_it_is_quoted() {
    let bench = one_connection().await;
    bench.run("create table t (a int)", vec![]).await;
    for sql in [
        "select * from pragma_database_list",
        "select * from \"pragma_database_list\"",
        "select * from 'pragma_database_list'",
        "select * from main.'PRAGMA_database_list'",
        "select * from 'pragma_journal_mode'",
        "select * from pragma_cache_size(100000)",
        "select * from pragma_temp_store_directory",
        "select load_extension('x')",
        "select \"load_extension\"('x')",
    ] {
        let error = bench.refused(sql, vec![]).await;
        let refused = match error.code() {
            ErrorCode::InvalidArgument => field(&error) == "sql",
            // No such table or function at all.
            code => code == ErrorCode::DatabaseQuery,
        };
        assert!(refused, "{sql}: {error}");
    }
    let precise = bench
        .refused("select * from 'pragma_database_list'", vec![])
        .await;
    assert_eq!(precise.code(), ErrorCode::InvalidArgument, "{precise}");
    assert!(precise.to_string().contains("database_list"), "{precise}");
    // What only reads the database itself is there.
    let columns = bench.run("select name from pragma_table_info('t')", vec![]);
    assert_eq!(columns.await.rows[0].values, [text("a")]);
    bench.run("pragma table_info(t)", vec![]).await;
    bench.run("vacuum", vec![]).await;
    bench.run("analyze", vec![]).await;
    bench.run("reindex", vec![]).await;
    bench
        .run("create virtual table words using fts5(body)", vec![])
        .await;
    bench
        .run("insert into words values ('one two')", vec![])
        .await;
    let found = "select count(*) from words where words match 'two'";
    assert_eq!(bench.cell(found, vec![]).await, Value::Int(1));
    bench
        .run("create virtual table boxes using rtree(id, a, b)", vec![])
        .await;
    bench
        .run("insert into boxes values (1, 0.0, 1.0)", vec![])
        .await;
    bench.end(&[]).await;
}

#[tokio::test]
async fn a_temporary_table_is_seen_however_its_schema_is_quoted() {
    let bench = one_connection().await;
    for (at, schema) in ["'temp'", "\"TEMP\"", "[temp]"].into_iter().enumerate() {
        let create = format!("create table {schema}.left_over (a int)");
        bench.run(&create, vec![]).await;
        let left = bench.refused("select * from left_over", vec![]).await;
        assert_eq!(left.code(), ErrorCode::DatabaseQuery, "{schema}");
        let opened = i64::try_from(at).expect("is small") + 2;
        assert_eq!(bench.pool().await.opened, opened, "{schema}");
    }
    bench.end(&[]).await;
}
