//! How many at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// All places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {permits_max} places of {name} are taken")]
pub struct BulkheadFull {
    /// Which bulkhead.
    pub name: &'static str,
    /// How many places it has.
    pub permits_max: usize,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct BulkheadPermit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A named limit on how many may be inside at once. Waiting for a place is bounded in time.
#[derive(Debug)]
pub struct Bulkhead {
    name: &'static str,
    permits_max: usize,
    wait: Duration,
    permits: Arc<Semaphore>,
}

impl Bulkhead {
    /// Names it, with its number of places (at least 1) and how long to wait for one.
    #[must_use]
    pub fn new(name: &'static str, permits_max: usize, wait_ms: u64) -> Self {
        let permits_max = permits_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            name,
            permits_max,
            wait: Duration::from_millis(wait_ms),
            permits: Arc::new(Semaphore::new(permits_max)),
        }
    }

    /// Takes a place, waiting for one as long as the bulkhead allows. Errors: none became free.
    pub async fn acquire(&self) -> Result<BulkheadPermit, BulkheadFull> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => return Ok(BulkheadPermit(permit)),
            Err(TryAcquireError::Closed) => return Err(self.full()),
            Err(TryAcquireError::NoPermits) if self.wait.is_zero() => return Err(self.full()),
            Err(TryAcquireError::NoPermits) => {}
        }
        let waiting = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(self.wait, waiting).await {
            Ok(Ok(permit)) => Ok(BulkheadPermit(permit)),
            Ok(Err(_)) | Err(_) => Err(self.full()),
        }
    }

    const fn full(&self) -> BulkheadFull {
        BulkheadFull {
            name: self.name,
            permits_max: self.permits_max,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many places are taken now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.permits_max
            .saturating_sub(self.permits.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_place_is_given_and_one_past_it_refused() {
        let bulkhead = Bulkhead::new("cache", 2, 0);
        let first = bulkhead.acquire().await.expect("first place");
        let _second = bulkhead.acquire().await.expect("second place");
        let full = bulkhead.acquire().await.expect_err("is full");
        assert_eq!(full.to_string(), "all 2 places of cache are taken");
        assert_eq!(bulkhead.in_use(), 2);
        drop(first);
        assert!(bulkhead.acquire().await.is_ok());
    }

    #[tokio::test]
    async fn waiting_for_a_place_ends_in_time() {
        let bulkhead = Bulkhead::new("cache", 1, 1);
        let _held = bulkhead.acquire().await.expect("first place");
        assert!(bulkhead.acquire().await.is_err());
    }

    #[tokio::test]
    async fn a_place_that_becomes_free_in_time_is_taken() {
        let bulkhead = Arc::new(Bulkhead::new("cache", 1, 60_000));
        let held = bulkhead.acquire().await.expect("first place");
        let waiting = tokio::spawn({
            let bulkhead = Arc::clone(&bulkhead);
            async move { bulkhead.acquire().await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waiting.await.expect("joins"));
    }
}
