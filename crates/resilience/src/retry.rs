//! Again, with exponential backoff, full jitter and a budget.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plinth_core::{Error, Outcome, SharedClock};

/// How long to wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper end of the first wait, in milliseconds.
    pub first_ms: u64,
    /// Upper end of any wait, in milliseconds.
    pub max_ms: u64,
}

impl Backoff {
    /// The upper end of the wait after a failed attempt; the first attempt is number 1. Doubles with each.
    #[must_use]
    pub const fn ceiling_ms(&self, attempt: u32) -> u64 {
        let doublings = attempt.saturating_sub(1);
        if doublings >= 63 {
            return self.max_ms;
        }
        let ceiling = self.first_ms.saturating_mul(1 << doublings);
        if ceiling < self.max_ms {
            ceiling
        } else {
            self.max_ms
        }
    }

    /// The wait after a failed attempt by full jitter: anything from zero to the ceiling, so that callers who failed
    /// together do not return together (M. Brooker, "Exponential backoff and jitter", AWS, 2015).
    #[must_use]
    pub fn delay_ms(&self, attempt: u32, random: u64) -> u64 {
        match self.ceiling_ms(attempt).checked_add(1) {
            Some(span) => random % span,
            None => random,
        }
    }
}

/// A share of retries over attempts, so that retries cannot multiply the load of a backend that is down: each first attempt
/// puts a part of a token in, each retry takes a whole one out.
#[derive(Debug)]
pub struct RetryBudget {
    /// In hundredths of a token.
    balance: AtomicU64,
    deposit: u64,
    balance_max: u64,
}

impl RetryBudget {
    /// A budget of so many retries for each hundred first attempts, and `burst` retries in hand at the start and at most.
    #[must_use]
    pub const fn new(retries_per_hundred: u32, burst: u32) -> Self {
        let balance_max = burst as u64 * 100;
        Self {
            balance: AtomicU64::new(balance_max),
            deposit: retries_per_hundred as u64,
            balance_max,
        }
    }

    /// Notes a first attempt.
    pub fn deposit(&self) {
        self.change(|balance| Some((balance + self.deposit).min(self.balance_max)));
    }

    /// Takes a retry out of it; false where none is left.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        self.change(|balance| balance.checked_sub(100))
    }

    fn change(&self, step: impl Fn(u64) -> Option<u64>) -> bool {
        self.balance
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, step)
            .is_ok()
    }
}

/// What a failure means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after the backoff.
    Retry,
    /// Try again, but not before so many milliseconds.
    RetryAfterMs(u64),
    /// Another attempt would change nothing, or could do the work twice.
    Stop,
}

impl Verdict {
    /// Reads an error of the vocabulary. A failure whose effect is unknown is repeated only where that is harmless.
    #[must_use]
    pub fn of(error: &Error, idempotent: bool) -> Self {
        let harmless = idempotent || error.outcome() == Outcome::NotApplied;
        match error.retry_after() {
            _ if !error.is_retriable() || !harmless => Self::Stop,
            Some(delay_ms) => Self::RetryAfterMs(delay_ms),
            None => Self::Retry,
        }
    }
}

/// How often and how patiently to try.
#[derive(Clone)]
pub struct Retry {
    /// Most attempts, the first included.
    pub attempts_max: u32,
    /// How long to wait between them.
    pub backoff: Backoff,
    /// Longest time from the first attempt to the start of the last, in milliseconds.
    pub total_ms_max: u64,
    /// The budget that all users of one backend share.
    pub budget: Option<Arc<RetryBudget>>,
}

impl Retry {
    /// Tries until success, a verdict to stop, or the end of attempts, time or budget; returns the last error then.
    pub async fn run<T, E, Fut>(
        &self,
        clock: &SharedClock,
        verdict: impl Fn(&E) -> Verdict,
        mut attempt: impl FnMut(u32) -> Fut,
    ) -> Result<T, E>
    where
        Fut: Future<Output = Result<T, E>>,
    {
        let started_ms = clock.monotonic_ms();
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
        let mut number = 1;
        loop {
            let error = match attempt(number).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let delay_ms = self.backoff.delay_ms(number, rand::random());
            let delay_ms = match verdict(&error) {
                Verdict::Stop => return Err(error),
                Verdict::Retry => delay_ms,
                Verdict::RetryAfterMs(at_least_ms) => delay_ms.max(at_least_ms),
            };
            let at_ms = clock.monotonic_ms().saturating_add(delay_ms);
            let in_time = at_ms.saturating_sub(started_ms) <= self.total_ms_max;
            let paid = || self.budget.as_ref().is_none_or(|budget| budget.withdraw());
            if number >= self.attempts_max || !in_time || !paid() {
                return Err(error);
            }
            clock.sleep_until_monotonic(at_ms).await;
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plinth_core::{ErrorCode, ManualClock, TimestampMs};

    fn patient(budget: Option<Arc<RetryBudget>>) -> Retry {
        Retry {
            attempts_max: 4,
            backoff: Backoff {
                first_ms: 0,
                max_ms: 0,
            },
            total_ms_max: 1_000,
            budget,
        }
    }

    async fn attempts_until_give_up(retry: &Retry, code: ErrorCode) -> u32 {
        let clock: SharedClock = ManualClock::starting_at(TimestampMs(0));
        let mut attempts = 0;
        let result: Result<(), Error> = retry
            .run(
                &clock,
                |error| Verdict::of(error, false),
                |number| {
                    attempts = number;
                    async move { Err(Error::new(code, "no")) }
                },
            )
            .await;
        assert_eq!(result.expect_err("never succeeds").code(), code);
        attempts
    }

    #[tokio::test]
    async fn attempts_end_at_their_limit_and_bad_data_is_not_repeated() {
        assert_eq!(
            attempts_until_give_up(&patient(None), ErrorCode::DependencyUnavailable).await,
            4
        );
        assert_eq!(
            attempts_until_give_up(&patient(None), ErrorCode::InvalidArgument).await,
            1
        );
    }

    #[tokio::test]
    async fn a_spent_budget_ends_retries_for_all_who_share_it() {
        let retry = patient(Some(Arc::new(RetryBudget::new(10, 4))));
        assert_eq!(
            attempts_until_give_up(&retry, ErrorCode::DependencyUnavailable).await,
            4
        );
        assert_eq!(
            attempts_until_give_up(&retry, ErrorCode::DependencyUnavailable).await,
            2
        );
        assert_eq!(
            attempts_until_give_up(&retry, ErrorCode::DependencyUnavailable).await,
            1
        );
    }

    #[test]
    fn an_unknown_effect_is_repeated_only_where_harmless() {
        let error = Error::new(ErrorCode::DeadlineExceeded, "late").outcome_unknown();
        assert_eq!(Verdict::of(&error, false), Verdict::Stop);
        assert_eq!(Verdict::of(&error, true), Verdict::Retry);
        let error = Error::new(ErrorCode::RateLimited, "slow down").retry_after_ms(50);
        assert_eq!(Verdict::of(&error, false), Verdict::RetryAfterMs(50));
    }
}
