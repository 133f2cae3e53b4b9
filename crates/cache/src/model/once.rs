//! Changes that are made once, however often they are asked for.

use plinth_core::access::IdempotencyScope;

use super::change::{Changed, Stored};

/// How long the answer to an idempotency key is kept, in milliseconds.
pub const ONCE_MS: u64 = 10 * 60 * 1_000;

/// An idempotency key of a caller. It names one change of its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Who sent it, for which operation: principal, operation, key.
    pub id: String,
    /// SHA-256 of the request.
    pub fingerprint: [u8; 32],
    /// What a value that is stored in place of an append tells: its bytes.
    pub length: Option<u64>,
}

impl From<IdempotencyScope> for Once {
    fn from(scope: IdempotencyScope) -> Self {
        // Ids of principals and names of operations hold no blank.
        let (principal, operation) = (scope.principal.as_str(), scope.operation);
        Self {
            id: format!("{principal} {operation} {}", scope.key),
            fingerprint: scope.fingerprint,
            length: None,
        }
    }
}

/// The first answer to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstAnswer {
    pub(crate) stored: Stored,
    pub(crate) told: Told,
}

/// What it tells beside version and expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Number(i64),
    Length(u64),
}

impl Once {
    /// What is kept of an answer; `None` of one that is not to a change that a key names.
    pub(crate) const fn keeps(&self, changed: &Changed) -> Option<FirstAnswer> {
        let (stored, told) = match (changed, self.length) {
            (Changed::Counted { number, stored }, _) => (*stored, Told::Number(*number)),
            (Changed::Appended { length, stored }, _) => (*stored, Told::Length(*length)),
            (Changed::Stored(stored), Some(length)) => (*stored, Told::Length(length)),
            _ => return None,
        };
        Some(FirstAnswer { stored, told })
    }
}

impl From<FirstAnswer> for Changed {
    fn from(answer: FirstAnswer) -> Self {
        let stored = answer.stored;
        match answer.told {
            Told::Number(number) => Self::Counted { number, stored },
            Told::Length(length) => Self::Appended { length, stored },
        }
    }
}
