//! A JSON body, in and out.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use plinth_core::{Error, Result, limits};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::{BodyLimits, read_body};
use super::{cut, refuse_field};
use crate::problem::Problem;

/// Most values of one JSON body: objects, lists, texts, numbers together. Keeps a body of the largest size from
/// unfolding to many times its size in memory.
const JSON_VALUES_MAX: usize = 4 * limits::ELEMENTS_MAX;
/// Largest body of a request that may wait, in bytes: what it holds through its wait is counted by no budget.
pub(crate) const WAITING_BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body: as an argument it is read and checked, as a reply it is written.
///
/// The type must carry `#[serde(deny_unknown_fields)]`. Errors: 1001 with status 415 for another content type, 1001
/// naming the path of the field that is wrong, 1007 past a size limit.
#[derive(Clone, Debug)]
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let (_, bytes) = read_body(request).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// The JSON body of a request that may wait: small, and out of the budget of the bodies before the wait begins.
#[derive(Clone, Debug)]
pub struct WaitingJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for WaitingJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let limits = request.extensions().get::<BodyLimits>().cloned();
        let (_, bytes) = read_body(request).await?;
        if bytes.len() > WAITING_BODY_BYTES_MAX {
            let rule = format!(
                "has more than {WAITING_BODY_BYTES_MAX} bytes, which no request that waits needs"
            );
            return Err(Error::too_large("body", rule).into());
        }
        let value = parse(&bytes)?;
        if let Some(limits) = limits {
            limits.give_back();
        }
        Ok(Self(value))
    }
}

impl<T: Serialize> IntoResponse for ApiJson<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                let json = HeaderValue::from_static("application/json");
                ([(header::CONTENT_TYPE, json)], bytes).into_response()
            }
            Err(error) => Problem::from(Error::internal(error).outcome_unknown()).into_response(),
        }
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .map(|text| text.trim().to_ascii_lowercase())
        .unwrap_or_default();
    if essence == "application/json" {
        return Ok(());
    }
    let error = Error::invalid("content-type", "must be application/json");
    Err(Problem::with_status(
        error,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
    ))
}

/// Parses a body. Errors: 1001 naming the path of the field, 1007 past the limits of shape.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Error::invalid(
            "body",
            format!("is not UTF-8 at byte {}", error.valid_up_to()),
        )
    })?;
    check_shape(text)?;
    // Every request is an object; serde would also take a list of the fields in their order.
    if text.trim_ascii_start().starts_with('[') {
        return Err(Error::invalid("body", "must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| refusal(&error))?;
    match deserializer.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(Error::invalid(
            "body",
            format!("goes on after its end: {error}"),
        )),
    }
}

fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let inner = error.inner();
    let message = inner.to_string();
    if !inner.is_data() {
        return Error::invalid("body", format!("is not JSON: {}", cut(&message)));
    }
    // serde_json appends where in the text it stood; the path of the field says it better.
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(words, _)| words);
    refuse_field(error.path(), message, "body")
}

/// Counts nesting and values before any memory is spent on them.
fn check_shape(text: &str) -> Result<()> {
    let (mut depth, mut values) = (0_usize, 1_usize);
    let (mut in_text, mut escaped) = (false, false);
    for byte in text.bytes() {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (true, _) => {}
            (false, b'{' | b'[') => {
                depth += 1;
                values += 1;
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (false, b',') => values += 1,
            (false, _) => {}
        }
        if depth > limits::NESTING_DEPTH_MAX {
            let rule = format!("is nested deeper than {}", limits::NESTING_DEPTH_MAX);
            return Err(Error::invalid("body", rule));
        }
        if values > JSON_VALUES_MAX {
            let rule = format!("holds more than {JSON_VALUES_MAX} values");
            return Err(Error::too_large("body", rule));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the shape matters")]
    struct Batch {
        items: Vec<Item>,
        note: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the shape matters")]
    struct Item {
        key: String,
        ttl_ms: Option<i64>,
    }

    fn check(body: &str, field: &str, message: &str) {
        let error = parse::<Batch>(body.as_bytes()).expect_err(body);
        let violation = &error.violations()[0];
        assert_eq!(violation.field, field, "{body}");
        assert!(
            violation.message.contains(message),
            "{body}: {}",
            violation.message
        );
    }

    #[test]
    fn each_refusal_names_the_field() {
        check("", "body", "is not JSON");
        check("{", "body", "is not JSON");
        check("[]", "body", "must be a JSON object");
        check("7", "body", "invalid type");
        check("{}", "items", "is required");
        check(r#"{"items":[]} x"#, "body", "goes on after its end");
        check(r#"{"items":{}}"#, "items", "invalid type");
        check(
            r#"{"items":[{"key":"a"},{}]}"#,
            "items[1].key",
            "is required",
        );
        check(
            r#"{"items":[{"key":"a","ttl_ms":"x"}]}"#,
            "items[0].ttl_ms",
            "invalid type",
        );
        check(
            r#"{"items":[{"key":"a","tll_ms":1}]}"#,
            "items[0].tll_ms",
            "known here: `key` or `ttl_ms`",
        );
        check(r#"{"items":[],"items":[]}"#, "items", "more than once");
        assert!(parse::<Batch>(b"{\"items\":[],\"note\":\"\xff\"}").is_err());
    }

    #[test]
    fn depth_and_values_are_refused_one_past_the_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check_shape(&nested(limits::NESTING_DEPTH_MAX)).is_ok());
        assert!(check_shape(&nested(limits::NESTING_DEPTH_MAX + 1)).is_err());
        // The outer list and its first element make two values, each comma one more.
        let list = |commas: usize| format!("[1{}]", ",1".repeat(commas));
        assert!(check_shape(&list(JSON_VALUES_MAX - 2)).is_ok());
        assert!(check_shape(&list(JSON_VALUES_MAX - 1)).is_err());
        assert!(check_shape(r#""[[[[\"[[""#).is_ok());
    }
}
