//! Versions as entity tags: `ETag`, `If-Match`, `If-None-Match`.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use plinth_core::{Error, Result};

use crate::problem::Problem;

/// The entity tag of a version: `"42"`.
#[must_use]
pub fn version_tag(version: i64) -> HeaderValue {
    let mut tag = String::with_capacity(22);
    tag.push('"');
    tag.push_str(&version.to_string());
    tag.push('"');
    // Digits, a sign and quotes are always a valid header.
    HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// What a conditional header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionCondition {
    /// `*`: whichever version there is.
    Any,
    /// `"42"`: this version.
    Version(i64),
}

/// The conditional headers of a request.
///
/// Errors: 1001 naming the header where it is not `*` or one strong tag that this server made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`: go on only where the current version is this one.
    pub if_match: Option<VersionCondition>,
    /// `If-None-Match`: go on only where the current version is not this one (`*`: where there is none).
    pub if_none_match: Option<VersionCondition>,
}

impl Conditions {
    fn parse(headers: &HeaderMap) -> Result<Self> {
        Ok(Self {
            if_match: condition(headers, &header::IF_MATCH)?,
            if_none_match: condition(headers, &header::IF_NONE_MATCH)?,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self::parse(&parts.headers)?)
    }
}

fn condition(headers: &HeaderMap, name: &HeaderName) -> Result<Option<VersionCondition>> {
    let refusal = || Error::invalid(name.as_str(), "must be * or one quoted version: \"42\"");
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(refusal());
    }
    let text = value.to_str().map_err(|_| refusal())?.trim();
    if text == "*" {
        return Ok(Some(VersionCondition::Any));
    }
    let version = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(refusal)?;
    Ok(Some(VersionCondition::Version(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: HeaderName, text: &'static str) -> Result<Conditions> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(text));
        Conditions::parse(&headers)
    }

    #[test]
    fn tags_survive_and_foreign_ones_are_refused() {
        assert_eq!(version_tag(i64::MIN), "\"-9223372036854775808\"");
        let found = parse(header::IF_MATCH, "\"42\"").expect("parses");
        assert_eq!(found.if_match, Some(VersionCondition::Version(42)));
        let found = parse(header::IF_NONE_MATCH, "*").expect("parses");
        assert_eq!(found.if_none_match, Some(VersionCondition::Any));
        for bad in ["42", "W/\"42\"", "\"a\"", "\"1\", \"2\"", "", "\""] {
            assert!(parse(header::IF_MATCH, bad).is_err(), "{bad}");
        }
    }
}
