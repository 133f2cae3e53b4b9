//! One load, from the lease of its key to its end.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use plinth_core::seams::{LoadRequest, Loaded};
use plinth_core::{Deadline, Error, ErrorCode, TraceContext};
use plinth_resilience::BreakerError;
use rand::Rng as _;
use tokio::sync::{SemaphorePermit, watch};

use super::{Ended, Job, LoadFailure, Loads, Spot, Why};
use crate::backend::Looking;
use crate::error::{CacheError, Refusal};
use crate::model::{
    Atomicity, Change, ChangeKind, Condition, Content, ContentType, Encoding, Expiry, Guard,
    LeaseMs, LeaseState, LeaseToken, LeaseWhen, Put, Read, Subject, Tags, VALUE_BYTES_MAX, Value,
};
use crate::service::codec;

/// How much longer the lease lasts than the load, in milliseconds: the time to store what was loaded.
const LEASE_BEYOND_MS: u64 = 500;
/// How often a key is loaded again that others change while it is loaded.
const LOADS_LOST_MAX: u32 = 8;

/// What came of a load that was given the lease.
enum Filled {
    /// It was stored.
    Stored,
    /// Somebody changed the key meanwhile; what was loaded may be older than the change.
    Lost,
}

/// Takes the flight out of the table, also where its task breaks off.
struct Landing<'a> {
    loads: &'a Loads,
    spot: Spot,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.loads.running.lock().remove(&self.spot);
    }
}

impl Loads {
    /// Runs one load and tells everybody how it ended.
    pub(super) async fn fly(
        self: Arc<Self>,
        job: Job,
        trace: TraceContext,
        end: watch::Sender<Option<Ended>>,
    ) {
        let spot = (job.space.scope.clone(), job.key.clone());
        let landing = Landing { loads: &self, spot };
        let until_ms = self
            .clock
            .monotonic_ms()
            .saturating_add(job.loader.spec.hard_ms);
        let ended = self.attempt(&job, trace, until_ms).await;
        // Whoever comes from now on reads what was stored, or begins anew.
        drop(landing);
        let _nobody_waits = end.send(Some(ended.unwrap_or_else(Ended::Failed)));
    }

    async fn attempt(
        &self,
        job: &Job,
        trace: TraceContext,
        until_ms: u64,
    ) -> Result<Ended, LoadFailure> {
        let mut when = match job.why {
            Why::Missing => LeaseWhen::Needed,
            Why::Due { .. } | Why::Forced => LeaseWhen::Always,
        };
        let mut lost = 0;
        loop {
            let at_ms = self.clock.monotonic_ms();
            let left_ms = until_ms.saturating_sub(at_ms);
            if left_ms == 0 {
                return Err(late(
                    "somebody else fills the key and did not do it in time",
                ));
            }
            let lease = LeaseMs::clamped(left_ms.saturating_add(LEASE_BEYOND_MS));
            let leased = self
                .backend
                .get_or_lease(&job.space, &job.key, lease, when)
                .await?;
            let mut read = leased.answer.read;
            match leased.answer.lease {
                LeaseState::NotNeeded => {
                    codec::decode_read(&mut read).await?;
                    return Ok(Ended::Read { read, at_ms });
                }
                LeaseState::Held { token, .. } => {
                    self.wait_for_other(job, token, left_ms).await?;
                    if matches!(job.why, Why::Due { .. }) {
                        return Ok(Ended::Skipped);
                    }
                }
                LeaseState::Granted { token } if is_done(job.why, &read) => {
                    self.backend.end_lease(&job.space, &job.key, token).await?;
                    return Ok(Ended::Skipped);
                }
                LeaseState::Granted { token } => {
                    match self.fill(job, token, trace, until_ms).await {
                        Ok(Filled::Stored) => {
                            job.loader.failures.lock().forget(&job.key);
                            return self.read_again(job).await;
                        }
                        Ok(Filled::Lost) => {
                            lost += 1;
                            if lost >= LOADS_LOST_MAX {
                                return Err(late("the key changes faster than it can be loaded"));
                            }
                            // What changed it is newer than what was asked for.
                            when = LeaseWhen::Needed;
                        }
                        Err(failure) => {
                            self.give_up(job, token, &failure).await;
                            return Err(failure);
                        }
                    }
                }
            }
        }
    }

    async fn wait_for_other(
        &self,
        job: &Job,
        token: LeaseToken,
        left_ms: u64,
    ) -> Result<(), LoadFailure> {
        let left = Duration::from_millis(left_ms);
        let ended = self.backend.lease_ended(&job.space, &job.key, token, left);
        tokio::select! {
            () = self.stop.cancelled() => Err(LoadFailure::overloaded("the instance stops")),
            ended = ended => Ok(ended?),
        }
    }

    /// Lets the next caller have the lease, and remembers why this one got nowhere.
    async fn give_up(&self, job: &Job, token: LeaseToken, failure: &LoadFailure) {
        // Where the backend is away the lease ends by itself.
        let _ended = self.backend.end_lease(&job.space, &job.key, token).await;
        if !failure.is_of_key() {
            return;
        }
        let now_ms = self.clock.monotonic_ms();
        let first_ms = job.loader.spec.error_ttl_ms;
        let mut failures = job.loader.failures.lock();
        failures.note(job.key.clone(), failure.clone(), first_ms, now_ms);
    }

    async fn read_again(&self, job: &Job) -> Result<Ended, LoadFailure> {
        let at_ms = self.clock.monotonic_ms();
        let keys = std::slice::from_ref(&job.key);
        let looked = self.backend.get_many(&job.space, keys, Looking::Peeking);
        let mut read = looked.await?.answer.pop().unwrap_or(Read::Absent);
        codec::decode_read(&mut read).await?;
        Ok(Ended::Read { read, at_ms })
    }

    /// Loads the value under the lease and stores it.
    async fn fill(
        &self,
        job: &Job,
        token: LeaseToken,
        trace: TraceContext,
        until_ms: u64,
    ) -> Result<Filled, LoadFailure> {
        let params = job.loader.spec.params_of(&job.key);
        let params = params.map_err(|error| LoadFailure::from(&error))?;
        let tenant = self.places_of(&job.space.scope.tenant);
        let places = async {
            let of_namespace = place(&job.loader.places).await?;
            let of_tenant = place(&tenant).await?;
            Ok::<_, LoadFailure>((of_namespace, of_tenant, place(&self.process).await?))
        };
        let _places = tokio::select! {
            biased;
            places = places => places?,
            () = self.clock.sleep_until_monotonic(until_ms) => {
                return Err(LoadFailure::overloaded(&format!(
                    "no place for the load became free: at most {} of the namespace, {} of the tenant and {} of the instance run at a time",
                    job.loader.spec.loads_max, super::LOADS_PER_TENANT_MAX, super::LOADS_PER_PROCESS_MAX,
                )));
            }
            () = self.stop.cancelled() => return Err(LoadFailure::overloaded("the instance stops")),
        };
        let content = match self.ask(job, &params, trace, until_ms).await? {
            Loaded::Absent => Content::KnownAbsent,
            Loaded::Value {
                bytes,
                content_type,
            } => Content::Value(value(bytes, content_type)?),
        };
        self.store(job, token, content).await
    }

    /// Asks the source, unless its breaker is open.
    async fn ask(
        &self,
        job: &Job,
        params: &[String],
        trace: TraceContext,
        until_ms: u64,
    ) -> Result<Loaded, LoadFailure> {
        let scope = &job.space.scope;
        let left_ms = until_ms.saturating_sub(self.clock.monotonic_ms());
        let request = LoadRequest {
            tenant: &scope.tenant,
            namespace: scope.namespace.as_str(),
            key: job.key.as_str(),
            source: &job.loader.spec.source,
            params,
            bytes_max: VALUE_BYTES_MAX,
            trace,
            deadline: Deadline::after_ms(left_ms),
        };
        let load = async {
            let began_ns = self.clock.monotonic_ns();
            let loaded = tokio::select! {
                loaded = self.loader.load(request) => loaded,
                () = self.clock.sleep_until_monotonic(until_ms) => Err(Error::new(
                    ErrorCode::CacheLoadTimeout,
                    format!("the loader did not answer within {} ms", job.loader.spec.hard_ms),
                )),
                () = self.stop.cancelled() => Err(Error::new(ErrorCode::Overloaded, "the instance stops")),
            };
            self.count(job, began_ns, &loaded);
            loaded
        };
        let is_failure = |error: &Error| {
            matches!(
                error.code(),
                ErrorCode::CacheLoadFailed | ErrorCode::CacheLoadTimeout
            )
        };
        match job.loader.breaker.call(is_failure, load).await {
            Ok(loaded) => Ok(loaded),
            Err(BreakerError::Open { retry_after_ms, .. }) => Err(LoadFailure::unbegun(
                ErrorCode::CacheLoadFailed,
                "the loader failed too often and is left alone for a while",
            )
            .retry_after_ms(retry_after_ms)),
            Err(BreakerError::Failed(error)) => {
                let cause = error.source().map(ToString::to_string);
                let namespace = scope.namespace.as_str();
                tracing::warn!(tenant = %scope.tenant, cache.namespace = namespace, cache.error = %error, cause, "a value could not be loaded");
                Err(LoadFailure::from(&error))
            }
        }
    }

    fn count(&self, job: &Job, began_ns: u64, loaded: &Result<Loaded, Error>) {
        let elapsed = Duration::from_nanos(self.clock.monotonic_ns().saturating_sub(began_ns));
        let outcome = match loaded {
            Ok(Loaded::Value { .. }) => "value",
            Ok(Loaded::Absent) => "absent",
            Err(failure) => match failure.code() {
                ErrorCode::CacheLoadTimeout => "timed_out",
                ErrorCode::CacheLoadBadAnswer => "bad_answer",
                ErrorCode::CacheLoadForbidden => "forbidden",
                _ => "failed",
            },
        };
        self.metrics
            .add("plinth_cache_loads_total", &[("outcome", outcome)], 1);
        self.metrics
            .observe("plinth_cache_load_seconds", &[], elapsed.as_secs_f64());
        let counters = self.counters.of(&job.space.scope);
        counters.loaded(elapsed, loaded.is_ok());
    }

    async fn store(
        &self,
        job: &Job,
        token: LeaseToken,
        content: Content,
    ) -> Result<Filled, LoadFailure> {
        let subject = Subject::of(&content);
        let chance = rand::rng().random();
        let life = job
            .rules
            .life
            .life(Expiry::Default, subject, self.clock.now(), chance)
            .map_err(|error| LoadFailure::from(&error))?;
        let put = Put {
            content,
            life,
            condition: Condition::Always,
            tags: Tags::default(),
            lease: Some(token),
        };
        let mut changes = vec![Change {
            key: job.key.clone(),
            kind: ChangeKind::Put(put),
        }];
        codec::encode(job.rules.codec, &mut changes).await?;
        let guard = Guard::unfenced(Atomicity::AllOrNothing);
        let applied = self.backend.apply(&job.space, changes, guard).await;
        let changed = applied.and_then(|reply| {
            reply
                .answer
                .into_iter()
                .next()
                .unwrap_or_else(|| Err(crate::service::out_of_order()))
        });
        match changed {
            Ok(changed) => {
                self.counters.of(&job.space.scope).changed(&changed);
                Ok(Filled::Stored)
            }
            Err(CacheError::Refused {
                refusal: Refusal::LeaseLost,
                ..
            }) => Ok(Filled::Lost),
            Err(error) => Err(error.alone().into()),
        }
    }
}

async fn place(places: &tokio::sync::Semaphore) -> Result<SemaphorePermit<'_>, LoadFailure> {
    let place = places.acquire().await;
    place.map_err(|_closed| LoadFailure::overloaded("the instance stops"))
}

/// Whether another instance loaded the value between the look that found it due and the lease.
fn is_done(why: Why, read: &Read) -> bool {
    match (why, read) {
        (Why::Due { seen }, Read::Found(found)) => seen != Some(found.version),
        (Why::Due { seen }, Read::KnownAbsent(_)) => seen.is_none(),
        (Why::Due { .. }, Read::Absent) | (Why::Missing | Why::Forced, _) => false,
    }
}

fn late(message: &str) -> LoadFailure {
    LoadFailure::new(ErrorCode::CacheLoadTimeout, message)
}

/// What was loaded, as it is kept. Errors: 2010 where it is no value of the cache.
fn value(bytes: bytes::Bytes, content_type: Option<String>) -> Result<Value, LoadFailure> {
    let bad = |rule: String| LoadFailure::new(ErrorCode::CacheLoadBadAnswer, &rule);
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(bad(format!(
            "the loader answered more than {VALUE_BYTES_MAX} bytes"
        )));
    }
    let content_type = ContentType::parse(content_type.as_deref())
        .map_err(|error| bad(format!("the loader answered a bad {}", error.message())))?;
    Ok(Value {
        bytes,
        content_type,
        flags: 0,
        encoding: Encoding::Plain,
    })
}
