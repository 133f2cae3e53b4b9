//! Time as a handle, so that a block runs in simulation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// This instant moved by some milliseconds, stopping at the ends of the range.
    #[must_use]
    pub const fn plus_ms(self, delta_ms: i64) -> Self {
        Self(self.0.saturating_add(delta_ms))
    }
}

/// What time it is, and a way to wait for a later one.
///
/// Two clocks in one handle: the wall clock ([`Clock::now`]) dates records; the monotonic one
/// ([`Clock::monotonic_ms`]) measures durations and decides expiries inside one process, so that a jump of the wall
/// clock shortens nothing.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> TimestampMs;
    /// Milliseconds since a fixed instant of this process; never goes back.
    fn monotonic_ms(&self) -> u64;
    /// Nanoseconds on the same axis as [`Clock::monotonic_ms`], for latencies.
    fn monotonic_ns(&self) -> u64;
    /// Waits until the monotonic clock shows at least `at_ms`.
    async fn sleep_until_monotonic(&self, at_ms: u64);
}

/// A clock that many share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts the monotonic axis now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// A shared one.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> TimestampMs {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the handle through which the wall clock comes in"
        )]
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        TimestampMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    async fn sleep_until_monotonic(&self, at_ms: u64) {
        tokio::time::sleep_until((self.origin + Duration::from_millis(at_ms)).into()).await;
    }
}

/// A clock that stands still until it is told to move. For tests and simulation.
#[derive(Debug)]
pub struct ManualClock {
    state: tokio::sync::watch::Sender<ManualState>,
}

#[derive(Clone, Copy, Debug)]
struct ManualState {
    wall_ms: i64,
    monotonic_ms: u64,
}

impl ManualClock {
    /// Starts at a wall time, with the monotonic axis at zero.
    #[must_use]
    pub fn starting_at(wall: TimestampMs) -> Arc<Self> {
        let (state, _) = tokio::sync::watch::channel(ManualState {
            wall_ms: wall.0,
            monotonic_ms: 0,
        });
        Arc::new(Self { state })
    }

    /// Moves both clocks forward.
    pub fn advance_ms(&self, delta_ms: u64) {
        self.state.send_modify(|state| {
            state.monotonic_ms = state.monotonic_ms.saturating_add(delta_ms);
            state.wall_ms = state.wall_ms.saturating_add_unsigned(delta_ms);
        });
    }

    /// Makes the wall clock jump, forward or back; the monotonic one does not notice.
    pub fn jump_wall_ms(&self, delta_ms: i64) {
        self.state
            .send_modify(|state| state.wall_ms = state.wall_ms.saturating_add(delta_ms));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.state.borrow().wall_ms)
    }

    fn monotonic_ms(&self) -> u64 {
        self.state.borrow().monotonic_ms
    }

    fn monotonic_ns(&self) -> u64 {
        self.state.borrow().monotonic_ms.saturating_mul(1_000_000)
    }

    async fn sleep_until_monotonic(&self, at_ms: u64) {
        let mut receiver = self.state.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _closed = receiver
            .wait_for(|state| state.monotonic_ms >= at_ms)
            .await
            .is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_at_the_instant() {
        let clock = ManualClock::starting_at(TimestampMs(1_000));
        let sleeper = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move {
                clock.sleep_until_monotonic(5).await;
                clock.monotonic_ms()
            }
        });
        clock.advance_ms(4);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance_ms(1);
        assert_eq!(sleeper.await.expect("joins"), 5);
        assert_eq!(clock.now(), TimestampMs(1_005));
    }

    #[test]
    fn a_jump_of_the_wall_leaves_durations_alone() {
        let clock = ManualClock::starting_at(TimestampMs(10));
        clock.jump_wall_ms(-10);
        assert_eq!((clock.now().0, clock.monotonic_ms()), (0, 0));
    }
}
