//! Server-sent events: an operation that is asked with `accept: text/event-stream` is followed instead of answered once.
//!
//! * `queue.receive` becomes a consumer: each message is one event `message`, as long as the caller stays.
//! * The operations of [`VIEWS`] become live views: each answer that differs from the one before is one event `view`.
//!
//! Every turn is a call of its own: it passes the gate, so a revoked key ends a stream within about a second or a turn, and
//! it is limited and counted like any other. A turn that fails is an event `problem`, whose data is the problem's body; the
//! stream goes on where the problem is retriable, else it ends. What the first turn answers decides the status.

mod consume;
pub(crate) mod view;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use plinth_core::{Error, ErrorCode, TraceContext};
use plinth_gate::Session;
use plinth_gate::catalogue::{self, Operation, ops};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::extract::session_of;
use crate::problem::{ApiResult, Problem};
use crate::services::Services;

/// The media type of a stream.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// Most streams at once; one more is told to come back (1009).
const STREAMS_MAX: usize = 1_024;
/// When a caller who met the limit of streams should come back, in milliseconds.
const STREAMS_RETRY_MS: u64 = 1_000;
/// Longest silence on a stream, in milliseconds: a comment is sent before it passes.
const SILENCE_MS_MAX: u64 = 10_000;
/// How long a stream rests after a problem that names no time itself, in milliseconds.
const PROBLEM_REST_MS: u64 = 1_000;

/// The operations that can be watched. They only read, answer in JSON, and are not audited: each turn would be a record.
pub(crate) static VIEWS: [&Operation; 13] = [
    &ops::CACHE_BATCH_GET,
    &ops::CACHE_STATS,
    &ops::QUEUE_LIST_QUEUES,
    &ops::QUEUE_GET_QUEUE_INFO,
    &ops::QUEUE_PEEK,
    &ops::MONITOR_GET_METRICS,
    &ops::MONITOR_LIST_METRICS,
    &ops::DB_LIST_DATABASES,
    &ops::DB_GET_SLOW_QUERIES,
    &ops::LOCK_GET,
    &ops::LOCK_LIST,
    &ops::LOCK_VERIFY,
    &ops::HEALTH_CHECK,
];

/// How an operation is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// Messages, as they come.
    Messages,
    /// Answers, as they change.
    Views,
}

impl Follows {
    /// How an operation is followed; `None` where it is not.
    pub(crate) fn of(row: &Operation) -> Option<Self> {
        if row.id == ops::QUEUE_RECEIVE.id {
            return Some(Self::Messages);
        }
        VIEWS
            .iter()
            .any(|view| view.id == row.id)
            .then_some(Self::Views)
    }
}

/// What all streams share.
#[derive(Clone)]
pub(crate) struct Streams {
    services: Services,
    places: Arc<Semaphore>,
}

impl Streams {
    pub(crate) fn new(services: Services) -> Self {
        Self {
            services,
            places: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    fn place(&self) -> ApiResult<OwnedSemaphorePermit> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_full| {
                Error::new(
                    ErrorCode::Overloaded,
                    format!("{STREAMS_MAX} streams are open, no more are served"),
                )
                .retry_after_ms(STREAMS_RETRY_MS)
                .into()
            })
    }

    async fn authenticate(&self, parts: &Parts) -> ApiResult<Session> {
        session_of(parts, &self.services.gate).await
    }
}

/// What a connection tells its streams; the accept loop puts it into each request that asks for one, so that no other pays
/// for it.
#[derive(Clone, Debug)]
pub(crate) struct Lifetime {
    /// The instance drains: streams end.
    drain: CancellationToken,
    /// Longest silence before a comment is sent.
    silence: Duration,
}

impl Lifetime {
    /// A stream must never look idle to its connection.
    pub(crate) fn new(drain: CancellationToken, idle_timeout: Duration) -> Self {
        Self {
            drain,
            silence: Duration::from_millis(SILENCE_MS_MAX).min(idle_timeout / 3),
        }
    }

    /// Marks a request that asks for a stream.
    pub(crate) fn mark<B>(&self, request: &mut http::Request<B>) {
        if Accepted::of(request.headers()).stream {
            request.extensions_mut().insert(self.clone());
        }
    }

    /// The mark of a request that asks for a stream.
    pub(crate) fn of<B>(request: &http::Request<B>) -> Option<&Self> {
        request.extensions().get()
    }

    /// Rests. Says whether the instance still serves.
    async fn rest(&self, rest: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.drain.cancelled() => false,
            () = tokio::time::sleep(rest) => true,
        }
    }
}

/// The layer around the routes: follows what is asked for as a stream, and lets everything else pass.
pub(crate) async fn follow(
    State(streams): State<Streams>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(lifetime) = request.extensions_mut().remove::<Lifetime>() else {
        return next.run(request).await;
    };
    let method = request.method().as_str();
    let row = catalogue::operations()
        .iter()
        .find(|row| row.http_method == method && row.http_path == path.as_str());
    let followed = match row.and_then(|row| Follows::of(row)) {
        Some(Follows::Messages) => consume::begin(&streams, lifetime, request).await,
        Some(Follows::Views) => view::begin(&streams, lifetime, request, next).await,
        None if Accepted::of(request.headers()).other => return next.run(request).await,
        None => Err(not_a_stream()),
    };
    followed.unwrap_or_else(IntoResponse::into_response)
}

fn not_a_stream() -> Problem {
    let rule = "is text/event-stream, but this operation answers once; ask for application/json";
    Problem::with_status(Error::invalid("accept", rule), StatusCode::NOT_ACCEPTABLE)
}

/// What the header `accept` names.
struct Accepted {
    stream: bool,
    other: bool,
}

impl Accepted {
    fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Self {
            stream: false,
            other: false,
        };
        let values = headers.get_all(header::ACCEPT).iter();
        let kinds = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','));
        for kind in kinds {
            let essence = kind.split(';').next().unwrap_or_default().trim();
            if essence.eq_ignore_ascii_case(EVENT_STREAM) {
                accepted.stream = true;
            } else {
                accepted.other |= !essence.is_empty();
            }
        }
        accepted
    }
}

fn respond<S>(events: S, lifetime: &Lifetime) -> Response
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    let comments = KeepAlive::new().interval(lifetime.silence);
    Sse::new(events).keep_alive(comments).into_response()
}

/// The event that tells of a problem, and how long to rest before the next turn; `None` ends the stream.
async fn problem_event(problem: &Problem, trace: &TraceContext) -> (Event, Option<Duration>) {
    let mut response = Response::new(axum::body::Body::empty());
    problem.render(trace, &mut response);
    let body = response.into_body().collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes);
    let text = bytes.unwrap_or_default();
    let event = Event::default()
        .event("problem")
        .data(String::from_utf8_lossy(&text));
    let error = problem.error();
    let rest_ms = error.retry_after().unwrap_or(PROBLEM_REST_MS);
    let rest = Duration::from_millis(rest_ms.max(PROBLEM_REST_MS));
    (event, error.is_retriable().then_some(rest))
}

/// The trace of a request.
fn trace_of(parts: &Parts) -> TraceContext {
    let known = parts.extensions.get::<TraceContext>().copied();
    known.unwrap_or_else(TraceContext::begin)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use plinth_gate::catalogue::AuditRule;

    use super::*;

    fn accepted(values: &[&'static str]) -> (bool, bool) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        let accepted = Accepted::of(&headers);
        (accepted.stream, accepted.other)
    }

    #[test]
    fn only_who_names_the_stream_gets_one() {
        assert_eq!(accepted(&[]), (false, false));
        assert_eq!(accepted(&["*/*"]), (false, true));
        assert_eq!(accepted(&["text/*"]), (false, true));
        assert_eq!(accepted(&["Text/Event-Stream;q=0.5"]), (true, false));
        assert_eq!(
            accepted(&["application/json, text/event-stream"]),
            (true, true)
        );
        assert_eq!(
            accepted(&["application/json", "text/event-stream"]),
            (true, true)
        );
    }

    #[test]
    fn views_read_and_leave_no_record() {
        for view in VIEWS {
            assert!(!view.mutates, "{}", view.id.as_str());
            assert!(
                !matches!(view.audit, AuditRule::Always),
                "{}",
                view.id.as_str()
            );
        }
    }
}
