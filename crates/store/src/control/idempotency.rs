//! First answers to idempotency keys of the control plane's own operations, committed with their effect.

use plinth_core::access::IdempotencyScope;
use plinth_core::{Error, Result, TimestampMs};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
};

use super::entity::idempotency_records::{ActiveModel, Column, Entity};
use super::failure::{self, Phase};
use crate::error::StoreError;
use crate::idempotency::expires_at;

/// Largest answer that is kept, in bytes: what a `TEXT` column of MariaDB holds.
const ANSWER_BYTES_MAX: usize = 65_535;

/// Errors: 1007 where the answer is too large to be kept.
pub(super) fn check_answer(answer: &str) -> Result<()> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(StoreError::AnswerTooLarge {
            bytes: answer.len(),
            bytes_max: ANSWER_BYTES_MAX,
        }
        .into());
    }
    Ok(())
}

fn of(scope: &IdempotencyScope) -> Condition {
    Condition::all()
        .add(Column::Tenant.eq(scope.tenant.as_str()))
        .add(Column::Principal.eq(scope.principal.as_str()))
        .add(Column::Operation.eq(scope.operation))
        .add(Column::RequestKey.eq(scope.key.as_str()))
}

/// The first answer of a live record; a dead one is removed. Errors: 1005 where another request used the key.
pub(super) async fn find(
    transaction: &impl ConnectionTrait,
    scope: &IdempotencyScope,
) -> Result<Option<String>> {
    let found = Entity::find()
        .filter(of(scope))
        .one(transaction)
        .await
        .map_err(|cause| failure::error(cause, Phase::Uncommitted))?;
    let Some(record) = found else {
        return Ok(None);
    };
    if record.expires_at <= scope.at.0 {
        Entity::delete_many()
            .filter(of(scope))
            .filter(Column::ExpiresAt.lte(scope.at.0))
            .exec(transaction)
            .await
            .map_err(|cause| failure::error(cause, Phase::Uncommitted))?;
        return Ok(None);
    }
    if record.fingerprint != scope.fingerprint {
        return Err(Error::from(StoreError::IdempotencyConflict));
    }
    Ok(Some(record.answer))
}

/// Keeps the first answer. Fails as a duplicate where a concurrent use of the key came first.
pub(super) async fn insert(
    transaction: &impl ConnectionTrait,
    scope: &IdempotencyScope,
    answer: &str,
) -> Result<(), DbErr> {
    let record = ActiveModel {
        tenant: Set(scope.tenant.as_str().to_owned()),
        principal: Set(scope.principal.as_str().to_owned()),
        operation: Set(scope.operation.to_owned()),
        request_key: Set(scope.key.clone()),
        fingerprint: Set(scope.fingerprint.to_vec()),
        answer: Set(answer.to_owned()),
        expires_at: Set(expires_at(scope).0),
    };
    Entity::insert(record)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

/// Removes dead records. Not part of the operation: a failure is only logged.
pub(super) async fn prune(database: &impl ConnectionTrait, now: TimestampMs) {
    let pruned = Entity::delete_many()
        .filter(Column::ExpiresAt.lte(now.0))
        .exec(database)
        .await;
    if let Err(cause) = pruned {
        tracing::debug!(error = %cause, "dead idempotency records stay until the next use");
    }
}
