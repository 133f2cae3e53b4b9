//! What surrounds every request. [`surround`] lists it once, outermost first, each with the reason for its place.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Router, body::Body};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use plinth_core::{Error, ErrorCode, TraceContext, limits};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::extract::BodyLimits;
use crate::problem::Problem;
use crate::settings::HttpSettings;

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

/// Marks requests that came in over TLS; the accept loop puts it into them.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// Puts the layers around the routes.
pub fn surround(routes: Router, settings: &HttpSettings) -> Router {
    // `Router::layer` wraps what stands before it, so the calls below run from the innermost to the outermost; the
    // numbers count from the outside.
    routes
        // 5. Limits for whoever reads the body. Innermost: only the extractors look at them.
        .layer(from_fn_with_state(BodyLimits::new(settings), limit_body))
        // 4. The last guard against a handler that never ends. Inside the panic catch, because it is our code too.
        .layer(from_fn(give_up))
        // 3. A panic becomes a problem. Inside 1 and 2, so that its answer has a trace id and the security headers.
        .layer(CatchPanicLayer::custom(panicked))
        // 2. Headers that every answer carries, whoever made it.
        .layer(from_fn(secure))
        // 1. The trace begins before and ends after everything else. Here problems become bytes and causes are logged.
        .layer(from_fn(trace))
}

async fn trace(mut request: Request, next: Next) -> Response {
    let trace = request
        .headers()
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .and_then(TraceContext::parse)
        .unwrap_or_else(TraceContext::begin);
    request.extensions_mut().insert(trace);
    let is_head = request.method() == Method::HEAD;
    let span = tracing::info_span!("http", trace_id = %trace.trace_id_hex());
    let mut response = next.run(request).instrument(span.clone()).await;
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

/// Logs the cause of a fault of ours. What comes from the gate was logged there and has left its cause behind.
fn log(problem: &Problem) {
    let error = problem.error();
    let cause = std::error::Error::source(error).filter(|_| error.code() == ErrorCode::Internal);
    if let Some(cause) = cause {
        tracing::error!(%cause, "the edge failed a request");
    }
}

async fn secure(request: Request, next: Next) -> Response {
    let over_tls = request.extensions().get::<OverTls>().is_some();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
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
    response
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    let error = Error::internal(format!("panicked: {message}")).outcome_unknown();
    Problem::from(error).into_response()
}

async fn give_up(request: Request, next: Next) -> Response {
    match tokio::time::timeout(Duration::from_millis(REQUEST_MS_MAX), next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => {
            let error = Error::new(ErrorCode::DeadlineExceeded, "the request took too long");
            Problem::from(error.outcome_unknown()).into_response()
        }
    }
}

async fn limit_body(
    State(limits): State<BodyLimits>,
    mut request: Request,
    next: Next,
) -> Response {
    // Kept here until the answer is made, so that the budget counts the body as long as its content lives.
    let limits = limits.for_request();
    request.extensions_mut().insert(limits.clone());
    let response = next.run(request).await;
    drop(limits);
    response
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
