//! A world in memory: a directory that can fail, an audit log and metrics that remember, and a gate over them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use plinth_core::access::{
    AccessDirectory, BindingRecord, Creation, IdempotencyScope, KeyRecord, NewKey, RoleRule,
    TenantRecord,
};
use plinth_core::{
    CredentialDirectory, CredentialId, CredentialLookup, Error, ErrorCode, ManualClock, PageLimit,
    Principal, PrincipalId, Result, RoleName, SecretString, SharedClock, StoredCredential,
    TenantId, TimestampMs, Transport,
};
use plinth_gate::access::{
    AccessService, BindRoleRequest, FirstKey, Separation, UnbindRoleRequest,
};
use plinth_gate::{Gate, GateParts, GateSettings, RequestMeta, Session};
use plinth_security::SeededEntropy;

use crate::recording::{AuditLog, Metrics};

/// When every world begins.
pub(crate) const BEGIN: TimestampMs = TimestampMs(1_800_000_000_000);

#[derive(Default)]
struct Tables {
    tenants: BTreeMap<TenantId, TenantRecord>,
    principals: BTreeMap<(TenantId, PrincipalId), Principal>,
    keys: BTreeMap<CredentialId, (NewKey, Option<TimestampMs>)>,
    bindings: BTreeMap<(TenantId, PrincipalId, RoleName), BindingRecord>,
    answers: BTreeMap<(TenantId, PrincipalId, String), ([u8; 32], String)>,
}

/// The control plane in memory.
#[derive(Default)]
pub(crate) struct MemoryDirectory {
    tables: Mutex<Tables>,
    pub(crate) down: AtomicBool,
    pub(crate) finds: AtomicUsize,
    pub(crate) touches: AtomicUsize,
}

impl MemoryDirectory {
    fn check_up(&self) -> Result<()> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorCode::DependencyUnavailable, "away"));
        }
        Ok(())
    }

    pub(crate) fn set_active(&self, tenant: &str, active: bool) {
        let id = TenantId::parse(tenant).expect("a tenant id");
        if let Some(tenant) = self.tables.lock().tenants.get_mut(&id) {
            tenant.active = active;
        }
    }

    /// Revokes a key as another instance would: without a word to this one.
    pub(crate) fn revoke_elsewhere(&self, key: &str) {
        let id = CredentialId::parse(key).expect("a key id");
        if let Some(entry) = self.tables.lock().keys.get_mut(&id) {
            entry.1 = Some(BEGIN);
        }
    }

    fn create(
        tables: &mut Tables,
        key: &NewKey,
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Creation {
        tables
            .principals
            .entry((key.tenant.clone(), key.principal.id.clone()))
            .or_insert_with(|| key.principal.clone());
        for role in &key.roles {
            let place = (key.tenant.clone(), key.principal.id.clone(), role.clone());
            tables
                .bindings
                .entry(place)
                .or_insert_with(|| BindingRecord {
                    principal: key.principal.id.clone(),
                    role: role.clone(),
                    granted_by: key.created_by.clone(),
                    granted_at: key.created_at,
                });
        }
        tables.keys.insert(key.id.clone(), (key.clone(), None));
        if let Some((scope, answer)) = scope {
            let place = (
                scope.tenant.clone(),
                scope.principal.clone(),
                format!("{} {}", scope.operation, scope.key),
            );
            tables
                .answers
                .insert(place, (scope.fingerprint, answer.to_owned()));
        }
        Creation::Created
    }

    fn held(tables: &Tables, tenant: &TenantId, principal: &PrincipalId) -> Vec<RoleName> {
        let bindings = tables.bindings.keys();
        bindings
            .filter(|(owner, holder, _)| owner == tenant && holder == principal)
            .map(|(_, _, role)| role.clone())
            .collect()
    }

    fn repeated(
        tables: &Tables,
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Option<Creation>> {
        let Some((scope, _)) = scope else {
            return Ok(None);
        };
        let place = (
            scope.tenant.clone(),
            scope.principal.clone(),
            format!("{} {}", scope.operation, scope.key),
        );
        match tables.answers.get(&place) {
            None => Ok(None),
            Some((fingerprint, answer)) if *fingerprint == scope.fingerprint => {
                Ok(Some(Creation::Repeated(answer.clone())))
            }
            Some(_) => Err(Error::conflict("the key was used for another request")),
        }
    }
}

#[async_trait]
impl CredentialDirectory for MemoryDirectory {
    async fn find(&self, id: &CredentialId) -> Result<CredentialLookup> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.check_up()?;
        let tables = self.tables.lock();
        let Some((key, revoked_at)) = tables.keys.get(id) else {
            return Ok(CredentialLookup::Absent);
        };
        let held = tables.bindings.iter().filter(|((tenant, holder, _), _)| {
            *tenant == key.tenant && *holder == key.principal.id
        });
        let roles = held.map(|((_, _, role), _)| role.clone());
        Ok(CredentialLookup::Found(Box::new(StoredCredential {
            id: key.id.clone(),
            sha256: key.sha256,
            tenant: key.tenant.clone(),
            tenant_active: tables.tenants[&key.tenant].active,
            principal: tables.principals[&(key.tenant.clone(), key.principal.id.clone())].clone(),
            roles: roles.collect(),
            expires_at: key.expires_at,
            revoked_at: *revoked_at,
        })))
    }

    async fn touch(&self, _id: &CredentialId, _at: TimestampMs) -> Result<()> {
        self.touches.fetch_add(1, Ordering::SeqCst);
        self.check_up()
    }
}

#[async_trait]
impl AccessDirectory for MemoryDirectory {
    async fn create_tenant(
        &self,
        tenant: &TenantRecord,
        first_keys: &[NewKey],
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Creation> {
        self.check_up()?;
        let mut tables = self.tables.lock();
        if let Some(repeated) = Self::repeated(&tables, scope)? {
            return Ok(repeated);
        }
        if tables.tenants.contains_key(&tenant.id) {
            return Err(Error::conflict("the tenant exists"));
        }
        tables.tenants.insert(tenant.id.clone(), tenant.clone());
        for key in first_keys {
            Self::create(&mut tables, key, scope);
        }
        Ok(Creation::Created)
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>> {
        self.check_up()?;
        Ok(self.tables.lock().tenants.get(id).cloned())
    }

    async fn is_empty(&self) -> Result<bool> {
        self.check_up()?;
        Ok(self.tables.lock().tenants.is_empty())
    }

    async fn create_key(
        &self,
        key: &NewKey,
        rule: RoleRule<'_>,
        scope: Option<(&IdempotencyScope, &str)>,
    ) -> Result<Creation> {
        self.check_up()?;
        let mut tables = self.tables.lock();
        if let Some(repeated) = Self::repeated(&tables, scope)? {
            return Ok(repeated);
        }
        rule(&Self::held(&tables, &key.tenant, &key.principal.id))?;
        Ok(Self::create(&mut tables, key, scope))
    }

    async fn keys(
        &self,
        tenant: &TenantId,
        principal: Option<&PrincipalId>,
        after: Option<&CredentialId>,
        limit: PageLimit,
    ) -> Result<Vec<KeyRecord>> {
        let tables = self.tables.lock();
        let wanted = tables.keys.values().filter(|(key, _)| {
            key.tenant == *tenant
                && principal.is_none_or(|id| key.principal.id == *id)
                && after.is_none_or(|id| key.id > *id)
        });
        let record = |(key, revoked_at): &(NewKey, Option<TimestampMs>)| KeyRecord {
            id: key.id.clone(),
            principal: key.principal.id.clone(),
            principal_kind: key.principal.kind,
            label: key.label.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: *revoked_at,
            last_used_at: None,
        };
        Ok(wanted.take(limit.get() as usize).map(record).collect())
    }

    async fn revoke_key(
        &self,
        tenant: &TenantId,
        key: &CredentialId,
        at: TimestampMs,
    ) -> Result<()> {
        match self.tables.lock().keys.get_mut(key) {
            Some((found, revoked_at)) if found.tenant == *tenant => {
                revoked_at.get_or_insert(at);
                Ok(())
            }
            _ => Err(Error::not_found("no such key")),
        }
    }

    async fn bind_role(
        &self,
        tenant: &TenantId,
        binding: &BindingRecord,
        rule: RoleRule<'_>,
    ) -> Result<bool> {
        let mut tables = self.tables.lock();
        rule(&Self::held(&tables, tenant, &binding.principal))?;
        let holder = (tenant.clone(), binding.principal.clone());
        if !tables.principals.contains_key(&holder) {
            return Err(Error::not_found("no such principal"));
        }
        let place = (
            tenant.clone(),
            binding.principal.clone(),
            binding.role.clone(),
        );
        Ok(tables.bindings.insert(place, binding.clone()).is_none())
    }

    async fn unbind_role(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
        role: &str,
        keeps_last: bool,
    ) -> Result<bool> {
        let mut tables = self.tables.lock();
        let place = (tenant.clone(), principal.clone(), role.into());
        let others = tables
            .bindings
            .keys()
            .any(|(owner, holder, name)| owner == tenant && holder != principal && &**name == role);
        if keeps_last && !others && tables.bindings.contains_key(&place) {
            return Err(Error::conflict("the last one stays"));
        }
        Ok(tables.bindings.remove(&place).is_some())
    }

    async fn bindings(
        &self,
        tenant: &TenantId,
        principal: Option<&PrincipalId>,
        after: Option<(&PrincipalId, &str)>,
        limit: PageLimit,
    ) -> Result<Vec<BindingRecord>> {
        let tables = self.tables.lock();
        let wanted = tables.bindings.iter().filter(|((owner, holder, role), _)| {
            owner == tenant
                && principal.is_none_or(|id| holder == id)
                && after.is_none_or(|(id, name)| (holder, &**role) > (id, name))
        });
        Ok(wanted
            .take(limit.get() as usize)
            .map(|(_, binding)| binding.clone())
            .collect())
    }
}

/// A gate over memory, with its first key.
pub(crate) struct World {
    pub(crate) gate: Arc<Gate>,
    pub(crate) access: Arc<AccessService>,
    pub(crate) directory: Arc<MemoryDirectory>,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<ManualClock>,
    /// The text of the first key: tenant `default`, role `owner`, or `security-admin` where duties are separated.
    pub(crate) owner_key: String,
    /// The text of each first key under its role.
    pub(crate) first_keys: BTreeMap<String, String>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(GateSettings::default()).await
    }

    pub(crate) async fn with(settings: GateSettings) -> Self {
        Self::over(Arc::default(), settings, Separation::None).await
    }

    /// A gate over what a directory holds already.
    pub(crate) async fn over(
        directory: Arc<MemoryDirectory>,
        settings: GateSettings,
        separation: Separation,
    ) -> Self {
        let audit = Arc::new(AuditLog::default());
        let metrics = Arc::new(Metrics::default());
        let clock = ManualClock::starting_at(BEGIN);
        let roles = Arc::new(separation.role_book());
        let gate = Gate::new(GateParts {
            settings,
            roles: Arc::clone(&roles),
            directory: directory.clone(),
            audit: audit.clone(),
            metrics: metrics.clone(),
            traces: None,
            clock: clock.clone(),
        })
        .expect("good settings");
        let access = AccessService::new(
            directory.clone(),
            roles,
            gate.credentials().clone(),
            clock.clone() as SharedClock,
            Arc::new(SeededEntropy::new(1)),
        );
        let first = access.bootstrap().await.expect("starts");
        let text = |key: &FirstKey| key.text.expose().to_owned();
        Self {
            gate: Arc::new(gate),
            access: Arc::new(access),
            directory,
            audit,
            metrics,
            clock,
            owner_key: first.first().map(text).unwrap_or_default(),
            first_keys: first
                .iter()
                .map(|key| (key.role.as_ref().to_owned(), text(key)))
                .collect(),
        }
    }

    pub(crate) async fn authenticate(&self, key: &str) -> Result<Session> {
        self.gate.authenticate(meta(Some(key))).await
    }

    pub(crate) async fn owner(&self) -> Session {
        self.authenticate(&self.owner_key).await.expect("is let in")
    }

    /// A session of a new principal with these roles.
    pub(crate) async fn holder_of(&self, principal: &str, roles: &[&str]) -> Session {
        let key = self.key_for(principal, roles).await;
        self.authenticate(&key).await.expect("is let in")
    }

    /// The key of a new principal with these roles, put straight into the directory.
    pub(crate) async fn key_for(&self, principal: &str, roles: &[&str]) -> String {
        let (key, text) = plinth_security::ApiKey::generate(&SeededEntropy::new(
            plinth_security::digest::sha256(principal.as_bytes())[0].into(),
        ))
        .expect("generates");
        let new_key = NewKey {
            id: key.id().clone(),
            sha256: *key.sha256(),
            tenant: TenantId::parse("default").expect("a tenant id"),
            principal: Principal {
                id: PrincipalId::parse(principal).expect("a principal id"),
                name: principal.to_owned(),
                kind: plinth_core::PrincipalKind::Service,
            },
            label: String::new(),
            expires_at: None,
            created_at: BEGIN,
            roles: roles.iter().map(|role| (*role).into()).collect(),
            created_by: None,
        };
        self.directory
            .create_key(&new_key, &|_| Ok(()), None)
            .await
            .expect("stores");
        text.expose().to_owned()
    }
}

/// What a request over HTTP from 10.0.0.1 shows.
pub(crate) fn meta(key: Option<&str>) -> RequestMeta {
    RequestMeta {
        transport: Transport::Http,
        credential: key.map(|text| SecretString::new(text.to_owned())),
        address: Some([10, 0, 0, 1].into()),
        user_agent: None,
        trace: None,
        deadline_ms: None,
        idempotency_key: None,
    }
}

/// Asks for a role to be given.
pub(crate) fn bind(principal: &str, role: &str) -> BindRoleRequest {
    BindRoleRequest {
        principal: principal.to_owned(),
        role: role.to_owned(),
    }
}

/// Asks for a role to be taken.
pub(crate) fn unbind(principal: &str, role: &str) -> UnbindRoleRequest {
    UnbindRoleRequest {
        principal: principal.to_owned(),
        role: role.to_owned(),
    }
}
