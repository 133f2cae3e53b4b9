//! Errors on the HTTP edge: RFC 9457 problem details.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use plinth_core::{Error, ErrorCode, Outcome, TraceContext};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of an error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What a handler returns: the reply, or the problem that the caller is told.
pub type ApiResult<T> = Result<T, Problem>;

/// An error on its way out. It becomes bytes in one place, the outermost layer, which knows the trace id and logs
/// the cause of an internal error once.
#[derive(Debug)]
pub struct Problem {
    error: Error,
    status: StatusCode,
}

impl Problem {
    /// Takes an error with the status of its code.
    #[must_use]
    pub fn new(error: Error) -> Self {
        let status = StatusCode::from_u16(error.code().http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { error, status }
    }

    /// Takes an error with a status more precise than the one of its code: 405, 415.
    #[must_use]
    pub const fn with_status(error: Error, status: StatusCode) -> Self {
        Self { error, status }
    }

    /// The error.
    #[must_use]
    pub const fn error(&self) -> &Error {
        &self.error
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Completes the response that carries this problem, in the trace it belongs to.
    pub(crate) fn render(&self, trace: &TraceContext, response: &mut Response) {
        let body = ProblemBody::new(self, trace);
        // Text, numbers and maps of text always serialise; an empty body with the right status would still be true.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        *response.body_mut() = bytes.into();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(delay_ms) = self.error.retry_after() {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(delay_ms.div_ceil(1_000)),
            );
        }
        if self.error.code() == ErrorCode::Unauthenticated {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"plinth\""),
            );
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::new(error)
    }
}

/// The problem travels in the extensions up to the layer that renders it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

/// The body of an error (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Where the kind of problem is explained, relative to this server.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors#1001")]
    pub type_: String,
    /// What the code means in general.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 400)]
    pub status: u16,
    /// What went wrong this time and what to do.
    pub detail: String,
    /// The number of the error, the same on both transports.
    #[schema(example = 1001)]
    pub code: u16,
    /// The name of the number.
    #[schema(example = "INVALID_ARGUMENT")]
    pub reason: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// What is known of the effect: `not_applied` or `unknown`.
    #[schema(example = "not_applied")]
    pub outcome: String,
    /// The fields that were refused; absent where no field is to blame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemField>,
    /// Details that a program can read; absent where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Milliseconds after which to come back; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The trace under which the log tells more: 32 hexadecimal digits.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: String,
}

/// One field that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemField {
    /// Path of the field as the caller wrote it: `items[3].ttl_ms`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl ProblemBody {
    fn new(problem: &Problem, trace: &TraceContext) -> Self {
        let error = &problem.error;
        Self {
            type_: format!("/docs/errors#{}", error.code().number()),
            title: error.code().meaning().trim_end_matches('.').to_owned(),
            status: problem.status.as_u16(),
            detail: error.message().to_owned(),
            code: error.code().number(),
            reason: error.code().reason().to_owned(),
            retriable: error.is_retriable(),
            outcome: match error.outcome() {
                Outcome::NotApplied => "not_applied",
                Outcome::Unknown => "unknown",
            }
            .to_owned(),
            errors: error
                .violations()
                .iter()
                .map(|violation| ProblemField {
                    field: violation.field.clone(),
                    message: violation.message.clone(),
                })
                .collect(),
            details: error.details().clone(),
            retry_after_ms: error.retry_after(),
            trace_id: trace.trace_id_hex(),
        }
    }
}
