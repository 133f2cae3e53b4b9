//! Live views: the same question asked again and again, and each answer that differs from the one before.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use axum::response::sse::Event;
use bytes::Bytes;
use futures::Stream;
use http::request::Parts;
use http::{HeaderName, header};
use http_body_util::BodyExt as _;
use plinth_core::Error;
use tokio::sync::OwnedSemaphorePermit;

use super::{Lifetime, Streams, not_a_stream, problem_event, respond, trace_of};
use crate::extract::{BodyLimits, WAITING_BODY_BYTES_MAX, read_body, single};
use crate::problem::{ApiResult, Problem};

/// How long a view rests between two looks, in milliseconds.
pub(crate) const INTERVAL: HeaderName = HeaderName::from_static("x-live-interval-ms");
/// The rest where the caller names none, in milliseconds.
pub(crate) const INTERVAL_MS_DEFAULT: u64 = 1_000;
/// The shortest rest, in milliseconds.
pub(crate) const INTERVAL_MS_MIN: u64 = 100;
/// The longest rest, in milliseconds.
pub(crate) const INTERVAL_MS_MAX: u64 = 60_000;

/// Begins a view. Where the first look fails, its answer is the answer.
pub(super) async fn begin(
    streams: &Streams,
    lifetime: Lifetime,
    request: Request,
    next: Next,
) -> ApiResult<Response> {
    let (mut parts, body) = request.into_parts();
    // No credential, no reading of the body.
    streams.authenticate(&parts).await?;
    let interval = interval(&parts)?;
    let place = streams.place()?;
    let (_, body) = read_body(Request::from_parts(parts.clone(), body)).await?;
    if body.len() > WAITING_BODY_BYTES_MAX {
        let rule =
            format!("has more than {WAITING_BODY_BYTES_MAX} bytes, which no live view needs");
        return Err(Error::too_large("body", rule).into());
    }
    // What is kept is small: the share of the budget goes back, and each look takes its own.
    if let Some(limits) = parts.extensions.get_mut::<BodyLimits>() {
        limits.give_back();
    }
    parts.headers.remove(header::ACCEPT);
    parts.headers.remove(INTERVAL);
    let question = Question { parts, body, next };
    let first = question.ask().await;
    if !first.status().is_success() {
        return Ok(first);
    }
    if !is_json(&first) {
        return Err(not_a_stream());
    }
    let mut view = View {
        question,
        interval,
        lifetime: lifetime.clone(),
        hasher: RandomState::new(),
        seen: None,
        pending: VecDeque::new(),
        rest: Some(interval),
        _place: place,
    };
    view.take(first).await;
    Ok(respond(view.events(), &lifetime))
}

fn interval(parts: &Parts) -> ApiResult<Duration> {
    let Some(text) = single(&parts.headers, &INTERVAL)? else {
        return Ok(Duration::from_millis(INTERVAL_MS_DEFAULT));
    };
    match text.parse::<u64>() {
        Ok(interval_ms) if (INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&interval_ms) => {
            Ok(Duration::from_millis(interval_ms))
        }
        _ => Err(Error::invalid(
            INTERVAL.as_str(),
            format!(
                "must be a whole number of milliseconds, {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}"
            ),
        )
        .into()),
    }
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// A request that can be made again.
struct Question {
    parts: Parts,
    body: Bytes,
    next: Next,
}

impl Question {
    async fn ask(&self) -> Response {
        let request = Request::from_parts(self.parts.clone(), Body::from(self.body.clone()));
        self.next.clone().run(request).await
    }
}

struct View {
    question: Question,
    interval: Duration,
    lifetime: Lifetime,
    hasher: RandomState,
    /// The hash of the last answer that was told.
    seen: Option<u64>,
    pending: VecDeque<Event>,
    /// How long to rest before the next look; `None` ends the view.
    rest: Option<Duration>,
    _place: OwnedSemaphorePermit,
}

impl View {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
        futures::stream::unfold(self, |mut view| async move {
            loop {
                if let Some(event) = view.pending.pop_front() {
                    return Some((Ok(event), view));
                }
                let rest = view.rest?;
                if !view.lifetime.rest(rest).await {
                    return None;
                }
                let answer = view.question.ask().await;
                view.take(answer).await;
            }
        })
    }

    /// Takes an answer: tells it where it is new.
    async fn take(&mut self, mut answer: Response) {
        let trace = trace_of(&self.question.parts);
        if let Some(problem) = answer.extensions_mut().remove::<Arc<Problem>>() {
            let (event, rest) = problem_event(&problem, &trace).await;
            self.seen = None;
            self.rest = rest.map(|rest| rest.max(self.interval));
            self.pending.push_back(event);
            return;
        }
        // Our own bodies are whole and never fail; nothing is told of one that does.
        let body = answer.into_body().collect().await;
        let bytes = body.map(http_body_util::Collected::to_bytes);
        let bytes = bytes.unwrap_or_default();
        self.rest = Some(self.interval);
        let hash = self.hasher.hash_one(&bytes);
        if self.seen.replace(hash) != Some(hash) {
            let text = String::from_utf8_lossy(&bytes);
            self.pending
                .push_back(Event::default().event("view").data(text));
        }
    }
}
