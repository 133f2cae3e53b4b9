//! Each finding with a case where it must speak and one where it must not, on every engine.

#![expect(clippy::panic, reason = "a helper that fails fails its test")]

#[expect(dead_code, reason = "this file uses some of the helpers")]
mod support;

use plinth_database::model::{
    AnalyzeReply, AnalyzeRequest, EngineKind, FindingCode, PlanKind, Value,
};
use support::{Bench, DB, context, engines, text};

/// A table of 5,000 orders: `state` is indexed, `total` and `note` are not; `few` has 10 rows.
struct Shop {
    bench: Bench,
    orders: String,
    few: String,
}

impl Shop {
    async fn open(engine: EngineKind) -> Self {
        let bench = Bench::new(engine).await;
        let (orders, few) = (bench.table("orders"), bench.table("few"));
        let create = format!(
            "create table {orders} (id int primary key, state int not null, total int not null, note varchar(60) not null)"
        );
        bench.run(&create, vec![]).await;
        for first in (0..5_000).step_by(500) {
            let rows: Vec<String> = (first..first + 500)
                .map(|n| format!("({n}, {}, {}, 'note {n}')", n % 100, n * 7 % 5_000))
                .collect();
            bench
                .run(
                    &format!("insert into {orders} values {}", rows.join(",")),
                    vec![],
                )
                .await;
        }
        bench
            .run(
                &format!("create index {orders}_state on {orders} (state)"),
                vec![],
            )
            .await;
        bench
            .run(
                &format!("create index {orders}_note on {orders} (note)"),
                vec![],
            )
            .await;
        bench
            .run(
                &format!("create table {few} (id int primary key, state int, note varchar(60))"),
                vec![],
            )
            .await;
        let rows: Vec<String> = (0..10).map(|n| format!("({n}, {n}, 'n{n}')")).collect();
        bench
            .run(
                &format!("insert into {few} values {}", rows.join(",")),
                vec![],
            )
            .await;
        if engine == EngineKind::Mariadb {
            bench.run(&format!("analyze table {orders}"), vec![]).await;
        } else {
            bench.run(&format!("analyze {orders}"), vec![]).await;
        }
        Self { bench, orders, few }
    }

    async fn analyze(&self, sql: &str, params: Vec<Value>, analyze: bool) -> AnalyzeReply {
        let sql = sql
            .replace("ORDERS", &self.orders)
            .replace("FEW", &self.few);
        let request = AnalyzeRequest {
            sql: sql.clone(),
            params,
            analyze: Some(analyze),
            timeout_ms: None,
        };
        self.bench
            .service
            .analyze_query(&context(), DB, request)
            .await
            .unwrap_or_else(|error| panic!("{:?}: {sql}: {error}", self.bench.engine))
    }

    /// The finding must be there for the first statement and not for the second.
    async fn pair(&self, code: FindingCode, positive: &str, negative: &str) {
        let reply = self.analyze(positive, vec![], false).await;
        assert!(
            reply.findings.iter().any(|finding| finding.code == code),
            "{:?}: {code:?} is silent on {positive}: {:#?}",
            self.bench.engine,
            reply
        );
        for finding in &reply.findings {
            assert!(
                !finding.evidence.is_empty()
                    && !finding.proposal.is_empty()
                    && !finding.reason.is_empty()
            );
        }
        let reply = self.analyze(negative, vec![], false).await;
        assert!(
            reply.findings.iter().all(|finding| finding.code != code),
            "{:?}: {code:?} speaks on {negative}: {:#?}",
            self.bench.engine,
            reply
        );
    }

    async fn close(self) {
        self.bench.end(&["orders", "few"]).await;
    }
}

#[tokio::test]
async fn full_scan() {
    for engine in engines() {
        let shop = Shop::open(engine).await;
        let code = FindingCode::FullScan;
        shop.pair(
            code,
            "select id from ORDERS where total = 5",
            "select id from ORDERS where id = 5",
        )
        .await;
        shop.pair(
            code,
            "select o.id from ORDERS o where o.total = 5",
            "select id from FEW where note = 'n5'",
        )
        .await;
        shop.pair(
            code,
            "select id from ORDERS where total = 5 limit 1",
            "select id from ORDERS where state = 5",
        )
        .await;
        shop.close().await;
    }
}

#[tokio::test]
async fn sort_without_index() {
    for engine in engines() {
        let shop = Shop::open(engine).await;
        let code = FindingCode::SortWithoutIndex;
        shop.pair(
            code,
            "select total, note from ORDERS order by total",
            "select id, note from ORDERS where id = 7 order by total",
        )
        .await;
        shop.pair(
            code,
            "select id from ORDERS order by total, note limit 10",
            "select id, total from ORDERS order by id limit 10",
        )
        .await;
        shop.close().await;
    }
}

#[tokio::test]
async fn function_on_column() {
    for engine in engines() {
        let shop = Shop::open(engine).await;
        let code = FindingCode::FunctionOnColumn;
        shop.pair(
            code,
            "select id from ORDERS where lower(note) = 'note 5'",
            "select id from ORDERS where note = lower('NOTE 5')",
        )
        .await;
        shop.pair(
            code,
            "select id from ORDERS where state + 1 = 6",
            "select id from ORDERS where state = 6 - 1",
        )
        .await;
        shop.close().await;
    }
}

#[tokio::test]
async fn an_index_on_the_expression_serves_the_function() {
    for engine in engines()
        .into_iter()
        .filter(|engine| *engine != EngineKind::Mariadb)
    {
        let shop = Shop::open(engine).await;
        let create = format!("create index {0}_lower on {0} (lower(note))", shop.orders);
        shop.bench.run(&create, vec![]).await;
        if engine == EngineKind::Postgres {
            shop.bench
                .run(&format!("analyze {}", shop.orders), vec![])
                .await;
        }
        let reply = shop
            .analyze(
                "select id from ORDERS where lower(note) = 'note 5'",
                vec![],
                false,
            )
            .await;
        assert!(
            reply
                .findings
                .iter()
                .all(|finding| finding.code != FindingCode::FunctionOnColumn),
            "{reply:#?}"
        );
        shop.close().await;
    }
}

#[tokio::test]
async fn leading_wildcard() {
    for engine in engines() {
        let shop = Shop::open(engine).await;
        let code = FindingCode::LeadingWildcard;
        shop.pair(
            code,
            "select id from ORDERS where note like '%5'",
            "select id from ORDERS where note like 'note 5%'",
        )
        .await;
        let speaks = |pattern: &str| {
            let pattern = text(pattern);
            let shop = &shop;
            async move {
                let reply = shop
                    .analyze(
                        "select id from ORDERS where state = 1 and note like ?",
                        vec![pattern],
                        false,
                    )
                    .await;
                reply.findings.iter().any(|finding| finding.code == code)
            }
        };
        assert!(
            speaks("%5").await && !speaks("note%").await,
            "{engine:?}: by parameter"
        );
        shop.close().await;
    }
}

#[tokio::test]
async fn missing_limit() {
    for engine in engines() {
        let shop = Shop::open(engine).await;
        let code = FindingCode::MissingLimit;
        shop.pair(
            code,
            "select * from ORDERS",
            "select * from ORDERS limit 10",
        )
        .await;
        shop.pair(
            code,
            "select id from ORDERS where total >= 0",
            "select count(*) from ORDERS",
        )
        .await;
        shop.pair(
            code,
            "select * from ORDERS order by id",
            "select * from ORDERS where id = 5",
        )
        .await;
        shop.close().await;
    }
}

#[tokio::test]
async fn bad_estimate() {
    for engine in engines() {
        let shop = Shop::open(engine).await;
        let code = FindingCode::BadEstimate;
        let sql = "select id, note from ORDERS where state = total - total + 5 and note like 'n%' and id >= 0";
        match engine {
            EngineKind::Sqlite => {
                // The sizes that ANALYZE stored against the table as it is now.
                let fresh = shop
                    .analyze("select id from ORDERS where total = 1", vec![], false)
                    .await;
                assert!(
                    fresh.findings.iter().all(|finding| finding.code != code),
                    "{fresh:#?}"
                );
                shop.bench
                    .run(
                        &format!("delete from {} where id >= 100", shop.orders),
                        vec![],
                    )
                    .await;
                let stale = shop
                    .analyze("select id from ORDERS where total = 1", vec![], false)
                    .await;
                assert!(
                    stale.findings.iter().any(|finding| finding.code == code),
                    "{stale:#?}"
                );
            }
            EngineKind::Postgres | EngineKind::Mariadb => {
                let good = shop
                    .analyze("select id, note from ORDERS where id >= 0", vec![], true)
                    .await;
                assert!(
                    good.findings.iter().all(|finding| finding.code != code),
                    "{good:#?}"
                );
                // `total - total` is always zero, which no planner sees.
                let positive = match engine {
                    EngineKind::Postgres => {
                        "select id, note from ORDERS where total - total = 0 and state >= 0"
                    }
                    _ => {
                        "select id, note from ORDERS where total between -1 and 6000 and total - total = 1"
                    }
                };
                let bad = shop.analyze(positive, vec![], true).await;
                assert!(
                    bad.findings.iter().any(|finding| finding.code == code),
                    "{engine:?} {sql}: {bad:#?}"
                );
            }
        }
        shop.close().await;
    }
}

#[tokio::test]
async fn a_plan_is_a_tree_with_real_numbers() {
    for engine in engines() {
        let shop = Shop::open(engine).await;
        let sql = "select f.note, count(*) from ORDERS o join FEW f on f.id = o.state where o.total >= ? group by f.note order by 2";
        let reply = shop.analyze(sql, vec![Value::Int(0)], true).await;
        assert!(
            reply.analyzed && reply.execution_ms.is_some(),
            "{engine:?}: {reply:#?}"
        );
        for (at, node) in reply.nodes.iter().enumerate() {
            assert_eq!(usize::try_from(node.id).expect("fits"), at);
            let depth = node.parent.map_or(0, |parent| {
                reply.nodes[usize::try_from(parent).expect("fits")].depth + 1
            });
            assert_eq!(node.depth, depth, "{engine:?}");
        }
        let read: Vec<&str> = reply
            .nodes
            .iter()
            .filter_map(|node| node.relation.as_deref())
            .collect();
        assert!(
            read.contains(&shop.orders.as_str()) && read.contains(&shop.few.as_str()),
            "{engine:?}: {read:?}"
        );
        assert!(
            reply
                .nodes
                .iter()
                .any(|node| node.kind != PlanKind::Other && node.depth > 0)
        );
        let request = AnalyzeRequest {
            sql: format!("delete from {}", shop.orders),
            analyze: Some(true),
            ..AnalyzeRequest::default()
        };
        let error: plinth_core::Error = shop
            .bench
            .service
            .analyze_query(&context(), DB, request)
            .await
            .expect_err("writes")
            .into();
        assert_eq!(error.violations()[0].field, "analyze");
        let explained = shop
            .analyze("delete from ORDERS where total = 1", vec![], false)
            .await;
        assert!(!explained.nodes.is_empty());
        let left = shop
            .bench
            .cell(&format!("select count(*) from {}", shop.orders), vec![])
            .await;
        assert_eq!(left, Value::Int(5_000), "{engine:?}");
        shop.close().await;
    }
}
