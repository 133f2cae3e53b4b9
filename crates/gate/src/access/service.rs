//! The service, its first key, and tenants.

use std::sync::Arc;

use plinth_core::access::{AccessDirectory, IdempotencyScope, NewKey, TenantRecord};
use plinth_core::{
    CallContext, CredentialId, Error, ErrorCode, Principal, PrincipalId, PrincipalKind, Result,
    RoleName, SharedClock, TenantId, TimestampMs,
};
use plinth_security::digest::sha256;
use plinth_security::rbac::{AUDIT_ADMIN, OWNER, SECURITY_ADMIN, SYSTEM_ADMIN};
use plinth_security::{ApiKey, Entropy, KeyText, RoleBook};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::{FirstAnswer, created_keys};
use super::model::{
    CreateTenantReply, CreateTenantRequest, DISPLAY_NAME_BYTES_MAX, PermissionView, WhoAmIReply,
    kind_word, parse_people_text,
};
use crate::credentials::CredentialCache;

/// The tenant of the first start.
pub const DEFAULT_TENANT: &str = "default";
/// The roles of a tenant's first keys, one key and one holder for each; a holder is named as its role.
const FIRST_ROLES: [&str; 1] = [OWNER];
/// The same where duties are separated. Whoever hands out access comes first.
const FIRST_ROLES_SEPARATED: [&str; 3] = [SECURITY_ADMIN, SYSTEM_ADMIN, AUDIT_ADMIN];

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

/// A key of the first start, or one that replaces a lost one, to be shown once.
pub struct FirstKey {
    /// Its id.
    pub id: CredentialId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its holder.
    pub principal: PrincipalId,
    /// The role that its holder has.
    pub role: RoleName,
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

    /// On the first start creates the platform's tenant and its first keys: one that holds the role `owner`, or, where
    /// duties are separated, one for each of the three administrators. None where a tenant exists already, also one that
    /// another instance has just created. Errors: 1012 where the directory is away.
    pub async fn bootstrap(&self) -> Result<Vec<FirstKey>> {
        if !self.directory.is_empty().await? {
            return Ok(Vec::new());
        }
        let tenant = TenantRecord {
            id: TenantId::parse(DEFAULT_TENANT)?,
            name: DEFAULT_TENANT.to_owned(),
            active: true,
            platform: true,
            created_at: self.clock.now(),
        };
        let (keys, texts) = self.first_keys_of(&tenant)?;
        match self.directory.create_tenant(&tenant, &keys, None).await {
            Ok(_) => Ok(keys.into_iter().zip(texts).map(first_key).collect()),
            Err(error) if error.code() == ErrorCode::Conflict => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Creates a tenant and its first keys. Errors: 1001; 1005 where the tenant exists or the idempotency key was used for
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
        let (keys, texts) = self.first_keys_of(&tenant)?;
        let _change = self.begin_change().await?;
        let scope = scope(ctx, &request, tenant.created_at)?;
        let answer = FirstAnswer::to(&keys).text()?;
        let scope = scope.as_ref().map(|scope| (scope, &*answer));
        let creation = self.directory.create_tenant(&tenant, &keys, scope).await?;
        let (mut created, created_at_ms) = created_keys(creation, &keys, texts)?;
        if created.is_empty() {
            return Err(Error::internal("a tenant was created without a key"));
        }
        Ok(CreateTenantReply {
            tenant: tenant.id.into(),
            name: tenant.name,
            created_at_ms,
            first_key: created.remove(0),
            further_keys: created,
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

    fn first_keys_of(&self, tenant: &TenantRecord) -> Result<(Vec<NewKey>, Vec<KeyText>)> {
        let roles: &[&str] = if self.roles.is_separated() {
            &FIRST_ROLES_SEPARATED
        } else {
            &FIRST_ROLES
        };
        let (mut keys, mut texts) = (Vec::new(), Vec::new());
        for role in roles {
            let (key, text) = self.generate()?;
            keys.push(NewKey {
                id: key.id().clone(),
                sha256: *key.sha256(),
                tenant: tenant.id.clone(),
                principal: Principal {
                    id: PrincipalId::parse(role)?,
                    name: (*role).to_owned(),
                    kind: PrincipalKind::User,
                },
                label: "first key".to_owned(),
                expires_at: None,
                created_at: tenant.created_at,
                roles: vec![(*role).into()],
                created_by: None,
            });
            texts.push(text);
        }
        Ok((keys, texts))
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

/// A key with its text, to be shown.
pub(super) fn first_key((key, text): (NewKey, KeyText)) -> FirstKey {
    FirstKey {
        id: key.id,
        tenant: key.tenant,
        principal: key.principal.id,
        role: key.roles.into_iter().next().unwrap_or_default(),
        text,
    }
}
