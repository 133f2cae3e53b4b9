//! Tags in a header: `Plinth-Tags: hall:7, city:%E6%9D%AD`, on a request and on an answer.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use plinth_cache::model::{TAGS_MAX, Tags};
use plinth_core::{Error, Result};

use crate::problem::Problem;

/// The header with the tags of a value: separated by commas, each percent-encoded where it holds a comma, a `%`, a space at
/// an end, or something beyond ASCII.
pub(super) const TAGS: HeaderName = HeaderName::from_static("plinth-tags");
/// What a tag cannot show as it is.
const ESCAPED: &AsciiSet = &CONTROLS.add(b',').add(b'%').add(b' ');

/// The tags that a request names.
pub(super) struct ApiTags(pub(super) Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for ApiTags {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(&TAGS).iter();
        let Some(value) = values.next() else {
            return Ok(Self(Vec::new()));
        };
        if values.next().is_some() {
            return Err(Error::invalid(TAGS.as_str(), "stands more than once").into());
        }
        Ok(Self(parse(value)?))
    }
}

fn parse(value: &HeaderValue) -> Result<Vec<String>> {
    let text = value.to_str().map_err(|_| {
        Error::invalid(
            TAGS.as_str(),
            "must be visible ASCII; percent-encode the rest",
        )
    })?;
    // One more than allowed is kept, so that the model refuses their number.
    let parts = text.split(',').take(TAGS_MAX + 1).enumerate();
    parts
        .map(|(index, part)| {
            let decoded = percent_decode_str(part.trim()).decode_utf8();
            decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
                Error::invalid(format!("tags[{index}]"), "is not UTF-8, percent-encoded")
            })
        })
        .collect()
}

/// The header of an answer; `None` where there are no tags.
pub(super) fn tags_header(tags: &Tags) -> Option<HeaderValue> {
    if tags.is_empty() {
        return None;
    }
    let parts = tags.as_slice().iter();
    let parts = parts.map(|tag| utf8_percent_encode(tag.as_str(), ESCAPED).to_string());
    HeaderValue::try_from(parts.collect::<Vec<_>>().join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_the_header() {
        let names = ["100%", "a,b", " lead", "hall:7", "杭州"];
        let tags = Tags::parse(&names).expect("tags");
        let header = tags_header(&tags).expect("a header");
        let mut read = parse(&header).expect("reads");
        read.sort();
        let mut names = names.map(str::to_owned).to_vec();
        names.sort();
        assert_eq!(read, names);
        assert!(tags_header(&Tags::default()).is_none());
    }

    #[test]
    fn a_bad_tag_is_named() {
        for (text, field) in [("a, %ff", "tags[1]"), ("caf\u{e9}", "plinth-tags")] {
            let value = HeaderValue::from_bytes(text.as_bytes()).expect("a header");
            let error = parse(&value).expect_err(text);
            assert_eq!(error.violations()[0].field, field);
        }
        let many = HeaderValue::from_str(&"t,".repeat(TAGS_MAX * 2)).expect("a header");
        assert_eq!(parse(&many).expect("parts").len(), TAGS_MAX + 1);
    }
}
