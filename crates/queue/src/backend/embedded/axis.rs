//! The engine's time axis: wall time at the start of the process, plus what the monotonic clock has counted since.
//!
//! Delays, leases and expiries are stored on this axis. Inside a process a jump of the wall clock moves none of them;
//! across a restart they stand by the wall.

use plinth_core::{SharedClock, TimestampMs};

/// One instant on both axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// On the engine's axis, in milliseconds.
    pub(super) at: i64,
    /// By the wall.
    pub(super) wall: TimestampMs,
}

impl Now {
    /// What the wall shows, or showed, at another instant of the axis.
    pub(super) fn wall_of(self, at: i64) -> i64 {
        self.wall.0.saturating_add(at.saturating_sub(self.at))
    }
}

pub(super) struct Axis {
    clock: SharedClock,
    /// Wall time at monotonic zero.
    base: i64,
}

impl Axis {
    pub(super) fn new(clock: SharedClock) -> Self {
        let elapsed = i64::try_from(clock.monotonic_ms()).unwrap_or(i64::MAX);
        Self {
            base: clock.now().0.saturating_sub(elapsed),
            clock,
        }
    }

    pub(super) fn now(&self) -> Now {
        let elapsed = i64::try_from(self.clock.monotonic_ms()).unwrap_or(i64::MAX);
        Now {
            at: self.base.saturating_add(elapsed),
            wall: self.clock.now(),
        }
    }

    /// Waits for an instant of the axis.
    pub(super) async fn sleep_until(&self, at: i64) {
        let monotonic = u64::try_from(at.saturating_sub(self.base)).unwrap_or(0);
        self.clock.sleep_until_monotonic(monotonic).await;
    }
}
