//! The use cases of the cache.

use std::sync::Arc;

use plinth_core::seams::Loader;
use plinth_core::{CallContext, Error, Fence, MetricSink, SharedClock};
use plinth_store::Definitions;
use rand::Rng as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::counters::{CountersTable, Kind};
use self::loading::Asking;
use self::loads::{Loads, NoLoader, NoMetrics};
use self::namespaces::{Namespaces, Rules};
use crate::backend::{CacheBackend, Capability, Looking};
use crate::error::CacheError;
use crate::model::{
    self, Atomicity, BATCH_READ_BYTES_MAX, Change, ChangeKind, Changed, Expiry, Guard, ItemRead,
    Key, Namespace, Once, Put, Read, Reply, Scope, Space, Stats, Stored,
};

mod changes;
mod codec;
mod counters;
mod leases;
mod life;
mod loading;
mod loads;
mod namespaces;
mod schedule;
mod telling;

/// The cache as the edges see it.
pub struct CacheService {
    backend: Arc<dyn CacheBackend>,
    clock: SharedClock,
    counters: Arc<CountersTable>,
    namespaces: Namespaces,
    loads: Arc<Loads>,
    /// Places for callers that wait for somebody else's lease.
    waiting: Semaphore,
    stopping: CancellationToken,
}

/// What one change must respect.
#[derive(Clone, Default)]
struct Under {
    fence: Option<Fence>,
    once: Option<Once>,
}

impl From<Option<Fence>> for Under {
    fn from(fence: Option<Fence>) -> Self {
        Self { fence, once: None }
    }
}

/// How each item of a batch ended, in the order of the request.
pub type ItemResults = Vec<(Key, Result<Changed, CacheError>)>;

impl CacheService {
    /// Serves a backend. Namespaces have no rules of their own before [`CacheService::load_definitions`].
    #[must_use]
    pub fn new(
        backend: Arc<dyn CacheBackend>,
        definitions: Arc<dyn Definitions>,
        clock: SharedClock,
    ) -> Self {
        let (stopping, counters) = (CancellationToken::new(), Arc::default());
        let loads = Loads::new(
            Arc::clone(&backend),
            Arc::clone(&clock),
            Arc::clone(&counters),
            stopping.clone(),
            (Arc::new(NoLoader), Arc::new(NoMetrics)),
        );
        Self {
            backend,
            namespaces: Namespaces::new(definitions, Arc::clone(&clock)),
            clock,
            counters,
            loads: Arc::new(loads),
            waiting: Semaphore::new(leases::WAITING_MAX),
            stopping,
        }
    }

    /// Lets namespaces define loaders, whose numbers go to a sink.
    #[must_use]
    pub fn with_loader(mut self, loader: Arc<dyn Loader>, metrics: Arc<dyn MetricSink>) -> Self {
        self.loads = Arc::new(Loads::new(
            Arc::clone(&self.backend),
            Arc::clone(&self.clock),
            Arc::clone(&self.counters),
            self.stopping.clone(),
            (loader, metrics),
        ));
        self
    }

    /// Lets go who waits for a lease or a load, so that the edges can drain.
    pub fn stop_waiting(&self) {
        self.stopping.cancel();
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
        fence: Option<Fence>,
    ) -> Result<Stored, CacheError> {
        let changed = self
            .change(context, namespace, key, ChangeKind::Put(put), fence)
            .await?;
        stored(changed)
    }

    /// Reads one value; where there is none and the namespace has a loader, loads it.
    ///
    /// Errors: 2008 to 2012 where it had to be loaded and could not be.
    pub async fn get(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: &Key,
    ) -> Result<Reply<Read>, CacheError> {
        let (space, rules) = self.space(context, namespace);
        let at_ms = self.clock.monotonic_ms();
        let reply = self.stored(&space, key).await?;
        let Some(loader) = &rules.loader else {
            return Ok(reply);
        };
        let asking = Asking {
            context,
            space: &space,
            rules: &rules,
            loader,
            at_ms,
        };
        Box::pin(self.complete(&asking, key, reply)).await
    }

    /// Reads one value; loads nothing.
    pub async fn get_stored(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: &Key,
    ) -> Result<Reply<Read>, CacheError> {
        let (space, _) = self.space(context, namespace);
        self.stored(&space, key).await
    }

    async fn stored(&self, space: &Space, key: &Key) -> Result<Reply<Read>, CacheError> {
        let counters = self.counters.of(&space.scope);
        let watched = counters.begin(&self.clock);
        let mut reply = self.backend.get(space, key).await?;
        counters.took(Kind::Get, watched, &self.clock);
        let reads = std::slice::from_ref(&reply.answer);
        counters.reads(watched, std::slice::from_ref(key), reads, reply.near);
        codec::decode_read(&mut reply.answer).await?;
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
        fence: Option<Fence>,
    ) -> Result<bool, CacheError> {
        let kind = ChangeKind::Delete { version };
        let changed = self.change(context, namespace, key, kind, fence).await?;
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
        fence: Option<Fence>,
    ) -> Result<Stored, CacheError> {
        let kind = ChangeKind::Expire { life, version };
        let changed = self.change(context, namespace, key, kind, fence).await?;
        stored(changed)
    }

    /// Applies a batch of stores or deletes. Errors: 1001 or 1007 where the batch breaks a limit; under
    /// [`Atomicity::AllOrNothing`] also the refusal of its first item that does not hold, and 1011 where the namespace is spread and
    /// an item lies in another partition than the first.
    pub async fn batch(
        &self,
        context: &CallContext,
        namespace: Namespace,
        changes: Vec<Change<Expiry>>,
        atomicity: Atomicity,
        fence: Option<Fence>,
    ) -> Result<ItemResults, CacheError> {
        model::check_batch(&changes)?;
        let keys: Vec<Key> = changes.iter().map(|change| change.key.clone()).collect();
        let (space, rules) = self.space(context, namespace);
        if atomicity == Atomicity::AllOrNothing {
            space.check_one_step(&changes)?;
        }
        let mut changes = changes
            .into_iter()
            .enumerate()
            .map(|(index, change)| {
                self.resolve(&rules, change)
                    .map_err(|error| error.in_field(&format!("items[{index}]")))
            })
            .collect::<Result<Vec<Change>, Error>>()?;
        self.require_all(&changes, fence.as_ref())?;
        codec::encode(rules.codec, &mut changes).await?;
        let guard = Guard {
            atomicity,
            fence,
            once: None,
        };
        let counters = self.counters.of(&space.scope);
        let watched = counters.begin(&self.clock);
        let results = self.backend.apply(&space, changes, guard).await?.answer;
        counters.took(Kind::BatchChange, watched, &self.clock);
        results
            .iter()
            .flatten()
            .for_each(|changed| counters.changed(changed));
        Ok(keys.into_iter().zip(results).collect())
    }

    /// Reads many keys at one instant; where the namespace has a loader, loads those that are missing, each alone, and says
    /// for each why it could not.
    ///
    /// Errors: 1007 naming `keys` where their values together pass [`BATCH_READ_BYTES_MAX`].
    pub async fn batch_get(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: &[Key],
    ) -> Result<Reply<Vec<ItemRead>>, CacheError> {
        let (space, rules) = self.space(context, namespace);
        let at_ms = self.clock.monotonic_ms();
        let reply = self.stored_many(&space, keys).await?;
        let Some(loader) = &rules.loader else {
            return Ok(reply.map(|reads| reads.into_iter().map(ItemRead::from).collect()));
        };
        let asking = Asking {
            context,
            space: &space,
            rules: &rules,
            loader,
            at_ms,
        };
        let reads = keys.iter().cloned().zip(reply.answer).collect();
        let loaded = self.complete_all(&asking, reads).await;
        let mut degraded = reply.degraded;
        let items: Vec<ItemRead> = loaded
            .into_iter()
            .map(|loaded| match loaded {
                Ok(reply) => {
                    degraded |= reply.degraded;
                    ItemRead::from(reply.answer)
                }
                Err(error) => ItemRead {
                    read: Read::Absent,
                    failure: Some(Box::new(error.into())),
                },
            })
            .collect();
        check_answer(items.iter().map(|item| &item.read))?;
        Ok(Reply::degraded(items, degraded))
    }

    /// Reads many keys at one instant; loads nothing.
    ///
    /// Errors: 1007 naming `keys` where their values together pass [`BATCH_READ_BYTES_MAX`].
    pub async fn batch_get_stored(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: &[Key],
    ) -> Result<Reply<Vec<ItemRead>>, CacheError> {
        let (space, _) = self.space(context, namespace);
        let reply = self.stored_many(&space, keys).await?;
        Ok(reply.map(|reads| reads.into_iter().map(ItemRead::from).collect()))
    }

    async fn stored_many(
        &self,
        space: &Space,
        keys: &[Key],
    ) -> Result<Reply<Vec<Read>>, CacheError> {
        let counters = self.counters.of(&space.scope);
        let watched = counters.begin(&self.clock);
        let mut reply = self.backend.get_many(space, keys, Looking::Reading).await?;
        counters.took(Kind::BatchGet, watched, &self.clock);
        check_answer(&reply.answer)?;
        counters.reads(watched, keys, &reply.answer, reply.near);
        codec::decode_reads(&mut reply.answer).await?;
        Ok(reply)
    }

    /// Tells which keys are present.
    pub async fn exists(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: &[Key],
    ) -> Result<Vec<bool>, CacheError> {
        let (space, _) = self.space(context, namespace);
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
        let (space, _) = self.space(context, namespace);
        let held = self.backend.stats(&space).await?;
        Ok(self.counters.of(&space.scope).with(held))
    }

    async fn change(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        kind: ChangeKind<Expiry>,
        under: impl Into<Under>,
    ) -> Result<Changed, CacheError> {
        let under = under.into();
        // A change of an expiry stores no value.
        let is_counted = !matches!(kind, ChangeKind::Expire { .. });
        let (space, rules) = self.space(context, namespace);
        let mut changes = vec![self.resolve(&rules, Change { key, kind })?];
        self.require_all(&changes, under.fence.as_ref())?;
        codec::encode(rules.codec, &mut changes).await?;
        let guard = Guard {
            atomicity: Atomicity::AllOrNothing,
            fence: under.fence,
            once: under.once,
        };
        let counters = self.counters.of(&space.scope);
        let watched = counters.begin(&self.clock);
        let reply = self
            .backend
            .apply(&space, changes, guard)
            .await
            .map_err(CacheError::alone)?;
        counters.took(Kind::Change, watched, &self.clock);
        let mut changed = reply
            .answer
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(out_of_order()))?;
        if is_counted {
            counters.changed(&changed);
        }
        codec::decode_changed(&mut changed).await?;
        Ok(changed)
    }

    /// Errors: 1011 where the backend cannot do it.
    fn require(&self, capability: Capability) -> Result<(), CacheError> {
        if self.backend.capabilities().contains(&capability) {
            return Ok(());
        }
        Err(CacheError::Unsupported {
            backend: self.backend.name(),
            capability,
        })
    }

    /// Errors: 1011 where the backend cannot do what the changes and their fence ask for.
    fn require_all(&self, changes: &[Change], fence: Option<&Fence>) -> Result<(), CacheError> {
        if fence.is_some() {
            self.require(Capability::Fences)?;
        }
        for change in changes {
            match &change.kind {
                ChangeKind::Put(put) => {
                    if !put.tags.is_empty() {
                        self.require(Capability::Tags)?;
                    }
                    if put.lease.is_some() {
                        self.require(Capability::Leases)?;
                    }
                }
                ChangeKind::Increment(_) => self.require(Capability::Counters)?,
                ChangeKind::Append(_) => self.require(Capability::Append)?,
                ChangeKind::Delete { .. }
                | ChangeKind::Expire { .. }
                | ChangeKind::Touch { .. } => {}
            }
        }
        Ok(())
    }

    fn resolve(&self, rules: &Rules, change: Change<Expiry>) -> Result<Change, Error> {
        let (life, now) = (rules.life, self.clock.now());
        change.resolve(|expiry, subject| {
            let chance = match life.jitter_percent {
                0 => 0,
                _ => rand::rng().random(),
            };
            life.life(expiry, subject, now, chance)
        })
    }

    fn space(&self, context: &CallContext, namespace: Namespace) -> (Space, Rules) {
        let scope = Scope {
            tenant: context.caller.tenant.clone(),
            namespace,
        };
        let rules = self.namespaces.rules(&scope);
        let policy = rules.policy;
        (Space { scope, policy }, rules)
    }
}

fn stored(changed: Changed) -> Result<Stored, CacheError> {
    match changed {
        Changed::Stored(stored) => Ok(stored),
        _ => Err(out_of_order()),
    }
}

/// The fault of a backend whose answer is not one to the question.
pub(crate) fn out_of_order() -> CacheError {
    let fault = std::io::Error::other("the backend answered something else than it was asked");
    CacheError::Invalid(Error::internal(fault))
}

/// Keeps one answer from holding any number of values. Errors: 1007 naming `keys`.
fn check_answer<'reads>(reads: impl IntoIterator<Item = &'reads Read>) -> Result<(), CacheError> {
    let bytes = reads
        .into_iter()
        .filter_map(|read| match read {
            Read::Found(found) => Some(found),
            Read::KnownAbsent(_) | Read::Absent => None,
        })
        .fold(0_usize, |sum, found| {
            sum.saturating_add(codec::plain_len(&found.value))
        });
    if bytes > BATCH_READ_BYTES_MAX {
        return Err(model::answer_too_large(bytes).into());
    }
    Ok(())
}
