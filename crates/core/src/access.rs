//! What the access use cases ask of the place where tenants, keys and bindings are kept (gate ← store).

use async_trait::async_trait;

use crate::caller::{Principal, PrincipalKind, RoleName};
use crate::clock::TimestampMs;
use crate::error::Result;
use crate::ids::{CredentialId, PrincipalId, TenantId};
use crate::page::PageLimit;
use crate::seams::CredentialDirectory;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its id.
    pub id: TenantId,
    /// Its name for people.
    pub name: String,
    /// Whether its credentials are honoured.
    pub active: bool,
    /// Whether it is the platform's own tenant, the only one that may create others.
    pub platform: bool,
    /// When it was created.
    pub created_at: TimestampMs,
}

/// An API key to be stored: its secret is already reduced to a hash.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id, part of the key's text.
    pub id: CredentialId,
    /// SHA-256 of the whole key text.
    pub sha256: [u8; 32],
    /// Its tenant.
    pub tenant: TenantId,
    /// Its holder; created where absent.
    pub principal: Principal,
    /// What it is for, for people.
    pub label: String,
    /// From when on it is dead.
    pub expires_at: Option<TimestampMs>,
    /// When it was created.
    pub created_at: TimestampMs,
    /// Roles to bind to the holder in the same transaction.
    pub roles: Vec<RoleName>,
    /// Who created it; `None` for the first key.
    pub created_by: Option<PrincipalId>,
}

/// An API key in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: CredentialId,
    /// Its holder.
    pub principal: PrincipalId,
    /// What kind of holder that is.
    pub principal_kind: PrincipalKind,
    /// What it is for.
    pub label: String,
    /// When it was created.
    pub created_at: TimestampMs,
    /// From when on it is dead.
    pub expires_at: Option<TimestampMs>,
    /// Since when it is revoked.
    pub revoked_at: Option<TimestampMs>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<TimestampMs>,
}

/// One role bound to one principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRecord {
    /// Who holds the role.
    pub principal: PrincipalId,
    /// The role.
    pub role: RoleName,
    /// Who gave it.
    pub granted_by: Option<PrincipalId>,
    /// When.
    pub granted_at: TimestampMs,
}

/// The first answer to an idempotency key of the control plane.
#[derive(Clone, Debug)]
pub struct IdempotencyScope {
    /// Whose key it is.
    pub tenant: TenantId,
    /// Which principal sent it.
    pub principal: PrincipalId,
    /// The operation's id.
    pub operation: &'static str,
    /// The key.
    pub key: String,
    /// SHA-256 of the request: the same key with another request is a conflict.
    pub fingerprint: [u8; 32],
    /// When the record is made.
    pub at: TimestampMs,
}

/// What was found for an idempotent creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It was created now.
    Created,
    /// The same key had created it before; this is what was stored as its first answer.
    Repeated(String),
}

/// Judges the roles that a principal holds, inside the transaction that would give it more: of two changes at once, also of
/// two instances, the later one is judged by what the first one left.
pub type RoleRule<'a> = &'a (dyn Fn(&[RoleName]) -> Result<()> + Send + Sync);

/// Tenants, keys and bindings. All-or-nothing in each call.
#[async_trait]
pub trait AccessDirectory: CredentialDirectory {
    /// Creates a tenant with its first keys, at least one. With a scope the record commits with the effect, and `answer` is
    /// kept as the first answer. Errors: 1005 where the tenant exists, or the scope's key was used for another request.
    async fn create_tenant(
        &self,
        tenant: &TenantRecord,
        first_keys: &[NewKey],
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Creation>;
    /// Finds a tenant.
    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>>;
    /// Whether no tenant exists yet: the first start.
    async fn is_empty(&self) -> Result<bool>;
    /// Creates a key, where the rule admits what its holder holds already. Errors: 1004 where the tenant is absent, 1005 as
    /// for a tenant; the rule's.
    async fn create_key(
        &self,
        key: &NewKey,
        rule: RoleRule<'_>,
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Creation>;
    /// Lists keys of a tenant by id, after `after`.
    async fn keys(
        &self,
        tenant: &TenantId,
        principal: Option<&PrincipalId>,
        after: Option<&CredentialId>,
        limit: PageLimit,
    ) -> Result<Vec<KeyRecord>>;
    /// Revokes a key; revoking again changes nothing. Errors: 1004 where the tenant has no such key.
    async fn revoke_key(
        &self,
        tenant: &TenantId,
        key: &CredentialId,
        at: TimestampMs,
    ) -> Result<()>;
    /// Binds a role, where the rule admits what the principal holds already; binding again changes nothing. Returns whether
    /// it was new. Errors: 1004 where the principal is absent; the rule's.
    async fn bind_role(
        &self,
        tenant: &TenantId,
        binding: &BindingRecord,
        rule: RoleRule<'_>,
    ) -> Result<bool>;
    /// Removes a binding. Returns whether there was one. Errors: 1005 where `keeps_last` and nobody else of the tenant holds
    /// the role, judged inside the transaction.
    async fn unbind_role(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
        role: &str,
        keeps_last: bool,
    ) -> Result<bool>;
    /// Lists bindings of a tenant by (principal, role), after `after`.
    async fn bindings(
        &self,
        tenant: &TenantId,
        principal: Option<&PrincipalId>,
        after: Option<(&PrincipalId, &str)>,
        limit: PageLimit,
    ) -> Result<Vec<BindingRecord>>;
}
