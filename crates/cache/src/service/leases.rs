//! Reads that are ready to fill what is missing.

use std::slice;
use std::time::Duration;

use plinth_core::CallContext;

use super::{CacheService, codec};
use crate::backend::Capability;
use crate::error::CacheError;
use crate::model::{
    Key, LeaseMs, LeaseState, LeaseToken, LeaseWait, LeaseWhen, LeasedRead, Namespace, Read, Reply,
    Space,
};

/// Most callers that wait for somebody else's lease at one time.
pub(super) const WAITING_MAX: usize = 10_000;

impl CacheService {
    /// Reads one value. Where there is none, or a stale one, one caller is given a lease; the others wait for its value, or
    /// are given the stale one at once.
    pub async fn get_or_lease(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: &Key,
        lease: LeaseMs,
        wait: LeaseWait,
    ) -> Result<Reply<LeasedRead>, CacheError> {
        self.require(Capability::Leases)?;
        let (space, _) = self.space(context, namespace);
        let until_ms = self.clock.monotonic_ms().saturating_add(wait.get());
        let mut place = None;
        loop {
            let mut reply = self
                .backend
                .get_or_lease(&space, key, lease, LeaseWhen::Needed)
                .await?;
            let left_ms = until_ms.saturating_sub(self.clock.monotonic_ms());
            let LeasedRead {
                read: Read::Absent,
                lease: LeaseState::Held { token, .. },
            } = reply.answer
            else {
                self.count_read(&space, key, &reply);
                codec::decode_leased(&mut reply.answer).await?;
                return Ok(reply);
            };
            if left_ms == 0 || self.stopping.is_cancelled() {
                self.count_read(&space, key, &reply);
                return Ok(reply);
            }
            if place.is_none() {
                let taken = self.waiting.try_acquire();
                place = Some(taken.map_err(|_| CacheError::Crowded {
                    what: "callers that wait for a lease",
                    max: WAITING_MAX,
                })?);
            }
            let left = Duration::from_millis(left_ms);
            tokio::select! {
                () = self.stopping.cancelled() => {}
                ended = self.backend.lease_ended(&space, key, token, left) => ended?,
            }
        }
    }

    /// Counts a read that may have waited: it says nothing of how long the backend takes.
    fn count_read(&self, space: &Space, key: &Key, reply: &Reply<LeasedRead>) {
        let counters = self.counters.of(&space.scope);
        let watched = counters.begin(&self.clock);
        let (keys, reads) = (slice::from_ref(key), slice::from_ref(&reply.answer.read));
        counters.reads(watched, keys, reads, reply.near);
    }

    /// Gives a lease back without a value and says whether it was open.
    pub async fn release_lease(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: &Key,
        token: LeaseToken,
    ) -> Result<bool, CacheError> {
        self.require(Capability::Leases)?;
        let (space, _) = self.space(context, namespace);
        self.backend.end_lease(&space, key, token).await
    }
}
