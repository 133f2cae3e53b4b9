//! Text that must not be seen.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

/// A secret: no `Debug`, no `Display`, no `Serialize`; wiped when dropped.
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Shows the text to the code that must have it. Every call site is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A URL that may hold a password, in its authority or in its query, which is never shown: `Debug` and `Serialize` write `***`
/// in its place.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct SecretUrl(Zeroizing<String>);

impl SecretUrl {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Whether no URL is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Shows the whole text to the code that must have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text without what stands before the host and behind a `?`.
    #[must_use]
    pub fn shown(&self) -> String {
        let text = self.0.as_str();
        let (begin, rest) = match (text.split_once("://"), text.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, rest))) => (format!("{scheme}://***@"), rest),
            _ => (String::new(), text),
        };
        match rest.split_once('?') {
            Some((place, _)) => format!("{begin}{place}?***"),
            None => format!("{begin}{rest}"),
        }
    }
}

impl From<String> for SecretUrl {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_url_that_may_be_a_password_is_shown() {
        for (url, shown) in [
            ("", ""),
            ("postgres://host/plinth", "postgres://host/plinth"),
            (
                "postgres://me:hush@host/plinth",
                "postgres://***@host/plinth",
            ),
            ("mysql://me:hu@sh@host:1/db", "mysql://***@host:1/db"),
            ("postgres://host/db?password=hush", "postgres://host/db?***"),
            ("redis://me:hu?sh@host", "redis://***@host"),
        ] {
            let url = SecretUrl::new(url);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_value(&url).expect("a text"), shown);
        }
    }
}
