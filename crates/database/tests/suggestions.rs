//! Index suggestions: what is advised, what is not and why, and that the measured gain is real.

#![expect(clippy::panic, reason = "a helper that fails fails its test")]

#[expect(dead_code, reason = "this file uses some of the helpers")]
mod support;

use plinth_database::model::{IndexSuggestionsReply, IndexSuggestionsRequest, NoAdviceCode, Value};
use support::{Bench, DB, context, engines, text};

async fn orders(bench: &Bench, rows: i64) -> String {
    let orders = bench.table("advised");
    let create = format!(
        "create table {orders} (id int primary key, state int not null, total int not null, note varchar(60) not null)"
    );
    bench.run(&create, vec![]).await;
    for first in (0..rows).step_by(5_000) {
        let values: Vec<String> = (first..rows.min(first + 5_000))
            .map(|n| format!("({n}, {}, {}, 'n{n}')", n % 1_000, n * 7 % 10_007))
            .collect();
        bench
            .run(
                &format!("insert into {orders} values {}", values.join(",")),
                vec![],
            )
            .await;
    }
    orders
}

async fn advise(bench: &Bench, request: IndexSuggestionsRequest) -> IndexSuggestionsReply {
    bench
        .service
        .get_index_suggestions(&context(), DB, request)
        .await
        .unwrap_or_else(|error| panic!("{:?}: {error}", bench.engine))
}

fn for_sql(sql: String, params: Vec<Value>) -> IndexSuggestionsRequest {
    IndexSuggestionsRequest {
        sql: Some(sql),
        params,
        ..IndexSuggestionsRequest::default()
    }
}

#[tokio::test]
async fn an_advised_index_is_measured_to_be_faster() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let orders = orders(&bench, 100_000).await;
        let sql = format!("select id, note from {orders} where state = ? and total > ?");
        let reply = advise(
            &bench,
            for_sql(sql.clone(), vec![Value::Int(7), Value::Int(5_000)]),
        )
        .await;
        let best = reply
            .suggestions
            .first()
            .unwrap_or_else(|| panic!("{engine:?}: {reply:#?}"));
        assert_eq!(best.columns, ["state", "total"], "{engine:?}");
        assert!(best.gain.speedup > 2.0, "{engine:?}: {best:#?}");
        assert_eq!(
            (best.gain.sample_rows, best.gain.whole_table),
            (100_000, true)
        );
        eprintln!(
            "{engine:?}: {} us -> {} us",
            best.gain.before_us, best.gain.after_us
        );
        // The advice is good SQL, and once it is followed there is none.
        // CONCURRENTLY waits for every transaction of the server's database, those of other tests included.
        let ddl = best.ddl.replace("CONCURRENTLY ", "");
        bench.run(&ddl, vec![]).await;
        let reply = advise(&bench, for_sql(sql, vec![Value::Int(7), Value::Int(5_000)])).await;
        assert!(reply.suggestions.is_empty(), "{engine:?}: {reply:#?}");
        assert_eq!(reply.no_advice[0].code, NoAdviceCode::ExistingIndex);
        // A prefix of an existing index needs none of its own.
        let prefix = format!("select id from {orders} where state = 3");
        let reply = advise(&bench, for_sql(prefix, vec![])).await;
        assert_eq!(
            reply.no_advice[0].code,
            NoAdviceCode::ExistingIndex,
            "{engine:?}"
        );
        bench.end(&["advised"]).await;
    }
}

#[tokio::test]
async fn no_advice_has_its_reason() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let orders = orders(&bench, 500).await;
        let table = [
            (
                format!("select id from {orders} where total = 5"),
                NoAdviceCode::TableTooSmall,
            ),
            (
                format!("select id from {orders}"),
                NoAdviceCode::NoCandidate,
            ),
            (
                format!("select a.id from {orders} a join {orders} b on a.id = b.total"),
                NoAdviceCode::NotSingleTable,
            ),
            (
                format!("select note from {orders} where id = 5"),
                NoAdviceCode::ExistingIndex,
            ),
        ];
        for (sql, expected) in table {
            let reply = advise(&bench, for_sql(sql.clone(), vec![])).await;
            assert!(reply.suggestions.is_empty());
            let codes: Vec<NoAdviceCode> =
                reply.no_advice.iter().map(|refusal| refusal.code).collect();
            assert_eq!(codes, [expected], "{engine:?}: {sql}");
        }
        bench.end(&["advised"]).await;
    }
}

#[tokio::test]
async fn a_table_is_advised_for_by_what_was_run_on_it() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let orders = orders(&bench, 30_000).await;
        for note in ["n1", "n2"] {
            bench
                .run(
                    &format!("select id from {orders} where note = ?"),
                    vec![text(note)],
                )
                .await;
        }
        let request = IndexSuggestionsRequest {
            table: Some(orders.clone()),
            ..IndexSuggestionsRequest::default()
        };
        let reply = advise(&bench, request).await;
        let advised: Vec<&[String]> = reply
            .suggestions
            .iter()
            .map(|suggestion| suggestion.columns.as_slice())
            .collect();
        assert_eq!(advised, [["note".to_owned()]], "{engine:?}: {reply:#?}");
        let error = bench
            .service
            .get_index_suggestions(&context(), DB, IndexSuggestionsRequest::default())
            .await
            .expect_err("names neither");
        let error: plinth_core::Error = error.into();
        assert_eq!(error.violations()[0].field, "sql");
        bench.end(&["advised"]).await;
    }
}

#[tokio::test]
async fn a_read_only_database_is_advised_for_too() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let orders = orders(&bench, 20_000).await;
        bench
            .register(plinth_database::model::PoolOptions::default(), true)
            .await;
        let reply = advise(
            &bench,
            for_sql(format!("select id from {orders} where note = 'n5'"), vec![]),
        )
        .await;
        assert_eq!(reply.suggestions.len(), 1, "{engine:?}: {reply:#?}");
        bench
            .register(plinth_database::model::PoolOptions::default(), false)
            .await;
        bench.end(&["advised"]).await;
    }
}
