//! The fence of a transaction: the highest token seen of each lock, in the caller's own database.
//!
//! It is raised in the transaction that it guards, before the first step, so that check, mark and effect commit together. It
//! never expires: a holder that was stopped for a year is still refused.

use plinth_core::{Deadline, Error, Fence, FenceToken, TenantId};

use super::Plan;
use crate::error::DatabaseError;
use crate::model::{EngineKind, Value};
use crate::pool::Lease;
use crate::running::Database;

const FIND: &str = "SELECT token FROM plinth_fences WHERE tenant = ? AND name = ?";
/// InnoDB reads the snapshot of the transaction unless it locks.
const FIND_LOCKED: &str =
    "SELECT token FROM plinth_fences WHERE tenant = ? AND name = ? FOR UPDATE";
const PRESENT: &str = "SELECT 1 FROM plinth_fences LIMIT 1";

const fn table_ddl(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Sqlite | EngineKind::Postgres => {
            "CREATE TABLE IF NOT EXISTS plinth_fences (\
             tenant VARCHAR(128) NOT NULL, name VARCHAR(128) NOT NULL, token BIGINT NOT NULL, \
             PRIMARY KEY (tenant, name))"
        }
        EngineKind::Mariadb => {
            "CREATE TABLE IF NOT EXISTS plinth_fences (\
             tenant VARCHAR(128) NOT NULL, name VARCHAR(128) NOT NULL, token BIGINT NOT NULL, \
             PRIMARY KEY (tenant, name)) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        }
    }
}

/// Raises the mark, never lowers it. A concurrent transaction with the same fence waits here until this one has ended.
const fn raise_sql(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Sqlite => {
            "INSERT INTO plinth_fences (tenant, name, token) VALUES (?, ?, ?) \
             ON CONFLICT (tenant, name) DO UPDATE SET token = max(token, excluded.token)"
        }
        EngineKind::Postgres => {
            "INSERT INTO plinth_fences (tenant, name, token) VALUES (?, ?, ?) \
             ON CONFLICT (tenant, name) DO UPDATE SET token = greatest(plinth_fences.token, excluded.token)"
        }
        EngineKind::Mariadb => {
            "INSERT INTO plinth_fences (tenant, name, token) VALUES (?, ?, ?) \
             ON DUPLICATE KEY UPDATE token = greatest(token, VALUES(token))"
        }
    }
}

/// Creates the table where it is missing, once for each start. Outside a transaction: MariaDB commits at each DDL.
pub(super) async fn ensure_table(
    database: &Database,
    deadline: Deadline,
) -> Result<(), DatabaseError> {
    database
        .fence_table
        .get_or_try_init(|| async {
            let mut lease = database.pool.acquire(deadline).await?;
            if database
                .own(&mut lease, PRESENT, &[], deadline)
                .await
                .is_ok()
            {
                return Ok(());
            }
            let ddl = table_ddl(database.engine());
            match database.own(&mut lease, ddl, &[], deadline).await {
                Ok(_) => Ok(()),
                // Two instances that create it at once: PostgreSQL lets one of them fail.
                Err(DatabaseError::Query { .. } | DatabaseError::Serialization { .. }) => {
                    database.own(&mut lease, PRESENT, &[], deadline).await?;
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })
        .await
        .copied()
}

/// Raises the mark to the transaction's token. Errors: 1006 naming `fence.token` where a higher one was seen.
pub(super) async fn raise(
    plan: &Plan<'_>,
    lease: &mut Lease,
    tenant: &TenantId,
    fence: &Fence,
) -> Result<(), DatabaseError> {
    let (database, deadline) = (plan.database, plan.deadline);
    let engine = database.engine();
    let names = || {
        [
            Value::Text(tenant.as_str().to_owned()),
            Value::Text(fence.name.as_str().to_owned()),
        ]
    };
    let [tenant, name] = names();
    let params = [tenant, name, Value::Int(fence.token.get())];
    database
        .own(lease, raise_sql(engine), &params, deadline)
        .await?;
    let find = match engine {
        EngineKind::Mariadb => FIND_LOCKED,
        EngineKind::Sqlite | EngineKind::Postgres => FIND,
    };
    let rows = database.own(lease, find, &names(), deadline).await?;
    let highest = match rows.first().and_then(|row| row.first()) {
        Some(Value::Int(token)) => FenceToken::parse(*token)?,
        _ => {
            return Err(Error::internal("plinth_fences holds no token after it was raised").into());
        }
    };
    Ok(fence.check(Some(highest))?)
}
