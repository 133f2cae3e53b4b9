//! How many messages one continuous consumer holds: it is given no more until some are settled or their leases end.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use plinth_core::CallContext;
use tokio::sync::Notify;

use super::{Inner, QueueService};
use crate::backend::DeliveryEnded;
use crate::error::QueueError;
use crate::model::{Message, ReceiveReply, ReceiveRequest, limits};

/// Who holds which receipt, over all continuous consumers of this instance.
pub(super) type Held = Mutex<HashMap<String, Arc<FlowState>>>;

/// A continuous consumer. What it holds when it is dropped stays leased until the leases end.
pub struct Flow {
    service: QueueService,
    request: ReceiveRequest,
    /// How long each lease lasts, in milliseconds.
    lease_ms: u64,
    state: Arc<FlowState>,
}

pub(super) struct FlowState {
    /// Most messages held at a time.
    most: usize,
    /// When each lease ends, in milliseconds of the monotonic clock, by receipt.
    leases: Mutex<HashMap<String, u64>>,
    /// Something was settled.
    settled: Notify,
}

impl QueueService {
    /// Begins to consume continuously: `max` says how many messages may be unsettled at a time, by default as many as the
    /// subscription's prefetch, or one.
    ///
    /// Errors: 1001 naming the field; a flow waits until its caller leaves, so `wait_ms` is refused. 1004 where the queue
    /// or subscription does not exist.
    pub fn flow(&self, context: &CallContext, request: ReceiveRequest) -> Result<Flow, QueueError> {
        if request.wait_ms.is_some() {
            return Err(QueueError::Refused(plinth_core::Error::invalid(
                "wait_ms",
                "must be absent in a stream, which waits until the caller leaves",
            )));
        }
        let queue = self
            .inner
            .find_queue(&context.caller.tenant, &request.queue)?;
        let subscription = self
            .inner
            .find_subscription(&queue, request.subscription.as_deref())?;
        let defaults = subscription.as_deref();
        let most = request
            .max
            .or_else(|| defaults.map(|subscription| subscription.prefetch))
            .unwrap_or(1);
        let lease_ms = request
            .lease_ms
            .or_else(|| defaults.map(|subscription| subscription.lease_ms))
            .unwrap_or(limits::LEASE_MS_DEFAULT);
        super::consume::check("max", i64::from(most), 1, i64::from(limits::RECEIVE_MAX))?;
        let state = FlowState {
            most: usize::try_from(most).unwrap_or(1),
            leases: Mutex::default(),
            settled: Notify::new(),
        };
        Ok(Flow {
            service: self.clone(),
            request: ReceiveRequest {
                lease_ms: Some(lease_ms),
                ..request
            },
            lease_ms: u64::try_from(lease_ms).unwrap_or(0),
            state: Arc::new(state),
        })
    }
}

impl Flow {
    /// Waits until another message may be held, and says how many.
    pub async fn room(&self) -> usize {
        let inner = &self.service.inner;
        loop {
            let mut settled = std::pin::pin!(self.state.settled.notified());
            // Registered before the look, so that what is settled between the look and the wait is not missed.
            settled.as_mut().enable();
            let (room, first_end) = self.look(inner.clock.monotonic_ms());
            let Some(first_end) = first_end.filter(|_| room == 0) else {
                return room;
            };
            tokio::select! {
                () = settled => {}
                () = inner.clock.sleep_until_monotonic(first_end) => {}
            }
        }
    }

    /// Leases at most `room` messages, waiting so long for the first one. They count as held from now on.
    ///
    /// Errors: those of [`QueueService::receive`].
    pub async fn receive(
        &self,
        context: &CallContext,
        room: usize,
        wait_ms: i64,
    ) -> Result<ReceiveReply, QueueError> {
        let request = ReceiveRequest {
            max: Some(i32::try_from(room.min(self.state.most)).unwrap_or(1)),
            wait_ms: Some(wait_ms),
            ..self.request.clone()
        };
        let reply = self.service.receive(context, request).await?;
        self.hold(&reply.messages);
        Ok(reply)
    }

    /// Forgets leases that have ended; says how many messages more may be held, and when the next lease ends.
    fn look(&self, now_ms: u64) -> (usize, Option<u64>) {
        let mut leases = self.state.leases.lock();
        let mut held = self.service.inner.held.lock();
        leases.retain(|receipt, end_ms| {
            let goes_on = *end_ms > now_ms;
            if !goes_on {
                held.remove(receipt);
            }
            goes_on
        });
        let room = self.state.most.saturating_sub(leases.len());
        (room, leases.values().min().copied())
    }

    /// Counts messages as held from now until their leases have surely ended, by the monotonic clock: they began before now.
    fn hold(&self, messages: &[Message]) {
        let end_ms = (self.service.inner.clock.monotonic_ms()).saturating_add(self.lease_ms);
        let mut leases = self.state.leases.lock();
        let mut held = self.service.inner.held.lock();
        for receipt in messages
            .iter()
            .filter_map(|message| message.receipt.as_ref())
        {
            leases.insert(receipt.clone(), end_ms);
            held.insert(receipt.clone(), Arc::clone(&self.state));
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let leases = self.state.leases.lock();
        let mut held = self.service.inner.held.lock();
        for receipt in leases.keys() {
            held.remove(receipt);
        }
    }
}

impl Inner {
    /// Tells consumers that what they hold was deleted.
    pub(super) fn delivery_ended(self: &Arc<Self>) -> DeliveryEnded {
        let inner = Arc::clone(self);
        Arc::new(move |receipt| inner.let_go(receipt))
    }

    /// A message is no longer held by whoever consumed it.
    pub(super) fn let_go(&self, receipt: &str) {
        let state = self.held.lock().remove(receipt);
        if let Some(state) = state {
            state.leases.lock().remove(receipt);
            state.settled.notify_one();
        }
    }
}
