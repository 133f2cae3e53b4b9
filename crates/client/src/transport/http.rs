//! HTTP and JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use plinth_core::{ErrorCode, Outcome, SecretString};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::thrift::outcome;
use crate::error::{ClientError, FieldViolation, Result};
use crate::settings::ClientSettings;

/// The header that carries the idempotency key.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The header that carries the caller's deadline.
const TIMEOUT_MS: &str = "x-request-timeout-ms";
/// Largest answer that is read, in bytes: a page of the largest batch, in base64.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Stands for a URL that cannot be written; sending a request to it is refused before anything is sent.
const UNNAMEABLE: &str = "";

/// Connections to one Plinth over HTTP.
pub(crate) struct HttpTransport {
    client: reqwest::Client,
    base: Url,
    key: SecretString,
    timeout_ms: u64,
}

impl HttpTransport {
    pub(crate) fn new(settings: &ClientSettings) -> Result<Self> {
        // Fails only where a provider is installed already, which then serves as well.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let refusal = |why: String| ClientError::from(plinth_core::Error::invalid("address", why));
        let base = Url::parse(&settings.address)
            .map_err(|error| refusal(format!("`{}` is no URL: {error}", settings.address)))?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(refusal("must begin with http:// or https://".to_owned()));
        }
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ClientError::own(ErrorCode::Internal, error.to_string()))?;
        Ok(Self {
            client,
            base,
            key: settings.key.clone(),
            timeout_ms: settings.timeout_ms,
        })
    }

    /// Begins a request on a path of segments, each of which is percent-encoded.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.request_waiting(method, segments, 0)
    }

    /// Begins a long poll, which may take `wait_ms` longer.
    pub(crate) fn request_waiting(
        &self,
        method: Method,
        segments: &[&str],
        wait_ms: u64,
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        // The base was checked at the start: it has a path to extend.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        let begun = if segments.iter().all(|segment| can_stand_in_a_path(segment)) {
            self.client.request(method, url)
        } else {
            self.client.request(method, UNNAMEABLE)
        };
        begun
            .timeout(Duration::from_millis(
                self.timeout_ms.saturating_add(wait_ms),
            ))
            .header(TIMEOUT_MS, self.timeout_ms)
            .bearer_auth(self.key.expose())
    }

    /// Sends a request and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let (_, _, body) = self.send(request).await?;
        serde_json::from_slice(&body).map_err(ClientError::malformed)
    }

    /// Sends a request whose answer has no body worth reading.
    pub(crate) async fn done(&self, request: RequestBuilder) -> Result<()> {
        self.send(request).await.map(drop)
    }

    /// Sends a request and reads the raw answer. Errors: what the problem document says.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let response = request.send().await.map_err(|error| broken(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_bounded(response).await?;
        if status.is_success() {
            return Ok((status, headers, body));
        }
        Err(problem(status, &body))
    }
}

/// Adds an idempotency key.
pub(crate) fn idempotent(request: RequestBuilder, request_id: &str) -> RequestBuilder {
    request.header(IDEMPOTENCY_KEY, request_id)
}

async fn read_bounded(mut response: Response) -> Result<Bytes> {
    let mut body = bytes::BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::malformed(format!(
                "it is longer than {ANSWER_BYTES_MAX} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Whether a name survives as a part of a path: empty ones vanish from it, and `.` and `..` mean other paths, however they are
/// encoded.
fn can_stand_in_a_path(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
}

fn broken(error: &reqwest::Error) -> ClientError {
    if error.is_builder() {
        return ClientError::from(plinth_core::Error::invalid(
            "path",
            "a name in it is empty, '.' or '..', which a URL cannot say; names like that are for Thrift and for batches",
        ));
    }
    let message = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    })
    .map(ToString::to_string)
    .collect::<Vec<_>>()
    .join(": ");
    if error.is_timeout() && !error.is_connect() {
        return ClientError {
            outcome: Outcome::Unknown,
            ..ClientError::own(ErrorCode::DeadlineExceeded, message)
        };
    }
    // A connection that was refused carried nothing.
    let outcome = if error.is_connect() {
        Outcome::NotApplied
    } else {
        Outcome::Unknown
    };
    ClientError::transport(message, outcome)
}

/// The body of an error (RFC 9457).
#[derive(Deserialize)]
struct ProblemBody {
    detail: String,
    code: u16,
    reason: String,
    retriable: bool,
    outcome: String,
    #[serde(default)]
    errors: Vec<FieldViolation>,
    #[serde(default)]
    details: BTreeMap<String, String>,
    retry_after_ms: Option<u64>,
    trace_id: Option<String>,
}

fn problem(status: StatusCode, body: &[u8]) -> ClientError {
    match serde_json::from_slice::<ProblemBody>(body) {
        Ok(problem) => ClientError {
            code: problem.code,
            reason: problem.reason,
            message: problem.detail,
            retriable: problem.retriable,
            outcome: outcome(&problem.outcome),
            violations: problem.errors,
            retry_after_ms: problem.retry_after_ms,
            details: problem.details,
            trace_id: problem.trace_id,
        },
        Err(error) => without_document(status)
            .unwrap_or_else(|| ClientError::malformed(format!("status {status}: {error}"))),
    }
}

/// What a status says by itself: a server that takes no more connections, and whatever stands before it, send no document.
fn without_document(status: StatusCode) -> Option<ClientError> {
    let (code, outcome) = match status {
        StatusCode::TOO_MANY_REQUESTS => (ErrorCode::RateLimited, Outcome::NotApplied),
        StatusCode::SERVICE_UNAVAILABLE => (ErrorCode::Overloaded, Outcome::NotApplied),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            (ErrorCode::DependencyUnavailable, Outcome::Unknown)
        }
        _ => return None,
    };
    let message =
        format!("answered {status} without a reason; it may stand behind something that did");
    Some(ClientError {
        retriable: true,
        outcome,
        ..ClientError::own(code, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_url_cannot_say_is_refused_before_it_is_sent() {
        let settings = ClientSettings::http("http://127.0.0.1:9/base", "plk_x");
        let transport = HttpTransport::new(&settings).expect("is built");
        for name in ["", ".", ".."] {
            let request = transport.request(Method::GET, &["v1", "cache", "n", "entries", name]);
            let error = transport.send(request).await.expect_err("is refused");
            assert_eq!(
                (error.code, error.outcome),
                (1001, Outcome::NotApplied),
                "{name}"
            );
            assert_eq!(error.violations[0].field, "path", "{name}");
        }
        let request = transport.request(Method::GET, &["v1", "a/b", "...", "%2e"]);
        let url = request.build().expect("is built").url().to_string();
        assert_eq!(url, "http://127.0.0.1:9/base/v1/a%2Fb/.../%252e");
    }

    #[test]
    fn a_status_without_a_document_says_whether_to_come_back() {
        for (status, code, outcome) in [
            (503, 1009, Outcome::NotApplied),
            (429, 1008, Outcome::NotApplied),
            (502, 1012, Outcome::Unknown),
            (504, 1012, Outcome::Unknown),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = problem(status, b"<html>");
            assert_eq!((error.code, error.outcome), (code, outcome));
            assert!(error.retriable);
        }
        assert!(!problem(StatusCode::IM_A_TEAPOT, b"").retriable);
    }
}
