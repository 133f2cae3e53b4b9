//! Definitions in memory, for tests of blocks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use plinth_core::{Result, SharedClock, SystemClock, TenantId};

use crate::definitions::{
    DEFINITION_ROWS_MAX, Definition, DefinitionKind, DefinitionState, Definitions, Expected,
    STATE_EPOCH_MS, check_definition_name, check_listing, encode_document, next_version,
};

type Key = (DefinitionKind, TenantId, String);

/// [`Definitions`] that last as long as the process. Keeps to the same contract suite as the real ones.
pub struct MemoryDefinitions {
    clock: SharedClock,
    rows: Mutex<BTreeMap<Key, Definition>>,
}

impl MemoryDefinitions {
    /// Begins empty.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            rows: Mutex::new(BTreeMap::new()),
        }
    }

    fn page(&self, limit: u32, belongs: impl Fn(&Key) -> bool) -> Vec<(TenantId, Definition)> {
        let limit = usize::try_from(limit.min(DEFINITION_ROWS_MAX)).unwrap_or(usize::MAX);
        self.rows
            .lock()
            .iter()
            .filter(|(key, _)| belongs(key))
            .take(limit)
            .map(|((_, tenant, _), definition)| (tenant.clone(), definition.clone()))
            .collect()
    }
}

impl Default for MemoryDefinitions {
    fn default() -> Self {
        Self::new(SystemClock::shared())
    }
}

#[async_trait]
impl Definitions for MemoryDefinitions {
    async fn put(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
        document: serde_json::Value,
        expected: Expected,
    ) -> Result<Definition> {
        check_definition_name(name)?;
        encode_document(&document)?;
        let now = self.clock.now();
        let mut rows = self.rows.lock();
        let key = (kind, tenant.clone(), name.to_owned());
        let found = rows.get(&key);
        let version = next_version(kind, name, expected, found.map(|found| found.version))?;
        let definition = Definition {
            name: name.to_owned(),
            version,
            document,
            created_at: found.map_or(now, |found| found.created_at),
            updated_at: now,
        };
        rows.insert(key, definition.clone());
        Ok(definition)
    }

    async fn get(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<Definition>> {
        let key = (kind, tenant.clone(), name.to_owned());
        Ok(self.rows.lock().get(&key).cloned())
    }

    async fn list(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Definition>> {
        check_listing(prefix, after)?;
        let page = self.page(limit, |(of_kind, of_tenant, name)| {
            *of_kind == kind
                && of_tenant == tenant
                && name.starts_with(prefix)
                && after.is_none_or(|after| name.as_str() > after)
        });
        Ok(page.into_iter().map(|(_, definition)| definition).collect())
    }

    async fn list_all(
        &self,
        kind: DefinitionKind,
        after: Option<(&TenantId, &str)>,
        limit: u32,
    ) -> Result<Vec<(TenantId, Definition)>> {
        check_listing("", after.map(|(_, name)| name))?;
        Ok(self.page(limit, |(of_kind, tenant, name)| {
            *of_kind == kind && after.is_none_or(|after| (tenant, name.as_str()) > after)
        }))
    }

    async fn state(&self, kind: DefinitionKind) -> Result<DefinitionState> {
        let mut state = DefinitionState {
            count: 0,
            versions: 0,
            created_ms: 0,
            updated_ms: 0,
        };
        let rows = self.rows.lock();
        for (_, definition) in rows.iter().filter(|((of_kind, ..), _)| *of_kind == kind) {
            state.count += 1;
            state.versions += definition.version;
            state.created_ms += definition.created_at.0 - STATE_EPOCH_MS;
            state.updated_ms += definition.updated_at.0 - STATE_EPOCH_MS;
        }
        Ok(state)
    }

    async fn delete(&self, kind: DefinitionKind, tenant: &TenantId, name: &str) -> Result<bool> {
        let key = (kind, tenant.clone(), name.to_owned());
        Ok(self.rows.lock().remove(&key).is_some())
    }
}

/// What a test puts in front of definitions.
#[async_trait]
pub trait Stage: Send + Sync + 'static {
    /// Where they are, asked before each call. Errors: they cannot be reached now.
    fn there(&self) -> Result<&MemoryDefinitions>;

    /// Runs between the look at one definition and its answer.
    async fn looked(&self) {}
}

/// Definitions behind a stage.
pub struct Staged<S>(pub S);

#[async_trait]
impl<S: Stage> Definitions for Staged<S> {
    async fn put(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
        document: serde_json::Value,
        expected: Expected,
    ) -> Result<Definition> {
        let there = self.0.there()?;
        there.put(kind, tenant, name, document, expected).await
    }

    async fn get(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<Definition>> {
        let found = self.0.there()?.get(kind, tenant, name).await;
        self.0.looked().await;
        found
    }

    async fn list(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Definition>> {
        let there = self.0.there()?;
        there.list(kind, tenant, prefix, after, limit).await
    }

    async fn list_all(
        &self,
        kind: DefinitionKind,
        after: Option<(&TenantId, &str)>,
        limit: u32,
    ) -> Result<Vec<(TenantId, Definition)>> {
        self.0.there()?.list_all(kind, after, limit).await
    }

    async fn state(&self, kind: DefinitionKind) -> Result<DefinitionState> {
        self.0.there()?.state(kind).await
    }

    async fn delete(&self, kind: DefinitionKind, tenant: &TenantId, name: &str) -> Result<bool> {
        self.0.there()?.delete(kind, tenant, name).await
    }
}
