//! When a call is made again.

use std::time::Duration;

use rand::Rng as _;

use crate::error::Result;

/// The longest pause that a server may ask for, in milliseconds. Whoever is told to wait longer decides himself.
pub(crate) const RETRY_AFTER_MS_MAX: u64 = 30_000;

/// Whether a call may be made twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A read, or a mutation under an idempotency key.
    Safe,
    /// A second call could have a second effect.
    Never,
}

/// Exponential backoff with full jitter, bounded in number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most attempts, the first included; 1 switches retries off.
    pub attempts_max: u32,
    /// Upper bound of the first pause, in milliseconds; it doubles with each attempt.
    pub pause_ms_initial: u64,
    /// Upper bound of every pause, in milliseconds.
    pub pause_ms_max: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            pause_ms_initial: 50,
            pause_ms_max: 2_000,
        }
    }
}

impl RetryPolicy {
    pub(crate) async fn run<T, F, Fut>(&self, repeat: Repeat, mut call: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut attempt = 1;
        loop {
            let error = match call().await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let spent = repeat == Repeat::Never || attempt >= self.attempts_max;
            if spent || !error.retriable {
                return Err(error);
            }
            let asked_ms = error.retry_after_ms.unwrap_or(0);
            if asked_ms > RETRY_AFTER_MS_MAX {
                return Err(error);
            }
            let pause_ms = self.pause_ms(attempt).max(asked_ms);
            tracing::debug!(attempt, pause_ms, %error, "call is repeated");
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            attempt += 1;
        }
    }

    /// A random pause below the bound of this attempt.
    pub(crate) fn pause_ms(&self, attempt: u32) -> u64 {
        let doubled = self.pause_ms_initial.saturating_mul(
            1_u64
                .checked_shl(attempt.saturating_sub(1))
                .unwrap_or(u64::MAX),
        );
        rand::rng().random_range(0..=doubled.min(self.pause_ms_max))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use plinth_core::{ErrorCode, Outcome};

    use super::*;
    use crate::error::ClientError;

    async fn attempts(repeat: Repeat, code: ErrorCode) -> u32 {
        attempts_told(repeat, code, None).await
    }

    async fn attempts_told(repeat: Repeat, code: ErrorCode, after_ms: Option<u64>) -> u32 {
        let policy = RetryPolicy {
            attempts_max: 3,
            pause_ms_initial: 0,
            pause_ms_max: 0,
        };
        let made = Cell::new(0);
        let result: Result<()> = policy
            .run(repeat, || {
                made.set(made.get() + 1);
                async {
                    Err(ClientError {
                        outcome: Outcome::Unknown,
                        retry_after_ms: after_ms,
                        ..ClientError::own(code, "no")
                    })
                }
            })
            .await;
        assert!(result.is_err());
        made.get()
    }

    #[tokio::test]
    async fn only_safe_calls_with_retriable_failures_are_repeated() {
        assert_eq!(
            attempts(Repeat::Safe, ErrorCode::DependencyUnavailable).await,
            3
        );
        assert_eq!(attempts(Repeat::Safe, ErrorCode::InvalidArgument).await, 1);
        assert_eq!(
            attempts(Repeat::Never, ErrorCode::DependencyUnavailable).await,
            1
        );
    }

    #[tokio::test]
    async fn a_pause_that_is_too_long_is_left_to_the_caller() {
        let away = ErrorCode::DependencyUnavailable;
        assert_eq!(attempts_told(Repeat::Safe, away, Some(1)).await, 3);
        let long = Some(RETRY_AFTER_MS_MAX + 1);
        assert_eq!(attempts_told(Repeat::Safe, away, long).await, 1);
    }

    #[test]
    fn pauses_stay_below_their_bound() {
        let policy = RetryPolicy::default();
        for attempt in [1, 2, 10, 64, 65, u32::MAX] {
            assert!(policy.pause_ms(attempt) <= policy.pause_ms_max);
        }
        assert!(policy.pause_ms(1) <= policy.pause_ms_initial);
    }
}
