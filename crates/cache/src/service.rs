//! The use cases of the cache.

use std::sync::Arc;

use plinth_core::CallContext;

use crate::backend::{Atomicity, CacheBackend, Counting};
use crate::error::CacheError;
use crate::model::{
    self, Change, ChangeKind, Changed, Condition, Found, Key, Namespace, Scope, Stats, Ttl, Value,
};

/// The cache as the edges see it.
pub struct CacheService {
    backend: Arc<dyn CacheBackend>,
}

/// How each item of a batch ended, in the order of the request.
pub type ItemResults = Vec<(Key, Result<Changed, CacheError>)>;

impl CacheService {
    /// Serves a backend.
    #[must_use]
    pub fn new(backend: Arc<dyn CacheBackend>) -> Self {
        Self { backend }
    }

    /// The name of the backend.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// Stores one value and returns its version and expiry. Errors: 1006 where the condition does not hold.
    pub async fn set(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        value: Value,
        ttl: Option<Ttl>,
        condition: Condition,
    ) -> Result<Changed, CacheError> {
        self.change(
            context,
            namespace,
            key,
            ChangeKind::Put {
                value,
                ttl,
                condition,
            },
        )
        .await
    }

    /// Reads one value.
    pub async fn get(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: &Key,
    ) -> Result<Option<Found>, CacheError> {
        self.backend.get(&scope(context, namespace), key).await
    }

    /// Deletes one entry and says whether there was one. With a version: errors 2002 where the key is absent, 1006 where
    /// another version is stored.
    pub async fn delete(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        version: Option<i64>,
    ) -> Result<bool, CacheError> {
        let changed = self
            .change(context, namespace, key, ChangeKind::Delete { version })
            .await?;
        Ok(changed == Changed::Deleted { existed: true })
    }

    /// Changes the expiry of one entry. Errors: 2002 where the key is absent, 1006 where another version is stored.
    pub async fn expire(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        ttl: Option<Ttl>,
        version: Option<i64>,
    ) -> Result<Changed, CacheError> {
        self.change(context, namespace, key, ChangeKind::Expire { ttl, version })
            .await
    }

    /// Applies a batch of stores or deletes. Errors: 1001 or 1007 where the batch breaks a limit; under
    /// [`Atomicity::AllOrNothing`] also the refusal of its first item that does not hold.
    pub async fn batch(
        &self,
        context: &CallContext,
        namespace: Namespace,
        changes: Vec<Change>,
        atomicity: Atomicity,
    ) -> Result<ItemResults, CacheError> {
        model::check_batch(&changes)?;
        let keys: Vec<Key> = changes.iter().map(|change| change.key.clone()).collect();
        let scope = scope(context, namespace);
        let results = self.backend.apply(&scope, changes, atomicity).await?;
        Ok(keys.into_iter().zip(results).collect())
    }

    /// Reads many keys at one instant.
    pub async fn batch_get(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: &[Key],
    ) -> Result<Vec<Option<Found>>, CacheError> {
        self.backend
            .get_many(&scope(context, namespace), keys, Counting::Counted)
            .await
    }

    /// Tells which keys are present.
    pub async fn exists(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: &[Key],
    ) -> Result<Vec<bool>, CacheError> {
        let found = self
            .backend
            .get_many(&scope(context, namespace), keys, Counting::Silent)
            .await?;
        Ok(found.iter().map(Option::is_some).collect())
    }

    /// Numbers of a namespace.
    pub async fn stats(
        &self,
        context: &CallContext,
        namespace: Namespace,
    ) -> Result<Stats, CacheError> {
        self.backend.stats(&scope(context, namespace)).await
    }

    async fn change(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        kind: ChangeKind,
    ) -> Result<Changed, CacheError> {
        let changes = vec![Change { key, kind }];
        let scope = scope(context, namespace);
        let results = self
            .backend
            .apply(&scope, changes, Atomicity::AllOrNothing)
            .await
            .map_err(CacheError::alone)?;
        results.into_iter().next().unwrap_or_else(|| {
            let missing = std::io::Error::other("the backend answered nothing for a change");
            Err(CacheError::Invalid(plinth_core::Error::internal(missing)))
        })
    }
}

fn scope(context: &CallContext, namespace: Namespace) -> Scope {
    Scope {
        tenant: context.caller.tenant.clone(),
        namespace,
    }
}
