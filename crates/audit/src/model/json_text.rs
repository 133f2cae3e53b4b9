//! A JSON value as its canonical text.

use std::collections::BTreeMap;

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::DETAILS_DEPTH_MAX;

/// A JSON value as text, from the caller to the leaf and back, so that no number loses a digit.
///
/// The record holds its canonical form: no white space, keys sorted by their bytes, strings escaped no more than they
/// must be, numbers as they were written. Of a key that stands twice the last value counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// Takes a caller's text, which need not be canonical. Errors: 1001 naming the field where it is no JSON.
    pub fn parse(field: &str, text: String) -> Result<Self> {
        RawValue::from_string(text)
            .map(Self)
            .map_err(|error| Error::invalid(field, format!("is not JSON: {error}")))
    }

    /// The canonical form. Errors: 1001 naming the field where it nests too deep or a string is no Unicode.
    pub fn canonical(&self, field: &str) -> Result<Self> {
        let mut canonical = String::with_capacity(self.0.get().len());
        write_canonical(&self.0, 1, &mut canonical).map_err(|fault| fault.into_error(field))?;
        RawValue::from_string(canonical)
            .map(Self)
            .map_err(Error::internal)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for JsonText {}

enum Fault {
    Json(serde_json::Error),
    TooDeep,
}

impl Fault {
    fn into_error(self, field: &str) -> Error {
        match self {
            Self::Json(error) => Error::invalid(field, format!("is not JSON: {error}")),
            Self::TooDeep => {
                Error::invalid(field, format!("nests deeper than {DETAILS_DEPTH_MAX}"))
            }
        }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

fn write_canonical(raw: &RawValue, depth: usize, to: &mut String) -> Result<(), Fault> {
    let text = raw.get();
    if depth > DETAILS_DEPTH_MAX {
        return Err(Fault::TooDeep);
    }
    match text.bytes().next() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            to.push('{');
            for (place, (key, value)) in members.into_iter().enumerate() {
                push_comma(place, to);
                to.push_str(&serde_json::to_string(&key)?);
                to.push(':');
                write_canonical(value, depth + 1, to)?;
            }
            to.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            to.push('[');
            for (place, value) in items.into_iter().enumerate() {
                push_comma(place, to);
                write_canonical(value, depth + 1, to)?;
            }
            to.push(']');
        }
        Some(b'"') => {
            let string: String = serde_json::from_str(text)?;
            to.push_str(&serde_json::to_string(&string)?);
        }
        _ => to.push_str(text),
    }
    Ok(())
}

fn push_comma(place: usize, to: &mut String) {
    if place > 0 {
        to.push(',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_of(text: &str) -> Result<JsonText> {
        JsonText::parse("details", text.to_owned())?.canonical("details")
    }

    #[test]
    fn the_canonical_form_sorts_keys_and_keeps_numbers() {
        let text =
            r#" {"b": [1.10, 12345678901234567890123, -0e+2], "a": "\u5ba1\/\n", "a2": {} } "#;
        let canonical = canonical_of(text).expect("parses");
        assert_eq!(
            canonical.as_str(),
            r#"{"a":"审/\n","a2":{},"b":[1.10,12345678901234567890123,-0e+2]}"#
        );
        assert_eq!(canonical_of(canonical.as_str()).expect("parses"), canonical);
    }

    #[test]
    fn depth_and_form_are_checked_at_the_limit_and_one_past_it() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(canonical_of(&nested(DETAILS_DEPTH_MAX)).is_ok());
        for bad in [
            nested(DETAILS_DEPTH_MAX + 1),
            nested(100_000),
            "{".to_owned(),
            String::new(),
            r#""\ud800""#.to_owned(),
            "1 2".to_owned(),
        ] {
            let error = canonical_of(&bad).expect_err("refused");
            assert_eq!(error.violations()[0].field, "details");
        }
    }
}
