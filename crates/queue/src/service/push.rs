//! Pushing messages to webhooks.
//!
//! One task for each pushing subscription takes places first and leases only as many messages as it has places: for each
//! one of its own (its prefetch) and one of the process, of which its tenant has a share. So no message waits under a lease,
//! and receivers that hang hold up their own tenant alone. Each message is delivered in a task of its own, while its lease
//! lasts. What the receiver answers decides: 2xx is an ack; 429 and 503 are a retry, after the time they name; 410 sends
//! the message to the dead-letter queue; anything else, and no answer, is a retry by the queue's policy.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use plinth_core::{SecretString, TenantId};
use plinth_outbound::{Delivery as Webhook, OutboundError, OutboundResponse, Target};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::slots::{Share, Slot, Slots};
use crate::backend::{LeaseRequest, QueueKey, Settlement, Verdict};
use crate::error::QueueError;
use crate::model::{Delivery, Message, QueueName, Subscription, WebhookTarget, limits};

/// How long a pusher waits for a message before it asks again, in milliseconds.
const WAIT_MS: u64 = 60_000;
/// Pause after a failure of the queue itself, in milliseconds.
const FAILURE_PAUSE_MS: u64 = 1_000;
/// What must be left of a lease for its delivery to begin, in milliseconds: the answer and the settlement need that time.
const LEASE_LEFT_MS_MIN: u64 = 11_000;
/// How long before the end of its lease a delivery is given up, in milliseconds, so that it can still be settled.
const SETTLE_MS: u64 = 1_000;

/// The pushing subscriptions that run.
pub(super) struct Pushers {
    running: Mutex<HashMap<(TenantId, QueueName), CancellationToken>>,
    slots: Slots,
}

impl Pushers {
    pub(super) fn new() -> Self {
        Self {
            running: Mutex::default(),
            slots: Slots::new(
                limits::WEBHOOKS_IN_FLIGHT_MAX,
                limits::WEBHOOKS_PER_TENANT_MAX,
            ),
        }
    }

    pub(super) fn stop(&self, tenant: &TenantId, subscription: &QueueName) {
        let key = (tenant.clone(), subscription.clone());
        if let Some(cancel) = self.running.lock().remove(&key) {
            cancel.cancel();
        }
    }
}

/// One pushing subscription.
struct Pusher {
    queue: QueueKey,
    subscription: Arc<Subscription>,
    target: Target,
    secret: SecretString,
    /// As many as the subscription's prefetch.
    places: Arc<Semaphore>,
    share: Share,
    cancel: CancellationToken,
}

/// What one delivery takes up while it lasts.
struct Place {
    _of_subscription: OwnedSemaphorePermit,
    _slot: Slot,
}

impl Pusher {
    /// At least one place, and those that are free besides.
    async fn places(&self) -> Result<Vec<Place>, QueueError> {
        let of_subscription = Arc::clone(&self.places).acquire_owned().await;
        let mut places = vec![Place {
            _of_subscription: of_subscription.map_err(|_| QueueError::Stopping)?,
            _slot: self.share.take().await?,
        }];
        while let Some(another) = self.try_place() {
            places.push(another);
        }
        Ok(places)
    }

    fn try_place(&self) -> Option<Place> {
        Some(Place {
            _of_subscription: Arc::clone(&self.places).try_acquire_owned().ok()?,
            _slot: self.share.try_take()?,
        })
    }
}

impl Inner {
    /// Starts pushing, where the subscription pushes at all.
    pub(super) fn start_pusher(
        self: &Arc<Self>,
        tenant: TenantId,
        subscription: Arc<Subscription>,
    ) {
        let Delivery::Webhook(WebhookTarget { url, secret }) = &subscription.delivery else {
            return;
        };
        let target = match Target::parse(url) {
            Ok(target) => target,
            Err(error) => {
                tracing::error!(subscription = %subscription.name, %error, "a stored webhook cannot be called");
                return;
            }
        };
        let cancel = self.cancel.child_token();
        let key = (tenant.clone(), subscription.name.clone());
        self.pushers.running.lock().insert(key, cancel.clone());
        let pusher = Pusher {
            share: self.pushers.slots.share_of(&tenant),
            queue: QueueKey {
                tenant,
                name: subscription.queue.clone(),
            },
            secret: secret.clone(),
            places: Arc::new(Semaphore::new(
                usize::try_from(subscription.prefetch).unwrap_or(1),
            )),
            subscription,
            target,
            cancel,
        };
        self.tasks.spawn(push(Arc::clone(self), Arc::new(pusher)));
    }
}

async fn push(inner: Arc<Inner>, pusher: Arc<Pusher>) {
    loop {
        let step = tokio::select! {
            () = pusher.cancel.cancelled() => return,
            step = push_step(&inner, &pusher) => step,
        };
        match step {
            Ok(()) => {}
            Err(QueueError::QueueAbsent { .. } | QueueError::Stopping) => return,
            Err(error) => {
                tracing::warn!(subscription = %pusher.subscription.name, %error, "pushing pauses");
                let until = inner.clock.monotonic_ms().saturating_add(FAILURE_PAUSE_MS);
                tokio::select! {
                    () = pusher.cancel.cancelled() => return,
                    () = inner.clock.sleep_until_monotonic(until) => {}
                }
            }
        }
    }
}

/// Leases what there is room for and hands each message to a task of its own; where there is nothing, waits for it without
/// taking up a place.
async fn push_step(inner: &Arc<Inner>, pusher: &Arc<Pusher>) -> Result<(), QueueError> {
    let places = pusher.places().await?;
    let arrivals = inner.backend.arrivals(&pusher.queue)?;
    let mut arrival = pin!(arrivals.notified());
    // Registered before the look, so that what arrives between the look and the wait is not missed.
    arrival.as_mut().enable();
    let lease = LeaseRequest {
        queue: pusher.queue.clone(),
        max: i32::try_from(places.len())
            .unwrap_or(i32::MAX)
            .min(limits::RECEIVE_MAX),
        lease_ms: pusher.subscription.lease_ms,
        consumer: format!("webhook:{}", pusher.subscription.name),
    };
    // Taken before the lease begins, so that it ends no later than this says.
    let lease_end_ms = inner
        .clock
        .monotonic_ms()
        .saturating_add(u64::try_from(lease.lease_ms).unwrap_or(0));
    let messages = inner.backend.lease(lease).await?;
    if !messages.is_empty() {
        for (message, place) in messages.into_iter().zip(places) {
            inner.tasks.spawn(deliver(
                Arc::clone(inner),
                Arc::clone(pusher),
                message,
                lease_end_ms,
                place,
            ));
        }
        return Ok(());
    }
    drop(places);
    let _waiting = inner.begin_waiting(&pusher.queue)?;
    let until = inner.clock.monotonic_ms().saturating_add(WAIT_MS);
    tokio::select! {
        () = arrival => {
            if !pusher.share.has_room() {
                // Whoever else waits on the queue may take it while this one waits for a place.
                arrivals.notify_one();
            }
        }
        () = inner.clock.sleep_until_monotonic(until) => {}
    }
    Ok(())
}

async fn deliver(
    inner: Arc<Inner>,
    pusher: Arc<Pusher>,
    mut message: Message,
    lease_end_ms: u64,
    _place: Place,
) {
    let Some(receipt) = message.receipt.take() else {
        return;
    };
    let left_ms = lease_end_ms.saturating_sub(inner.clock.monotonic_ms());
    let settled = if left_ms < LEASE_LEFT_MS_MIN || pusher.cancel.is_cancelled() {
        // Not sent, so it is no attempt.
        inner.backend.hand_back(&pusher.queue, &[receipt]).await
    } else {
        let verdict = send(&inner, &pusher, &message, lease_end_ms).await;
        let settlement = Settlement {
            queue: pusher.queue.clone(),
            receipts: vec![receipt],
            verdict,
        };
        inner.backend.settle(settlement).await.map(|_| ())
    };
    if let Err(error) = settled {
        tracing::warn!(
            subscription = %pusher.subscription.name,
            message_id = %message.message_id,
            %error,
            "a delivery could not be settled; it comes again when its lease ends"
        );
    }
}

/// Calls the receiver, at most until a moment before the lease ends.
async fn send(inner: &Inner, pusher: &Pusher, message: &Message, lease_end_ms: u64) -> Verdict {
    let body = match serde_json::to_vec(message) {
        Ok(body) => Bytes::from(body),
        Err(error) => {
            return Verdict::Retry {
                after_ms: None,
                reason: Some(error.to_string()),
            };
        }
    };
    let webhook = Webhook {
        target: &pusher.target,
        secret: &pusher.secret,
        id: &message.message_id,
        content_type: "application/json",
        body,
        traceparent: message.traceparent.as_deref(),
    };
    let give_up_ms = lease_end_ms.saturating_sub(SETTLE_MS);
    tokio::select! {
        outcome = inner.outbound.deliver(&webhook) => {
            verdict_of(outcome, inner.has_dead_letters(&pusher.queue))
        }
        () = inner.clock.sleep_until_monotonic(give_up_ms) => Verdict::Retry {
            after_ms: None,
            reason: Some("no answer before the end of the lease".to_owned()),
        },
    }
}

/// What an answer means for the message.
fn verdict_of(outcome: Result<OutboundResponse, OutboundError>, has_dead_letters: bool) -> Verdict {
    match outcome {
        Ok(response) if (200..300).contains(&response.status) => Verdict::Ack,
        Ok(response) if response.status == 410 && has_dead_letters => Verdict::Dead {
            reason: Some("the receiver answered 410 Gone".to_owned()),
        },
        Ok(response) => {
            let names_a_time = matches!(response.status, 429 | 503);
            let asked = response.retry_after_ms.filter(|_| names_a_time);
            Verdict::Retry {
                after_ms: asked.and_then(|delay_ms| i64::try_from(delay_ms).ok()),
                reason: Some(format!("the receiver answered {}", response.status)),
            }
        }
        Err(error) => {
            let mut reason = error.to_string();
            reason.truncate(reason.floor_char_boundary(limits::REASON_BYTES_MAX));
            Verdict::Retry {
                after_ms: None,
                reason: Some(reason),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_decides() {
        let answer = |status, retry_after_ms| {
            Ok(OutboundResponse {
                status,
                retry_after_ms,
                body: Bytes::new(),
                is_cut: false,
                content_type: None,
            })
        };
        let after = |verdict| match verdict {
            Verdict::Retry { after_ms, .. } => after_ms,
            Verdict::Ack | Verdict::Dead { .. } => None,
        };
        assert_eq!(verdict_of(answer(200, None), true), Verdict::Ack);
        assert_eq!(verdict_of(answer(204, None), true), Verdict::Ack);
        assert!(matches!(
            verdict_of(answer(410, None), true),
            Verdict::Dead { .. }
        ));
        assert!(matches!(
            verdict_of(answer(410, None), false),
            Verdict::Retry { .. }
        ));
        assert_eq!(
            after(verdict_of(answer(429, Some(7_000)), true)),
            Some(7_000)
        );
        assert_eq!(
            after(verdict_of(answer(503, Some(7_000)), true)),
            Some(7_000)
        );
        assert_eq!(after(verdict_of(answer(500, Some(7_000)), true)), None);
        for status in [301, 400, 404, 500] {
            assert!(
                matches!(
                    verdict_of(answer(status, None), true),
                    Verdict::Retry { .. }
                ),
                "{status}"
            );
        }
        let late = Err(OutboundError::TimedOut { after_ms: 1 });
        assert!(matches!(
            verdict_of(late, true),
            Verdict::Retry { after_ms: None, .. }
        ));
    }
}
