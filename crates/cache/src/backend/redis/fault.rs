//! What a failure of Redis is to a caller.

use plinth_core::Outcome;
use plinth_redis_link::{LinkError, Refusal};

use crate::error::{CacheError, EngineFault};

/// Whether a call changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reads,
    Writes,
}

/// Maps a failure. What only reads has no effect that could be unknown.
pub(super) fn fault(error: LinkError, kind: Kind) -> CacheError {
    let outcome = match kind {
        Kind::Reads => Outcome::NotApplied,
        Kind::Writes => error.outcome(),
    };
    let fault = match &error {
        LinkError::NotConnected { .. } | LinkError::Cut { .. } | LinkError::TimedOut { .. } => {
            EngineFault::Away
        }
        LinkError::Overloaded { .. } => EngineFault::Overloaded,
        LinkError::Refused { refusal, .. } => match refusal {
            Refusal::OutOfMemory => EngineFault::Full,
            Refusal::ReadOnly
            | Refusal::Loading
            | Refusal::ClusterDown
            | Refusal::Busy
            | Refusal::WritesDisabled => EngineFault::Unready,
            Refusal::NotAllowed | Refusal::NoScript | Refusal::Other => EngineFault::Failed,
        },
        LinkError::Unexpected { .. } => EngineFault::Failed,
    };
    CacheError::Engine {
        fault,
        outcome,
        cause: Box::new(error),
    }
}

/// An answer that cannot be read.
pub(super) fn unread(error: LinkError) -> CacheError {
    fault(error, Kind::Writes)
}

/// An answer that no script gives.
pub(super) fn strange(text: impl Into<String>) -> CacheError {
    unread(LinkError::Unexpected { text: text.into() })
}

#[cfg(test)]
mod tests {
    use plinth_core::{Error, ErrorCode};

    use super::*;

    #[test]
    fn each_failure_has_its_code_and_what_is_known_of_the_effect() {
        let refused = |refusal| LinkError::Refused {
            refusal,
            text: String::new(),
        };
        let away = || LinkError::NotConnected {
            reason: String::new(),
        };
        for (error, kind, code, outcome) in [
            (
                away(),
                Kind::Writes,
                ErrorCode::CacheConnection,
                Outcome::NotApplied,
            ),
            (
                LinkError::TimedOut { after_ms: 1 },
                Kind::Writes,
                ErrorCode::CacheConnection,
                Outcome::Unknown,
            ),
            (
                LinkError::TimedOut { after_ms: 1 },
                Kind::Reads,
                ErrorCode::CacheConnection,
                Outcome::NotApplied,
            ),
            (
                LinkError::Overloaded { in_flight_max: 1 },
                Kind::Writes,
                ErrorCode::Overloaded,
                Outcome::NotApplied,
            ),
            (
                refused(Refusal::OutOfMemory),
                Kind::Writes,
                ErrorCode::Overloaded,
                Outcome::NotApplied,
            ),
            (
                refused(Refusal::ReadOnly),
                Kind::Writes,
                ErrorCode::DependencyUnavailable,
                Outcome::NotApplied,
            ),
            (
                refused(Refusal::NotAllowed),
                Kind::Writes,
                ErrorCode::CacheOperation,
                Outcome::NotApplied,
            ),
        ] {
            let text = format!("{error:?}, {kind:?}");
            let error = Error::from(fault(error, kind));
            assert_eq!((error.code(), error.outcome()), (code, outcome), "{text}");
        }
    }
}
