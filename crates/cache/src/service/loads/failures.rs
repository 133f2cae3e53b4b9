//! Loads that failed, and for how long they are not tried again.

use std::collections::HashMap;
use std::sync::Arc;

use plinth_core::{Error, ErrorCode};

use crate::error::CacheError;
use crate::model::{Key, LOAD_ERROR_TTL_MS_MAX};

/// Most failed loads of one loader that are remembered.
const FAILURES_MAX: usize = 1_000;
/// How often the time of a failure is doubled at most.
const DOUBLINGS_MAX: u32 = 6;

/// Why a load failed, for everybody who waited for it.
#[derive(Clone, Debug)]
pub(in crate::service) struct LoadFailure {
    code: ErrorCode,
    message: Arc<str>,
    field: Option<Arc<str>>,
    retry_after_ms: Option<u64>,
    /// Whether it says something about the key, so that it is not tried again for a while.
    is_of_key: bool,
}

impl LoadFailure {
    pub(in crate::service) fn new(code: ErrorCode, message: &str) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            retry_after_ms: None,
            is_of_key: true,
        }
    }

    /// The load was not begun, for a reason that has nothing to do with its key.
    pub(super) fn unbegun(code: ErrorCode, message: &str) -> Self {
        Self {
            is_of_key: false,
            ..Self::new(code, message)
        }
    }

    pub(super) fn overloaded(message: &str) -> Self {
        Self::unbegun(ErrorCode::Overloaded, message)
    }

    /// The task of the load broke off.
    pub(super) fn broken() -> Self {
        Self::new(ErrorCode::CacheLoadFailed, "the load broke off")
    }

    pub(super) fn retry_after_ms(mut self, delay_ms: u64) -> Self {
        self.retry_after_ms = Some(delay_ms);
        self
    }

    pub(super) const fn is_of_key(&self) -> bool {
        self.is_of_key
    }
}

impl From<&Error> for LoadFailure {
    fn from(error: &Error) -> Self {
        let violation = error.violations().first();
        Self {
            code: error.code(),
            message: error.message().into(),
            field: violation.map(|violation| violation.field.as_str().into()),
            retry_after_ms: error.retry_after(),
            is_of_key: error.code() != ErrorCode::Overloaded,
        }
    }
}

impl From<CacheError> for LoadFailure {
    fn from(error: CacheError) -> Self {
        Self::from(&Error::from(error))
    }
}

impl From<LoadFailure> for Error {
    fn from(failure: LoadFailure) -> Self {
        let mut error = Self::new(failure.code, failure.message.as_ref());
        if let Some(field) = failure.field {
            error = error.with_violation(field.as_ref(), failure.message.as_ref());
        }
        match failure.retry_after_ms {
            Some(delay_ms) => error.retry_after_ms(delay_ms),
            None => error,
        }
    }
}

struct Remembered {
    failure: LoadFailure,
    until_ms: u64,
    /// How many failures stand one after the other.
    streak: u32,
}

/// The failures of one loader that are remembered: at most [`FAILURES_MAX`]. One more is not; the breaker still counts it.
#[derive(Default)]
pub(super) struct Failures(HashMap<Key, Remembered>);

impl Failures {
    /// The failure of a key that is not to be tried again yet.
    pub(super) fn find(&self, key: &Key, now_ms: u64) -> Option<LoadFailure> {
        let found = self.0.get(key)?;
        let left_ms = found
            .until_ms
            .checked_sub(now_ms)
            .filter(|left| *left > 0)?;
        Some(found.failure.clone().retry_after_ms(left_ms))
    }

    /// Remembers a failure: `first_ms` at first, twice as long with each further one, at least as long as the source asked
    /// for, at most [`LOAD_ERROR_TTL_MS_MAX`].
    pub(super) fn note(&mut self, key: Key, failure: LoadFailure, first_ms: u64, now_ms: u64) {
        if !self.0.contains_key(&key) && self.0.len() >= FAILURES_MAX {
            self.0.retain(|_, kept| kept.until_ms > now_ms);
            if self.0.len() >= FAILURES_MAX {
                return;
            }
        }
        // One that was long ago is no part of a row.
        let before = self
            .0
            .get(&key)
            .filter(|kept| kept.until_ms.saturating_add(LOAD_ERROR_TTL_MS_MAX) > now_ms);
        let streak = before.map_or(0, |kept| kept.streak.saturating_add(1));
        let lasting_ms = first_ms
            .saturating_mul(1 << streak.min(DOUBLINGS_MAX))
            .max(failure.retry_after_ms.unwrap_or(0))
            .min(LOAD_ERROR_TTL_MS_MAX);
        let kept = Remembered {
            failure,
            until_ms: now_ms.saturating_add(lasting_ms),
            streak,
        };
        self.0.insert(key, kept);
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::parse(name).expect("a key")
    }

    fn failure() -> LoadFailure {
        LoadFailure::new(ErrorCode::CacheLoadFailed, "away")
    }

    #[test]
    fn a_failure_is_remembered_twice_as_long_each_time_and_no_longer_than_the_limit() {
        let (mut failures, mut now_ms) = (Failures::default(), 1_000);
        for lasting_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            failures.note(key("k"), failure(), 1_000, now_ms);
            let found = failures.find(&key("k"), now_ms + lasting_ms - 1);
            assert_eq!(found.expect("is remembered").retry_after_ms, Some(1));
            now_ms += lasting_ms;
            assert!(failures.find(&key("k"), now_ms).is_none());
        }
        failures.note(key("k"), failure(), 1_000, now_ms + LOAD_ERROR_TTL_MS_MAX);
        let after = now_ms + LOAD_ERROR_TTL_MS_MAX + 1_000;
        assert!(
            failures.find(&key("k"), after).is_none(),
            "a new row begins"
        );
    }

    #[test]
    fn a_source_that_names_a_time_is_left_alone_so_long() {
        let mut failures = Failures::default();
        failures.note(key("k"), failure().retry_after_ms(5_000), 0, 0);
        assert!(failures.find(&key("k"), 4_999).is_some());
        assert!(failures.find(&key("k"), 5_000).is_none());
        failures.note(key("none"), failure(), 0, 0);
        assert!(failures.find(&key("none"), 0).is_none());
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let mut failures = Failures::default();
        for n in 0..FAILURES_MAX {
            failures.note(key(&n.to_string()), failure(), 1_000, 0);
        }
        failures.note(key("more"), failure(), 1_000, 0);
        assert!(failures.find(&key("more"), 0).is_none());
        failures.note(key("more"), failure(), 1_000, 1_000);
        assert!(failures.find(&key("more"), 1_000).is_some());
        assert_eq!(failures.0.len(), 1);
    }
}
