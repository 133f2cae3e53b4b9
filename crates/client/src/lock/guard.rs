//! Holding locks for as long as a piece of work takes.

use std::future::Future;
use std::time::{Duration, Instant};

use plinth_core::{ErrorCode, Fence, Outcome};
use tokio_util::sync::CancellationToken;

use super::model::{AcquireOptions, LockAsk, LockGrant};
use super::{LockClient, is_taken};
use crate::Client;
use crate::error::{ClientError, Result};
use crate::request_id;
use crate::retry::Repeat;

/// Longest wait of one call, in milliseconds.
const CALL_WAIT_MS_MAX: u64 = 60_000;
/// How long the place in the queue is kept between two calls of one wait, in milliseconds.
const KEEP_PLACE_MS: i64 = 5_000;
/// Longest pause between two renewals, in milliseconds: a lock that was ended by force is noticed that fast.
const RENEW_MS_MAX: u64 = 5_000;
/// Renewals in one lease, so that one that fails is made good by the next.
const RENEWALS_PER_LEASE: u64 = 3;
/// Lease where the caller names none, in milliseconds.
const LEASE_MS_DEFAULT: i64 = 30_000;

/// How locks are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldOptions {
    /// Who holds them. `None` makes a name up: then nested holds of one task are not known to be one owner's, and a circle
    /// between tasks is not found.
    pub owner: Option<String>,
    /// The lease, in milliseconds: how long a holder that went silent blocks the others.
    pub lease_ms: i64,
    /// How long to wait in all, in milliseconds; longer than one call may.
    pub wait_ms: u64,
    /// Whether an owner that holds a lock already is let in again.
    pub reentrant: bool,
    /// Names the attempt: the same one again gets the grant whose answer was lost. `None` makes a name up.
    pub attempt: Option<String>,
}

impl Default for HoldOptions {
    fn default() -> Self {
        Self {
            owner: None,
            lease_ms: LEASE_MS_DEFAULT,
            wait_ms: 0,
            reentrant: false,
            attempt: None,
        }
    }
}

impl HoldOptions {
    /// Waits so long.
    #[must_use]
    pub fn waiting_ms(wait_ms: u64) -> Self {
        Self {
            wait_ms,
            ..Self::default()
        }
    }
}

/// Locks that are held, and renewed until they are released, dropped or lost.
///
/// What they guard must still be guarded by the token: a process that was stopped for longer than its lease does not know
/// yet that it lost the lock.
pub struct LockGuard {
    client: Client,
    owner: String,
    grants: Vec<LockGrant>,
    lost: CancellationToken,
    /// Ends the renewals.
    ended: CancellationToken,
}

impl LockClient<'_> {
    /// Acquires locks and holds them: renews the leases in the background until the guard is released or dropped.
    ///
    /// Errors: as for [`LockClient::acquire`]; 2603 where one was taken for the whole wait.
    pub async fn hold(&self, locks: &[LockAsk], options: HoldOptions) -> Result<LockGuard> {
        let owner = request_id(options.owner);
        let attempt = request_id(options.attempt);
        let until = Instant::now() + Duration::from_millis(options.wait_ms);
        loop {
            let sent = Instant::now();
            let left = until.saturating_duration_since(sent);
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let wait_ms = left_ms.min(CALL_WAIT_MS_MAX);
            let comes_back = left_ms > wait_ms && locks.len() == 1;
            let call = AcquireOptions {
                lease_ms: Some(options.lease_ms),
                wait_ms: i64::try_from(wait_ms).ok(),
                reentrant: options.reentrant,
                keep_place_ms: comes_back.then_some(KEEP_PLACE_MS),
                request_id: Some(attempt.clone()),
            };
            match self.acquire(locks, &owner, &call).await {
                Ok(acquired) => {
                    let waited = u64::try_from(acquired.waited_ms).unwrap_or(0);
                    // The lease cannot have begun before that.
                    let granted = sent + Duration::from_millis(waited);
                    return Ok(LockGuard::begin(
                        self.client.clone(),
                        owner,
                        acquired.grants,
                        granted,
                    ));
                }
                Err(error) if is_taken(&error) && left_ms > wait_ms => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl LockGuard {
    fn begin(client: Client, owner: String, grants: Vec<LockGrant>, granted: Instant) -> Self {
        let (lost, ended) = (CancellationToken::new(), CancellationToken::new());
        let renewals = Renewals {
            client: client.clone(),
            owner: owner.clone(),
            grants: grants.clone(),
            lost: lost.clone(),
        };
        let stop = ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = renewals.run(granted) => {}
            }
        });
        Self {
            client,
            owner,
            grants,
            lost,
            ended,
        }
    }

    /// Who holds them.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// One grant for each lock, in the order of the request.
    #[must_use]
    pub fn grants(&self) -> &[LockGrant] {
        &self.grants
    }

    /// The fencing token of a lock of this guard.
    #[must_use]
    pub fn token(&self, lock: &str) -> Option<i64> {
        self.grants
            .iter()
            .find(|grant| grant.lock == lock)
            .map(|grant| grant.token)
    }

    /// What a write under this guard carries, so that its resource can refuse it once the lock was granted again.
    ///
    /// Errors: 1001 where the lock is none of this guard's.
    pub fn fence(&self, lock: &str) -> Result<Fence> {
        let token = self.token(lock).unwrap_or_default();
        Ok(Fence::parse(lock, token)?)
    }

    /// Whether one of the locks is known to be lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Waits until one of the locks is lost: it was ended by force, or could not be renewed for a whole lease.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Does work for as long as all locks are held. The work is dropped where one is lost.
    ///
    /// Errors: 2602 where a lock was lost first.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.lost.cancelled() => Err(ClientError::own(
                ErrorCode::LockLost,
                "the lock was lost while the work went on; what it guards must refuse the work's token",
            )),
            done = work => Ok(done),
        }
    }

    /// Releases the locks, and says whether all were held until now. Where the answer was lost on the way, the release is
    /// repeated, and that they were held is what the renewals knew: a repeat finds nothing to release.
    ///
    /// Errors: the way to Plinth broke; the leases then end by themselves.
    pub async fn release(self) -> Result<bool> {
        self.ended.cancel();
        let lock = self.client.lock();
        let first = lock.release_with(Repeat::Never, &self.owner, &self.grants);
        match first.await {
            Ok(items) => Ok(items.iter().all(|item| item.code.is_none())),
            Err(error) if error.retriable => {
                let items = lock.release(&self.owner, &self.grants).await?;
                let released = items.iter().all(|item| item.code.is_none());
                Ok(released || (error.outcome == Outcome::Unknown && !self.is_lost()))
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for LockGuard {
    /// Releases in the background where there is a runtime to do it; elsewhere the leases end by themselves.
    fn drop(&mut self) {
        if self.ended.is_cancelled() {
            return;
        }
        self.ended.cancel();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (client, owner, grants) = (
            self.client.clone(),
            std::mem::take(&mut self.owner),
            std::mem::take(&mut self.grants),
        );
        runtime.spawn(async move {
            if let Err(error) = client.lock().release(&owner, &grants).await {
                tracing::debug!(%error, "a dropped lock could not be released; its lease ends by itself");
            }
        });
    }
}

struct Renewals {
    client: Client,
    owner: String,
    grants: Vec<LockGrant>,
    lost: CancellationToken,
}

impl Renewals {
    async fn run(self, granted: Instant) {
        let lease_ms = self.grants.iter().map(|grant| grant.lease_ms).min();
        let lease_ms = lease_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
        let lease = Duration::from_millis(lease_ms);
        let pause = Duration::from_millis((lease_ms / RENEWALS_PER_LEASE).clamp(1, RENEW_MS_MAX));
        let mut ends = granted + lease;
        loop {
            let next = (Instant::now() + pause).min(ends);
            tokio::time::sleep_until(next.into()).await;
            let sent = Instant::now();
            let renewing = self.client.lock();
            let renewed = renewing.renew(&self.owner, &self.grants, None);
            match tokio::time::timeout_at(ends.into(), renewed).await {
                Ok(Ok(items)) if items.iter().all(|item| item.held) => ends = sent + lease,
                Ok(Ok(_)) => break,
                Ok(Err(error)) => tracing::debug!(%error, "a lock could not be renewed"),
                Err(_) => {}
            }
            if Instant::now() >= ends {
                break;
            }
        }
        self.lost.cancel();
    }
}
