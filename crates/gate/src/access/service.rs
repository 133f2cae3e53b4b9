//! The service, its first key, and tenants.

use std::sync::Arc;

use plinth_core::access::{AccessDirectory, Creation, IdempotencyScope, NewKey, TenantRecord};
use plinth_core::{
    CallContext, Error, ErrorCode, Principal, PrincipalId, PrincipalKind, Result, RoleName,
    SharedClock, TenantId, TimestampMs,
};
use plinth_security::digest::sha256;
use plinth_security::rbac::OWNER;
use plinth_security::{ApiKey, Entropy, KeyText, RoleBook};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::model::{
    CreateTenantReply, CreateTenantRequest, CreatedKey, DISPLAY_NAME_BYTES_MAX, PermissionView,
    ShownKey, WhoAmIReply, kind_word, parse_people_text,
};
use crate::credentials::CredentialCache;

/// The tenant of the first start.
pub const DEFAULT_TENANT: &str = "default";
/// The holder of a tenant's first key.
pub const FIRST_PRINCIPAL: &str = "owner";

/// Tenants, keys and role bindings.
pub struct AccessService {
    pub(super) directory: Arc<dyn AccessDirectory>,
    pub(super) roles: Arc<RoleBook>,
    pub(super) credentials: CredentialCache,
    pub(super) clock: SharedClock,
    pub(super) entropy: Arc<dyn Entropy>,
    /// One place: changes are made one at a time.
    changes: Semaphore,
}

/// The key of the first start, to be shown once.
pub struct FirstKey {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its holder.
    pub principal: PrincipalId,
    /// Its text.
    pub text: KeyText,
}

/// A change of access under way. When it ends, in whatever way, every cached decision is dropped: also after a failure and
/// after a deadline it may have been made.
pub(super) struct Change<'a> {
    _place: SemaphorePermit<'a>,
    credentials: &'a CredentialCache,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.credentials.forget_all();
    }
}

/// What is stored as the first answer to an idempotency key: everything but the text of the key.
#[derive(Serialize, Deserialize)]
struct FirstAnswer {
    key_id: String,
    expires_at_ms: Option<i64>,
    created_at_ms: i64,
}

impl AccessService {
    /// Puts the service together. `credentials` is the memory of the gate that guards it.
    #[must_use]
    pub fn new(
        directory: Arc<dyn AccessDirectory>,
        roles: Arc<RoleBook>,
        credentials: CredentialCache,
        clock: SharedClock,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            directory,
            roles,
            credentials,
            clock,
            entropy,
            changes: Semaphore::new(1),
        }
    }

    /// On the first start creates the platform's tenant and its first key, which holds the role `owner`. `None` where a
    /// tenant exists already, also one that another instance has just created. Errors: 1012 where the directory is away.
    pub async fn bootstrap(&self) -> Result<Option<FirstKey>> {
        if !self.directory.is_empty().await? {
            return Ok(None);
        }
        let tenant = TenantRecord {
            id: TenantId::parse(DEFAULT_TENANT)?,
            name: DEFAULT_TENANT.to_owned(),
            active: true,
            platform: true,
            created_at: self.clock.now(),
        };
        let (key, text) = self.first_key_of(&tenant)?;
        match self.directory.create_tenant(&tenant, &key, None).await {
            Ok(_) => Ok(Some(FirstKey {
                tenant: tenant.id,
                principal: key.principal.id,
                text,
            })),
            Err(error) if error.code() == ErrorCode::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a tenant and its first key. Errors: 1001; 1005 where the tenant exists or the idempotency key was used for
    /// another request.
    pub async fn create_tenant(
        &self,
        ctx: &CallContext,
        request: CreateTenantRequest,
    ) -> Result<CreateTenantReply> {
        let id = TenantId::parse(&request.tenant)?;
        let name = match &request.name {
            Some(name) => parse_people_text("name", name, 1..=DISPLAY_NAME_BYTES_MAX)?,
            None => id.as_str().to_owned(),
        };
        let tenant = TenantRecord {
            id,
            name,
            active: true,
            platform: false,
            created_at: self.clock.now(),
        };
        let (key, text) = self.first_key_of(&tenant)?;
        let _change = self.begin_change().await?;
        let scope = scope(ctx, &request, tenant.created_at)?;
        let answer = first_answer(&key)?;
        let creation = self
            .directory
            .create_tenant(&tenant, &key, scope.as_ref().map(|scope| (scope, &*answer)))
            .await?;
        let (first_key, created_at_ms) = created_key(creation, &key, text)?;
        Ok(CreateTenantReply {
            tenant: tenant.id.into(),
            name: tenant.name,
            created_at_ms,
            first_key,
        })
    }

    /// Tells the caller who it is. Errors: 1012 where the directory is away.
    pub async fn who_am_i(&self, ctx: &CallContext) -> Result<WhoAmIReply> {
        let caller = &ctx.caller;
        let expires_at = match self.directory.find(&caller.credential).await? {
            plinth_core::CredentialLookup::Found(stored) => stored.expires_at,
            plinth_core::CredentialLookup::Absent => None,
        };
        let mut roles: Vec<&RoleName> = caller.roles.iter().collect();
        roles.sort();
        let held = roles.iter().filter_map(|name| self.roles.get(name));
        let permissions = held.flat_map(|role| {
            role.permissions.iter().map(|permission| PermissionView {
                operations: permission.operations.as_str().to_owned(),
                resources: permission.resources.as_str().to_owned(),
                role: role.name.as_ref().to_owned(),
            })
        });
        Ok(WhoAmIReply {
            tenant: caller.tenant.as_str().to_owned(),
            principal: caller.principal.id.as_str().to_owned(),
            principal_name: caller.principal.name.clone(),
            principal_kind: kind_word(caller.principal.kind).to_owned(),
            key_id: caller.credential.as_str().to_owned(),
            expires_at_ms: expires_at.map(|at| at.0),
            permissions: permissions.collect(),
            roles: roles.iter().map(|name| name.as_ref().to_owned()).collect(),
        })
    }

    /// Waits until no other change of access is under way on this instance.
    pub(super) async fn begin_change(&self) -> Result<Change<'_>> {
        Ok(Change {
            _place: self.changes.acquire().await.map_err(Error::internal)?,
            credentials: &self.credentials,
        })
    }

    fn first_key_of(&self, tenant: &TenantRecord) -> Result<(NewKey, KeyText)> {
        let (key, text) = self.generate()?;
        let new_key = NewKey {
            id: key.id().clone(),
            sha256: *key.sha256(),
            tenant: tenant.id.clone(),
            principal: Principal {
                id: PrincipalId::parse(FIRST_PRINCIPAL)?,
                name: FIRST_PRINCIPAL.to_owned(),
                kind: PrincipalKind::User,
            },
            label: "first key".to_owned(),
            expires_at: None,
            created_at: tenant.created_at,
            roles: vec![OWNER.into()],
            created_by: None,
        };
        Ok((new_key, text))
    }

    pub(super) fn generate(&self) -> Result<(ApiKey, KeyText)> {
        ApiKey::generate(&*self.entropy).map_err(Error::internal)
    }
}

/// The scope of the caller's idempotency key, where it sent one.
pub(super) fn scope(
    ctx: &CallContext,
    request: &impl Serialize,
    at: TimestampMs,
) -> Result<Option<IdempotencyScope>> {
    let Some(key) = &ctx.idempotency_key else {
        return Ok(None);
    };
    let request = serde_json::to_vec(request).map_err(Error::internal)?;
    Ok(Some(IdempotencyScope {
        tenant: ctx.caller.tenant.clone(),
        principal: ctx.caller.principal.id.clone(),
        operation: ctx.operation.as_str(),
        key: key.as_str().to_owned(),
        fingerprint: sha256(&request),
        at,
    }))
}

pub(super) fn first_answer(key: &NewKey) -> Result<String> {
    serde_json::to_string(&FirstAnswer {
        key_id: key.id.as_str().to_owned(),
        expires_at_ms: key.expires_at.map(|at| at.0),
        created_at_ms: key.created_at.0,
    })
    .map_err(Error::internal)
}

/// The reply to a creation, with the text of the key where it was created now; and when it was created.
pub(super) fn created_key(
    creation: Creation,
    key: &NewKey,
    text: KeyText,
) -> Result<(CreatedKey, i64)> {
    let (answer, text) = match creation {
        Creation::Created => {
            let answer = FirstAnswer {
                key_id: key.id.as_str().to_owned(),
                expires_at_ms: key.expires_at.map(|at| at.0),
                created_at_ms: key.created_at.0,
            };
            (answer, Some(ShownKey::new(text)))
        }
        Creation::Repeated(answer) => {
            let answer = serde_json::from_str(&answer).map_err(Error::internal)?;
            (answer, None)
        }
    };
    let created = CreatedKey {
        key_id: answer.key_id,
        key: text,
        principal: key.principal.id.as_str().to_owned(),
        roles: key
            .roles
            .iter()
            .map(|role| role.as_ref().to_owned())
            .collect(),
        expires_at_ms: answer.expires_at_ms,
    };
    Ok((created, answer.created_at_ms))
}
