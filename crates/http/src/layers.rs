//! What surrounds every request: [`Surrounded`] has it once, each part with the reason for its place.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{Router, body::Body};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use plinth_core::{Error, ErrorCode, TraceContext, limits};
use plinth_resilience::soon;
use tower_service::Service as _;
use tracing::Instrument as _;

use crate::extract::BodyLimits;
use crate::problem::Problem;
use crate::settings::HttpSettings;
use crate::streams::Lifetime;

/// W3C trace context, in and out.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Longest a request may take before the edge gives up on it, in milliseconds: the longest deadline after the longest
/// wait, and the time for its body. The gate's own deadline is meant to come first.
const REQUEST_MS_MAX: u64 = limits::DEADLINE_MS_MAX + limits::WAIT_MS_MAX + 60_000;
/// What a page of ours may load: nothing, where a handler says nothing else.
const CONTENT_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
/// How long a browser insists on TLS once it has seen it: one year.
const TRANSPORT_POLICY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Routes inside what surrounds every request.
///
/// One function and not a stack of axum's middleware: each of those clones the routes below it and puts their future into a
/// box, for every request.
#[derive(Clone)]
pub struct Surrounded {
    routes: Router,
    /// The same routes, inside the layer that follows operations as streams.
    streams: Option<Router>,
    limits: BodyLimits,
}

/// Puts routes inside what surrounds every request.
#[must_use]
pub fn surround(routes: Router, settings: &HttpSettings) -> Surrounded {
    Surrounded {
        routes,
        streams: None,
        limits: BodyLimits::new(settings),
    }
}

impl Surrounded {
    /// Lets other routes answer the requests that ask for a stream.
    pub(crate) fn with_streams(self, streams: Router) -> Self {
        Self {
            streams: Some(streams),
            ..self
        }
    }

    /// Answers a request. The numbers count what surrounds it from the outside; each says why it stands where it stands.
    pub(crate) async fn answer(&self, mut request: Request, over_tls: bool) -> Response {
        // 1. The trace begins before and ends after everything else. Here problems become bytes and causes are logged.
        let trace = request
            .headers()
            .get(TRACEPARENT)
            .and_then(|value| value.to_str().ok())
            .and_then(TraceContext::parse)
            .unwrap_or_else(TraceContext::begin);
        request.extensions_mut().insert(trace);
        let is_head = request.method() == Method::HEAD;
        let span = tracing::info_span!("http", trace_id = %trace.trace_id_hex());
        let mut response = self.guarded(request).instrument(span.clone()).await;
        // 2. Headers that every answer carries, whoever made it.
        secure(response.headers_mut(), over_tls);
        if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
            span.in_scope(|| log(&problem));
            problem.render(&trace, &mut response);
            if is_head {
                *response.body_mut() = Body::empty();
            }
        }
        if let Ok(value) = HeaderValue::try_from(trace.header()) {
            response.headers_mut().insert(TRACEPARENT, value);
        }
        response
    }

    async fn guarded(&self, mut request: Request) -> Response {
        // 5. Limits for whoever reads the body. Innermost: only the extractors look at them. Kept here until the answer is
        // made, so that the budget counts the body as long as its content lives.
        let limits = self.limits.for_request();
        request.extensions_mut().insert(limits.clone());
        let streams = self.streams.as_ref();
        let mut routes = streams
            .filter(|_| Lifetime::of(&request).is_some())
            .unwrap_or(&self.routes)
            .clone();
        // 3. A panic becomes a problem. Inside 1 and 2, so that its answer has a trace id and the security headers.
        let caught = AssertUnwindSafe(async move { routes.call(request).await }).catch_unwind();
        // 4. The last guard against a handler that never ends: inside 1 and 2 for the same reason.
        let answered = soon(Duration::from_millis(REQUEST_MS_MAX), pin!(caught)).await;
        drop(limits);
        match answered {
            Some(Ok(Ok(response))) => response,
            Some(Err(panic)) => panicked(&*panic),
            None => {
                let error = Error::new(ErrorCode::DeadlineExceeded, "the request took too long");
                Problem::from(error.outcome_unknown()).into_response()
            }
        }
    }
}

/// Logs the cause of a fault of ours. What comes from the gate was logged there and has left its cause behind.
fn log(problem: &Problem) {
    let error = problem.error();
    let cause = std::error::Error::source(error).filter(|_| error.code() == ErrorCode::Internal);
    if let Some(cause) = cause {
        tracing::error!(%cause, "the edge failed a request");
    }
}

fn secure(headers: &mut HeaderMap, over_tls: bool) {
    // The answers are data or pages of ours: never guess another type, never frame them, never keep them.
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(CONTENT_POLICY);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if over_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TRANSPORT_POLICY);
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    let error = Error::internal(format!("panicked: {message}")).outcome_unknown();
    Problem::from(error).into_response()
}

/// The answer to a path that no route has. It needs no credential and tells nothing.
pub async fn not_found() -> Problem {
    Error::not_found("no such path").into()
}

/// The answer to a method that a path does not have; axum adds `Allow`.
pub async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let error = Error::invalid(
        "method",
        "is not one that this path has; see the header allow",
    );
    Problem::with_status(error, StatusCode::METHOD_NOT_ALLOWED).into_response()
}
