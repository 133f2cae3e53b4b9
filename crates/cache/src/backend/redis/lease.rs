//! Leases.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::OptionFuture;
use plinth_redis_link::Answer;

use super::area::Area;
use super::fault::{Kind, strange, unread};
use super::look::judged;
use super::{LEASES_PER_NAMESPACE_MAX, RedisCache, scripts};
use crate::backend::Looking;
use crate::error::CacheError;
use crate::model::{Key, LeaseMs, LeaseState, LeaseToken, LeaseWhen, LeasedRead};

/// How often who waits for a lease looks at it, because its end may be told to any instance; what this instance does wakes him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLooks {
    /// The first pause between two looks, in milliseconds; doubles with each.
    pub first_ms: u64,
    /// The longest.
    pub longest_ms: u64,
}

impl Default for LeaseLooks {
    fn default() -> Self {
        Self {
            first_ms: 5,
            longest_ms: 50,
        }
    }
}

impl RedisCache {
    pub(super) async fn read_or_lease(
        &self,
        area: &Area,
        key: &Key,
        lease: LeaseMs,
        when: LeaseWhen,
    ) -> Result<LeasedRead, CacheError> {
        if when == LeaseWhen::Needed {
            // Most callers find a fresh value, which a server that takes no writes can still tell.
            let seen = self
                .look(area, std::slice::from_ref(key), Looking::Reading)
                .await?
                .pop();
            if let Some(read) = seen.filter(|read| !read.needs_filling()) {
                return Ok(LeasedRead {
                    read,
                    lease: LeaseState::NotNeeded,
                });
            }
        }
        let lease_ms = lease.get().to_string();
        let always: &[u8] = match when {
            LeaseWhen::Needed => b"0",
            LeaseWhen::Always => b"1",
        };
        let most = LEASES_PER_NAMESPACE_MAX.to_string();
        let args = [
            key.as_str().as_bytes(),
            lease_ms.as_bytes(),
            always,
            most.as_bytes(),
        ];
        let answer = self
            .eval(area, &scripts::LEASE, Kind::Writes, &args)
            .await?;
        let mut answer = Answer::of(answer).map_err(unread)?;
        let now_ms = answer.integer().map_err(unread)?;
        let read = judged(answer.bytes().map_err(unread)?, now_ms)?;
        let lease = match answer.text().map_err(unread)?.as_str() {
            "n" => LeaseState::NotNeeded,
            "c" => {
                return Err(CacheError::TooManyLeases {
                    max: LEASES_PER_NAMESPACE_MAX,
                });
            }
            "g" => LeaseState::Granted {
                token: LeaseToken::new(answer.integer().map_err(unread)?),
            },
            "h" => LeaseState::Held {
                token: LeaseToken::new(answer.integer().map_err(unread)?),
                left_ms: u64::try_from(answer.integer().map_err(unread)?).unwrap_or(0),
            },
            other => return Err(strange(format!("lease state {other}"))),
        };
        Ok(LeasedRead { read, lease })
    }

    /// Waits to be woken by a change of this instance, and looks at the lease now and then.
    pub(super) async fn wait_for_lease(
        &self,
        area: &Area,
        key: &Key,
        token: LeaseToken,
        wait: Duration,
    ) -> Result<(), CacheError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.clock.monotonic_ms().saturating_add(wait_ms);
        let token = text_of(token);
        let args = [key.as_str().as_bytes(), token.as_bytes()];
        let waiter = self.waiting.enter(&area.key("l:", key.as_str()));
        let mut pause_ms = self.lease_looks.first_ms;
        loop {
            // Heard from before the look on, so that no end is missed.
            let ended = waiter.as_ref().map(|waiter| waiter.ended.notified());
            let ended = OptionFuture::from(ended);
            tokio::pin!(ended);
            let _not_yet = (&mut ended).now_or_never();
            let left = self
                .eval(area, &scripts::LEASED, Kind::Reads, &args)
                .await?;
            if left == plinth_redis_link::Value::Int(0) || self.clock.monotonic_ms() >= until_ms {
                return Ok(());
            }
            tokio::select! {
                () = self.clock.sleep_until_monotonic(until_ms) => return Ok(()),
                Some(()) = ended => {}
                () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
            }
            pause_ms = pause_ms.saturating_mul(2).min(self.lease_looks.longest_ms);
        }
    }

    pub(super) async fn release(
        &self,
        area: &Area,
        key: &Key,
        token: LeaseToken,
    ) -> Result<bool, CacheError> {
        let token = text_of(token);
        let args = [key.as_str().as_bytes(), token.as_bytes()];
        let answer = self
            .eval(area, &scripts::RELEASE, Kind::Writes, &args)
            .await;
        self.wake(area, std::iter::once(key));
        Ok(answer? == plinth_redis_link::Value::Int(1))
    }
}

impl RedisCache {
    /// Wakes who waits for leases of keys that were changed, or may have been.
    pub(super) fn wake<'keys>(&self, area: &Area, keys: impl Iterator<Item = &'keys Key>) {
        if self.waiting.is_empty() {
            return;
        }
        keys.for_each(|key| self.waiting.wake(&area.key("l:", key.as_str())));
    }
}

/// A token as scripts compare it.
pub(super) fn text_of(token: LeaseToken) -> String {
    format!("{:019}", token.get())
}
