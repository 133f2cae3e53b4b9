//! A lost key of an administrator is replaced on the data directory, without a server and without a caller.
//!
//! Whoever can write the data directory could change the tables in it by hand, so this opens nothing that was closed to
//! them. It makes the new key known as every other one is, and the caller records it in the audit log.

use plinth_core::access::{KeyRecord, NewKey};
use plinth_core::{
    CredentialId, Error, PageLimit, Principal, PrincipalId, PrincipalKind, Result, RoleName,
    TenantId,
};
use plinth_security::KeyText;
use plinth_security::rbac::{ADMIN_ROLES, OWNER};

use super::service::{AccessService, FirstKey, first_key};

/// Whose key is replaced.
#[derive(Clone, Debug)]
pub struct RecoverRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// `owner`, or where duties are separated one of the three administrators.
    pub role: String,
    /// The holder, created where absent and given the role where it lacks it; the one named as the role where `None`.
    pub principal: Option<PrincipalId>,
}

/// A key that may be stored: everything was checked. Dropping it changes nothing.
pub struct Recovery {
    key: NewKey,
    text: KeyText,
}

impl Recovery {
    /// Id of the key.
    #[must_use]
    pub const fn key_id(&self) -> &CredentialId {
        &self.key.id
    }

    /// Its holder.
    #[must_use]
    pub const fn principal(&self) -> &PrincipalId {
        &self.key.principal.id
    }
}

impl AccessService {
    /// Prepares a key that replaces a lost one; [`AccessService::recover`] stores it.
    ///
    /// Errors: 1001 naming `role` where it is not an administrator's or does not exist here; 1004 where the tenant does not
    /// exist; 1005 where it is switched off, or the holder would hold two of the separated powers; 1012 where the directory
    /// is away.
    pub async fn prepare_recovery(&self, request: &RecoverRequest) -> Result<Recovery> {
        let role = self.roles.require("role", &request.role)?;
        if &*role.name != OWNER && !ADMIN_ROLES.contains(&&*role.name) {
            return Err(Error::invalid(
                "role",
                format!(
                    "{} is given by a security administrator with a key of his own; recover that one",
                    role.name
                ),
            ));
        }
        let tenant = self.directory.tenant(&request.tenant).await?;
        let tenant = tenant.ok_or_else(|| {
            Error::not_found(format!("the tenant {} does not exist", request.tenant))
        })?;
        if !tenant.active {
            return Err(Error::conflict(format!(
                "the tenant {} is switched off, so no key of it is let in",
                tenant.id
            )));
        }
        let principal = match &request.principal {
            Some(principal) => principal.clone(),
            None => PrincipalId::parse(&role.name)?,
        };
        // Judged here, so that what is refused is not even begun; and once more when it is stored.
        let held = self.roles_of(&tenant.id, &principal).await?;
        self.check_recovered(held.iter().chain([&role.name]))?;
        let (key, text) = self.generate()?;
        let key = NewKey {
            id: key.id().clone(),
            sha256: *key.sha256(),
            tenant: tenant.id,
            principal: Principal {
                name: principal.as_str().to_owned(),
                id: principal,
                kind: PrincipalKind::User,
            },
            label: "recovered offline".to_owned(),
            expires_at: None,
            created_at: self.clock.now(),
            roles: vec![role.name.clone()],
            created_by: None,
        };
        Ok(Recovery { key, text })
    }

    /// Stores a prepared key. Errors: 1005 where the holder would hold two of the separated powers; 1012 where the directory
    /// is away.
    pub async fn recover(&self, recovery: Recovery) -> Result<FirstKey> {
        let Recovery { key, text } = recovery;
        let rule = |held: &[RoleName]| self.check_recovered(held.iter().chain(&key.roles));
        self.directory.create_key(&key, &rule, None).await?;
        Ok(first_key((key, text)))
    }

    fn check_recovered<'a>(&self, roles: impl Iterator<Item = &'a RoleName>) -> Result<()> {
        let roles: Vec<_> = roles.cloned().collect();
        self.check_no_sleeping_owner(&roles)?;
        self.check_separation(roles.iter().map(AsRef::as_ref))
    }

    /// The roles that a principal holds now; none where it does not exist.
    async fn roles_of(&self, tenant: &TenantId, principal: &PrincipalId) -> Result<Vec<RoleName>> {
        let all = PageLimit::parse(Some(i64::from(plinth_core::limits::PAGE_LIMIT_MAX)))?;
        let bindings = self
            .directory
            .bindings(tenant, Some(principal), None, all)
            .await?;
        Ok(bindings.into_iter().map(|binding| binding.role).collect())
    }

    /// The live keys of a holder. Errors: 1012 where the directory is away.
    pub async fn live_keys(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
    ) -> Result<Vec<CredentialId>> {
        let page = PageLimit::parse(Some(i64::from(plinth_core::limits::PAGE_LIMIT_MAX)))?;
        let mut live = Vec::new();
        let mut after: Option<CredentialId> = None;
        loop {
            let keys = self
                .directory
                .keys(tenant, Some(principal), after.as_ref(), page)
                .await?;
            let is_end = keys.len() < page.get() as usize;
            after = keys.last().map(|key| key.id.clone());
            let alive = |key: &KeyRecord| key.revoked_at.is_none();
            live.extend(keys.into_iter().filter(alive).map(|key| key.id));
            if is_end || after.is_none() {
                return Ok(live);
            }
        }
    }

    /// Revokes a key without a caller. Errors: 1004 where the tenant has no such key; 1012 where the directory is away.
    pub async fn revoke_offline(&self, tenant: &TenantId, key: &CredentialId) -> Result<()> {
        self.directory
            .revoke_key(tenant, key, self.clock.now())
            .await
    }
}
