//! A key of the cache: a value with a version that only grows, stored and deleted under conditions.

use super::Told;
use super::check::{Model, Window};
use super::history::Operation;

/// When a value is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// In any case.
    #[default]
    Always,
    /// Where there is none.
    Absent,
    /// Where there is one.
    Present,
    /// Where this version is stored.
    Version(i64),
}

/// What is asked of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOp {
    /// Read.
    Get,
    /// Store.
    Set {
        /// The value.
        value: u64,
        /// The condition.
        when: When,
    },
    /// Delete, under a version where one is named.
    Delete {
        /// The version that must be stored.
        version: Option<i64>,
    },
    /// Everything was lost, as by a restart of an engine without disk. Its answer is [`RegisterReply::Done`].
    Lose,
}

/// What a register answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterReply {
    /// The value and its version.
    Value(Option<(u64, i64)>),
    /// Stored under this version.
    Stored(i64),
    /// Deleted, if there was one.
    Deleted {
        /// Whether there was one.
        existed: bool,
    },
    /// The condition did not hold.
    Refused,
    /// It was done.
    Done,
}

/// What is stored, and the highest version that was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RegisterState {
    stored: Option<(u64, Told)>,
    floor: i64,
}

impl RegisterState {
    /// The same, where the stored version proves to be this one.
    fn at_version(self, version: i64) -> Option<Self> {
        let (value, told) = self.stored?;
        told.may_be(version, self.floor).then_some(Self {
            stored: Some((value, Told::Known(version))),
            floor: self.floor.max(version),
        })
    }

    /// Whether the stored version may be another one.
    fn may_differ(self, version: i64) -> bool {
        self.stored
            .is_none_or(|(_, told)| told != Told::Known(version))
    }

    /// The same, where the condition holds.
    fn under(self, when: When) -> Option<Self> {
        match when {
            When::Always => Some(self),
            When::Absent => self.stored.is_none().then_some(self),
            When::Present => self.stored.is_some().then_some(self),
            When::Version(version) => self.at_version(version),
        }
    }

    /// The same, where the condition may not hold.
    fn against(self, when: When) -> Option<Self> {
        let refused = match when {
            When::Always => false,
            When::Absent => self.stored.is_some(),
            When::Present => self.stored.is_none(),
            When::Version(version) => self.may_differ(version),
        };
        refused.then_some(self)
    }

    fn with(self, value: u64, told: Told) -> Option<Self> {
        let floor = match told {
            Told::Known(version) if version <= self.floor => return None,
            Told::Known(version) => version,
            Told::AboveFloor => self.floor,
        };
        Some(Self {
            stored: Some((value, told)),
            floor,
        })
    }

    fn empty(self) -> Self {
        Self {
            stored: None,
            ..self
        }
    }
}

/// The model. A version is higher than every earlier one of the key, also over a delete and over a loss.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register;

impl Model for Register {
    type Input = RegisterOp;
    type Output = RegisterReply;
    type State = RegisterState;

    fn initial(&self) -> RegisterState {
        RegisterState::default()
    }

    fn step(
        &self,
        state: &RegisterState,
        operation: &Operation<RegisterOp, RegisterReply>,
        _at: Window,
    ) -> Option<RegisterState> {
        use RegisterReply::{Deleted, Done, Refused, Stored, Value};
        match (operation.input, operation.output().copied()) {
            (RegisterOp::Get, None) => Some(*state),
            (RegisterOp::Get, Some(Value(None))) => state.stored.is_none().then_some(*state),
            (RegisterOp::Get, Some(Value(Some((value, version))))) => state
                .at_version(version)
                .filter(|seen| seen.stored.is_some_and(|(stored, _)| stored == value)),
            (RegisterOp::Set { value, when }, None) => {
                state.under(when)?.with(value, Told::AboveFloor)
            }
            (RegisterOp::Set { value, when }, Some(Stored(version))) => {
                state.under(when)?.with(value, Told::Known(version))
            }
            (RegisterOp::Set { when, .. }, Some(Refused)) => state.against(when),
            (RegisterOp::Delete { version }, None) => {
                let when = version.map_or(When::Present, When::Version);
                state.under(when).map(RegisterState::empty)
            }
            (RegisterOp::Delete { version }, Some(Deleted { existed: true })) => {
                let when = version.map_or(When::Present, When::Version);
                state.under(when).map(RegisterState::empty)
            }
            (RegisterOp::Delete { version: None }, Some(Deleted { existed: false })) => {
                state.under(When::Absent)
            }
            (
                RegisterOp::Delete {
                    version: Some(version),
                },
                Some(Refused),
            ) => state.against(When::Version(version)),
            (RegisterOp::Lose, None | Some(Done)) => Some(state.empty()),
            _ => None,
        }
    }
}
