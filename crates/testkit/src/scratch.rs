//! A database of one test alone on the PostgreSQL or MariaDB that `cargo xtask services` starts.

use std::panic::AssertUnwindSafe;

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use sqlx::Connection as _;

use crate::services::{MARIADB_VARIABLE, POSTGRES_VARIABLE, service_url};

/// A fresh, empty database. Remove it with [`ScratchDatabase::remove`].
#[derive(Clone, Debug)]
pub struct ScratchDatabase {
    /// Its URL.
    pub url: String,
    server: String,
    name: String,
}

impl ScratchDatabase {
    /// Makes one on the server of a variable; `None` where the server is missing and that was said.
    pub async fn create(variable: &str) -> Result<Option<Self>> {
        let Some(server) = service_url(variable) else {
            return Ok(None);
        };
        let name = format!("plinth_test_{}", uuid::Uuid::new_v4().simple());
        execute(&server, format!("CREATE DATABASE {name}")).await?;
        let (base, _) = server
            .rsplit_once('/')
            .context("the URL names no database")?;
        Ok(Some(Self {
            url: format!("{base}/{name}"),
            server,
            name,
        }))
    }

    /// Removes it, with whoever is still connected.
    pub async fn remove(self) -> Result<()> {
        let how = if self.server.starts_with("postgres") {
            "WITH (FORCE)"
        } else {
            ""
        };
        execute(&self.server, format!("DROP DATABASE {} {how}", self.name)).await
    }
}

/// Runs a behaviour with the URL of a fresh database on each product that there is, and removes the database afterwards.
///
/// # Panics
///
/// Where the behaviour does.
pub async fn on_each_product<F, Fut>(behaviour: F) -> Result<()>
where
    F: Fn(String) -> Fut,
    Fut: Future<Output = ()>,
{
    for variable in [POSTGRES_VARIABLE, MARIADB_VARIABLE] {
        let Some(scratch) = ScratchDatabase::create(variable).await? else {
            continue;
        };
        let done = AssertUnwindSafe(behaviour(scratch.url.clone()))
            .catch_unwind()
            .await;
        scratch.remove().await?;
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    }
    Ok(())
}

/// Runs one statement on a server.
pub async fn execute(url: &str, sql: String) -> Result<()> {
    let sql = sqlx::AssertSqlSafe(sql);
    if url.starts_with("postgres") {
        let mut server = sqlx::PgConnection::connect(url).await?;
        sqlx::raw_sql(sql).execute(&mut server).await?;
        server.close().await?;
    } else {
        let mut server = sqlx::MySqlConnection::connect(url).await?;
        sqlx::raw_sql(sql).execute(&mut server).await?;
        server.close().await?;
    }
    Ok(())
}
