//! The use cases of the cache.

use std::sync::Arc;

use plinth_core::{CallContext, Error, SharedClock};

use self::counters::CountersTable;
use self::life::LifeRules;
use crate::backend::{CacheBackend, Looking};
use crate::error::CacheError;
use crate::model::{
    self, Atomicity, Change, ChangeKind, Changed, Expiry, Guard, Key, Namespace, Policy, Put, Read,
    Reply, Scope, Space, Stats, Stored,
};

mod counters;
mod life;

/// The cache as the edges see it.
pub struct CacheService {
    backend: Arc<dyn CacheBackend>,
    clock: SharedClock,
    counters: CountersTable,
}

/// How each item of a batch ended, in the order of the request.
pub type ItemResults = Vec<(Key, Result<Changed, CacheError>)>;

impl CacheService {
    /// Serves a backend.
    #[must_use]
    pub fn new(backend: Arc<dyn CacheBackend>, clock: SharedClock) -> Self {
        Self {
            backend,
            clock,
            counters: CountersTable::default(),
        }
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
        put: Put<Expiry>,
    ) -> Result<Stored, CacheError> {
        let changed = self
            .change(context, namespace, key, ChangeKind::Put(put))
            .await?;
        stored(changed)
    }

    /// Reads one value.
    pub async fn get(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: &Key,
    ) -> Result<Reply<Read>, CacheError> {
        let space = space(context, namespace);
        let reply = self.backend.get(&space, key).await?;
        self.counters.of(&space.scope).read(&reply.answer);
        Ok(reply)
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
        life: Expiry,
        version: Option<i64>,
    ) -> Result<Stored, CacheError> {
        let changed = self
            .change(
                context,
                namespace,
                key,
                ChangeKind::Expire { life, version },
            )
            .await?;
        stored(changed)
    }

    /// Applies a batch of stores or deletes. Errors: 1001 or 1007 where the batch breaks a limit; under
    /// [`Atomicity::AllOrNothing`] also the refusal of its first item that does not hold.
    pub async fn batch(
        &self,
        context: &CallContext,
        namespace: Namespace,
        changes: Vec<Change<Expiry>>,
        atomicity: Atomicity,
    ) -> Result<ItemResults, CacheError> {
        model::check_batch(&changes)?;
        let keys: Vec<Key> = changes.iter().map(|change| change.key.clone()).collect();
        let changes = changes
            .into_iter()
            .enumerate()
            .map(|(index, change)| {
                self.resolve(change)
                    .map_err(|error| error.in_field(&format!("items[{index}]")))
            })
            .collect::<Result<Vec<Change>, Error>>()?;
        let space = space(context, namespace);
        let guard = Guard::unfenced(atomicity);
        let results = self.backend.apply(&space, changes, guard).await?.answer;
        let counters = self.counters.of(&space.scope);
        results
            .iter()
            .flatten()
            .for_each(|changed| counters.changed(changed));
        Ok(keys.into_iter().zip(results).collect())
    }

    /// Reads many keys at one instant.
    pub async fn batch_get(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: &[Key],
    ) -> Result<Reply<Vec<Read>>, CacheError> {
        let space = space(context, namespace);
        let reply = self
            .backend
            .get_many(&space, keys, Looking::Reading)
            .await?;
        let counters = self.counters.of(&space.scope);
        reply.answer.iter().for_each(|read| counters.read(read));
        Ok(reply)
    }

    /// Tells which keys are present.
    pub async fn exists(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: &[Key],
    ) -> Result<Vec<bool>, CacheError> {
        let space = space(context, namespace);
        let reply = self
            .backend
            .get_many(&space, keys, Looking::Peeking)
            .await?;
        Ok(reply.answer.iter().map(Read::is_found).collect())
    }

    /// Numbers of a namespace.
    pub async fn stats(
        &self,
        context: &CallContext,
        namespace: Namespace,
    ) -> Result<Stats, CacheError> {
        let space = space(context, namespace);
        let held = self.backend.stats(&space).await?;
        Ok(self.counters.of(&space.scope).with(held))
    }

    async fn change(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        kind: ChangeKind<Expiry>,
    ) -> Result<Changed, CacheError> {
        // A change of an expiry stores no value.
        let is_counted = !matches!(kind, ChangeKind::Expire { .. });
        let changes = vec![self.resolve(Change { key, kind })?];
        let space = space(context, namespace);
        let guard = Guard::unfenced(Atomicity::AllOrNothing);
        let reply = self
            .backend
            .apply(&space, changes, guard)
            .await
            .map_err(CacheError::alone)?;
        let changed = reply
            .answer
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(out_of_order()))?;
        if is_counted {
            self.counters.of(&space.scope).changed(&changed);
        }
        Ok(changed)
    }

    fn resolve(&self, change: Change<Expiry>) -> Result<Change, Error> {
        let (rules, now) = (LifeRules::default(), self.clock.now());
        change.resolve(|expiry, subject| rules.life(expiry, subject, now, 0))
    }
}

fn space(context: &CallContext, namespace: Namespace) -> Space {
    Space {
        scope: Scope {
            tenant: context.caller.tenant.clone(),
            namespace,
        },
        policy: Policy::default(),
    }
}

fn stored(changed: Changed) -> Result<Stored, CacheError> {
    match changed {
        Changed::Stored(stored) => Ok(stored),
        _ => Err(out_of_order()),
    }
}

/// The fault of a backend whose answer is not one to the question.
fn out_of_order() -> CacheError {
    let fault = std::io::Error::other("the backend answered something else than it was asked");
    CacheError::Invalid(Error::internal(fault))
}
