//! Values and types.

use plinth_core::ErrorCode;
use plinth_database::model::{EngineKind, Value};

use crate::field;
use crate::support::{Bench, engines, text};

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
