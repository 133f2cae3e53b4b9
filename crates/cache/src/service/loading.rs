//! Reads of namespaces with a loader, and loads that callers ask for.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use plinth_core::{CallContext, Error, ErrorCode};

use super::CacheService;
use super::loads::{Ended, Job, LoadFailure, LoaderRules, Loads, Why};
use super::namespaces::Rules;
use crate::backend::Looking;
use crate::error::CacheError;
use crate::model::{
    Found, Freshness, Key, KeyLoad, KnownAbsent, LoadResult, Namespace, OnError, Read, Reply, Space,
};

/// How often a caller turns to the load of a key again that another instance did.
const TURNS_MAX: usize = 8;
/// How many keys are looked at in one step before they are loaded.
const LOOKED_KEYS_MAX: usize = 100;
/// By what share of its time a load ahead is begun earlier, by chance.
const AHEAD_JITTER_SHARE: u64 = 10;

/// A call that reads a namespace with a loader.
pub(super) struct Asking<'call> {
    pub(super) context: &'call CallContext,
    pub(super) space: &'call Space,
    pub(super) rules: &'call Rules,
    pub(super) loader: &'call Arc<LoaderRules>,
    /// When the backend was asked, on the monotonic clock.
    pub(super) at_ms: u64,
}

impl Asking<'_> {
    fn job(&self, key: &Key, why: Why) -> Job {
        Job {
            space: self.space.clone(),
            key: key.clone(),
            rules: self.rules.clone(),
            loader: Arc::clone(self.loader),
            why,
        }
    }
}

impl CacheService {
    /// Loads what a read lacks.
    pub(super) async fn complete(
        &self,
        asking: &Asking<'_>,
        key: &Key,
        reply: Reply<Read>,
    ) -> Result<Reply<Read>, CacheError> {
        match reply.answer {
            Read::Found(found) if found.freshness() == Freshness::Fresh => {
                if is_due(&asking.loader.spec.refresh_percent, key, &found) {
                    // Where it cannot begin, the next read tries again.
                    let seen = Some(found.version);
                    let _begun = self.loads.join(asking.job(key, Why::Due { seen }));
                }
                Ok(Reply {
                    answer: Read::Found(found),
                    ..reply
                })
            }
            Read::Found(found) => self.renewed(asking, key, found).await,
            Read::KnownAbsent(_) => Ok(reply),
            Read::Absent => self.missing(asking, key).await,
        }
    }

    /// Reads all of a batch that lack a value; each alone, as many at a time as the namespace loads.
    pub(super) async fn complete_all(
        &self,
        asking: &Asking<'_>,
        reads: Vec<(Key, Read)>,
    ) -> Vec<Result<Reply<Read>, CacheError>> {
        stream::iter(reads)
            .map(|(key, read)| async move {
                let reply = Reply::full(read);
                self.complete(asking, &key, reply).await
            })
            .buffered(asking.loader.spec.loads_max)
            .collect()
            .await
    }

    /// A stale value: the new one where it comes within the soft time, else the stale one while it lives.
    async fn renewed(
        &self,
        asking: &Asking<'_>,
        key: &Key,
        stale: Found,
    ) -> Result<Reply<Read>, CacheError> {
        let mut failed = false;
        match self.loads.join(asking.job(key, Why::Missing)) {
            Err(_remembered) => failed = true,
            // The load itself gets the stale value and does not wait for its own end.
            Ok(flight) if flight.is_cause_of(&asking.context.caller) => {}
            Ok(flight) => {
                let until_ms = asking.at_ms.saturating_add(asking.loader.spec.soft_ms);
                match self.loads.wait(flight, until_ms).await {
                    Some(Ended::Read { read, at_ms }) => {
                        let read = self.aged(read, at_ms);
                        if read != Read::Absent {
                            return Ok(Reply::full(read));
                        }
                    }
                    Some(Ended::Failed(_)) => failed = true,
                    Some(Ended::Skipped) | None => {}
                }
            }
        }
        match self.aged(Read::Found(stale), asking.at_ms) {
            // Its end came while we waited for the new one.
            Read::Absent => self.missing(asking, key).await,
            answer => Ok(Reply::degraded(answer, failed)),
        }
    }

    /// No value: the loaded one.
    async fn missing(&self, asking: &Asking<'_>, key: &Key) -> Result<Reply<Read>, CacheError> {
        let until_ms = self.until(asking.context);
        for _ in 0..TURNS_MAX {
            let flight = match self.loads.join(asking.job(key, Why::Missing)) {
                Ok(flight) => flight,
                Err(failure) => return degrade(asking.loader, failure),
            };
            if flight.is_cause_of(&asking.context.caller) {
                let refusal = "the loader asked the cache for the key that it loads";
                return Err(Error::new(ErrorCode::CacheLoadLoop, refusal).into());
            }
            match self.loads.wait(flight, until_ms).await {
                Some(Ended::Read { read, at_ms }) => {
                    return Ok(Reply::full(self.aged(read, at_ms)));
                }
                Some(Ended::Failed(failure)) => return degrade(asking.loader, failure),
                Some(Ended::Skipped) => {}
                None => return degrade(asking.loader, out_of_time()),
            }
        }
        degrade(asking.loader, out_of_time())
    }

    /// Loads keys anew, whatever stands under them. One outcome for each, in order.
    ///
    /// Errors: 1004 where the namespace has no loader.
    pub async fn refresh(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: Vec<Key>,
    ) -> Result<Vec<KeyLoad>, CacheError> {
        let (space, rules) = self.space(context, namespace);
        let loader = loader_of(&rules)?;
        let asking = &self.asking(context, &space, &rules, loader);
        let loads = stream::iter(keys).map(|key| async move {
            let outcome = self.load_anew(asking, &key).await;
            KeyLoad { key, outcome }
        });
        Ok(loads.buffered(loader.spec.loads_max).collect().await)
    }

    /// Loads those of the keys under which nothing fresh stands; without keys those of the namespace's warm-up list. One
    /// outcome for each, in order; what the deadline cut off says so.
    ///
    /// Errors: 1004 where the namespace has no loader, 1001 where it has no warm-up list either.
    pub async fn preload(
        &self,
        context: &CallContext,
        namespace: Namespace,
        keys: Vec<Key>,
    ) -> Result<Vec<KeyLoad>, CacheError> {
        let (space, rules) = self.space(context, namespace);
        let loader = loader_of(&rules)?;
        let keys = match keys.is_empty() {
            true if loader.spec.warm_up.is_empty() => {
                let rule = "are required: the loader of the namespace has no warm-up list";
                return Err(Error::invalid("keys", rule).into());
            }
            true => loader.spec.warm_up.clone(),
            false => keys,
        };
        let mut loads = Vec::with_capacity(keys.len());
        for keys in keys.chunks(LOOKED_KEYS_MAX) {
            let looked = self.backend.get_many(&space, keys, Looking::Peeking);
            let reads = looked.await?.answer;
            let asking = &self.asking(context, &space, &rules, loader);
            let keys = keys.iter().cloned().zip(reads);
            let some = stream::iter(keys).map(|(key, read)| async move {
                let outcome = match read {
                    Read::Found(found) if found.freshness() == Freshness::Fresh => {
                        Ok(LoadResult::Present {
                            version: found.version,
                        })
                    }
                    Read::KnownAbsent(_) => Ok(LoadResult::Absent),
                    Read::Found(_) | Read::Absent => self.load(asking, &key, Why::Missing).await,
                };
                KeyLoad { key, outcome }
            });
            loads.extend(
                some.buffered(loader.spec.loads_max)
                    .collect::<Vec<_>>()
                    .await,
            );
        }
        Ok(loads)
    }

    /// A load that begins after it was asked for: one that is under way may have read before.
    async fn load_anew(&self, asking: &Asking<'_>, key: &Key) -> Result<LoadResult, Error> {
        if let Some(flight) = self.loads.running(&asking.space.scope, key) {
            if flight.is_cause_of(&asking.context.caller) {
                let refusal = "the loader asked for a refresh of the key that it loads";
                return Err(Error::new(ErrorCode::CacheLoadLoop, refusal));
            }
            let _ended = self.loads.wait(flight, self.until(asking.context)).await;
        }
        self.load(asking, key, Why::Forced).await
    }

    async fn load(&self, asking: &Asking<'_>, key: &Key, why: Why) -> Result<LoadResult, Error> {
        for _ in 0..TURNS_MAX {
            asking.context.check_deadline()?;
            let flight = self.loads.join(asking.job(key, why))?;
            match self.loads.wait(flight, self.until(asking.context)).await {
                Some(Ended::Read { read, .. }) => {
                    return Ok(match read {
                        Read::Found(found) => LoadResult::Loaded {
                            version: found.version,
                        },
                        Read::KnownAbsent(_) | Read::Absent => LoadResult::Absent,
                    });
                }
                Some(Ended::Failed(failure)) => return Err(failure.into()),
                Some(Ended::Skipped) => {}
                None => break,
            }
        }
        Err(out_of_time().into())
    }

    fn asking<'call>(
        &self,
        context: &'call CallContext,
        space: &'call Space,
        rules: &'call Rules,
        loader: &'call Arc<LoaderRules>,
    ) -> Asking<'call> {
        Asking {
            context,
            space,
            rules,
            loader,
            at_ms: self.clock.monotonic_ms(),
        }
    }

    /// When the caller stops waiting, on the monotonic clock.
    fn until(&self, context: &CallContext) -> u64 {
        let left = context.deadline.remaining().as_millis();
        let left_ms = u64::try_from(left).unwrap_or(u64::MAX);
        self.clock.monotonic_ms().saturating_add(left_ms)
    }

    fn aged(&self, read: Read, at_ms: u64) -> Read {
        aged(read, self.clock.monotonic_ms().saturating_sub(at_ms))
    }
}

impl Loads {
    /// Loads those of the keys that were not loaded within a time, unless another instance does; as many at a time as the
    /// namespace loads.
    pub(super) async fn keep_warm(self: &Arc<Self>, job: &Job, keys: &[Key], every_ms: u64) {
        // A little less, so that one that was loaded in the last round is loaded in this one.
        let young_ms = every_ms / 10 * 8;
        for keys in keys.chunks(LOOKED_KEYS_MAX) {
            let Ok(reads) = self.peek(&job.space, keys).await else {
                // The backend is away: the next round tries again.
                return;
            };
            let keys = keys.iter().cloned().zip(reads);
            let flights = stream::iter(keys).map(|(key, read)| async move {
                let seen = match read {
                    Read::Found(found) if found.age_ms >= young_ms => Some(found.version),
                    Read::Absent => None,
                    Read::Found(_) | Read::KnownAbsent(_) => return,
                };
                let job = Job {
                    key,
                    why: Why::Due { seen },
                    ..job.clone()
                };
                let hard_ms = job.loader.spec.hard_ms;
                if let Ok(flight) = self.join(job) {
                    let until_ms = self.now_ms().saturating_add(hard_ms);
                    let _ended = self.wait(flight, until_ms).await;
                }
            });
            flights
                .buffer_unordered(job.loader.spec.loads_max)
                .collect::<()>()
                .await;
        }
    }
}

/// Whether it is time to load a value anew that is still fresh. The time is a little earlier for some keys than for others,
/// so that what was stored together is not loaded together.
fn is_due(percent: &Option<u8>, key: &Key, found: &Found) -> bool {
    let (Some(percent), Some(ttl_ms)) = (percent, found.ttl_ms) else {
        return false;
    };
    let life_ms = found.age_ms.saturating_add(ttl_ms);
    let due_ms = life_ms / 100 * u64::from(*percent) + life_ms % 100 * u64::from(*percent) / 100;
    let chance =
        BuildHasherDefault::<DefaultHasher>::default().hash_one((key.as_str(), found.version));
    let earlier_ms = chance % (due_ms / AHEAD_JITTER_SHARE + 1);
    found.age_ms >= due_ms - earlier_ms
}

/// What is left of a read some milliseconds later; a value whose end has come is gone.
fn aged(read: Read, elapsed_ms: u64) -> Read {
    if elapsed_ms == 0 {
        return read;
    }
    // One more, because both clocks were cut to the millisecond.
    let gone_ms = elapsed_ms.saturating_add(1);
    let left = |ttl_ms: Option<u64>| match ttl_ms {
        None => Some(None),
        Some(ttl_ms) => ttl_ms
            .checked_sub(gone_ms)
            .filter(|left| *left > 0)
            .map(Some),
    };
    match read {
        Read::Found(found) => left(found.ttl_ms).map_or(Read::Absent, |ttl_ms| {
            Read::Found(Found {
                ttl_ms,
                fresh_ms: found.fresh_ms.map(|fresh| fresh.saturating_sub(gone_ms)),
                age_ms: found.age_ms.saturating_add(elapsed_ms),
                ..found
            })
        }),
        Read::KnownAbsent(known) => left(known.ttl_ms).map_or(Read::Absent, |ttl_ms| {
            Read::KnownAbsent(KnownAbsent { ttl_ms })
        }),
        Read::Absent => Read::Absent,
    }
}

/// What a read is told whose load failed.
fn degrade(loader: &LoaderRules, failure: LoadFailure) -> Result<Reply<Read>, CacheError> {
    match loader.spec.on_error {
        OnError::Error => Err(Error::from(failure).into()),
        OnError::Absent => Ok(Reply::degraded(Read::Absent, true)),
    }
}

fn out_of_time() -> LoadFailure {
    LoadFailure::new(
        ErrorCode::CacheLoadTimeout,
        "the value was not loaded before the deadline; the load goes on",
    )
}

fn loader_of(rules: &Rules) -> Result<&Arc<LoaderRules>, Error> {
    let none = || Error::not_found("the namespace has no loader; define one");
    rules.loader.as_ref().ok_or_else(none)
}

impl Loads {
    async fn peek(&self, space: &Space, keys: &[Key]) -> Result<Vec<Read>, CacheError> {
        let looked = self.backend.get_many(space, keys, Looking::Peeking).await?;
        Ok(looked.answer)
    }
}
