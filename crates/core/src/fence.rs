//! Fences: how a resource refuses the writes of a holder that lost its lock.
//!
//! A lock hands out a token with each grant, and tokens of one lock only grow. A write that is made under the lock carries
//! the lock's name and the token; the resource keeps the highest token it has seen for that name, together with the
//! data that it guards, and refuses a lower one. Source: M. Kleppmann, "How to do distributed locking" (2016).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::check_name;
use crate::limits;

/// The name of a fence: that of the lock whose grants it orders.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FenceName(std::sync::Arc<str>);

impl FenceName {
    /// Parses a name by the rule of names. Errors: 1001 naming `name`.
    pub fn parse(text: &str) -> Result<Self> {
        check_name("name", text, limits::NAME_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FenceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for FenceName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<FenceName> for String {
    fn from(name: FenceName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// The number of one grant of a lock: at least 1, higher than that of every grant before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FenceToken(i64);

impl FenceToken {
    /// Parses a number. Errors: 1001 naming `token`.
    pub fn parse(token: i64) -> Result<Self> {
        if token < 1 {
            return Err(Error::invalid(
                "token",
                format!("is {token}, must be at least 1"),
            ));
        }
        Ok(Self(token))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for FenceToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Under which grant of which lock a write is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The lock.
    pub name: FenceName,
    /// The grant.
    pub token: FenceToken,
}

impl Fence {
    /// Parses the two parts. Errors: 1001 naming `fence.name` or `fence.token`.
    pub fn parse(name: &str, token: i64) -> Result<Self> {
        let parts = || {
            Ok(Self {
                name: FenceName::parse(name)?,
                token: FenceToken::parse(token)?,
            })
        };
        parts().map_err(|error: Error| error.in_field("fence"))
    }

    /// Judges the fence against the highest token that its resource has seen. An equal token passes: one holder may
    /// write often.
    ///
    /// Errors: [`Fence::refusal`] where this token is lower.
    pub fn check(&self, highest: Option<FenceToken>) -> Result<()> {
        match highest {
            Some(highest) if self.token < highest => Err(self.refusal(highest)),
            _ => Ok(()),
        }
    }

    /// The refusal of a write under a grant that a later one has overtaken: code 1006 naming `fence.token`, with the
    /// highest token as the detail `highest_token`. No retry helps: the lock is lost.
    #[must_use]
    pub fn refusal(&self, highest: FenceToken) -> Error {
        let message = format!(
            "{} is below {highest}, the highest token seen for {}: the lock was granted again",
            self.token, self.name
        );
        Error::precondition(format!("fence.token: {message}"))
            .with_violation("fence.token", message)
            .with_detail("highest_token", highest.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn a_fence_names_its_bad_part() {
        let longest = "a".repeat(limits::NAME_BYTES_MAX);
        let too_long = format!("{longest}a");
        for (name, token, field) in [
            ("", 1, "fence.name"),
            (too_long.as_str(), 1, "fence.name"),
            ("review", 0, "fence.token"),
        ] {
            let error = Fence::parse(name, token).expect_err("refused");
            assert_eq!(error.violations()[0].field, field);
        }
        assert!(Fence::parse(&longest, i64::MAX).is_ok());
    }

    #[test]
    fn only_a_lower_token_is_refused() {
        let fence = Fence::parse("review", 7).expect("parses");
        let token = |number| FenceToken::parse(number).expect("a token");
        assert!(fence.check(None).is_ok());
        assert!(fence.check(Some(token(6))).is_ok());
        assert!(fence.check(Some(token(7))).is_ok());
        let refusal = fence.check(Some(token(8))).expect_err("refused");
        assert_eq!(refusal.code(), ErrorCode::PreconditionFailed);
        assert_eq!(refusal.violations()[0].field, "fence.token");
        assert_eq!(refusal.details()["highest_token"], "8");
        assert!(!refusal.is_retriable());
    }
}
