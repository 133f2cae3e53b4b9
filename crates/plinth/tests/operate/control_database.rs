//! A control database on a real PostgreSQL or MariaDB, of one test alone.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use plinth_testkit::services::{MARIADB_VARIABLE, POSTGRES_VARIABLE, service_url};
use sqlx::Connection as _;

/// Runs a behaviour with the URL of a fresh database on each product that there is, and removes the database afterwards.
pub(crate) async fn on_each<F, Fut>(behaviour: F)
where
    F: Fn(String) -> Fut,
    Fut: Future<Output = ()>,
{
    for variable in [POSTGRES_VARIABLE, MARIADB_VARIABLE] {
        let Some(server) = service_url(variable) else {
            continue;
        };
        let name = format!("plinth_test_{}", uuid::Uuid::new_v4().simple());
        execute(&server, format!("CREATE DATABASE {name}")).await;
        let (base, _) = server.rsplit_once('/').expect("the URL names a database");
        let done = AssertUnwindSafe(behaviour(format!("{base}/{name}")))
            .catch_unwind()
            .await;
        let how = if variable == POSTGRES_VARIABLE {
            "WITH (FORCE)"
        } else {
            ""
        };
        execute(&server, format!("DROP DATABASE {name} {how}")).await;
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    }
}

async fn execute(url: &str, sql: String) {
    let sql = sqlx::AssertSqlSafe(sql);
    if url.starts_with("postgres") {
        let mut server = sqlx::PgConnection::connect(url).await.expect("answers");
        sqlx::raw_sql(sql).execute(&mut server).await.expect("runs");
    } else {
        let mut server = sqlx::MySqlConnection::connect(url).await.expect("answers");
        sqlx::raw_sql(sql).execute(&mut server).await.expect("runs");
    }
}
