//! Who may call a receiver now: places of the whole process, of which each tenant has a share.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use plinth_core::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::QueueError;

/// The places of the process.
pub(super) struct Slots {
    all: Arc<Semaphore>,
    /// Tenants with at least one pushing subscription.
    shares: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
    per_tenant_max: usize,
}

/// What one tenant may take of them. Clones share it.
#[derive(Clone)]
pub(super) struct Share {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// One place, free again when it is dropped.
pub(super) struct Slot {
    _of_tenant: OwnedSemaphorePermit,
    _of_process: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(all_max: usize, per_tenant_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all_max)),
            shares: Mutex::default(),
            per_tenant_max,
        }
    }

    /// The share of a tenant, one for all of its subscriptions.
    pub(super) fn share_of(&self, tenant: &TenantId) -> Share {
        let mut shares = self.shares.lock();
        shares.retain(|_, share| share.strong_count() > 0);
        let known = shares.get(tenant).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| {
            let own = Arc::new(Semaphore::new(self.per_tenant_max));
            shares.insert(tenant.clone(), Arc::downgrade(&own));
            own
        });
        Share {
            own,
            all: Arc::clone(&self.all),
        }
    }
}

impl Share {
    /// Waits for a place: first among the tenant's own subscriptions, then among the tenants, each in the order of coming.
    pub(super) async fn take(&self) -> Result<Slot, QueueError> {
        let stopping = |_| QueueError::Stopping;
        let of_tenant = Arc::clone(&self.own).acquire_owned().await;
        let of_tenant = of_tenant.map_err(stopping)?;
        let of_process = Arc::clone(&self.all).acquire_owned().await;
        Ok(Slot {
            _of_tenant: of_tenant,
            _of_process: of_process.map_err(stopping)?,
        })
    }

    /// A place that is free now.
    pub(super) fn try_take(&self) -> Option<Slot> {
        Some(Slot {
            _of_tenant: Arc::clone(&self.own).try_acquire_owned().ok()?,
            _of_process: Arc::clone(&self.all).try_acquire_owned().ok()?,
        })
    }

    /// Whether a place is free now.
    pub(super) fn has_room(&self) -> bool {
        self.own.available_permits() > 0 && self.all.available_permits() > 0
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("a tenant")
    }

    #[tokio::test]
    async fn a_tenant_takes_its_share_and_leaves_the_rest() {
        let slots = Slots::new(3, 2);
        let (one, another) = (
            slots.share_of(&tenant("one")),
            slots.share_of(&tenant("two")),
        );
        let mut held = vec![
            one.try_take().expect("the first"),
            one.take().await.expect("the second"),
        ];
        assert!(one.try_take().is_none() && !one.has_room());
        assert!(
            slots.share_of(&tenant("one")).try_take().is_none(),
            "the share is the tenant's, whatever asks"
        );
        held.push(another.try_take().expect("what is left"));
        assert!(another.try_take().is_none(), "the process has no more");
        let mut waiting = Box::pin(another.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        held.clear();
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_waits_for_its_own_tenant_holds_nothing_of_the_process() {
        let slots = Slots::new(2, 1);
        let one = slots.share_of(&tenant("one"));
        let _held = one.try_take().expect("the first");
        let mut waiting = Box::pin(one.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(slots.share_of(&tenant("two")).try_take().is_some());
    }
}
