//! What a failure of Redis is to the lock block.

use plinth_core::{Error, ErrorCode, Outcome};
use plinth_redis_link::{LinkError, Refusal};

/// How long a caller should wait before it comes back to a Redis that is overloaded or full, in milliseconds.
const RETRY_AFTER_MS: u64 = 500;

/// The failure of a change: 1012 where Redis is away or takes none, 1009 where it is full or overloaded.
pub(super) fn fault(cause: LinkError) -> Error {
    let told = match &cause {
        LinkError::Overloaded { .. } => overloaded("too many commands wait for Redis"),
        LinkError::Refused {
            refusal: Refusal::OutOfMemory,
            ..
        } => overloaded("the memory of Redis is full"),
        LinkError::Refused {
            refusal: Refusal::NoScript | Refusal::Other,
            ..
        }
        | LinkError::Unexpected { .. } => Error::internal("Redis answered what it should not"),
        LinkError::Refused { .. } | LinkError::NotConnected { .. } => {
            Error::new(ErrorCode::DependencyUnavailable, cause.to_string())
        }
        LinkError::TimedOut { .. } | LinkError::Cut { .. } => {
            Error::new(ErrorCode::DependencyUnavailable, cause.to_string())
        }
    };
    let outcome = cause.outcome();
    let told = told.with_source(cause);
    match outcome {
        Outcome::NotApplied => told,
        Outcome::Unknown => told.outcome_unknown(),
    }
}

/// The failure of a look, which changes nothing.
pub(super) fn read(cause: LinkError) -> Error {
    super::without_effect(fault(cause))
}

fn overloaded(why: &str) -> Error {
    Error::new(ErrorCode::Overloaded, format!("{why}; come back later"))
        .retry_after_ms(RETRY_AFTER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_code_and_what_is_known_of_the_effect() {
        let refused = |refusal| LinkError::Refused {
            refusal,
            text: String::new(),
        };
        let late = || LinkError::TimedOut { after_ms: 1 };
        let (away, full) = (ErrorCode::DependencyUnavailable, ErrorCode::Overloaded);
        for (error, code, outcome) in [
            (fault(late()), away, Outcome::Unknown),
            (read(late()), away, Outcome::NotApplied),
            (fault(refused(Refusal::ReadOnly)), away, Outcome::NotApplied),
            (
                fault(refused(Refusal::NotAllowed)),
                away,
                Outcome::NotApplied,
            ),
            (
                fault(refused(Refusal::OutOfMemory)),
                full,
                Outcome::NotApplied,
            ),
            (
                fault(refused(Refusal::Other)),
                ErrorCode::Internal,
                Outcome::NotApplied,
            ),
            (
                fault(LinkError::Overloaded { in_flight_max: 1 }),
                full,
                Outcome::NotApplied,
            ),
        ] {
            assert_eq!((error.code(), error.outcome()), (code, outcome), "{error}");
        }
    }
}
