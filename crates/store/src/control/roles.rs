//! Changes of roles: each is judged and made in one transaction that holds the row of its tenant, so that changes of one
//! tenant follow each other, whichever instance makes them.

use plinth_core::access::{BindingRecord, RoleRule};
use plinth_core::{Error, PrincipalId, Result, RoleName, TenantId};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
};

use super::access::{Refusal, binding_row};
use super::entity::{principals, role_bindings, tenants};
use super::failure::{self, Phase};
use super::{ATTEMPTS_MAX, ControlStore};

/// Waits until no other transaction holds the tenant. On SQLite a transaction that writes holds everything already.
pub(super) async fn hold_tenant(
    transaction: &DatabaseTransaction,
    tenant: &TenantId,
) -> Result<(), DbErr> {
    tenants::Entity::find_by_id(tenant.as_str())
        .lock_exclusive()
        .one(transaction)
        .await?;
    Ok(())
}

/// The roles that a principal holds.
pub(super) async fn held(
    transaction: &DatabaseTransaction,
    tenant: &TenantId,
    principal: &PrincipalId,
) -> Result<Vec<RoleName>, DbErr> {
    use role_bindings::Column;
    let bindings = role_bindings::Entity::find()
        .filter(Column::Tenant.eq(tenant.as_str()))
        .filter(Column::Principal.eq(principal.as_str()))
        .all(transaction)
        .await?;
    Ok(bindings.into_iter().map(|row| row.role.into()).collect())
}

impl ControlStore {
    /// Makes a change, again where it lost against a concurrent transaction.
    pub(super) async fn change_roles<T, F>(&self, change: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T, Refusal>> + Send,
    {
        for _attempt in 1..ATTEMPTS_MAX {
            match change().await {
                Err(Refusal::Collided(_)) => {}
                ended => return ended.map_err(settle),
            }
        }
        change().await.map_err(settle)
    }

    pub(super) async fn try_bind(
        &self,
        tenant: &TenantId,
        binding: &BindingRecord,
        rule: RoleRule<'_>,
    ) -> Result<bool, Refusal> {
        let transaction = self.begin().await?;
        hold_tenant(&transaction, tenant).await?;
        let holder = (
            tenant.as_str().to_owned(),
            binding.principal.as_str().to_owned(),
        );
        let known = principals::Entity::find_by_id(holder).one(&transaction);
        if known.await?.is_none() {
            return Err(Refusal::Final(Error::not_found(format!(
                "the principal {} does not exist",
                binding.principal
            ))));
        }
        let before = held(&transaction, tenant, &binding.principal).await?;
        if before.contains(&binding.role) {
            return Ok(false);
        }
        rule(&before)?;
        role_bindings::Entity::insert(binding_row(tenant, binding))
            .exec_without_returning(&transaction)
            .await?;
        transaction.commit().await.map_err(Refusal::of_commit)?;
        Ok(true)
    }

    pub(super) async fn try_unbind(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
        role: &str,
        keeps_last: bool,
    ) -> Result<bool, Refusal> {
        use role_bindings::Column;
        let transaction = self.begin().await?;
        hold_tenant(&transaction, tenant).await?;
        let removed = role_bindings::Entity::delete_many()
            .filter(Column::Tenant.eq(tenant.as_str()))
            .filter(Column::Principal.eq(principal.as_str()))
            .filter(Column::Role.eq(role))
            .exec(&transaction)
            .await?;
        if removed.rows_affected == 0 {
            return Ok(false);
        }
        let others = role_bindings::Entity::find()
            .filter(Column::Tenant.eq(tenant.as_str()))
            .filter(Column::Role.eq(role));
        if keeps_last && others.count(&transaction).await? == 0 {
            return Err(Refusal::Final(Error::conflict(format!(
                "the last {role} of a tenant stays; bind another one first"
            ))));
        }
        transaction.commit().await.map_err(Refusal::of_commit)?;
        Ok(true)
    }
}

fn settle(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Duplicate | Refusal::Dangling => {
            Error::internal("a change of roles met a row that its transaction had ruled out")
        }
        Refusal::Collided(cause) => failure::error(cause, Phase::Uncommitted),
        Refusal::Final(error) => error,
    }
}
