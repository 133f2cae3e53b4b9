//! A lock with leases and fencing tokens.
//!
//! A lease begins at its grant. Neither clock tells when that was, but the order that is tried does: not before the
//! latest invocation among the grant and what came before it. So until that instant plus the lease nobody else may be granted
//! the lock, and its holder may not be told that it is lost; later both are possible.

use super::Told;
use super::check::{Model, Window};
use super::history::Operation;

/// Nanoseconds of a millisecond.
const NS_PER_MS: u64 = 1_000_000;

/// What is asked of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOp {
    /// Take it for so long.
    Acquire {
        /// The lease, in milliseconds.
        lease_ms: u64,
    },
    /// Hold it for so long from now.
    Renew {
        /// The token of the grant.
        token: i64,
        /// The lease, in milliseconds.
        lease_ms: u64,
    },
    /// Give it back.
    Release {
        /// The token of the grant.
        token: i64,
    },
    /// Tell the holder's token.
    Inspect,
    /// Every holder was lost, as by an engine that came back empty. Its answer is [`LockReply::Done`].
    Lose,
}

/// What a lock answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockReply {
    /// It is the caller's, under this token.
    Granted(i64),
    /// Somebody holds it.
    Busy,
    /// Renewed, or given back.
    Done,
    /// The token does not hold it, or no more.
    NotHeld,
    /// The holder's token.
    Holder(Option<i64>),
}

/// The holder, and the highest token that was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LockState {
    /// The token, and the earliest instant at which the lease can have ended.
    held: Option<(Told, u64)>,
    floor: i64,
}

impl LockState {
    /// The same, where the holder's token proves to be this one.
    fn held_by(self, token: i64) -> Option<(Self, u64)> {
        let (told, until_ns) = self.held?;
        let known = Self {
            held: Some((Told::Known(token), until_ns)),
            floor: self.floor.max(token),
        };
        told.may_be(token, self.floor).then_some((known, until_ns))
    }

    /// The same without holder, where there may be none at this instant.
    fn freed(self, at: Window) -> Option<Self> {
        (at.latest_ns >= self.until_ns()).then_some(self.released())
    }

    /// The earliest instant at which nobody may hold it.
    fn until_ns(self) -> u64 {
        self.held.map_or(0, |(_, until_ns)| until_ns)
    }

    fn released(self) -> Self {
        Self { held: None, ..self }
    }

    /// The same, where this token may not hold it.
    fn without(self, token: i64, at: Window) -> Option<Self> {
        let another = self
            .held
            .is_some_and(|(told, _)| told != Told::Known(token));
        if another {
            return Some(self);
        }
        self.freed(at)
    }
}

/// The model: one holder at a time, tokens that strictly grow, no lease cut short.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lock {
    /// By how much a lease may fall short, in milliseconds: the tolerance that the backend states for its clocks.
    pub tolerance_ms: u64,
}

impl Lock {
    fn until_ns(self, at: Window, lease_ms: u64) -> u64 {
        let lease_ns = lease_ms
            .saturating_sub(self.tolerance_ms)
            .saturating_mul(NS_PER_MS);
        at.earliest_ns.saturating_add(lease_ns)
    }

    fn grant(self, state: LockState, lease_ms: u64, told: Told, at: Window) -> Option<LockState> {
        let free = state.freed(at)?;
        // After a lease that ended by itself the next one begins no earlier than that.
        let at = Window {
            earliest_ns: at.earliest_ns.max(state.until_ns()),
            ..at
        };
        let floor = match told {
            Told::Known(token) if token <= free.floor => return None,
            Told::Known(token) => token,
            Told::AboveFloor => free.floor,
        };
        Some(LockState {
            held: Some((told, self.until_ns(at, lease_ms))),
            floor,
        })
    }

    fn renew(self, state: LockState, token: i64, lease_ms: u64, at: Window) -> Option<LockState> {
        // Also where that shortens it: the holder asked for it.
        let (state, _) = state.held_by(token)?;
        Some(LockState {
            held: Some((Told::Known(token), self.until_ns(at, lease_ms))),
            ..state
        })
    }
}

impl Model for Lock {
    type Input = LockOp;
    type Output = LockReply;
    type State = LockState;

    fn initial(&self) -> LockState {
        LockState::default()
    }

    fn step(
        &self,
        state: &LockState,
        operation: &Operation<LockOp, LockReply>,
        at: Window,
    ) -> Option<LockState> {
        let state = *state;
        match (operation.input, operation.output().copied()) {
            (LockOp::Acquire { lease_ms }, None) => {
                self.grant(state, lease_ms, Told::AboveFloor, at)
            }
            (LockOp::Acquire { lease_ms }, Some(LockReply::Granted(token))) => {
                self.grant(state, lease_ms, Told::Known(token), at)
            }
            (LockOp::Acquire { .. }, Some(LockReply::Busy)) => state.held.map(|_| state),
            (LockOp::Renew { token, lease_ms }, None | Some(LockReply::Done)) => {
                self.renew(state, token, lease_ms, at)
            }
            (LockOp::Release { token }, None | Some(LockReply::Done)) => {
                state.held_by(token).map(|(state, _)| state.released())
            }
            (LockOp::Renew { token, .. } | LockOp::Release { token }, Some(LockReply::NotHeld)) => {
                state.without(token, at)
            }
            (LockOp::Inspect, None) => Some(state),
            (LockOp::Inspect, Some(LockReply::Holder(Some(token)))) => {
                state.held_by(token).map(|(state, _)| state)
            }
            (LockOp::Inspect, Some(LockReply::Holder(None))) => state.freed(at),
            (LockOp::Lose, None | Some(LockReply::Done)) => Some(state.released()),
            _ => None,
        }
    }
}
