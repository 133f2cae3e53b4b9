//! Acquiring: one lock after the other, waiting in order, undone as a whole where it fails or its caller goes away.

use std::sync::Arc;

use plinth_core::{CallContext, WideInt};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Inner, LockService};
use crate::backend::LockKey;
use crate::error::LockError;
use crate::graph;
use crate::machine::{Ask, Command, Granted, Leaving, Queued, Reply};
use crate::model::{Acquire, AcquireOne, AcquireReply, AcquireRequest, LockGrant, limits};

/// Renewals in one lease of what is held while another lock is waited for.
const RENEWALS_PER_LEASE: i64 = 3;
/// Holders that a refusal names.
const HOLDERS_TOLD_MAX: usize = 8;

impl LockService {
    /// Acquires locks in the order of their names, all or none, waiting for each in the order of coming.
    ///
    /// The context's idempotency key names the attempt: a repeat with the same key gets the grant that the first one got, or
    /// goes on waiting at its place. Where the caller goes away, what the attempt got is given back.
    ///
    /// Errors: 1001 naming the field; 1005 where a lock is in use as another kind; 2603 where one was taken until the wait
    /// ended; 2604 where waiting would never end; 2605 at a limit; 2601 where the backend is away.
    pub async fn acquire(
        &self,
        context: &CallContext,
        request: AcquireRequest,
    ) -> Result<AcquireReply, LockError> {
        let request = Acquire::parse(&request)?;
        let attempt = match &context.idempotency_key {
            // Ids of principals hold no blank, and another's key is another one.
            Some(key) => format!("{} {}", context.caller.principal.id, key.as_str()),
            None => uuid::Uuid::new_v4().to_string(),
        };
        let gone = CancellationToken::new();
        let run = Run {
            inner: Arc::clone(&self.inner),
            caller: context.clone(),
            request,
            attempt,
            gone: gone.clone(),
        };
        // In a task of its own: where the caller goes away, it undoes what it did to its end.
        let _tells_that_the_caller_is_gone = gone.drop_guard();
        let (tell, told) = oneshot::channel();
        self.inner.tasks.spawn(run.finish(tell));
        told.await.map_err(|_| LockError::Lost)?
    }
}

/// One call to acquire.
struct Run {
    inner: Arc<Inner>,
    caller: CallContext,
    request: Acquire,
    attempt: String,
    /// Cancelled when the caller does not wait any more.
    gone: CancellationToken,
}

/// How waiting for one lock ended.
enum Woken {
    /// Look again.
    Again,
    /// The wait is over.
    TimedOut,
    /// The caller went away, or the service stops.
    Ended,
}

impl Run {
    async fn finish(self, tell: oneshot::Sender<Result<AcquireReply, LockError>>) {
        let outcome = self.run().await;
        let granted = outcome.is_ok();
        // Only an answer that nobody took is undone: a caller that has its answer goes away too.
        let untold = tell.send(outcome).is_err();
        if granted && untold {
            self.undo(&self.request.locks).await;
        }
    }

    async fn run(&self) -> Result<AcquireReply, LockError> {
        let began = self.inner.clock.monotonic_ms();
        let wait_ms = u64::try_from(self.request.wait_ms).unwrap_or(0);
        let until = began.saturating_add(wait_ms);
        let mut grants: Vec<(usize, LockGrant)> = Vec::with_capacity(self.request.locks.len());
        for (taken, lock) in self.request.locks.iter().enumerate() {
            let (held, _) = self.request.locks.split_at(taken);
            match self.acquire_one(lock, held, until).await {
                Ok(granted) => grants.push((lock.index, grant(lock, granted))),
                Err(error) => {
                    self.undo(held).await;
                    return Err(error);
                }
            }
        }
        let waited_ms = self.inner.clock.monotonic_ms().saturating_sub(began);
        if grants.len() > 1 && waited_ms > 0 {
            // The leases of all begin when the last one is granted.
            match self.renew(&self.request.locks).await {
                Ok(renewed) => grants = renewed,
                Err(error) => {
                    self.undo(&self.request.locks).await;
                    return Err(error);
                }
            }
        }
        grants.sort_by_key(|(index, _)| *index);
        self.inner.count("lock_grants_total", grants.len());
        Ok(AcquireReply {
            grants: grants.into_iter().map(|(_, grant)| grant).collect(),
            waited_ms: i64::try_from(waited_ms).unwrap_or(i64::MAX),
        })
    }

    fn key(&self, lock: &AcquireOne) -> LockKey {
        LockKey {
            tenant: self.caller.caller.tenant.clone(),
            name: lock.name.clone(),
        }
    }

    fn ask(&self, lock: &AcquireOne, place_ms: Option<i64>) -> Command {
        Command::Acquire(Ask {
            owner: self.request.owner.as_str().to_owned(),
            principal: self.caller.caller.principal.id.to_string(),
            attempt: self.attempt.clone(),
            mode: lock.mode,
            lease_ms: self.request.lease_ms,
            reentrant: self.request.reentrant,
            place_ms,
        })
    }

    async fn acquire_one(
        &self,
        lock: &AcquireOne,
        held: &[AcquireOne],
        until: u64,
    ) -> Result<Granted, LockError> {
        let key = self.key(lock);
        if self.inner.clock.monotonic_ms() >= until {
            return match self.inner.apply(&key, self.ask(lock, None)).await? {
                Reply::Granted(granted) => Ok(granted),
                _ => Err(self.not_acquired(&key, 0).await),
            };
        }
        // Registered before the first look, so that what changes between the look and the wait is not missed.
        let waiting = self.inner.wakes.register(&key, Some(&self.attempt))?;
        let mut checked = false;
        // From before what is held was renewed, so that no answer that is late brings it nearer to its end.
        let mut looked = self.inner.clock.monotonic_ms();
        loop {
            let place_ms = Some(limits::PLACE_MS);
            let reply = self.inner.apply(&key, self.ask(lock, place_ms)).await;
            let queued = match reply {
                Ok(Reply::Granted(granted)) => return Ok(granted),
                Ok(Reply::Queued(queued)) => queued,
                Ok(_) => return Err(LockError::Lost),
                Err(error) => {
                    self.abandon(&key).await;
                    return Err(error);
                }
            };
            if queued.new {
                self.inner.count("lock_conflicts_total", 1);
            }
            if queued.new || checked {
                self.refuse_circle(&key).await?;
            }
            checked = true;
            let again = looked.saturating_add(self.pause_ms(!held.is_empty()));
            match self.sleep(&waiting, queued, until, again).await {
                Woken::Again => {
                    looked = self.inner.clock.monotonic_ms();
                    if let Err(error) = self.renew(held).await {
                        self.abandon(&key).await;
                        return Err(error);
                    }
                }
                Woken::TimedOut => return self.last_look(lock, &key, until).await,
                Woken::Ended => {
                    self.abandon(&key).await;
                    return Err(LockError::Stopping);
                }
            }
        }
    }

    /// How long it may take from one look to the next, in milliseconds.
    fn pause_ms(&self, holds: bool) -> u64 {
        // What is held already must not end while the next one is waited for.
        let longest_ms = if holds {
            limits::PLACE_RENEW_MS.min(self.request.lease_ms / RENEWALS_PER_LEASE)
        } else {
            limits::PLACE_RENEW_MS
        };
        u64::try_from(longest_ms).unwrap_or(1)
    }

    /// Waits to be woken, at the longest until it is time for another look.
    async fn sleep(
        &self,
        waiting: &crate::wakes::Waiting,
        queued: Queued,
        until: u64,
        again: u64,
    ) -> Woken {
        let clock = &self.inner.clock;
        let recheck_ms = queued
            .recheck_ms
            .map_or(u64::MAX, |ms| u64::try_from(ms).unwrap_or(0).max(1));
        let recheck = clock.monotonic_ms().saturating_add(recheck_ms);
        let next = recheck.min(again).min(until);
        tokio::select! {
            () = waiting.woken() => Woken::Again,
            () = clock.sleep_until_monotonic(next) => {
                if next >= until { Woken::TimedOut } else { Woken::Again }
            }
            () = self.gone.cancelled() => Woken::Ended,
            () = self.inner.cancel.cancelled() => Woken::Ended,
        }
    }

    /// The wait is over: one more look, then the place is given up, or kept where the caller wants to come back.
    async fn last_look(
        &self,
        lock: &AcquireOne,
        key: &LockKey,
        until: u64,
    ) -> Result<Granted, LockError> {
        let ask = self.ask(lock, Some(limits::PLACE_MS));
        if let Reply::Granted(granted) = self.inner.apply(key, ask).await? {
            return Ok(granted);
        }
        let leaving = Leaving::TimedOut {
            keep_ms: self.request.keep_place_ms,
        };
        let refusal = self
            .not_acquired(key, i64::try_from(until).unwrap_or(i64::MAX))
            .await;
        let leave = Command::Leave {
            attempt: self.attempt.clone(),
            leaving,
        };
        self.inner.apply(key, leave).await?;
        self.inner.count("lock_timeouts_total", 1);
        Err(refusal)
    }

    /// Errors: 2604 where this wait is the youngest of a circle. Its place is given up then.
    async fn refuse_circle(&self, key: &LockKey) -> Result<(), LockError> {
        let most = limits::GRAPH_LOCKS_MAX;
        let locks = self.inner.backend.contended(&key.tenant, most).await?;
        if locks.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            self.inner.count("lock_circle_checks_left_out_total", 1);
            return Ok(());
        }
        let Some(circle) = graph::closes_circle(&locks, &self.attempt) else {
            return Ok(());
        };
        let leave = Command::Leave {
            attempt: self.attempt.clone(),
            leaving: Leaving::Deadlock,
        };
        self.inner.apply(key, leave).await?;
        self.inner.count("lock_deadlocks_total", 1);
        Err(LockError::Deadlock { circle })
    }

    async fn not_acquired(&self, key: &LockKey, until: i64) -> LockError {
        let seen = match self.inner.backend.read(key).await {
            Ok(seen) => seen,
            Err(error) => return error,
        };
        let places = &seen.record.places;
        let own = places
            .iter()
            .position(|place| place.attempt == self.attempt);
        let owners = seen
            .record
            .holders
            .iter()
            .map(|holder| holder.owner.clone());
        LockError::NotAcquired {
            lock: key.name.to_string(),
            waited_ms: if until == 0 { 0 } else { self.request.wait_ms },
            holders: owners.take(HOLDERS_TOLD_MAX).collect(),
            ahead: own.unwrap_or(places.len()),
        }
    }

    /// Begins the leases anew that this attempt holds already; one that ended is taken again, under a new token, where it
    /// is free. Errors: 2603 where one was lost to somebody else.
    async fn renew(&self, held: &[AcquireOne]) -> Result<Vec<(usize, LockGrant)>, LockError> {
        let mut grants = Vec::with_capacity(held.len());
        for lock in held {
            let key = self.key(lock);
            match self.inner.apply(&key, self.ask(lock, None)).await? {
                Reply::Granted(granted) => grants.push((lock.index, grant(lock, granted))),
                _ => return Err(self.not_acquired(&key, 0).await),
            }
        }
        Ok(grants)
    }

    async fn abandon(&self, key: &LockKey) {
        let abandon = Command::Abandon {
            attempt: self.attempt.clone(),
        };
        if let Err(error) = self.inner.apply(key, abandon).await {
            tracing::warn!(%error, "a wait could not be given up; its place or lease ends by itself");
        }
    }

    async fn undo(&self, locks: &[AcquireOne]) {
        for lock in locks {
            self.abandon(&self.key(lock)).await;
        }
    }
}

fn grant(lock: &AcquireOne, granted: Granted) -> LockGrant {
    LockGrant {
        lock: lock.name.to_string(),
        token: WideInt(granted.token),
        depth: i32::try_from(granted.depth).unwrap_or(i32::MAX),
        lease_ms: granted.lease_ms,
    }
}
