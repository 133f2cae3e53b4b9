//! The first answer to a caller's idempotency key, kept in the same commit as the effect.

mod fingerprint;

use plinth_core::access::IdempotencyScope;
use plinth_core::{CallContext, TimestampMs, limits};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// The table of the records, to be part of a block's first migration.
pub const SCHEMA: &str = "
CREATE TABLE plinth_idempotency (
    tenant TEXT NOT NULL,
    principal TEXT NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    answer BLOB NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, principal, operation, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX plinth_idempotency_expiry ON plinth_idempotency (expires_at_ms);
";

/// Largest answer that is kept, in bytes of JSON.
pub const ANSWER_BYTES_MAX: usize = limits::REQUEST_BYTES_MAX;
/// Most expired records that one use removes. More than one, so that the table shrinks while it is used.
const PRUNED_PER_USE_MAX: i64 = 16;

/// The scope of a call that carries an idempotency key; `None` where it carries none.
///
/// The fingerprint is the SHA-256 of the request's fields, whatever the order of its maps.
#[must_use]
pub fn scope(
    context: &CallContext,
    request: &impl Serialize,
    now: TimestampMs,
) -> Option<IdempotencyScope> {
    let key = context.idempotency_key.as_ref()?;
    Some(IdempotencyScope {
        tenant: context.caller.tenant.clone(),
        principal: context.caller.principal.id.clone(),
        operation: context.operation.as_str(),
        key: key.as_str().to_owned(),
        fingerprint: fingerprint::of(request),
        at: now,
    })
}

/// Runs `work` once for the scope, inside an [`Engine::write`](crate::Engine::write). A repeat within
/// [`limits::IDEMPOTENCY_TTL_MS`] returns the stored first answer and does not run `work`. Without a scope `work` is just
/// run. An `Err` of `work` is not recorded: the same key may try again.
///
/// Errors: whatever `work` returns; 1005 where the key was used for another request; 1007 where the answer passes
/// [`ANSWER_BYTES_MAX`].
pub fn once<T, E>(
    transaction: &Connection,
    scope: Option<&IdempotencyScope>,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
    E: From<StoreError>,
{
    let Some(scope) = scope else {
        return work(transaction);
    };
    if let Some(answer) = recall(transaction, scope)? {
        return Ok(answer);
    }
    let answer = work(transaction)?;
    record(transaction, scope, &answer)?;
    Ok(answer)
}

/// The first answer that is stored under a scope; `None` where nothing was done under its key. For a request that would be
/// refused before it comes to [`once`]: what was done once keeps its answer, whatever has changed since.
///
/// Errors: 1005 where the key was used for another request.
pub fn recall<T: DeserializeOwned>(
    connection: &Connection,
    scope: &IdempotencyScope,
) -> Result<Option<T>, StoreError> {
    let answer = find(connection, scope)?;
    answer
        .map(|answer| serde_json::from_slice(&answer).map_err(StoreError::Answer))
        .transpose()
}

/// The stored answer of a live record. Errors: another request used the key.
fn find(transaction: &Connection, scope: &IdempotencyScope) -> Result<Option<Vec<u8>>, StoreError> {
    let found = transaction
        .prepare_cached(
            "SELECT fingerprint, answer FROM plinth_idempotency
             WHERE tenant = ?1 AND principal = ?2 AND operation = ?3 AND key = ?4 AND expires_at_ms > ?5",
        )?
        .query_row(
            (
                scope.tenant.as_str(),
                scope.principal.as_str(),
                scope.operation,
                &scope.key,
                scope.at.0,
            ),
            |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)),
        )
        .optional()?;
    match found {
        Some((fingerprint, _)) if fingerprint != scope.fingerprint => {
            Err(StoreError::IdempotencyConflict)
        }
        Some((_, answer)) => Ok(Some(answer)),
        None => Ok(None),
    }
}

fn record(
    transaction: &Connection,
    scope: &IdempotencyScope,
    answer: &impl Serialize,
) -> Result<(), StoreError> {
    let answer = serde_json::to_vec(answer).map_err(StoreError::Answer)?;
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(StoreError::AnswerTooLarge {
            bytes: answer.len(),
            bytes_max: ANSWER_BYTES_MAX,
        });
    }
    transaction
        .prepare_cached(
            "DELETE FROM plinth_idempotency WHERE (tenant, principal, operation, key) IN
             (SELECT tenant, principal, operation, key FROM plinth_idempotency
              WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2)",
        )?
        .execute((scope.at.0, PRUNED_PER_USE_MAX))?;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO plinth_idempotency
             (tenant, principal, operation, key, fingerprint, answer, expires_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            scope.tenant.as_str(),
            scope.principal.as_str(),
            scope.operation,
            &scope.key,
            scope.fingerprint.as_slice(),
            answer,
            expires_at(scope).0,
        ))?;
    Ok(())
}

/// When a record of this scope dies.
pub(crate) fn expires_at(scope: &IdempotencyScope) -> TimestampMs {
    scope
        .at
        .plus_ms(i64::try_from(limits::IDEMPOTENCY_TTL_MS).unwrap_or(i64::MAX))
}
