//! Registered metrics: kept in the control plane, read from memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use plinth_core::{ErrorCode, TenantId};
use plinth_store::{Definition, DefinitionKind, Definitions, Expected};

use crate::error::MonitorError;
use crate::model::{Listing, MetricDefinition, limits};

/// Rows of one page when a tenant's metrics are loaded.
const LOAD_ROWS: u32 = 1_000;

type ByName = BTreeMap<String, Arc<MetricDefinition>>;

/// A metric and its tenant.
pub(super) type Registered = (TenantId, Arc<MetricDefinition>);

/// The metrics of every tenant: all are loaded at the start, those of a tenant that is new since (or of every tenant, where
/// the control plane was away at the start) when it is first seen. A tenant's metrics are loaded all at once, so that an
/// unknown name is known to be unknown. What other instances on the same control plane register is taken over by
/// [`follow`](super::follow).
pub(super) struct Registry {
    definitions: Arc<dyn Definitions>,
    tenants: RwLock<HashMap<TenantId, ByName>>,
    /// One change at a time, so that names which collide in the exposition cannot be registered side by side.
    changing: tokio::sync::Mutex<()>,
}

impl Registry {
    pub(super) fn new(definitions: Arc<dyn Definitions>) -> Self {
        Self {
            definitions,
            tenants: RwLock::new(HashMap::new()),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// Finds a metric. Errors: 1012 where the control plane is away and the tenant was not seen before.
    pub(super) async fn find(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<Arc<MetricDefinition>>, MonitorError> {
        self.load(tenant).await?;
        Ok(self.cached(tenant, name))
    }

    /// One page of a tenant's metrics by name, and whether there are more.
    pub(super) async fn list(
        &self,
        tenant: &TenantId,
        listing: &Listing,
    ) -> Result<(Vec<Arc<MetricDefinition>>, bool), MonitorError> {
        self.load(tenant).await?;
        let limit = usize::try_from(listing.limit.get()).unwrap_or(usize::MAX);
        let from = match &listing.after {
            Some(after) if *after >= listing.prefix => Bound::Excluded(after.clone()),
            _ => Bound::Included(listing.prefix.clone()),
        };
        let tenants = self.tenants.read();
        let Some(metrics) = tenants.get(tenant) else {
            return Ok((Vec::new(), false));
        };
        let mut page: Vec<_> = metrics
            .range((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(&listing.prefix))
            .take(limit.saturating_add(1))
            .map(|(_, definition)| Arc::clone(definition))
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        Ok((page, more))
    }

    /// Every metric of a tenant that is in memory, by name.
    pub(super) fn cached_all(&self, tenant: &TenantId) -> Vec<Arc<MetricDefinition>> {
        self.tenants
            .read()
            .get(tenant)
            .map(|metrics| metrics.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Registers a metric, or changes it where `may_change` agrees to what is there. Returns it and whether it is new.
    ///
    /// Errors: those of `may_change`; 1005 where its names in the exposition are taken; 2203 where the tenant has too many
    /// metrics; 1012 where the control plane is away.
    pub(super) async fn register(
        &self,
        tenant: &TenantId,
        definition: MetricDefinition,
        may_change: impl Fn(&MetricDefinition) -> Result<Change, MonitorError> + Send,
    ) -> Result<(Arc<MetricDefinition>, bool), MonitorError> {
        self.load(tenant).await?;
        let _one_at_a_time = self.changing.lock().await;
        if let Some(known) = self.cached(tenant, &definition.name) {
            return match may_change(&known)? {
                Change::Keep => Ok((known, false)),
                Change::Replace => Ok((self.put(tenant, definition, Expected::Any).await?, false)),
            };
        }
        self.check_new(tenant, &definition)?;
        match self.put(tenant, definition.clone(), Expected::Absent).await {
            Err(MonitorError::Refused(refusal))
                if refusal.code() == ErrorCode::PreconditionFailed =>
            {
                // Another instance on the same control plane was first.
                let known = self.fetch(tenant, &definition.name).await?;
                match may_change(&known)? {
                    Change::Keep => Ok((known, false)),
                    Change::Replace => {
                        Ok((self.put(tenant, definition, Expected::Any).await?, false))
                    }
                }
            }
            put => Ok((put?, true)),
        }
    }

    fn check_new(
        &self,
        tenant: &TenantId,
        definition: &MetricDefinition,
    ) -> Result<(), MonitorError> {
        let tenants = self.tenants.read();
        let Some(metrics) = tenants.get(tenant) else {
            return Ok(());
        };
        if metrics.len() >= limits::METRICS_PER_TENANT_MAX {
            return Err(MonitorError::MetricLimit {
                limit: limits::METRICS_PER_TENANT_MAX,
            });
        }
        let own = definition.exposed_names();
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| definition.name.strip_suffix(end));
        let near = own.iter().map(String::as_str).chain(of_histogram);
        for other in near.filter_map(|name| metrics.get(name)) {
            let taken = other.exposed_names();
            if let Some(name) = own.iter().find(|name| taken.contains(name)) {
                return Err(MonitorError::RegistrationConflict {
                    metric: other.name.clone(),
                    difference: format!("stands in the exposition as {name:?} too"),
                });
            }
        }
        Ok(())
    }

    async fn put(
        &self,
        tenant: &TenantId,
        definition: MetricDefinition,
        expected: Expected,
    ) -> Result<Arc<MetricDefinition>, MonitorError> {
        let document = serde_json::to_value(&definition)
            .map_err(|cause| MonitorError::Refused(plinth_core::Error::internal(cause)))?;
        let stored = self
            .definitions
            .put(
                DefinitionKind::Metric,
                tenant,
                &definition.name,
                document,
                expected,
            )
            .await?;
        self.keep(tenant, stored)
    }

    async fn fetch(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Arc<MetricDefinition>, MonitorError> {
        let stored = self
            .definitions
            .get(DefinitionKind::Metric, tenant, name)
            .await?
            .ok_or_else(|| MonitorError::MetricUnknown {
                metric: name.to_owned(),
            })?;
        self.keep(tenant, stored)
    }

    fn keep(
        &self,
        tenant: &TenantId,
        stored: Definition,
    ) -> Result<Arc<MetricDefinition>, MonitorError> {
        let definition = Arc::new(read(stored)?);
        self.tenants
            .write()
            .entry(tenant.clone())
            .or_default()
            .insert(definition.name.clone(), Arc::clone(&definition));
        Ok(definition)
    }

    /// A metric that is in memory.
    pub(super) fn cached(&self, tenant: &TenantId, name: &str) -> Option<Arc<MetricDefinition>> {
        self.tenants.read().get(tenant)?.get(name).cloned()
    }

    /// Reads the metrics of all tenants anew and puts them in the place of those in memory. Returns what is new or changed.
    ///
    /// Errors: 1012 where the control plane is away; then what is in memory stays.
    pub(super) async fn reload(&self) -> Result<Vec<Registered>, MonitorError> {
        // A registration that is under way is either read here, or made after.
        let _one_at_a_time = self.changing.lock().await;
        let found = self.read_all().await?;
        let mut tenants = self.tenants.write();
        let is_known = |tenant: &TenantId, definition: &Arc<MetricDefinition>| {
            let known = tenants.get(tenant)?.get(&definition.name)?;
            (known == definition).then_some(())
        };
        let mut changed = Vec::new();
        for (tenant, metrics) in &found {
            for definition in metrics.values() {
                if is_known(tenant, definition).is_none() {
                    changed.push((tenant.clone(), Arc::clone(definition)));
                }
            }
        }
        // A tenant that has none any more stays known, so that an unknown name stays known to be unknown.
        tenants.values_mut().for_each(ByName::clear);
        tenants.extend(found);
        Ok(changed)
    }

    async fn read_all(&self) -> Result<HashMap<TenantId, ByName>, MonitorError> {
        let mut tenants: HashMap<TenantId, ByName> = HashMap::new();
        let mut after: Option<(TenantId, String)> = None;
        loop {
            let place = after.as_ref().map(|(tenant, name)| (tenant, name.as_str()));
            let page = self
                .definitions
                .list_all(DefinitionKind::Metric, place, LOAD_ROWS)
                .await?;
            let Some((tenant, last)) = page.last() else {
                break;
            };
            after = Some((tenant.clone(), last.name.clone()));
            for (tenant, stored) in page {
                let definition = read(stored)?;
                tenants
                    .entry(tenant)
                    .or_default()
                    .insert(definition.name.clone(), Arc::new(definition));
            }
        }
        Ok(tenants)
    }

    /// Loads a tenant's metrics where they are not in memory yet.
    pub(super) async fn load(&self, tenant: &TenantId) -> Result<(), MonitorError> {
        if self.tenants.read().contains_key(tenant) {
            return Ok(());
        }
        let _one_at_a_time = self.changing.lock().await;
        if self.tenants.read().contains_key(tenant) {
            return Ok(());
        }
        let mut metrics = ByName::new();
        loop {
            let after = metrics.keys().next_back().cloned();
            let page = self
                .definitions
                .list(
                    DefinitionKind::Metric,
                    tenant,
                    "",
                    after.as_deref(),
                    LOAD_ROWS,
                )
                .await?;
            let last = page.len() < usize::try_from(LOAD_ROWS).unwrap_or(usize::MAX);
            for stored in page {
                let definition = read(stored)?;
                metrics.insert(definition.name.clone(), Arc::new(definition));
            }
            if last {
                break;
            }
        }
        self.tenants.write().insert(tenant.clone(), metrics);
        Ok(())
    }
}

/// What becomes of a metric that is registered already.
pub(super) enum Change {
    /// It stays as it is.
    Keep,
    /// The new registration takes its place.
    Replace,
}

fn read(stored: Definition) -> Result<MetricDefinition, MonitorError> {
    let mut definition: MetricDefinition = serde_json::from_value(stored.document)
        .map_err(|cause| MonitorError::Refused(plinth_core::Error::internal(cause)))?;
    definition.name = stored.name;
    definition.created_ms = stored.created_at.0;
    definition.updated_ms = stored.updated_at.0;
    Ok(definition)
}
