//! The query of a URL.

use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use http::request::Parts;
use plinth_core::{Error, Result};
use serde::de::DeserializeOwned;

use super::{cut, refuse_field};
use crate::problem::Problem;

/// Most parameters of one query.
const QUERY_PARAMETERS_MAX: usize = 64;

/// The parameters of the query. The type must carry `#[serde(deny_unknown_fields)]`.
///
/// Errors: 1001 naming the parameter that is unknown, repeated, malformed or missing.
#[derive(Clone, Debug)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self(parse(parts.uri.query().unwrap_or_default())?))
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T> {
    check_pairs(query)?;
    let deserializer =
        serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(deserializer)
        .map_err(|error| refuse_field(error.path(), &error.inner().to_string(), "query"))
}

/// The decoder is lenient: it repairs broken escapes and takes the last of repeated names. Both are refused here.
fn check_pairs(query: &str) -> Result<()> {
    let mut seen = BTreeSet::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)
            .ok_or_else(|| Error::invalid("query", "holds a name that is badly percent-encoded"))?;
        if decode(value).is_none() {
            return Err(Error::invalid(cut(&name), "is badly percent-encoded"));
        }
        if !seen.insert(name.clone()) {
            return Err(Error::invalid(cut(&name), "stands more than once"));
        }
        if seen.len() > QUERY_PARAMETERS_MAX {
            let rule = format!("holds more than {QUERY_PARAMETERS_MAX} parameters");
            return Err(Error::invalid("query", rule));
        }
    }
    Ok(())
}

/// Decodes one part strictly: each `%` begins two hexadecimal digits, and the bytes are UTF-8.
fn decode(text: &str) -> Option<String> {
    let escapes_are_whole = text.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let plain = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&plain)
        .decode_utf8()
        .ok()?;
    escapes_are_whole.then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Listing {
        limit: Option<i64>,
        cursor: Option<String>,
        verbose: Option<bool>,
    }

    fn check(query: &str, field: &str, message: &str) {
        let error = parse::<Listing>(query).expect_err(query);
        let violation = &error.violations()[0];
        assert_eq!(violation.field, field, "{query}");
        assert!(
            violation.message.contains(message),
            "{query}: {}",
            violation.message
        );
    }

    #[test]
    fn good_parameters_are_typed() {
        let listing: Listing = parse("limit=5&cursor=a%20b+c&verbose=true").expect("parses");
        assert_eq!(listing.limit, Some(5));
        assert_eq!(listing.cursor.as_deref(), Some("a b c"));
        assert_eq!(listing.verbose, Some(true));
        assert!(parse::<Listing>("").expect("parses").limit.is_none());
    }

    #[test]
    fn each_refusal_names_the_parameter() {
        check("limit=x", "limit", "invalid digit");
        check("limit=5&limit=6", "limit", "more than once");
        check("limt=5", "limt", "known here");
        check("cursor=%zz", "cursor", "percent-encoded");
        check("cursor=%ff", "cursor", "percent-encoded");
        check("cursor=%4", "cursor", "percent-encoded");
        check("%ff=1", "query", "percent-encoded");
        check("verbose=yes", "verbose", "");
        let many: Vec<String> = (0..=QUERY_PARAMETERS_MAX)
            .map(|n| format!("p{n}=1"))
            .collect();
        check(&many.join("&"), "query", "more than 64");
    }
}
