//! Paging by cursor.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

/// How many rows a page may hold: 1 to [`limits::PAGE_LIMIT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit(u32);

impl PageLimit {
    /// Parses a caller's number; `None` takes the default. Errors: 1001 naming `limit`.
    pub fn parse(limit: Option<i64>) -> Result<Self> {
        let Some(limit) = limit else {
            return Ok(Self(limits::PAGE_LIMIT_DEFAULT));
        };
        match u32::try_from(limit) {
            Ok(limit @ 1..=limits::PAGE_LIMIT_MAX) => Ok(Self(limit)),
            _ => Err(Error::invalid(
                "limit",
                format!("is {limit}, must lie in 1..={}", limits::PAGE_LIMIT_MAX),
            )),
        }
    }

    /// The number of rows.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// An opaque place in a listing. What it holds is the business of whoever made it; callers hand it back unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// Encodes a place as URL-safe text.
    ///
    /// Errors: 1013 where the place cannot be serialised.
    pub fn encode(place: &impl Serialize) -> Result<Self> {
        use base64::Engine as _;
        let json = serde_json::to_vec(place).map_err(Error::internal)?;
        Ok(Self(
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json),
        ))
    }

    /// Decodes a place that [`Cursor::encode`] made. Errors: 1001 naming `cursor`.
    pub fn decode<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T> {
        use base64::Engine as _;
        let refusal = || Error::invalid("cursor", "is not one that this listing returned");
        if text.len() > limits::CURSOR_BYTES_MAX {
            return Err(refusal());
        }
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| refusal())?;
        serde_json::from_slice(&json).map_err(|_| refusal())
    }

    /// The text on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows, in the listing's order.
    pub items: Vec<T>,
    /// Where the next page begins; absent at the end.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_cursors_refuse_what_they_did_not_make() {
        assert!(PageLimit::parse(Some(1_000)).is_ok());
        assert!(PageLimit::parse(Some(1_001)).is_err());
        assert!(PageLimit::parse(Some(0)).is_err());
        assert!(PageLimit::parse(Some(-1)).is_err());
        let cursor = Cursor::encode(&(7_i64, "a")).expect("encodes");
        assert_eq!(
            Cursor::decode::<(i64, String)>(cursor.as_str()).expect("decodes"),
            (7, "a".to_owned())
        );
        assert!(Cursor::decode::<(i64, String)>("%%%").is_err());
        assert!(Cursor::decode::<(i64, String)>(&"A".repeat(2_000)).is_err());
    }
}
