//! A counter.

use super::check::{Model, Window};
use super::history::Operation;

/// What is asked of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterOp {
    /// Read.
    Get,
    /// Add, and read the sum. A sum that does not fit is refused.
    Add(i64),
    /// Store.
    Set(i64),
}

/// What a counter answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterReply {
    /// The number now.
    Now(i64),
    /// The sum does not fit.
    Refused,
}

/// The model: it begins at 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter;

impl Model for Counter {
    type Input = CounterOp;
    type Output = CounterReply;
    type State = i64;

    fn initial(&self) -> i64 {
        0
    }

    fn step(
        &self,
        state: &i64,
        operation: &Operation<CounterOp, CounterReply>,
        _at: Window,
    ) -> Option<i64> {
        let next = match operation.input {
            CounterOp::Get => Some(*state),
            CounterOp::Add(by) => state.checked_add(by),
            CounterOp::Set(to) => Some(to),
        };
        match operation.output() {
            None => next,
            Some(CounterReply::Now(seen)) => next.filter(|next| next == seen),
            Some(CounterReply::Refused) => next.is_none().then_some(*state),
        }
    }
}
