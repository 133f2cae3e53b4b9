//! For how long a clock of another machine has agreed with the monotonic clock of this process.

use parking_lot::Mutex;

use crate::machine::Now;

/// The largest jump that is not noticed, in milliseconds. By so much may a lease fall short on a backend whose clock is not
/// this process's own.
pub(crate) const JUMP_MS_MAX: i64 = 20;
/// How fast two good clocks may drift apart: one part in so many.
const DRIFT_PARTS: i64 = 1_000;

/// What was seen of the other clock.
#[derive(Default)]
pub(crate) struct Trust(Mutex<Option<Agreed>>);

/// The other clock is ahead of ours by something between these, since when we watch it.
#[derive(Clone, Copy)]
struct Agreed {
    since_ms: i64,
    seen_ms: i64,
    low_ms: i64,
    high_ms: i64,
}

impl Trust {
    /// Takes note that the other clock showed `at_ms` at some instant between two of the monotonic clock.
    pub(crate) fn observe(&self, before_ms: u64, at_ms: i64, after_ms: u64) -> Now {
        let as_signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let (before_ms, after_ms) = (as_signed(before_ms), as_signed(after_ms));
        // Both clocks cut off parts of a millisecond.
        let low_ms = at_ms.saturating_sub(after_ms).saturating_sub(1);
        let high_ms = at_ms.saturating_sub(before_ms).saturating_add(1);
        let mut agreed = self.0.lock();
        let kept = match *agreed {
            Some(known) => known.narrowed(low_ms, high_ms, after_ms),
            None => None,
        };
        let agreed = agreed.insert(kept.unwrap_or(Agreed {
            since_ms: before_ms,
            seen_ms: after_ms,
            low_ms,
            high_ms,
        }));
        Now {
            at: at_ms,
            trusted_ms: before_ms.saturating_sub(agreed.since_ms).max(0),
        }
    }
}

impl Agreed {
    /// The same after another look; `None` where the other clock jumped.
    fn narrowed(self, low_ms: i64, high_ms: i64, after_ms: i64) -> Option<Self> {
        let drift_ms = after_ms.saturating_sub(self.seen_ms).max(0) / DRIFT_PARTS + 1;
        let own_low = self.low_ms.saturating_sub(drift_ms);
        let own_high = self.high_ms.saturating_add(drift_ms);
        let jumped_forward = low_ms > own_high.saturating_add(JUMP_MS_MAX);
        let jumped_back = high_ms < own_low.saturating_sub(JUMP_MS_MAX);
        if jumped_forward || jumped_back {
            return None;
        }
        let (mut low, mut high) = (own_low.max(low_ms), own_high.min(high_ms));
        if low > high {
            // It moved a little: what was just seen holds.
            (low, high) = (low_ms, high_ms);
        }
        Some(Self {
            low_ms: low,
            high_ms: high,
            seen_ms: self.seen_ms.max(after_ms),
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_grows_with_agreement_and_begins_anew_with_a_jump() {
        let trust = Trust::default();
        // (before, at, after, trusted)
        let looks = [
            (1_000, 900_000, 1_004, 0),
            (2_000, 901_001, 2_003, 1_000),
            // A slow answer says little, but nothing against.
            (3_000, 902_000, 9_000, 2_000),
            (10_000, 909_001, 10_002, 9_000),
            // An hour slewed at 500 parts in a million.
            (3_610_000, 4_510_800, 3_610_003, 3_609_000),
            // Within the tolerance.
            (3_611_000, 4_511_815, 3_611_003, 3_610_000),
            // A jump forward, and trust again.
            (3_612_000, 4_513_000, 3_612_002, 0),
            (3_613_000, 4_514_000, 3_613_002, 1_000),
            // A jump back.
            (3_614_000, 4_500_000, 3_614_002, 0),
        ];
        for (before, at, after, trusted_ms) in looks {
            let now = trust.observe(before, at, after);
            assert_eq!(now, Now { at, trusted_ms }, "at {before}");
        }
    }
}
