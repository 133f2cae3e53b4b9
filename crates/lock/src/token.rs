//! Fencing tokens: an epoch of the control database in the high bits, a counter of the backend in the low ones.
//!
//! The counter orders the grants of one backend. The epoch orders backends, restores and losses: whoever cannot be sure that
//! the counter was kept (a new file, another product, a new master) takes a higher epoch first.

use crate::error::LockError;

/// Bits of the counter: 1.1 × 10¹² grants in one epoch.
const COUNTER_BITS: u32 = 40;
/// The largest counter.
const COUNTER_MAX: i64 = (1 << COUNTER_BITS) - 1;
/// The largest epoch: 23 bits, so that a token stays positive.
pub const EPOCH_MAX: i64 = (1 << (63 - COUNTER_BITS)) - 1;

/// Where the tokens of a backend stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenState {
    /// The epoch.
    pub epoch: i64,
    /// Grants in this epoch.
    pub counter: i64,
}

impl TokenState {
    /// The state after the grant of a token.
    #[must_use]
    pub const fn of(token: i64) -> Self {
        Self {
            epoch: token >> COUNTER_BITS,
            counter: token & COUNTER_MAX,
        }
    }

    /// The state after an epoch was raised to at least `epoch`.
    #[must_use]
    pub fn at_least(self, epoch: i64) -> Self {
        if epoch > self.epoch {
            Self { epoch, counter: 0 }
        } else {
            self
        }
    }

    /// The state after one more grant. Errors: 1013 where the counter is used up; a restart takes a new epoch.
    pub fn next(self) -> Result<Self, LockError> {
        if self.counter >= COUNTER_MAX || !(0..=EPOCH_MAX).contains(&self.epoch) {
            return Err(LockError::TokensUsedUp);
        }
        Ok(Self {
            epoch: self.epoch,
            counter: self.counter + 1,
        })
    }

    /// The token of the latest grant.
    #[must_use]
    pub const fn token(self) -> i64 {
        (self.epoch << COUNTER_BITS) | self.counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_epoch_is_above_every_counter_of_a_lower_one() {
        let last = TokenState {
            epoch: 3,
            counter: COUNTER_MAX,
        };
        assert!(last.next().is_err());
        let first = last.at_least(4).next().expect("has room");
        assert!(first.token() > last.token());
        assert_eq!(last.at_least(3), last);
        assert_eq!(TokenState::of(last.token()), last);
        let highest = TokenState {
            epoch: EPOCH_MAX,
            counter: COUNTER_MAX,
        };
        assert_eq!(highest.token(), i64::MAX);
        let past = TokenState {
            epoch: EPOCH_MAX + 1,
            counter: 0,
        };
        assert!(past.next().is_err());
    }
}
