//! How often: a token bucket, kept as one number.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

const NS_PER_SECOND: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;
/// Highest rate that can be configured, in tokens per second.
pub const RATE_PER_SECOND_MAX: u32 = 1_000_000_000;

/// A rate with room for bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Tokens that come back in a second; at least 1.
    pub per_second: u32,
    /// Tokens of a full bucket; at least 1.
    pub burst: u32,
}

impl RateLimit {
    /// Names a rate and its burst.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }

    /// Nanoseconds in which one token comes back, rounded up so that the rate is never passed.
    fn interval_ns(self) -> u64 {
        NS_PER_SECOND.div_ceil(u64::from(self.per_second.clamp(1, RATE_PER_SECOND_MAX)))
    }

    /// How far the arrival time may run ahead of now.
    fn tolerance_ns(self) -> u64 {
        self.interval_ns() * u64::from(self.burst.max(1) - 1)
    }
}

/// A token bucket by the generic cell rate algorithm (ITU-T I.371): instead of counting tokens it keeps the theoretical
/// arrival time of the next one, which is one atomic word and no lock. Starts full.
#[derive(Debug, Default)]
pub struct TokenBucket {
    arrival_ns: AtomicU64,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            arrival_ns: AtomicU64::new(0),
        }
    }

    /// Takes a token at a time of the monotonic clock. Errors: none is there; in how many milliseconds one will be, at
    /// least 1.
    pub fn try_take(&self, limit: RateLimit, now_ns: u64) -> Result<(), u64> {
        let mut arrival = self.arrival_ns.load(Ordering::Relaxed);
        loop {
            let next = Self::next_arrival(arrival, limit, now_ns)?;
            match self.arrival_ns.compare_exchange_weak(
                arrival,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(current) => arrival = current,
            }
        }
    }

    /// Whether a token is there, without taking it. Errors: as for [`TokenBucket::try_take`].
    pub fn peek(&self, limit: RateLimit, now_ns: u64) -> Result<(), u64> {
        Self::next_arrival(self.arrival_ns.load(Ordering::Relaxed), limit, now_ns).map(|_| ())
    }

    fn next_arrival(arrival_ns: u64, limit: RateLimit, now_ns: u64) -> Result<u64, u64> {
        let ahead_ns = arrival_ns.saturating_sub(now_ns);
        let tolerance_ns = limit.tolerance_ns();
        if ahead_ns > tolerance_ns {
            return Err((ahead_ns - tolerance_ns).div_ceil(NS_PER_MS));
        }
        Ok(arrival_ns.max(now_ns).saturating_add(limit.interval_ns()))
    }
}

/// One bucket for each key, in a table of bounded size. Where more keys come than the table holds, it keeps those that come
/// often (TinyLFU), so a flood of keys that come once cannot push out the bucket of one that floods.
#[derive(Debug)]
pub struct KeyedLimiter<K: Hash + Eq + Send + Sync + 'static> {
    buckets: moka::sync::Cache<K, Arc<TokenBucket>>,
}

impl<K: Hash + Eq + Send + Sync + 'static> KeyedLimiter<K> {
    /// A table of at most so many keys.
    #[must_use]
    pub fn new(keys_max: u64) -> Self {
        Self {
            buckets: moka::sync::Cache::new(keys_max),
        }
    }

    /// Takes a token of a key. Errors: as for [`TokenBucket::try_take`].
    pub fn try_take(&self, key: K, limit: RateLimit, now_ns: u64) -> Result<(), u64> {
        self.buckets
            .get_with(key, || Arc::new(TokenBucket::new()))
            .try_take(limit, now_ns)
    }

    /// Whether a token of a key is there, without taking it. Errors: as for [`TokenBucket::try_take`].
    pub fn peek(&self, key: &K, limit: RateLimit, now_ns: u64) -> Result<(), u64> {
        match self.buckets.get(key) {
            Some(bucket) => bucket.peek(limit, now_ns),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_empty_after_its_burst_and_says_when_to_come_back() {
        let limit = RateLimit::new(10, 3);
        let bucket = TokenBucket::new();
        for _ in 0..3 {
            assert_eq!(bucket.try_take(limit, 0), Ok(()));
        }
        assert_eq!(bucket.peek(limit, 0), Err(100));
        assert_eq!(bucket.try_take(limit, 0), Err(100));
        assert_eq!(bucket.try_take(limit, 99_999_999), Err(1));
        assert_eq!(bucket.try_take(limit, 100_000_000), Ok(()));
        assert_eq!(bucket.try_take(limit, 100_000_000), Err(100));
    }

    #[test]
    fn a_changed_limit_keeps_what_was_taken() {
        let bucket = TokenBucket::new();
        assert_eq!(bucket.try_take(RateLimit::new(1, 1), 0), Ok(()));
        assert!(bucket.try_take(RateLimit::new(1, 1), 0).is_err());
        assert_eq!(bucket.try_take(RateLimit::new(1, 2), 0), Ok(()));
    }

    #[test]
    fn keys_have_their_own_buckets() {
        let limiter = KeyedLimiter::new(100);
        let limit = RateLimit::new(1, 1);
        assert!(limiter.peek(&"a", limit, 0).is_ok());
        assert!(limiter.try_take("a", limit, 0).is_ok());
        assert!(limiter.try_take("a", limit, 0).is_err());
        assert!(limiter.try_take("b", limit, 0).is_ok());
    }
}
