//! Not at all for a while, after too many failures (M. Nygard, "Release It!", circuit breaker).
//!
//! ```text
//!            failure rate over the window reaches the limit
//!   closed ────────────────────────────────────────────────► open
//!     ▲                                                        │ open time passes
//!     │ all trial calls succeed                                ▼
//!     └──────────────────────────────────────────────────── half-open ──► open again on one failure
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use plinth_core::{Error, ErrorCode, SharedClock};
use serde::{Deserialize, Serialize};

/// Most calls that a window may hold.
pub const WINDOW_CALLS_MAX: u32 = 10_000;

/// When to open and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// How many of the last calls are looked at; 1 to [`WINDOW_CALLS_MAX`].
    pub window_calls: u32,
    /// Fewest calls in the window before the rate counts; at least 1.
    pub calls_min: u32,
    /// Share of failures that opens, in percent.
    pub failure_percent: u32,
    /// How long to stay open, in milliseconds.
    pub open_ms: u64,
    /// How many trial calls must succeed before it closes; at least 1.
    pub trial_calls: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window_calls: 100,
            calls_min: 10,
            failure_percent: 50,
            open_ms: 5_000,
            trial_calls: 3,
        }
    }
}

/// The state that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// Calls are refused.
    Open,
    /// A few trial calls go through.
    HalfOpen,
}

/// A call that was let in. It counts only for the period in which it began: a late result of an earlier period says nothing
/// about now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    period: u64,
}

/// Calls are refused for so many milliseconds more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFor(pub u64);

#[derive(Clone, Copy, Debug)]
enum Mode {
    Closed,
    Open { until_ms: u64 },
    HalfOpen { begun: u32, succeeded: u32 },
}

/// The state machine. Pure: time and rules come in as arguments.
#[derive(Debug)]
pub struct BreakerMachine {
    mode: Mode,
    period: u64,
    window: VecDeque<bool>,
    failures: u32,
}

impl Default for BreakerMachine {
    fn default() -> Self {
        Self {
            mode: Mode::Closed,
            period: 0,
            window: VecDeque::new(),
            failures: 0,
        }
    }
}

impl BreakerMachine {
    /// Lets a call in. Errors: open, or all trial calls are under way.
    pub fn admit(&mut self, config: &BreakerConfig, now_ms: u64) -> Result<Ticket, OpenFor> {
        if let Mode::Open { until_ms } = self.mode {
            if now_ms < until_ms {
                return Err(OpenFor(until_ms - now_ms));
            }
            self.enter(Mode::HalfOpen {
                begun: 0,
                succeeded: 0,
            });
        }
        if let Mode::HalfOpen { begun, .. } = &mut self.mode {
            if *begun >= config.trial_calls.max(1) {
                return Err(OpenFor(1));
            }
            *begun += 1;
        }
        Ok(Ticket {
            period: self.period,
        })
    }

    /// Notes how a call ended.
    pub fn record(&mut self, config: &BreakerConfig, now_ms: u64, ticket: Ticket, success: bool) {
        if ticket.period != self.period {
            return;
        }
        match &mut self.mode {
            Mode::Closed => {
                self.push(config, success);
                if self.is_over_the_limit(config) {
                    self.open(config, now_ms);
                }
            }
            Mode::HalfOpen { .. } if !success => self.open(config, now_ms),
            Mode::HalfOpen { succeeded, .. } => {
                *succeeded += 1;
                if *succeeded >= config.trial_calls.max(1) {
                    self.enter(Mode::Closed);
                }
            }
            Mode::Open { .. } => {}
        }
    }

    /// Notes that a call was given up: it says nothing, but its trial place is free again.
    pub fn abandon(&mut self, ticket: Ticket) {
        if let (Mode::HalfOpen { begun, .. }, true) = (&mut self.mode, ticket.period == self.period)
        {
            *begun = begun.saturating_sub(1);
        }
    }

    /// The state at a time.
    #[must_use]
    pub const fn state(&self, now_ms: u64) -> BreakerState {
        match self.mode {
            Mode::Closed => BreakerState::Closed,
            Mode::Open { until_ms } if now_ms < until_ms => BreakerState::Open,
            Mode::Open { .. } | Mode::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn push(&mut self, config: &BreakerConfig, success: bool) {
        self.window.push_back(success);
        self.failures += u32::from(!success);
        let window_calls = config.window_calls.clamp(1, WINDOW_CALLS_MAX) as usize;
        while self.window.len() > window_calls {
            let oldest_failed = self.window.pop_front() == Some(false);
            self.failures -= u32::from(oldest_failed);
        }
    }

    fn is_over_the_limit(&self, config: &BreakerConfig) -> bool {
        let calls = self.window.len() as u64;
        // A minimum past the window could never be reached and would switch the breaker off unseen.
        let calls_min = config
            .calls_min
            .clamp(1, config.window_calls.clamp(1, WINDOW_CALLS_MAX));
        calls >= u64::from(calls_min)
            && u64::from(self.failures) * 100 >= calls * u64::from(config.failure_percent)
            && self.failures > 0
    }

    fn open(&mut self, config: &BreakerConfig, now_ms: u64) {
        self.enter(Mode::Open {
            until_ms: now_ms.saturating_add(config.open_ms),
        });
    }

    fn enter(&mut self, mode: Mode) {
        self.mode = mode;
        self.period = self.period.wrapping_add(1);
        self.window.clear();
        self.failures = 0;
    }
}

/// Why a guarded call has no result.
#[derive(Debug, thiserror::Error)]
pub enum BreakerError<E> {
    /// It was not made: the breaker is open.
    #[error("{name} failed too often; it is tried again in {retry_after_ms} ms")]
    Open {
        /// Which breaker.
        name: Arc<str>,
        /// When to come back, in milliseconds.
        retry_after_ms: u64,
    },
    /// It was made and failed.
    #[error(transparent)]
    Failed(E),
}

impl<E: Into<Error>> From<BreakerError<E>> for Error {
    fn from(error: BreakerError<E>) -> Self {
        match error {
            BreakerError::Open { retry_after_ms, .. } => {
                Self::new(ErrorCode::DependencyUnavailable, error.open_message())
                    .retry_after_ms(retry_after_ms)
            }
            BreakerError::Failed(error) => error.into(),
        }
    }
}

impl<E> BreakerError<E> {
    fn open_message(&self) -> String {
        match self {
            Self::Open { name, .. } => {
                format!("{name} failed too often and is left alone for a while")
            }
            Self::Failed(_) => String::new(),
        }
    }
}

/// A breaker around one backend. Rules are replaced while it works; counts and state stay.
pub struct Breaker {
    name: Arc<str>,
    clock: SharedClock,
    config: ArcSwap<BreakerConfig>,
    machine: Mutex<BreakerMachine>,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(name: &str, config: BreakerConfig, clock: SharedClock) -> Self {
        Self {
            name: name.into(),
            clock,
            config: ArcSwap::from_pointee(config),
            machine: Mutex::new(BreakerMachine::default()),
        }
    }

    /// Replaces the rules.
    pub fn configure(&self, config: BreakerConfig) {
        self.config.store(Arc::new(config));
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.machine.lock().state(self.clock.monotonic_ms())
    }

    /// Makes a call, unless open. Only errors of which `is_failure` says so count against the backend: a refused request
    /// says nothing about its health. A call whose future is dropped counts for nothing.
    ///
    /// Errors: [`BreakerError`].
    pub async fn call<T, E>(
        &self,
        is_failure: impl FnOnce(&E) -> bool,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, BreakerError<E>> {
        let admitted = self
            .machine
            .lock()
            .admit(&self.config.load(), self.clock.monotonic_ms());
        let ticket = admitted.map_err(|OpenFor(retry_after_ms)| BreakerError::Open {
            name: Arc::clone(&self.name),
            retry_after_ms,
        })?;
        let mut place = TrialPlace {
            breaker: self,
            ticket: Some(ticket),
        };
        let result = call.await;
        let success = result.as_ref().err().is_none_or(|error| !is_failure(error));
        place.settle(success);
        result.map_err(BreakerError::Failed)
    }
}

/// Gives the trial place back when the call is dropped before its end.
struct TrialPlace<'a> {
    breaker: &'a Breaker,
    ticket: Option<Ticket>,
}

impl TrialPlace<'_> {
    fn settle(&mut self, success: bool) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.machine.lock().record(
                &self.breaker.config.load(),
                self.breaker.clock.monotonic_ms(),
                ticket,
                success,
            );
        }
    }
}

impl Drop for TrialPlace<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.machine.lock().abandon(ticket);
        }
    }
}
