//! The idempotency record of a transaction, in the caller's own database.
//!
//! It is inserted before the first step, so that a concurrent repeat waits at the unique key until the first has ended,
//! and gets its answer before COMMIT. A claim looks nothing up first: on InnoDB a locking look-up of an absent key takes
//! a gap lock, and two of those make a deadlock.

use plinth_core::access::IdempotencyScope;
use plinth_core::{Deadline, Error, limits};

use super::Plan;
use crate::backend::Execution;
use crate::error::{BackendError, DatabaseError};
use crate::model::{EngineKind, TransactionReply, Value};
use crate::pool::Lease;
use crate::running::Database;

/// One use in so many is followed by a clean-up.
const PRUNE_EVERY: u64 = 64;
/// Most expired records that one clean-up removes.
const PRUNE_ROWS_MAX: u32 = 1_000;

const CLAIM: &str = "INSERT INTO plinth_idempotency \
     (tenant, principal, operation, request_key, fingerprint, answer, created_at_ms) \
     VALUES (?, ?, ?, ?, ?, ?, ?)";
const COMPLETE: &str = "UPDATE plinth_idempotency SET answer = ? \
     WHERE tenant = ? AND principal = ? AND operation = ? AND request_key = ?";
const FIND: &str = "SELECT fingerprint, answer, created_at_ms FROM plinth_idempotency \
     WHERE tenant = ? AND principal = ? AND operation = ? AND request_key = ?";
const FORGET: &str = "DELETE FROM plinth_idempotency \
     WHERE tenant = ? AND principal = ? AND operation = ? AND request_key = ? AND created_at_ms < ?";

/// Whether the key was free.
#[derive(PartialEq, Eq)]
pub(super) enum Claim {
    /// It was, and is ours now.
    Ours,
    /// It was used before.
    Taken,
}

const fn table_ddl(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Sqlite | EngineKind::Postgres => {
            "CREATE TABLE IF NOT EXISTS plinth_idempotency (\
             tenant VARCHAR(128) NOT NULL, principal VARCHAR(128) NOT NULL, operation VARCHAR(128) NOT NULL, \
             request_key VARCHAR(128) NOT NULL, fingerprint CHAR(64) NOT NULL, answer TEXT NOT NULL, \
             created_at_ms BIGINT NOT NULL, PRIMARY KEY (tenant, principal, operation, request_key))"
        }
        EngineKind::Mariadb => {
            "CREATE TABLE IF NOT EXISTS plinth_idempotency (\
             tenant VARCHAR(128) NOT NULL, principal VARCHAR(128) NOT NULL, operation VARCHAR(128) NOT NULL, \
             request_key VARCHAR(128) NOT NULL, fingerprint CHAR(64) NOT NULL, answer LONGTEXT NOT NULL, \
             created_at_ms BIGINT NOT NULL, PRIMARY KEY (tenant, principal, operation, request_key), \
             KEY plinth_idempotency_created (created_at_ms)) \
             ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        }
    }
}

/// The index that the clean-up uses, where the table's own DDL cannot name it.
const fn index_ddl(engine: EngineKind) -> Option<&'static str> {
    match engine {
        EngineKind::Sqlite | EngineKind::Postgres => Some(
            "CREATE INDEX IF NOT EXISTS plinth_idempotency_created ON plinth_idempotency (created_at_ms)",
        ),
        EngineKind::Mariadb => None,
    }
}

const fn prune(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Sqlite => {
            "DELETE FROM plinth_idempotency WHERE rowid IN \
             (SELECT rowid FROM plinth_idempotency WHERE created_at_ms < ? LIMIT ?)"
        }
        EngineKind::Postgres => {
            "DELETE FROM plinth_idempotency WHERE ctid IN \
             (SELECT ctid FROM plinth_idempotency WHERE created_at_ms < ? LIMIT ?)"
        }
        EngineKind::Mariadb => "DELETE FROM plinth_idempotency WHERE created_at_ms < ? LIMIT ?",
    }
}

/// Creates the table where it is missing, once for each start. Outside a transaction: MariaDB commits at each DDL.
pub(super) async fn ensure_table(
    database: &Database,
    deadline: Deadline,
) -> Result<(), DatabaseError> {
    database
        .idempotency_table
        .get_or_try_init(|| async {
            let mut lease = database.pool.acquire(deadline).await?;
            let present = database
                .own(
                    &mut lease,
                    "SELECT 1 FROM plinth_idempotency LIMIT 1",
                    &[],
                    deadline,
                )
                .await
                .is_ok();
            if present {
                return Ok(());
            }
            match create_table(database, &mut lease, deadline).await {
                Ok(()) => Ok(()),
                // Two instances that create it at once: PostgreSQL lets one of them fail.
                Err(DatabaseError::Query { .. } | DatabaseError::Serialization { .. }) => database
                    .own(
                        &mut lease,
                        "SELECT 1 FROM plinth_idempotency LIMIT 1",
                        &[],
                        deadline,
                    )
                    .await
                    .map(|_| ()),
                Err(error) => Err(error),
            }
        })
        .await
        .copied()
}

async fn create_table(
    database: &Database,
    lease: &mut Lease,
    deadline: Deadline,
) -> Result<(), DatabaseError> {
    let engine = database.engine();
    database
        .own(lease, table_ddl(engine), &[], deadline)
        .await?;
    if let Some(index) = index_ddl(engine) {
        database.own(lease, index, &[], deadline).await?;
    }
    Ok(())
}

fn key_params(scope: &IdempotencyScope) -> [Value; 4] {
    [
        Value::Text(scope.tenant.as_str().to_owned()),
        Value::Text(scope.principal.as_str().to_owned()),
        Value::Text(scope.operation.to_owned()),
        Value::Text(scope.key.clone()),
    ]
}

fn fingerprint(scope: &IdempotencyScope) -> String {
    use std::fmt::Write as _;
    scope
        .fingerprint
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}

fn cutoff_ms(scope: &IdempotencyScope) -> i64 {
    scope
        .at
        .0
        .saturating_sub_unsigned(limits::IDEMPOTENCY_TTL_MS)
}

/// Takes the key inside the transaction.
pub(super) async fn claim(
    plan: &Plan<'_>,
    lease: &mut Lease,
    scope: &IdempotencyScope,
) -> Result<Claim, DatabaseError> {
    let statement = plan.database.statement(CLAIM)?;
    let mut params = key_params(scope).to_vec();
    params.extend([
        Value::Text(fingerprint(scope)),
        Value::Text(String::new()),
        Value::Int(scope.at.0),
    ]);
    let run = lease.run(Execution::own(&statement, &params));
    match tokio::time::timeout_at(plan.deadline.instant().into(), run).await {
        Ok(Ok(_)) => Ok(Claim::Ours),
        Ok(Err(BackendError::UniqueViolation { .. })) => Ok(Claim::Taken),
        Ok(Err(error)) => Err(DatabaseError::from_backend(
            error,
            &plan.database.name,
            None,
            false,
        )),
        Err(_elapsed) => Err(DatabaseError::Deadline {
            message: "the deadline passed while a transaction with the same key was running",
            outcome_unknown: false,
        }),
    }
}

/// Puts the answer into the record, before COMMIT.
pub(super) async fn complete(
    plan: &Plan<'_>,
    lease: &mut Lease,
    scope: &IdempotencyScope,
    reply: &TransactionReply,
) -> Result<(), DatabaseError> {
    let answer = serde_json::to_string(reply).map_err(Error::internal)?;
    let mut params = vec![Value::Text(answer)];
    params.extend(key_params(scope));
    let database = plan.database;
    database
        .own(lease, COMPLETE, &params, plan.deadline)
        .await?;
    if rand::random_range(0..PRUNE_EVERY) == 0 {
        prune_beside(plan, cutoff_ms(scope));
    }
    Ok(())
}

/// Removes expired records on a connection of its own, beside the caller.
fn prune_beside(plan: &Plan<'_>, cutoff_ms: i64) {
    let (database, deadline) = (
        std::sync::Arc::clone(plan.database),
        Deadline::after_ms(10_000),
    );
    tokio::spawn(async move {
        let params = [Value::Int(cutoff_ms), Value::Int(i64::from(PRUNE_ROWS_MAX))];
        let Ok(mut lease) = database.pool.acquire(deadline).await else {
            return;
        };
        let sql = prune(database.engine());
        if let Err(error) = database.own(&mut lease, sql, &params, deadline).await {
            tracing::debug!(%error, db.name = database.name, "removing expired idempotency records failed");
        }
    });
}

/// The first answer to the key, read after the roll-back of the repeat.
pub(super) async fn first_answer(
    plan: &Plan<'_>,
    lease: &mut Lease,
) -> Result<TransactionReply, DatabaseError> {
    let Some(scope) = &plan.scope else {
        return Err(Error::internal("a claim without a scope").into());
    };
    let database = plan.database;
    let key = key_params(scope);
    let rows = database.own(lease, FIND, &key, plan.deadline).await?;
    let again = |message: &str| DatabaseError::Serialization {
        attempts: 1,
        message: message.to_owned(),
    };
    let Some(
        [
            Value::Text(found),
            Value::Text(answer),
            Value::Int(created_at_ms),
        ],
    ) = rows.first().map(Vec::as_slice)
    else {
        return Err(again(
            "a transaction with the same key was rolled back just now",
        ));
    };
    let cutoff_ms = cutoff_ms(scope);
    if *created_at_ms < cutoff_ms {
        let mut params = key.to_vec();
        params.push(Value::Int(cutoff_ms));
        database.own(lease, FORGET, &params, plan.deadline).await?;
        return Err(again("an expired record of the same key was removed"));
    }
    if found.trim_end() != fingerprint(scope) {
        return Err(DatabaseError::KeyReused);
    }
    let mut reply: TransactionReply = serde_json::from_str(answer).map_err(Error::internal)?;
    reply.repeated = true;
    Ok(reply)
}
