//! Tenants, keys and bindings.

use async_trait::async_trait;
use plinth_core::access::{
    AccessDirectory, BindingRecord, Creation, IdempotencyScope, KeyRecord, NewKey, RoleRule,
    TenantRecord,
};
use plinth_core::{CredentialId, Error, PageLimit, PrincipalId, Result, TenantId, TimestampMs};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use super::credentials::{kind_from_word, kind_word};
use super::entity::{api_keys, principals, role_bindings, tenants};
use super::failure::{self, Phase};
use super::{ATTEMPTS_MAX, ControlStore, idempotency, roles};

/// Longest name for people and longest label of a key, in bytes.
const LABEL_BYTES_MAX: usize = 512;

#[async_trait]
impl AccessDirectory for ControlStore {
    async fn create_tenant(
        &self,
        tenant: &TenantRecord,
        first_keys: &[NewKey],
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Creation> {
        check_label("name", &tenant.name)?;
        self.create(Some(tenant), first_keys, None, scope).await
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>> {
        let found = tenants::Entity::find_by_id(id.as_str())
            .one(self.ready().await?)
            .await
            .map_err(read)?;
        Ok(found.map(|row| TenantRecord {
            id: id.clone(),
            name: row.name,
            active: row.active,
            platform: row.platform,
            created_at: TimestampMs(row.created_at),
        }))
    }

    async fn is_empty(&self) -> Result<bool> {
        let found = tenants::Entity::find()
            .one(self.ready().await?)
            .await
            .map_err(read)?;
        Ok(found.is_none())
    }

    async fn create_key(
        &self,
        key: &NewKey,
        rule: RoleRule<'_>,
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Creation> {
        self.create(None, std::slice::from_ref(key), Some(rule), scope)
            .await
    }

    async fn keys(
        &self,
        tenant: &TenantId,
        principal: Option<&PrincipalId>,
        after: Option<&CredentialId>,
        limit: PageLimit,
    ) -> Result<Vec<KeyRecord>> {
        use api_keys::Column;
        let mut query = api_keys::Entity::find().filter(Column::Tenant.eq(tenant.as_str()));
        if let Some(principal) = principal {
            query = query.filter(Column::Principal.eq(principal.as_str()));
        }
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.as_str()));
        }
        query
            .order_by_asc(Column::Id)
            .limit(u64::from(limit.get()))
            .find_also_related(principals::Entity)
            .all(self.ready().await?)
            .await
            .map_err(read)?
            .into_iter()
            .map(|(key, holder)| key_record(key, holder))
            .collect()
    }

    async fn revoke_key(
        &self,
        tenant: &TenantId,
        key: &CredentialId,
        at: TimestampMs,
    ) -> Result<()> {
        use api_keys::Column;
        let database = self.ready().await?;
        let of_tenant = Condition::all()
            .add(Column::Tenant.eq(tenant.as_str()))
            .add(Column::Id.eq(key.as_str()));
        let revoked = api_keys::Entity::update_many()
            .filter(of_tenant.clone())
            .filter(Column::RevokedAt.is_null())
            .col_expr(Column::RevokedAt, Expr::value(at.0))
            .exec(database)
            .await
            .map_err(commit)?;
        if revoked.rows_affected > 0 {
            return Ok(());
        }
        let exists = api_keys::Entity::find()
            .filter(of_tenant)
            .one(database)
            .await
            .map_err(read)?;
        match exists {
            Some(_revoked_before) => Ok(()),
            None => Err(Error::not_found(format!("the key {key} does not exist"))),
        }
    }

    async fn bind_role(
        &self,
        tenant: &TenantId,
        binding: &BindingRecord,
        rule: RoleRule<'_>,
    ) -> Result<bool> {
        self.change_roles(|| self.try_bind(tenant, binding, rule))
            .await
    }

    async fn unbind_role(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
        role: &str,
        keeps_last: bool,
    ) -> Result<bool> {
        self.change_roles(|| self.try_unbind(tenant, principal, role, keeps_last))
            .await
    }

    async fn bindings(
        &self,
        tenant: &TenantId,
        principal: Option<&PrincipalId>,
        after: Option<(&PrincipalId, &str)>,
        limit: PageLimit,
    ) -> Result<Vec<BindingRecord>> {
        use role_bindings::Column;
        let mut query = role_bindings::Entity::find().filter(Column::Tenant.eq(tenant.as_str()));
        if let Some(principal) = principal {
            query = query.filter(Column::Principal.eq(principal.as_str()));
        }
        if let Some((principal, role)) = after {
            let same = Condition::all()
                .add(Column::Principal.eq(principal.as_str()))
                .add(Column::Role.gt(role));
            query = query.filter(
                Condition::any()
                    .add(Column::Principal.gt(principal.as_str()))
                    .add(same),
            );
        }
        query
            .order_by_asc(Column::Principal)
            .order_by_asc(Column::Role)
            .limit(u64::from(limit.get()))
            .all(self.ready().await?)
            .await
            .map_err(read)?
            .into_iter()
            .map(binding_record)
            .collect()
    }
}

/// Why one attempt at a creation did not succeed.
pub(super) enum Refusal {
    /// A unique key exists: of the thing itself, or of a concurrent use of the idempotency key.
    Duplicate,
    /// The tenant is absent.
    Dangling,
    /// It lost against a concurrent transaction.
    Collided(DbErr),
    /// Anything else.
    Final(Error),
}

impl Refusal {
    /// Sorts the failure of a commit.
    pub(super) fn of_commit(cause: DbErr) -> Self {
        if failure::is_collision(&cause) {
            Self::Collided(cause)
        } else {
            Self::Final(commit(cause))
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// Sorts the failure of a statement inside the transaction.
impl From<DbErr> for Refusal {
    fn from(cause: DbErr) -> Self {
        if failure::is_duplicate(&cause) {
            Self::Duplicate
        } else if failure::is_dangling(&cause) {
            Self::Dangling
        } else if failure::is_collision(&cause) {
            Self::Collided(cause)
        } else {
            Self::Final(failure::error(cause, Phase::Uncommitted))
        }
    }
}

impl ControlStore {
    /// Creates keys of one tenant, with the tenant itself where it is given.
    async fn create(
        &self,
        tenant: Option<&TenantRecord>,
        keys: &[NewKey],
        rule: Option<RoleRule<'_>>,
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Creation> {
        let Some(first) = keys.first() else {
            return Err(Error::internal("a creation without a key"));
        };
        for key in keys {
            check_label("label", &key.label)?;
            check_label("principal.name", &key.principal.name)?;
        }
        if let Some((_, answer)) = scope {
            idempotency::check_answer(answer)?;
        }
        let mut duplicates = 0;
        for attempt in 1..=ATTEMPTS_MAX {
            match self.try_create(tenant, keys, rule, scope).await {
                Ok(creation) => {
                    if let Some((scope, _)) = scope {
                        idempotency::prune(&self.database, scope.at).await;
                    }
                    return Ok(creation);
                }
                // The duplicate may be a concurrent use of the same idempotency key, whose record is there by now.
                Err(Refusal::Duplicate) if scope.is_some() && duplicates == 0 => duplicates = 1,
                Err(Refusal::Duplicate) => return Err(exists_already(tenant, first)),
                Err(Refusal::Dangling) => {
                    return Err(Error::not_found(format!(
                        "the tenant {} does not exist",
                        first.tenant
                    )));
                }
                Err(Refusal::Collided(cause)) if attempt == ATTEMPTS_MAX => {
                    return Err(failure::error(cause, Phase::Uncommitted));
                }
                Err(Refusal::Collided(_)) => {}
                Err(Refusal::Final(error)) => return Err(error),
            }
        }
        Err(exists_already(tenant, first))
    }

    async fn try_create(
        &self,
        tenant: Option<&TenantRecord>,
        keys: &[NewKey],
        rule: Option<RoleRule<'_>>,
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Creation, Refusal> {
        let transaction = self.begin().await?;
        if let (Some(_), [key, ..]) = (rule, keys) {
            roles::hold_tenant(&transaction, &key.tenant).await?;
        }
        if let Some((scope, _)) = scope
            && let Some(answer) = idempotency::find(&transaction, scope).await?
        {
            return Ok(Creation::Repeated(answer));
        }
        if let (Some(rule), [key, ..]) = (rule, keys) {
            rule(&roles::held(&transaction, &key.tenant, &key.principal.id).await?)?;
        }
        if let Some(tenant) = tenant {
            tenants::Entity::insert(tenant_row(tenant))
                .exec_without_returning(&transaction)
                .await?;
        }
        for key in keys {
            insert_key(&transaction, key).await?;
        }
        if let Some((scope, answer)) = scope {
            idempotency::insert(&transaction, scope, answer).await?;
        }
        transaction.commit().await.map_err(Refusal::of_commit)?;
        Ok(Creation::Created)
    }
}

/// Inserts a key, its holder where absent, and its roles where unbound.
async fn insert_key(transaction: &impl ConnectionTrait, key: &NewKey) -> Result<(), DbErr> {
    use principals::Column;
    principals::Entity::insert(principal_row(key))
        .on_conflict(
            OnConflict::columns([Column::Tenant, Column::Id])
                .do_nothing_on([Column::Tenant, Column::Id])
                .to_owned(),
        )
        .exec_without_returning(transaction)
        .await?;
    api_keys::Entity::insert(key_row(key))
        .exec_without_returning(transaction)
        .await?;
    for role in &key.roles {
        use role_bindings::Column;
        let binding = BindingRecord {
            principal: key.principal.id.clone(),
            role: role.clone(),
            granted_by: key.created_by.clone(),
            granted_at: key.created_at,
        };
        let columns = [Column::Tenant, Column::Principal, Column::Role];
        role_bindings::Entity::insert(binding_row(&key.tenant, &binding))
            .on_conflict(
                OnConflict::columns(columns)
                    .do_nothing_on(columns)
                    .to_owned(),
            )
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

fn exists_already(tenant: Option<&TenantRecord>, key: &NewKey) -> Error {
    Error::conflict(match tenant {
        Some(tenant) => format!("the tenant {} exists already", tenant.id),
        None => format!("the key {} exists already", key.id),
    })
}

fn check_label(field: &str, text: &str) -> Result<()> {
    if text.len() > LABEL_BYTES_MAX {
        return Err(Error::invalid(
            field,
            format!(
                "has {} bytes, at most {LABEL_BYTES_MAX} are allowed",
                text.len()
            ),
        ));
    }
    Ok(())
}

fn read(cause: DbErr) -> Error {
    failure::error(cause, Phase::Read)
}

pub(super) fn commit(cause: DbErr) -> Error {
    failure::error(cause, Phase::Commit)
}

fn tenant_row(tenant: &TenantRecord) -> tenants::ActiveModel {
    tenants::ActiveModel {
        id: Set(tenant.id.as_str().to_owned()),
        name: Set(tenant.name.clone()),
        active: Set(tenant.active),
        platform: Set(tenant.platform),
        created_at: Set(tenant.created_at.0),
    }
}

fn principal_row(key: &NewKey) -> principals::ActiveModel {
    principals::ActiveModel {
        tenant: Set(key.tenant.as_str().to_owned()),
        id: Set(key.principal.id.as_str().to_owned()),
        name: Set(key.principal.name.clone()),
        kind: Set(kind_word(key.principal.kind).to_owned()),
        created_at: Set(key.created_at.0),
    }
}

fn key_row(key: &NewKey) -> api_keys::ActiveModel {
    api_keys::ActiveModel {
        tenant: Set(key.tenant.as_str().to_owned()),
        id: Set(key.id.as_str().to_owned()),
        sha256: Set(key.sha256.to_vec()),
        principal: Set(key.principal.id.as_str().to_owned()),
        label: Set(key.label.clone()),
        created_at: Set(key.created_at.0),
        created_by: Set(key.created_by.as_ref().map(|id| id.as_str().to_owned())),
        expires_at: Set(key.expires_at.map(|at| at.0)),
        revoked_at: Set(None),
        last_used_at: Set(None),
    }
}

pub(super) fn binding_row(
    tenant: &TenantId,
    binding: &BindingRecord,
) -> role_bindings::ActiveModel {
    role_bindings::ActiveModel {
        tenant: Set(tenant.as_str().to_owned()),
        principal: Set(binding.principal.as_str().to_owned()),
        role: Set(binding.role.as_ref().to_owned()),
        granted_by: Set(binding.granted_by.as_ref().map(|id| id.as_str().to_owned())),
        granted_at: Set(binding.granted_at.0),
    }
}

fn key_record(key: api_keys::Model, holder: Option<principals::Model>) -> Result<KeyRecord> {
    let holder = holder.ok_or_else(|| Error::internal("a stored key has no holder"))?;
    Ok(KeyRecord {
        id: CredentialId::parse(&key.id).map_err(Error::internal)?,
        principal: PrincipalId::parse(&key.principal).map_err(Error::internal)?,
        principal_kind: kind_from_word(&holder.kind)?,
        label: key.label,
        created_at: TimestampMs(key.created_at),
        expires_at: key.expires_at.map(TimestampMs),
        revoked_at: key.revoked_at.map(TimestampMs),
        last_used_at: key.last_used_at.map(TimestampMs),
    })
}

fn binding_record(row: role_bindings::Model) -> Result<BindingRecord> {
    let id = |text: &str| PrincipalId::parse(text).map_err(Error::internal);
    Ok(BindingRecord {
        principal: id(&row.principal)?,
        role: row.role.into(),
        granted_by: row.granted_by.as_deref().map(id).transpose()?,
        granted_at: TimestampMs(row.granted_at),
    })
}
