//! Pages for people, all from the binary: where to go, the reference of the API, the errors. They need no credential and
//! load nothing from elsewhere.

use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, header};
use plinth_core::{ErrorClass, ErrorCode};
use tower_http::compression::CompressionLayer;
use utoipa::openapi::OpenApi;

use crate::services::Services;

/// What the pages may load: their own script and style, and the API they describe.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const HTML: &str = "text/html; charset=utf-8";

/// The pages and the document.
pub(crate) fn router(document: &OpenApi) -> Router<Services> {
    // Built once: the document does not change while the process runs.
    let json = Bytes::from(document.to_json().unwrap_or_default());
    let errors = Bytes::from(errors_page());
    Router::new()
        .route("/", get(async || asset(HTML, include_str!("../assets/landing.html"))))
        .route("/docs", get(async || asset(HTML, include_str!("../assets/docs.html"))))
        .route("/docs/errors", get(async move || asset(HTML, errors.clone())))
        .route(
            "/docs/docs.js",
            get(async || asset("text/javascript; charset=utf-8", include_str!("../assets/docs.js"))),
        )
        .route(
            "/docs/docs.css",
            get(async || asset("text/css; charset=utf-8", include_str!("../assets/docs.css"))),
        )
        .route("/openapi.json", get(async move || asset("application/json", json.clone())))
        // Only here: pages are large and hold no secret, while an answer of the API may hold both a secret and text of
        // the caller's choosing, which must not be compressed together.
        .layer(CompressionLayer::new())
}

fn asset(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, body.into()).into_response()
}

/// What a caller should do about a class of errors.
const fn advice(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Network => "Retry with backoff and jitter, with the same idempotency key.",
        ErrorClass::TimeOut => {
            "Look at the outcome: unknown means read, or repeat with the same idempotency key."
        }
        ErrorClass::Exhaustion => "Come back after the time named.",
        ErrorClass::BadData => "Mend the request; a retry changes nothing.",
        ErrorClass::Internal => "Not the caller's fault; look for the trace id in the log.",
    }
}

/// The error codes as a Markdown table: the content of `docs/errors.md`.
#[must_use]
pub fn errors_markdown() -> String {
    let mut text = String::from(
        "# Errors\n\n\
         Generated from `plinth_core::ErrorCode` (`UPDATE_DOCS=1 cargo test -p plinth-http --test documents`).\n\n\
         The number and the name are a contract and the same on both transports: `SupportError.code` over Thrift, `code` \
         and `reason` of the problem details over HTTP. `retriable` and `outcome` of the error itself say what holds for \
         one failure; the last column says what to do in general.\n\n\
         | code | reason | HTTP status | meaning | what to do |\n|---|---|---|---|---|\n",
    );
    for code in ErrorCode::ALL {
        text.push_str(&format!(
            "| {} | `{}` | {} | {} | {} |\n",
            code.number(),
            code.reason(),
            code.http_status(),
            code.meaning(),
            advice(code.class())
        ));
    }
    text
}

/// The same table as a page; each row is the anchor that the `type` of a problem names.
fn errors_page() -> String {
    let mut rows = String::new();
    for code in ErrorCode::ALL {
        rows.push_str(&format!(
            "<tr id=\"{number}\"><td>{number}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            code.reason(),
            code.http_status(),
            code.meaning(),
            advice(code.class()),
            number = code.number(),
        ));
    }
    include_str!("../assets/errors.html").replace("<!-- rows -->", &rows)
}
