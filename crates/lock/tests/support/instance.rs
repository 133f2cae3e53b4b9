//! Calls of one instance of several, on the clocks of the machine.

use std::sync::Arc;
use std::time::Duration;

use plinth_core::SharedClock;
use plinth_lock::backend::Backend;
use plinth_lock::model::{AcquireRequest, LockGrant, ReleaseRequest, RenewRequest};
use plinth_lock::{LockError, LockService, LockServiceParts, Wakes};

use super::{NoMetrics, TENANT, claim, context, exclusive};

/// One instance.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) service: LockService,
}

impl Instance {
    pub(crate) fn over(backend: Arc<dyn Backend>, wakes: Arc<Wakes>, clock: SharedClock) -> Self {
        let service = LockService::start(LockServiceParts {
            backend,
            wakes,
            clock,
            metrics: Arc::new(NoMetrics),
        });
        Self { service }
    }

    pub(crate) async fn acquire(
        &self,
        lock: &str,
        owner: &str,
        wait_ms: i64,
    ) -> Result<LockGrant, LockError> {
        let request = AcquireRequest {
            locks: vec![exclusive(lock)],
            owner: owner.to_owned(),
            lease_ms: Some(2_000),
            wait_ms: Some(wait_ms),
            ..AcquireRequest::default()
        };
        let reply = self.service.acquire(&context(TENANT), request).await?;
        Ok(reply.grants[0].clone())
    }

    /// Begins to wait, and returns once the wait is in the queue.
    pub(crate) async fn wait_for(
        &self,
        lock: &str,
        owner: &str,
    ) -> tokio::task::JoinHandle<Result<LockGrant, LockError>> {
        let (this, name, owner_) = (self.clone(), lock.to_owned(), owner.to_owned());
        let waiting = tokio::spawn(async move { this.acquire(&name, &owner_, 30_000).await });
        while !self.waiters(lock).await.iter().any(|known| known == owner) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        waiting
    }

    pub(crate) async fn waiters(&self, lock: &str) -> Vec<String> {
        let info = self.service.get(&context(TENANT), lock).await;
        let waiters = info.expect("is read").waiters.into_iter();
        waiters.map(|waiter| waiter.owner).collect()
    }

    pub(crate) async fn release(&self, grant: &LockGrant, owner: &str) -> Result<bool, LockError> {
        let request = ReleaseRequest {
            owner: owner.to_owned(),
            claims: vec![claim(grant)],
        };
        let reply = self.service.release(&context(TENANT), request).await?;
        Ok(reply.items[0].code.is_none())
    }

    pub(crate) async fn renew(&self, grant: &LockGrant, owner: &str) -> Result<bool, LockError> {
        let request = RenewRequest {
            owner: owner.to_owned(),
            claims: vec![claim(grant)],
            lease_ms: None,
        };
        let reply = self.service.renew(&context(TENANT), request).await?;
        Ok(reply.items[0].held)
    }
}
