//! Transactions under a fence.

use plinth_core::{Error, ErrorCode, WideInt};
use plinth_database::DatabaseError;
use plinth_database::model::{TransactionFence, TransactionReply, TransactionRequest, Value};

use crate::support::{Bench, DB, context_in, engines, step};
use crate::{field, numbers};

async fn insert(
    bench: &Bench,
    table: &str,
    n: i64,
    fence: (&str, i64),
    key: Option<&str>,
) -> Result<TransactionReply, DatabaseError> {
    let request = TransactionRequest {
        steps: vec![step(
            &format!("insert into {table} (n) values (?)"),
            vec![Value::Int(n)],
        )],
        fence: Some(TransactionFence {
            name: bench.table(fence.0),
            token: WideInt(fence.1),
        }),
        ..TransactionRequest::default()
    };
    bench
        .service
        .execute_transaction(&context_in("test", key, 60_000), DB, request)
        .await
}

#[tokio::test]
async fn a_lower_token_is_refused_and_changes_nothing() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "fenced", 0).await;
        let count = format!("select count(*) from {table}");
        for (n, token) in [(1, 5), (2, 5), (3, 1 << 41)] {
            insert(&bench, &table, n, ("lock", token), None)
                .await
                .unwrap_or_else(|error| panic!("{engine:?} {token}: {error}"));
        }
        let error: Error = insert(&bench, &table, 4, ("lock", 6), None)
            .await
            .expect_err("was overtaken")
            .into();
        assert_eq!(
            (error.code(), field(&error)),
            (ErrorCode::PreconditionFailed, "fence.token"),
            "{engine:?}"
        );
        assert_eq!(error.details()["highest_token"], (1_i64 << 41).to_string());
        assert_eq!(
            bench.cell(&count, vec![]).await,
            Value::Int(3),
            "{engine:?}"
        );
        insert(&bench, &table, 5, ("another", 1), None)
            .await
            .expect("each lock has a mark of its own");
        let malformed: Error = insert(&bench, &table, 6, ("lock", 0), None)
            .await
            .expect_err("is no token")
            .into();
        assert_eq!(field(&malformed), "fence.token");
        bench.end(&["fenced"]).await;
    }
}

#[tokio::test]
async fn a_transaction_that_fails_does_not_raise_the_mark_and_a_repeat_gets_its_answer() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "marked", 0).await;
        let failing = insert(&bench, "nowhere_at_all", 1, ("mark", 9), None).await;
        assert!(failing.is_err());
        let key = bench.table("marked-key");
        let first = insert(&bench, &table, 1, ("mark", 3), Some(&key))
            .await
            .expect("the mark was rolled back");
        insert(&bench, &table, 2, ("mark", 4), None)
            .await
            .expect("is higher");
        let again = insert(&bench, &table, 1, ("mark", 3), Some(&key))
            .await
            .expect("was done before it was overtaken");
        assert!(!first.repeated && again.repeated, "{engine:?}");
        bench.end(&["marked"]).await;
    }
}

#[tokio::test]
async fn of_racing_holders_the_later_grant_wins() {
    for engine in engines() {
        let bench = Bench::new(engine).await;
        let table = numbers(&bench, "raced", 0).await;
        for round in 0..8_i64 {
            let (early, late) = (2 * round + 1, 2 * round + 2);
            let (first, second) = futures::join!(
                insert(&bench, &table, early, ("race", early), None),
                insert(&bench, &table, late, ("race", late), None),
            );
            second.unwrap_or_else(|error| panic!("{engine:?}: the later grant: {error}"));
            // The earlier one came first, or was refused.
            if let Err(error) = first {
                assert_eq!(crate::code(error), 1006, "{engine:?}");
            }
            let late_again = insert(&bench, &table, early + 10_000, ("race", early), None).await;
            assert!(
                late_again.is_err(),
                "{engine:?}: after the later grant nothing earlier writes"
            );
        }
        bench.end(&["raced"]).await;
    }
}
