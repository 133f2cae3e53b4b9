//! Histories of concurrent operations, and whether one order explains them.
//!
//! A test records what its clients asked and were told ([`Recorder`]), over real ports, and asks [`check_by_key`] whether
//! the answers of each key could have come from one copy that does one thing at a time, in an order that respects real
//! time (linearizability: Herlihy & Wing, ACM TOPLAS 1990). An operation whose end is unknown may take effect at any time
//! after it was asked for, or never.
//!
//! ```
//! use plinth_testkit::linear::{Bounds, Register, RegisterOp, RegisterReply, Recorder, check_by_key};
//!
//! let recorder = Recorder::default();
//! let set = RegisterOp::Set { value: 7, when: Default::default() };
//! recorder.begin(1, "key", set).answered(RegisterReply::Stored(10));
//! recorder.begin(2, "key", RegisterOp::Get).answered(RegisterReply::Value(Some((7, 10))));
//! let proof = check_by_key(&Register, recorder.into_history(), Bounds::default()).unwrap();
//! assert_eq!((proof.keys, proof.operations), (1, 2));
//! ```

mod check;
mod counter;
mod history;
mod lock;
mod register;

pub use check::{Bounds, Model, OperationOf, Proof, Refuted, Verdict, Window, check, check_by_key};
pub use counter::{Counter, CounterOp, CounterReply};
pub use history::{Ended, Operation, Recorder, Underway};
pub use lock::{Lock, LockOp, LockReply, LockState};
pub use register::{Register, RegisterOp, RegisterReply, RegisterState, When};

/// The length of a run, where `PLINTH_LINEAR_OPERATIONS` sets one.
///
/// # Panics
///
/// Where it is no number.
#[must_use]
pub fn operations() -> Option<u64> {
    from_environment("PLINTH_LINEAR_OPERATIONS")
}

/// The seed of a run that is to be repeated, where `PLINTH_LINEAR_SEED` names it.
///
/// # Panics
///
/// Where it is no number.
#[must_use]
pub fn seed() -> Option<u64> {
    from_environment("PLINTH_LINEAR_SEED")
}

#[expect(
    clippy::panic,
    reason = "a test that was asked for something else must not run"
)]
fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is no number")))
}

/// A number that an operation of unknown end was given: it shows in a later answer, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    /// It was seen in an answer.
    Known(i64),
    /// All that is known is that it lies above those before it.
    AboveFloor,
}

impl Told {
    /// Whether it can be this number, where `floor` is the highest of those before it.
    fn may_be(self, number: i64, floor: i64) -> bool {
        match self {
            Self::Known(known) => known == number,
            Self::AboveFloor => number > floor,
        }
    }
}
