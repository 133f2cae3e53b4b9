//! The `db` block, on a SQLite database of its own.

use anyhow::Result;
use futures::future::BoxFuture;
use plinth_client::{
    DbAdviceRequest, DbRegistration, DbSlowQueryFilter, DbStatement, DbStep, DbTransactionOptions,
    DbValue,
};
use serde_json::json;

use super::{Log, Rig, Scenario, refused};
use crate::papers::Papers;

/// The scenarios of the block.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "db: a database is registered, listed, changed by version and removed",
            run: definitions,
            expect: || {
                json!([
                    { "created": true, "version": "1", "engine": "sqlite", "secret": false, "most": 10 },
                    refused(1006, "PRECONDITION_FAILED", &[]),
                    { "created": false, "version": "2", "read_only": true },
                    refused(1003, "FORBIDDEN", &[]),
                    ["listed", true],
                    refused(1001, "INVALID_ARGUMENT", &["url"]),
                    refused(1001, "INVALID_ARGUMENT", &["engine"]),
                    refused(1001, "INVALID_ARGUMENT", &["pool.max_connections"]),
                    refused(1001, "INVALID_ARGUMENT", &["tls_ca"]),
                    true, false,
                    refused(1004, "NOT_FOUND", &[]),
                ])
            },
        },
        Scenario {
            name: "db: a database brings the authorities that its server's certificate is checked by",
            run: authorities,
            expect: || {
                json!([
                    "kept",
                    "dropped",
                    refused(1001, "INVALID_ARGUMENT", &["tls_ca"]),
                    refused(1001, "INVALID_ARGUMENT", &["tls_ca"]),
                    refused(1007, "TOO_LARGE", &["tls_ca"]),
                ])
            },
        },
        Scenario {
            name: "db: every kind of value comes back as it was sent",
            run: values,
            expect: || json!([1, "same"]),
        },
        Scenario {
            name: "db: rows come in pages by cursor",
            run: pages,
            expect: || {
                json!([
                    [[9, 8, 7, 6], true],
                    [[5, 4, 3, 2], true],
                    [[1, 0], false],
                    refused(1001, "INVALID_ARGUMENT", &["cursor"]),
                ])
            },
        },
        Scenario {
            name: "db: what is not one statement with its values is refused by name",
            run: refusals,
            expect: || {
                json!([
                    refused(1001, "INVALID_ARGUMENT", &["sql"]),
                    refused(1001, "INVALID_ARGUMENT", &["sql"]),
                    refused(1001, "INVALID_ARGUMENT", &["params"]),
                    refused(1001, "INVALID_ARGUMENT", &["params[0]"]),
                    refused(1001, "INVALID_ARGUMENT", &["max_rows"]),
                    refused(2402, "DATABASE_QUERY_FAILED", &[]),
                    refused(1004, "NOT_FOUND", &[]),
                ])
            },
        },
        Scenario {
            name: "db: a transaction is all or nothing, once for its key",
            run: transactions,
            expect: || {
                json!([
                    { "affected": [1, 1], "repeated": false },
                    { "affected": [1, 1], "repeated": true },
                    refused(1005, "CONFLICT", &[]),
                    refused(1006, "PRECONDITION_FAILED", &["steps[1]"]),
                    refused(2403, "DATABASE_TRANSACTION_FAILED", &["steps[1]"]),
                    refused(1001, "INVALID_ARGUMENT", &["steps[0].sql"]),
                    refused(1001, "INVALID_ARGUMENT", &["isolation"]),
                    [1, 1],
                ])
            },
        },
        Scenario {
            name: "db: a plan is explained, an index advised, and what was run is listed",
            run: insight,
            expect: || {
                json!([
                    { "engine": "sqlite", "kinds": ["result", "full_scan"], "findings": ["FULL_SCAN"] },
                    refused(1001, "INVALID_ARGUMENT", &["analyze"]),
                    { "advised": [["total"]], "faster": true },
                    ["no advice", "no_candidate"],
                    refused(1001, "INVALID_ARGUMENT", &["sql"]),
                    { "calls": 2, "listed": true },
                    refused(1001, "INVALID_ARGUMENT", &["order_by"]),
                ])
            },
        },
    ]
}

async fn registered(rig: &Rig, name: &str) -> Result<String> {
    let database = rig.name(name);
    let registration = DbRegistration {
        engine: "sqlite".to_owned(),
        url: format!("{database}.db"),
        slow_query_threshold_ms: Some(0),
        ..DbRegistration::default()
    };
    rig.client.db().register(&database, &registration).await?;
    Ok(database)
}

async fn run(rig: &Rig, database: &str, sql: &str) -> Result<()> {
    let statement = DbStatement::new(sql, Vec::new());
    rig.client.db().execute(database, &statement).await?;
    Ok(())
}

fn definitions<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (db, name) = (rig.client.db(), rig.name("definitions"));
        let mut wanted = DbRegistration {
            engine: "sqlite".to_owned(),
            url: format!("shop/{name}.db"),
            if_version: Some(0),
            ..DbRegistration::default()
        };
        let first = db.register(&name, &wanted).await?;
        log.note(json!({
            "created": first.created, "version": first.info.version, "engine": first.info.engine,
            "secret": first.info.has_secret, "most": first.info.pool.max_connections,
        }));
        log.outcome(db.register(&name, &wanted).await, |_| "changed");
        run(rig, &name, "create table t (a int)").await?;
        wanted.if_version = Some(1);
        wanted.read_only = true;
        let changed = db.register(&name, &wanted).await?;
        log.note(json!({
            "created": changed.created, "version": changed.info.version, "read_only": changed.info.read_only,
        }));
        let write = DbStatement::new("delete from t", Vec::new());
        log.outcome(db.execute(&name, &write).await, |_| "deleted");
        let page = db.list(Some(&name), None, None).await?;
        log.note((
            "listed",
            page.databases.iter().any(|found| found.database == name),
        ));
        wanted.if_version = None;
        let bad = |change: fn(&mut DbRegistration)| {
            let mut bad = wanted.clone();
            change(&mut bad);
            bad
        };
        for bad in [
            bad(|bad| bad.url = "../outside.db".to_owned()),
            bad(|bad| bad.engine = "oracle".to_owned()),
            bad(|bad| bad.pool.max_connections = Some(1_001)),
            bad(|bad| bad.tls_ca = Some("a SQLite file has no TLS".to_owned())),
        ] {
            log.outcome(db.register(&name, &bad).await, |_| "changed");
        }
        log.note(db.remove(&name, None).await?.removed);
        log.note(db.remove(&name, Some(0)).await?.removed);
        let read = DbStatement::new("select 1", Vec::new());
        log.outcome(db.query(&name, &read).await, |_| "read");
        Ok(())
    })
}

fn authorities<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (db, name) = (rig.client.db(), rig.name("authorities"));
        let ca = std::fs::read_to_string(Papers::issue()?.path("ca.pem"))?;
        let address = "postgres://app@db.invalid/shop?sslmode=";
        let wanted = |mode: &str, tls_ca: Option<String>| DbRegistration {
            engine: "postgres".to_owned(),
            url: format!("{address}{mode}"),
            tls_ca,
            ..DbRegistration::default()
        };
        let kept = db
            .register(&name, &wanted("verify-full", Some(ca.clone())))
            .await?;
        log.note(if kept.info.tls_ca.as_ref() == Some(&ca) {
            "kept"
        } else {
            "lost"
        });
        let dropped = db.register(&name, &wanted("verify-full", None)).await?;
        log.note(dropped.info.tls_ca.map_or("dropped", |_| "kept"));
        for bad in [
            wanted("require", Some(ca)),
            wanted("verify-ca", Some("no certificate".to_owned())),
            wanted("verify-ca", Some(" ".repeat(16 * 1024 + 1))),
        ] {
            log.outcome(db.register(&name, &bad).await, |_| "registered");
        }
        db.remove(&name, None).await?;
        Ok(())
    })
}

fn values<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (db, name) = (rig.client.db(), registered(rig, "values").await?);
        run(
            rig,
            &name,
            "create table v (n text, b boolean, i int, f double, t text, r blob, d date, c time, s timestamp)",
        )
        .await?;
        let sent = vec![
            DbValue::Null,
            DbValue::Bool(true),
            DbValue::Int(i64::MIN),
            DbValue::Float(0.1),
            DbValue::from("it's \"é\" ?"),
            DbValue::Bytes(vec![0, 255].into()),
            DbValue::Date("2026-11-23".to_owned()),
            DbValue::Time("19:30:00.5".to_owned()),
            DbValue::Timestamp("2026-11-23T19:30:00Z".to_owned()),
        ];
        let insert = DbStatement::new(
            "insert into v values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            sent.clone(),
        );
        log.note(db.execute(&name, &insert).await?.rows_affected);
        let read = DbStatement::new("select * from v where i = ?", vec![DbValue::Int(i64::MIN)]);
        let result = db.query(&name, &read).await?;
        let came = result.rows.into_iter().next().map(|row| row.values);
        log.note(if came.as_ref() == Some(&sent) {
            "same".to_owned()
        } else {
            format!("{came:?}")
        });
        Ok(())
    })
}

async fn numbers(rig: &Rig, name: &str, rows: i64) -> Result<String> {
    let database = registered(rig, name).await?;
    run(
        rig,
        &database,
        "create table n (id integer primary key, total int not null)",
    )
    .await?;
    let fill = format!(
        "insert into n with recursive s(x) as (select 0 union all select x + 1 from s where x < {}) select x, x * 7 % 1009 from s",
        rows - 1
    );
    run(rig, &database, &fill).await?;
    Ok(database)
}

fn pages<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (db, name) = (rig.client.db(), numbers(rig, "pages", 10).await?);
        let mut statement = DbStatement {
            max_rows: Some(4),
            ..DbStatement::new(
                "select id from n where id >= ? order by id desc",
                vec![DbValue::Int(0)],
            )
        };
        for _page in 0..3 {
            let result = db.query(&name, &statement).await?;
            let ids: Vec<Option<i64>> = result
                .rows
                .iter()
                .map(|row| row.values.first().and_then(DbValue::as_int))
                .collect();
            log.note((ids, result.truncated));
            if result.next_cursor.is_some() {
                statement.cursor = result.next_cursor;
            }
        }
        statement.params = vec![DbValue::Int(1)];
        log.outcome(db.query(&name, &statement).await, |_| "read");
        Ok(())
    })
}

fn refusals<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (db, name) = (rig.client.db(), registered(rig, "refusals").await?);
        let one = |sql: &str, params: Vec<DbValue>| DbStatement::new(sql, params);
        let too_many = DbStatement {
            max_rows: Some(100_001),
            ..one("select 1", vec![])
        };
        for statement in [
            one("select 1; drop table n", vec![]),
            one("begin", vec![]),
            one("select ?", vec![]),
            one("select ?", vec![DbValue::Date("2026-02-30".to_owned())]),
            too_many,
            one("select * from not_there", vec![]),
        ] {
            log.outcome(db.query(&name, &statement).await, |_| "read");
        }
        log.outcome(
            db.query("nowhere", &one("select 1", vec![])).await,
            |_| "read",
        );
        Ok(())
    })
}

fn transactions<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (db, name) = (rig.client.db(), registered(rig, "transactions").await?);
        run(
            rig,
            &name,
            "create table a (id int primary key, state text not null)",
        )
        .await?;
        let insert = |id: i64| {
            DbStep::new(
                "insert into a values (?, ?)",
                vec![id.into(), "init".into()],
            )
            .changing(1)
        };
        let approve = |id: i64| {
            let sql = "update a set state = ? where id = ? and state = ?";
            DbStep::new(sql, vec!["approved".into(), id.into(), "init".into()]).changing(1)
        };
        let keyed = DbTransactionOptions {
            request_id: Some("first".to_owned()),
            ..DbTransactionOptions::default()
        };
        for _time in 0..2 {
            let done = db
                .transaction(&name, &[insert(1), approve(1)], &keyed)
                .await?;
            let affected: Vec<i64> = done
                .results
                .iter()
                .map(|result| result.rows_affected)
                .collect();
            log.note(json!({ "affected": affected, "repeated": done.repeated }));
        }
        let fresh = DbTransactionOptions::default();
        let snapshot = DbTransactionOptions {
            isolation: Some("snapshot".to_owned()),
            ..DbTransactionOptions::default()
        };
        let two = DbStep::new("select 1; select 2", vec![]);
        let rounds = [
            (vec![insert(9)], &keyed),
            (vec![insert(2), approve(1)], &fresh),
            (vec![insert(2), insert(1)], &fresh),
            (vec![two], &fresh),
            (vec![insert(2)], &snapshot),
        ];
        for (steps, options) in rounds {
            log.outcome(
                db.transaction(&name, &steps, options).await,
                |_| "committed",
            );
        }
        let count = "select count(*), sum(state = 'approved') from a";
        let left = db.query(&name, &DbStatement::new(count, vec![])).await?;
        log.note(left.rows.first().map(|row| {
            let numbers: Vec<Option<i64>> = row.values.iter().map(DbValue::as_int).collect();
            numbers
        }));
        Ok(())
    })
}

fn insight<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (db, name) = (rig.client.db(), numbers(rig, "insight", 20_000).await?);
        let find = DbStatement::new(
            "select id from n where total = ? limit 5",
            vec![DbValue::Int(5)],
        );
        let plan = db.analyze(&name, &find, false).await?;
        let kinds: Vec<&str> = plan.nodes.iter().map(|node| node.kind.as_str()).collect();
        let findings: Vec<&str> = plan
            .findings
            .iter()
            .map(|finding| finding.code.as_str())
            .collect();
        log.note(json!({ "engine": plan.engine, "kinds": kinds, "findings": findings }));
        let delete = DbStatement::new("delete from n", vec![]);
        log.outcome(db.analyze(&name, &delete, true).await, |_| "ran");
        let subject = DbAdviceRequest {
            sql: Some("select id from n where total = ?".to_owned()),
            params: vec![DbValue::Int(5)],
            ..DbAdviceRequest::default()
        };
        let advice = db.suggest(&name, &subject).await?;
        let advised: Vec<&Vec<String>> = advice
            .suggestions
            .iter()
            .map(|suggestion| &suggestion.columns)
            .collect();
        let faster = advice
            .suggestions
            .iter()
            .all(|suggestion| suggestion.gain.speedup > 1.5);
        log.note(json!({ "advised": advised, "faster": faster }));
        let whole = DbAdviceRequest {
            sql: Some("select id from n".to_owned()),
            ..DbAdviceRequest::default()
        };
        let advice = db.suggest(&name, &whole).await?;
        log.note((
            "no advice",
            advice
                .no_advice
                .first()
                .map(|refusal| refusal.code.as_str()),
        ));
        log.outcome(
            db.suggest(&name, &DbAdviceRequest::default()).await,
            |_| "advised",
        );
        for total in [1, 2] {
            let sql = format!("select  id from n where total = {total} and id > 7");
            db.query(&name, &DbStatement::new(sql, vec![])).await?;
        }
        let slow = db
            .slow_queries(&name, &DbSlowQueryFilter::default())
            .await?;
        let shape = "select id from n where total=? and id>?";
        let row = slow
            .queries
            .iter()
            .find(|query| query.statement.replace(' ', "") == shape.replace(' ', ""));
        log.note(json!({ "calls": row.map(|row| row.calls), "listed": row.is_some() }));
        let filter = DbSlowQueryFilter {
            order_by: Some("colour".to_owned()),
            ..DbSlowQueryFilter::default()
        };
        log.outcome(db.slow_queries(&name, &filter).await, |_| "listed");
        Ok(())
    })
}
