//! What administrators say about namespaces: kept in the control plane, read from memory.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::RwLock;
use plinth_core::{
    CallContext, Cursor, Error, ErrorCode, PageLimit, SharedClock, TenantId, WideInt,
};
use plinth_store::definitions::DefinitionWatch;
use plinth_store::{Definition, DefinitionKind, Definitions, Expected};
use tokio_util::sync::CancellationToken;

use super::CacheService;
use super::life::LifeRules;
use super::loads::LoaderRules;
use crate::backend::Capability;
use crate::error::CacheError;
use crate::model::{
    Codec, Namespace, NamespaceInfo, NamespacePage, NamespaceSettings, Placement, Policy, Scope,
    Space,
};

/// Most namespaces of one tenant that have a definition.
const DEFINED_PER_TENANT_MAX: u32 = 1_000;
/// Rows of one page when all definitions are read.
const LOAD_ROWS: u32 = 1_000;

/// How a namespace treats what is stored in it.
#[derive(Clone, Default)]
pub(super) struct Rules {
    pub(super) life: LifeRules,
    pub(super) policy: Policy,
    pub(super) codec: Codec,
    /// Where values come from that are not there.
    pub(super) loader: Option<Arc<LoaderRules>>,
}

impl Rules {
    fn of(settings: &NamespaceSettings, clock: &SharedClock) -> Result<Self, Error> {
        let checked = settings.check()?;
        let loader = settings.loader.clone().zip(settings.loader()?);
        Ok(Self {
            loader: loader.map(|(settings, spec)| {
                Arc::new(LoaderRules::new(settings, spec, Arc::clone(clock)))
            }),
            life: LifeRules::of(&checked),
            policy: Policy {
                quota: checked.quota,
                placement: checked.placement,
            },
            codec: checked.codec,
        })
    }

    /// Goes on with the loader of other rules, where it is the same: what is known of it, and who it works for, stays.
    fn after(mut self, before: Option<&Self>) -> Self {
        let before = before.and_then(|rules| rules.loader.as_ref());
        if let (Some(before), Some(now)) = (before, &self.loader)
            && before.settings == now.settings
        {
            self.loader = Some(Arc::clone(before));
        }
        self
    }
}

/// The rules of every namespace that has some.
pub(super) struct Namespaces {
    definitions: Arc<dyn Definitions>,
    clock: SharedClock,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    rules: AHashMap<Scope, Rules>,
    /// Grows with every change that is made here, so that what was read before it does not replace it.
    changes: u64,
}

impl Namespaces {
    pub(super) fn new(definitions: Arc<dyn Definitions>, clock: SharedClock) -> Self {
        Self {
            definitions,
            clock,
            table: RwLock::default(),
        }
    }

    /// The rules of a namespace.
    pub(super) fn rules(&self, scope: &Scope) -> Rules {
        let table = self.table.read();
        if table.rules.is_empty() {
            return Rules::default();
        }
        table.rules.get(scope).cloned().unwrap_or_default()
    }

    /// The namespaces whose loader is asked by the clock, and how often, in milliseconds.
    pub(super) fn scheduled(&self) -> Vec<(Scope, Rules, u64)> {
        let table = self.table.read();
        let scheduled = table.rules.iter().filter_map(|(scope, rules)| {
            let every_ms = rules.loader.as_ref()?.spec.refresh_every_ms?;
            Some((scope.clone(), rules.clone(), every_ms))
        });
        scheduled.collect()
    }

    fn install(&self, scope: Scope, rules: Rules) {
        let mut table = self.table.write();
        let rules = rules.after(table.rules.get(&scope));
        table.rules.insert(scope, rules);
        table.changes += 1;
    }

    fn forget(&self, scope: &Scope) {
        let mut table = self.table.write();
        table.rules.remove(scope);
        table.changes += 1;
    }

    /// Reads everything anew, again where something was changed here meanwhile. Errors: the control plane is away.
    async fn load(&self) -> Result<(), Error> {
        loop {
            let before = self.table.read().changes;
            let rules = self.read_all().await?;
            let mut table = self.table.write();
            if table.changes == before {
                let known = std::mem::take(&mut table.rules);
                let rules = rules.into_iter().map(|(scope, rules)| {
                    let rules = rules.after(known.get(&scope));
                    (scope, rules)
                });
                table.rules = rules.collect();
                return Ok(());
            }
        }
    }

    async fn read_all(&self) -> Result<AHashMap<Scope, Rules>, Error> {
        let mut rules = AHashMap::new();
        let mut after: Option<(TenantId, String)> = None;
        loop {
            let from = after.as_ref().map(|(tenant, name)| (tenant, name.as_str()));
            let page = self
                .definitions
                .list_all(DefinitionKind::CacheNamespace, from, LOAD_ROWS)
                .await?;
            let Some((tenant, last)) = page.last() else {
                break;
            };
            after = Some((tenant.clone(), last.name.clone()));
            for (tenant, definition) in page {
                match read(&definition, &self.clock) {
                    Ok((namespace, known)) => {
                        rules.insert(Scope { tenant, namespace }, known);
                    }
                    Err(error) => {
                        let name = definition.name;
                        tracing::error!(cache.namespace = name, %error, "a stored definition cannot be read and is passed over");
                    }
                }
            }
        }
        Ok(rules)
    }
}

fn read(definition: &Definition, clock: &SharedClock) -> Result<(Namespace, Rules), Error> {
    let namespace = Namespace::parse(&definition.name)?;
    let settings: NamespaceSettings =
        serde_json::from_value(definition.document.clone()).map_err(Error::internal)?;
    Ok((namespace, Rules::of(&settings, clock)?))
}

fn placement_of(definition: &Definition) -> Result<Placement, Error> {
    let settings: NamespaceSettings =
        serde_json::from_value(definition.document.clone()).map_err(Error::internal)?;
    Ok(settings.check()?.placement)
}

/// Takes over the secret that stands for the same URL, where none is told.
fn keep_secret(settings: &mut NamespaceSettings, before: &Definition) {
    let Some(loader) = &mut settings.loader else {
        return;
    };
    let before: Option<NamespaceSettings> = serde_json::from_value(before.document.clone()).ok();
    let before = before.and_then(|settings| settings.loader);
    if let Some(before) = before
        && loader.secret.is_none()
        && loader.url.is_some()
        && before.url == loader.url
    {
        loader.secret = before.secret;
    }
}

/// Names the field of a version that did not stand.
fn named(error: Error) -> Error {
    if error.code() == ErrorCode::PreconditionFailed && error.violations().is_empty() {
        return error.with_violation("if_version", "is not the version that stands");
    }
    error
}

/// The settings as a caller may see them: without the secret.
fn info(definition: Definition) -> Result<NamespaceInfo, Error> {
    let mut settings: NamespaceSettings =
        serde_json::from_value(definition.document).map_err(Error::internal)?;
    if let Some(loader) = &mut settings.loader {
        loader.secret = None;
    }
    Ok(NamespaceInfo {
        settings,
        namespace_name: definition.name,
        version: WideInt(definition.version),
        created_at_ms: definition.created_at.0,
        updated_at_ms: definition.updated_at.0,
    })
}

impl CacheService {
    /// Defines a namespace, or changes its definition; values that are there keep their lives. `if_version` names the
    /// version that must stand, 0 for none.
    ///
    /// Errors: 1001 naming the field; 1003 where the caller may not read the loader's database; 1006 where `if_version` does
    /// not hold, or the namespace holds something and would lie elsewhere; 1008 where the tenant has as many as it may; 2011 where the loader's address may not be called.
    pub async fn define_namespace(
        &self,
        context: &CallContext,
        namespace: Namespace,
        mut settings: NamespaceSettings,
        if_version: Option<i64>,
    ) -> Result<NamespaceInfo, CacheError> {
        let expected = match if_version {
            None => Expected::Any,
            Some(0) => Expected::Absent,
            Some(version) => Expected::Version(version),
        };
        let (tenant, kind) = (&context.caller.tenant, DefinitionKind::CacheNamespace);
        let definitions = &self.namespaces.definitions;
        let name = namespace.as_str();
        let before = definitions.get(kind, tenant, name).await?;
        match &before {
            None => self.check_room(tenant).await?,
            Some(before) => keep_secret(&mut settings, before),
        }
        let rules = Rules::of(&settings, &self.clock)?;
        if let Some(loader) = &rules.loader {
            self.require(Capability::Leases)?;
            let (source, params) = (&loader.spec.source, loader.spec.params.len());
            let checked = self.loads.loader.check(&context.caller, source, params);
            checked
                .await
                .map_err(|error| error.in_field("settings.loader"))?;
        }
        let document = serde_json::to_value(&settings).map_err(Error::internal)?;
        let scope = Scope {
            tenant: tenant.clone(),
            namespace: namespace.clone(),
        };
        let expected = self
            .check_placement(&scope, before.as_ref(), rules.policy.placement, expected)
            .await?;
        let stored = definitions
            .put(kind, tenant, name, document, expected)
            .await
            .map_err(named)?;
        self.namespaces.install(scope, rules);
        Ok(info(stored)?)
    }

    /// Lets a namespace lie elsewhere only while it holds nothing: what is there would not be found any more. What another life of it
    /// may have left where it is to lie is removed. Returns what must stand for the definition to be stored.
    ///
    /// Errors: 1006 naming `settings.placement` where it holds something.
    async fn check_placement(
        &self,
        scope: &Scope,
        before: Option<&Definition>,
        placement: Placement,
        expected: Expected,
    ) -> Result<Expected, CacheError> {
        let stands = before.map(placement_of).transpose()?.unwrap_or_default();
        if stands == placement {
            return Ok(expected);
        }
        let space = |placement| Space {
            scope: scope.clone(),
            policy: Policy {
                placement,
                ..Policy::default()
            },
        };
        let held = self.backend.stats(&space(stands)).await?.keys;
        if held > 0 {
            let rule = format!(
                "changes only while the namespace is empty; it holds {held} keys: clear it first"
            );
            let error = Error::precondition("the placement of the namespace cannot be changed now");
            return Err(error.with_violation("settings.placement", rule).into());
        }
        self.require(Capability::Clear)?;
        for placement in [stands, placement] {
            self.backend.clear(&space(placement), None).await?;
        }
        Ok(match (expected, before) {
            (Expected::Any, None) => Expected::Absent,
            (Expected::Any, Some(before)) => Expected::Version(before.version),
            (expected, _) => expected,
        })
    }

    async fn check_room(&self, tenant: &TenantId) -> Result<(), CacheError> {
        let (kind, most) = (DefinitionKind::CacheNamespace, DEFINED_PER_TENANT_MAX);
        let definitions = &self.namespaces.definitions;
        let defined = definitions.list(kind, tenant, "", None, most).await?;
        if defined.len() < usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let refusal =
            format!("the tenant has {most} defined namespaces, the most it may; delete one");
        Err(Error::new(ErrorCode::RateLimited, refusal)
            .retriable(false)
            .into())
    }

    /// Finds the definition of a namespace. Errors: 1004 where it has none.
    pub async fn get_namespace(
        &self,
        context: &CallContext,
        namespace: &Namespace,
    ) -> Result<NamespaceInfo, CacheError> {
        let (tenant, kind) = (&context.caller.tenant, DefinitionKind::CacheNamespace);
        let definitions = &self.namespaces.definitions;
        let found = definitions.get(kind, tenant, namespace.as_str()).await?;
        let absent = || {
            let name = namespace.as_str();
            Error::not_found(format!("the namespace {name} has no definition"))
        };
        Ok(info(found.ok_or_else(absent)?)?)
    }

    /// Lists definitions by name. Errors: 1001 naming `limit` or `cursor`.
    pub async fn list_namespaces(
        &self,
        context: &CallContext,
        prefix: Option<&str>,
        cursor: Option<&str>,
        limit: Option<i64>,
    ) -> Result<NamespacePage, CacheError> {
        let limit = PageLimit::parse(limit)?.get();
        let after: Option<String> = cursor.map(Cursor::decode).transpose()?;
        let (tenant, kind) = (&context.caller.tenant, DefinitionKind::CacheNamespace);
        let definitions = &self.namespaces.definitions;
        let prefix = prefix.unwrap_or_default();
        let found = definitions
            .list(kind, tenant, prefix, after.as_deref(), limit)
            .await?;
        let is_full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next_cursor = match found.last() {
            Some(last) if is_full => Some(Cursor::encode(&last.name)?.as_str().to_owned()),
            _ => None,
        };
        let namespaces = found.into_iter().map(info).collect::<Result<_, Error>>()?;
        Ok(NamespacePage {
            namespaces,
            next_cursor,
        })
    }

    /// Removes the definition of a namespace and says whether there was one. Its values stay, each with the life it has.
    ///
    /// Errors: 1006 naming `settings.placement` where it is spread and holds something.
    pub async fn delete_namespace(
        &self,
        context: &CallContext,
        namespace: Namespace,
    ) -> Result<bool, CacheError> {
        let (tenant, kind) = (&context.caller.tenant, DefinitionKind::CacheNamespace);
        let definitions = &self.namespaces.definitions;
        let scope = Scope {
            tenant: tenant.clone(),
            namespace: namespace.clone(),
        };
        let before = definitions.get(kind, tenant, namespace.as_str()).await?;
        self.check_placement(&scope, before.as_ref(), Placement::default(), Expected::Any)
            .await?;
        let deleted = definitions.delete(kind, tenant, namespace.as_str()).await?;
        self.namespaces.forget(&scope);
        Ok(deleted)
    }

    /// Takes over what is defined, here or by other instances on the same control plane, until it is told to stop.
    /// Another instance's change holds here within a second. A control plane that is away changes nothing.
    pub async fn follow_definitions(self: Arc<Self>, stop: CancellationToken) {
        let kinds = &[DefinitionKind::CacheNamespace];
        let definitions = Arc::clone(&self.namespaces.definitions);
        let mut watch = DefinitionWatch::new(definitions, kinds, Arc::clone(&self.clock));
        let work = async {
            loop {
                watch.changed().await;
                match self.namespaces.load().await {
                    Ok(()) => watch.taken(),
                    Err(error) => {
                        tracing::warn!(cache.error = %error, "definitions of namespaces could not be read again");
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Reads what is defined, at the start. Where the control plane is away, what it holds comes with
    /// [`CacheService::follow_definitions`].
    pub async fn load_definitions(&self) {
        if let Err(error) = self.namespaces.load().await {
            tracing::warn!(cache.error = %error, "namespaces have no rules of their own until the control plane answers");
        }
    }
}
