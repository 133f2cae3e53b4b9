//! Consuming a queue: each message is an event, and no more of them are unsettled than `max` says.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{FromRequest as _, Request};
use axum::response::Response;
use axum::response::sse::Event;
use futures::Stream;
use http::request::Parts;
use plinth_core::limits;
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_queue::model::{Message, ReceiveReply, ReceiveRequest, queue_resource};
use plinth_queue::{Flow, QueueError};
use tokio::sync::OwnedSemaphorePermit;

use super::{Lifetime, Streams, problem_event, respond, trace_of};
use crate::extract::ApiJson;
use crate::problem::{ApiResult, Problem};

/// How long one turn waits for a message, in milliseconds. A revoked key receives nothing after the turn it was revoked
/// in, so it is also how long such a stream stays open at most.
const TURN_MS: u64 = 5_000;

/// Begins to consume. Where the first turn fails, its problem is the answer.
pub(super) async fn begin(
    streams: &Streams,
    lifetime: Lifetime,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    // No credential, no reading of the body.
    let session = streams.authenticate(&parts).await?;
    let place = streams.place()?;
    let ApiJson(request) =
        ApiJson::<ReceiveRequest>::from_request(Request::from_parts(parts.clone(), body), &())
            .await?;
    // What is kept of the body is small.
    if let Some(limits) = parts.extensions.get::<crate::extract::BodyLimits>() {
        limits.give_back();
    }
    let target = Target::resource(queue_resource(&request.queue));
    let queue = &streams.services.queue;
    let call = |context| async move {
        let flow = queue.flow(&context, request)?;
        let room = flow.room().await;
        let reply = flow.receive(&context, room, 0).await?;
        Ok::<_, QueueError>((flow, reply))
    };
    let (flow, reply) = streams
        .services
        .gate
        .call(&session, &ops::QUEUE_RECEIVE, target.clone(), call)
        .await?;
    let mut consumer = Consumer {
        streams: streams.clone(),
        parts,
        target: target.waiting_ms(TURN_MS.min(limits::WAIT_MS_MAX)),
        flow,
        lifetime: lifetime.clone(),
        pending: VecDeque::new(),
        rest: Some(Duration::ZERO),
        _place: place,
    };
    consumer.take(reply)?;
    Ok(respond(consumer.events(), &lifetime))
}

struct Consumer {
    streams: Streams,
    /// The head of the request: who asks is found out anew in each turn.
    parts: Parts,
    target: Target,
    flow: Flow,
    lifetime: Lifetime,
    pending: VecDeque<Event>,
    /// How long to rest before the next turn; `None` ends the stream.
    rest: Option<Duration>,
    _place: OwnedSemaphorePermit,
}

impl Consumer {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
        futures::stream::unfold(self, |mut consumer| async move {
            loop {
                if let Some(event) = consumer.pending.pop_front() {
                    return Some((Ok(event), consumer));
                }
                let rest = consumer.rest?;
                if !consumer.lifetime.rest(rest).await {
                    return None;
                }
                let drain = consumer.lifetime.drain.clone();
                tokio::select! {
                    biased;
                    () = drain.cancelled() => return None,
                    () = Box::pin(consumer.turn()) => {}
                }
            }
        })
    }

    async fn turn(&mut self) {
        self.rest = Some(Duration::ZERO);
        let turned = match self.receive().await {
            Ok(reply) => self.take(reply),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = turned {
            let (event, rest) = problem_event(&problem, &trace_of(&self.parts)).await;
            self.pending.push_back(event);
            self.rest = rest;
        }
    }

    async fn receive(&self) -> Result<ReceiveReply, Problem> {
        // No place at the gate is held while the caller is busy with what it has.
        let room = tokio::select! {
            room = self.flow.room() => room,
            () = tokio::time::sleep(Duration::from_millis(TURN_MS)) => 0,
        };
        let session: Session = self.streams.authenticate(&self.parts).await?;
        if room == 0 {
            return Ok(ReceiveReply::default());
        }
        let (flow, wait_ms) = (&self.flow, i64::try_from(TURN_MS).unwrap_or(0));
        let call = |context| async move { flow.receive(&context, room, wait_ms).await };
        let gate = &self.streams.services.gate;
        Ok(gate
            .call(&session, &ops::QUEUE_RECEIVE, self.target.clone(), call)
            .await?)
    }

    fn take(&mut self, reply: ReceiveReply) -> Result<(), Problem> {
        for message in &reply.messages {
            self.pending.push_back(event(message)?);
        }
        Ok(())
    }
}

fn event(message: &Message) -> Result<Event, Problem> {
    let text = serde_json::to_string(message).map_err(plinth_core::Error::internal)?;
    Ok(Event::default()
        .event("message")
        .id(&message.message_id)
        .data(text))
}
