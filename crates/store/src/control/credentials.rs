//! Credentials by the id in their text.

use async_trait::async_trait;
use plinth_core::{
    CredentialDirectory, CredentialId, CredentialLookup, Error, Principal, PrincipalId,
    PrincipalKind, Result, RoleName, StoredCredential, TenantId, TimestampMs,
};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use super::ControlStore;
use super::entity::{api_keys, principals, role_bindings, tenants};
use super::failure::{self, Phase};

/// How exactly the last use of a credential is kept, in milliseconds.
const LAST_USE_GRAIN_MS: i64 = 60_000;

#[async_trait]
impl CredentialDirectory for ControlStore {
    async fn find(&self, id: &CredentialId) -> Result<CredentialLookup> {
        let database = self.ready().await?;
        let found = api_keys::Entity::find()
            .filter(api_keys::Column::Id.eq(id.as_str()))
            .find_also_related(principals::Entity)
            .one(database)
            .await
            .map_err(read)?;
        let Some((key, Some(holder))) = found else {
            return Ok(CredentialLookup::Absent);
        };
        let tenant_active = tenants::Entity::find_by_id(key.tenant.as_str())
            .one(database)
            .await
            .map_err(read)?
            .is_some_and(|tenant| tenant.active);
        let roles = roles(database, &key.tenant, &key.principal).await?;
        Ok(CredentialLookup::Found(Box::new(StoredCredential {
            id: id.clone(),
            sha256: digest(key.sha256)?,
            tenant: TenantId::parse(&key.tenant).map_err(Error::internal)?,
            tenant_active,
            principal: principal(holder)?,
            roles,
            expires_at: key.expires_at.map(TimestampMs),
            revoked_at: key.revoked_at.map(TimestampMs),
        })))
    }

    async fn touch(&self, id: &CredentialId, at: TimestampMs) -> Result<()> {
        let minute = at.0.saturating_sub(at.0.rem_euclid(LAST_USE_GRAIN_MS));
        api_keys::Entity::update_many()
            .filter(api_keys::Column::Id.eq(id.as_str()))
            .col_expr(api_keys::Column::LastUsedAt, Expr::value(minute))
            .exec(self.ready().await?)
            .await
            .map(|_| ())
            .map_err(|cause| failure::error(cause, Phase::Commit))
    }
}

fn read(cause: sea_orm::DbErr) -> Error {
    failure::error(cause, Phase::Read)
}

async fn roles(
    database: &impl ConnectionTrait,
    tenant: &str,
    principal: &str,
) -> Result<Vec<RoleName>> {
    let bindings = role_bindings::Entity::find()
        .filter(role_bindings::Column::Tenant.eq(tenant))
        .filter(role_bindings::Column::Principal.eq(principal))
        .order_by_asc(role_bindings::Column::Role)
        .all(database)
        .await
        .map_err(read)?;
    Ok(bindings
        .into_iter()
        .map(|binding| binding.role.into())
        .collect())
}

fn digest(bytes: Vec<u8>) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| Error::internal("a stored key hash has the wrong length"))
}

fn principal(row: principals::Model) -> Result<Principal> {
    Ok(Principal {
        id: PrincipalId::parse(&row.id).map_err(Error::internal)?,
        kind: kind_from_word(&row.kind)?,
        name: row.name,
    })
}

/// The word of a kind in the table.
pub(super) const fn kind_word(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Service => "service",
        PrincipalKind::User => "user",
        PrincipalKind::System => "system",
    }
}

/// The kind of a word in the table.
pub(super) fn kind_from_word(word: &str) -> Result<PrincipalKind> {
    match word {
        "service" => Ok(PrincipalKind::Service),
        "user" => Ok(PrincipalKind::User),
        "system" => Ok(PrincipalKind::System),
        _ => Err(Error::internal("a stored principal has an unknown kind")),
    }
}
