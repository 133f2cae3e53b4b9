//! Guard rails around every call that leaves the process or could overload it.
//!
//! - [`limiter`]: how often (token bucket by GCRA), per key in a bounded table.
//! - [`bulkhead`]: how many at once.
//! - [`retry`]: again, with exponential backoff, full jitter and a budget.
//! - [`breaker`]: not at all for a while, after too many failures.
//! - [`soon`]: no longer than so long, at no cost for what is there at once.
//! - [`health`]: what state the instance and its parts are in.
//!
//! Each is a small state machine whose time and randomness come in as arguments, with a thin shell around it. Rules can be
//! replaced while they work; counts and states stay.

pub mod breaker;
pub mod bulkhead;
pub mod health;
pub mod limiter;
pub mod retry;
mod soon;

pub use breaker::{Breaker, BreakerConfig, BreakerError, BreakerState};
pub use bulkhead::{Bulkhead, BulkheadFull, BulkheadPermit};
pub use health::{
    Component, ComponentHealth, ComponentStatus, HealthRegistry, HealthSnapshot, OverallStatus,
};
pub use limiter::{KeyedLimiter, RateLimit, TokenBucket};
pub use retry::{Backoff, Retry, RetryBudget, Verdict};
pub use soon::{soon, soon_until};
