//! Patterns over operation ids and resource names.

use std::fmt;
use std::sync::Arc;

use plinth_core::{Error, Result};

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Most stars of a pattern: bounds the work of one match.
pub const PATTERN_STARS_MAX: usize = 8;

/// A text in which `*` stands for any run of characters, the empty one included. Everything else stands for itself, case
/// included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Parses 1 to [`PATTERN_BYTES_MAX`] visible ASCII characters with at most [`PATTERN_STARS_MAX`] stars. Errors: 1001
    /// naming `pattern`.
    pub fn parse(text: &str) -> Result<Self> {
        let good_length = (1..=PATTERN_BYTES_MAX).contains(&text.len());
        if !good_length || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid(
                "pattern",
                format!("must be 1 to {PATTERN_BYTES_MAX} visible ASCII characters"),
            ));
        }
        if text.bytes().filter(|byte| *byte == b'*').count() > PATTERN_STARS_MAX {
            return Err(Error::invalid(
                "pattern",
                format!("may hold at most {PATTERN_STARS_MAX} stars"),
            ));
        }
        Ok(Self(text.into()))
    }

    /// A pattern that stands in the source of this crate.
    pub(super) fn literal(text: &'static str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `*` alone.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        &*self.0 == "*"
    }

    /// Whether a text fits. A star in the *text* is a character that only a star of the pattern takes, so the name `*`
    /// ("all of a kind") needs a pattern that really takes all of it.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes())
    }

    /// Whether every text that fits the other fits this one too. Sound, not complete: a star of the other must meet a star
    /// of this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Matches greedily and goes back to the last star only, which is enough for this language: O(pattern × text).
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                last_star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(wanted) if wanted == byte => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((star_pattern, star_text)) = last_star else {
                    return false;
                };
                last_star = Some((star_pattern, star_text + 1));
                at_pattern = star_pattern + 1;
                at_text = star_text + 1;
            }
        }
    }
    pattern
        .get(at_pattern..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_described() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "cache/*", true),
            ("cache.*", "cache.get", true),
            ("cache.*", "cache", false),
            ("cache.get", "cache.get", true),
            ("cache.get", "cache.get2", false),
            ("cache/orders.*", "cache/orders.eu", true),
            ("cache/orders.*", "cache/*", false),
            ("cache/*", "cache/*", true),
            ("*.list_*", "queue.list_queues", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("**", "x", true),
        ] {
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn patterns_are_bounded_at_the_limit_and_one_past_it() {
        assert!(Pattern::parse(&"a".repeat(PATTERN_BYTES_MAX)).is_ok());
        assert!(Pattern::parse(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
        assert!(Pattern::parse(&"*".repeat(PATTERN_STARS_MAX)).is_ok());
        assert!(Pattern::parse(&"*".repeat(PATTERN_STARS_MAX + 1)).is_err());
        assert!(Pattern::parse("").is_err());
        assert!(Pattern::parse("a b").is_err());
    }
}
