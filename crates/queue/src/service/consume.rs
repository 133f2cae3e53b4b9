//! Receiving and settling.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plinth_core::{CallContext, Error, limits as house};

use super::{Inner, QueueService};
use crate::backend::{LeaseRequest, QueueKey, SettleOutcome, Settlement, Verdict};
use crate::error::QueueError;
use crate::model::{
    AckRequest, DeadRequest, Message, ReceiveReply, ReceiveRequest, RetryRequest, SettleReply,
    Settled, Subscription, limits,
};

/// How many receives wait on each queue.
pub(super) type Waiting = HashMap<QueueKey, usize>;

impl QueueService {
    /// Leases messages, waiting for the first one if asked. Each attempt is counted durably before its message is given.
    ///
    /// Errors: 1001 naming the field, 1004 where the queue or subscription does not exist, 1009 where too many wait.
    pub async fn receive(
        &self,
        context: &CallContext,
        request: ReceiveRequest,
    ) -> Result<ReceiveReply, QueueError> {
        let tenant = &context.caller.tenant;
        let queue = self.inner.find_queue(tenant, &request.queue)?;
        let subscription = self
            .inner
            .find_subscription(&queue, request.subscription.as_deref())?;
        let defaults = subscription.as_deref();
        let max = request
            .max
            .unwrap_or_else(|| defaults.map_or(1, |subscription| subscription.prefetch));
        let lease_ms = request.lease_ms.unwrap_or_else(|| {
            defaults.map_or(limits::LEASE_MS_DEFAULT, |subscription| {
                subscription.lease_ms
            })
        });
        let wait_ms = request.wait_ms.unwrap_or(0);
        check("max", i64::from(max), 1, i64::from(limits::RECEIVE_MAX))?;
        check(
            "lease_ms",
            lease_ms,
            limits::LEASE_MS_MIN,
            limits::LEASE_MS_MAX,
        )?;
        let wait_ms_max = i64::try_from(house::WAIT_MS_MAX).unwrap_or(i64::MAX);
        check("wait_ms", wait_ms, 0, wait_ms_max)?;
        let consumer = match request.consumer {
            Some(consumer) => checked_text("consumer", consumer, limits::CONSUMER_BYTES_MAX)?,
            None => context.caller.principal.id.to_string(),
        };
        let lease = LeaseRequest {
            queue,
            max,
            lease_ms,
            consumer,
        };
        let until = self
            .inner
            .clock
            .monotonic_ms()
            .saturating_add(u64::try_from(wait_ms).unwrap_or(0));
        Ok(ReceiveReply {
            messages: self.inner.lease_or_wait(lease, until).await?,
        })
    }

    /// Settles leased messages as done, one status for each receipt.
    ///
    /// Errors: 1001 naming the field, 1004 where the queue does not exist. A lease that has ended is 2105 in its item.
    pub async fn ack(
        &self,
        context: &CallContext,
        request: AckRequest,
    ) -> Result<SettleReply, QueueError> {
        self.settle(context, &request.queue, request.receipts, Verdict::Ack)
            .await
    }

    /// Hands leased messages back for another attempt, or to the dead-letter queue at the maximum of attempts.
    ///
    /// Errors: as for [`QueueService::ack`].
    pub async fn retry(
        &self,
        context: &CallContext,
        request: RetryRequest,
    ) -> Result<SettleReply, QueueError> {
        if let Some(after_ms) = request.after_ms {
            check("after_ms", after_ms, 0, limits::RETRY_MS_MAX)?;
        }
        let reason = checked_reason(request.reason)?;
        let verdict = Verdict::Retry {
            after_ms: request.after_ms,
            reason,
        };
        self.settle(context, &request.queue, request.receipts, verdict)
            .await
    }

    /// Moves leased messages to the dead-letter queue, each in one transaction with its history.
    ///
    /// Errors: as for [`QueueService::ack`]; 1005 where the queue is declared without a dead-letter queue.
    pub async fn dead(
        &self,
        context: &CallContext,
        request: DeadRequest,
    ) -> Result<SettleReply, QueueError> {
        let verdict = Verdict::Dead {
            reason: checked_reason(request.reason)?,
        };
        let queue = self
            .inner
            .find_queue(&context.caller.tenant, &request.queue)?;
        if !self.inner.has_dead_letters(&queue) {
            return Err(QueueError::NoDeadLetterQueue {
                queue: request.queue,
            });
        }
        self.settle(context, &request.queue, request.receipts, verdict)
            .await
    }

    async fn settle(
        &self,
        context: &CallContext,
        queue: &str,
        receipts: Vec<String>,
        verdict: Verdict,
    ) -> Result<SettleReply, QueueError> {
        let count = receipts.len();
        if count == 0 || count > limits::BATCH_ITEMS_MAX {
            return Err(QueueError::Refused(Error::invalid(
                "receipts",
                format!(
                    "has {count} items, must have 1 to {}",
                    limits::BATCH_ITEMS_MAX
                ),
            )));
        }
        let queue = self.inner.find_queue(&context.caller.tenant, queue)?;
        let settlement = Settlement {
            queue,
            receipts: receipts.clone(),
            verdict,
        };
        let outcomes = self.inner.backend.settle(settlement).await?;
        let items = receipts
            .into_iter()
            .zip(outcomes)
            .map(|(receipt, outcome)| {
                if matches!(outcome, SettleOutcome::Settled) {
                    self.inner.let_go(&receipt);
                }
                item(receipt, outcome)
            })
            .collect();
        Ok(SettleReply { items })
    }
}

fn item(receipt: String, outcome: SettleOutcome) -> Settled {
    match outcome {
        SettleOutcome::Settled => Settled {
            receipt,
            settled: true,
            code: None,
            message: None,
        },
        SettleOutcome::LeaseLost => Settled {
            receipt,
            settled: false,
            code: Some(i32::from(plinth_core::ErrorCode::QueueLeaseLost.number())),
            message: Some(
                "the lease has ended; the message went back to its queue or was settled".to_owned(),
            ),
        },
    }
}

impl Inner {
    pub(super) fn has_dead_letters(&self, queue: &QueueKey) -> bool {
        self.topology.look(&queue.tenant, |topology| {
            topology
                .queues
                .get(&queue.name)
                .is_some_and(|entry| entry.policy.dead_letter_queue.is_some())
        })
    }

    pub(super) fn find_subscription(
        &self,
        queue: &QueueKey,
        name: Option<&str>,
    ) -> Result<Option<Arc<Subscription>>, QueueError> {
        let Some(name) = name else {
            return Ok(None);
        };
        let found = self.topology.look(&queue.tenant, |topology| {
            topology
                .subscriptions
                .values()
                .find(|subscription| {
                    subscription.name.as_str() == name && subscription.queue == queue.name
                })
                .cloned()
        });
        found
            .map(Some)
            .ok_or_else(|| QueueError::SubscriptionAbsent {
                queue: queue.name.to_string(),
                subscription: name.to_owned(),
            })
    }

    /// Leases what is there; where nothing is, waits for a message to become ready, until a monotonic time.
    async fn lease_or_wait(
        &self,
        lease: LeaseRequest,
        until: u64,
    ) -> Result<Vec<Message>, QueueError> {
        let messages = self.backend.lease(lease.clone()).await?;
        if !messages.is_empty() || self.clock.monotonic_ms() >= until {
            return Ok(messages);
        }
        let _waiting = self.begin_waiting(&lease.queue)?;
        loop {
            let arrivals = self.backend.arrivals(&lease.queue)?;
            let mut arrival = pin!(arrivals.notified());
            // Registered before the look, so that what arrives between the look and the wait is not missed.
            arrival.as_mut().enable();
            let messages = self.backend.lease(lease.clone()).await?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            tokio::select! {
                () = arrival => {}
                () = self.clock.sleep_until_monotonic(until) => return Ok(Vec::new()),
                () = self.cancel.cancelled() => return Ok(Vec::new()),
            }
        }
    }

    /// Errors: 1009 at the limits of waiting receives.
    pub(super) fn begin_waiting(&self, queue: &QueueKey) -> Result<WaitGuard<'_>, QueueError> {
        if self.waiting_total.fetch_add(1, Ordering::AcqRel) >= limits::WAITERS_MAX {
            self.waiting_total.fetch_sub(1, Ordering::AcqRel);
            return Err(QueueError::TooManyWaiters {
                place: "this instance",
                most: limits::WAITERS_MAX,
            });
        }
        let mut waiting = self.waiting.lock();
        let here = waiting.entry(queue.clone()).or_default();
        if *here >= limits::WAITERS_PER_QUEUE_MAX {
            self.waiting_total.fetch_sub(1, Ordering::AcqRel);
            return Err(QueueError::TooManyWaiters {
                place: "this queue",
                most: limits::WAITERS_PER_QUEUE_MAX,
            });
        }
        *here += 1;
        Ok(WaitGuard {
            inner: self,
            queue: queue.clone(),
        })
    }

    /// How many consumers wait on a queue.
    pub(super) fn waiting_on(&self, queue: &QueueKey) -> i32 {
        let waiting = self.waiting.lock().get(queue).copied().unwrap_or(0);
        i32::try_from(waiting).unwrap_or(i32::MAX)
    }
}

/// Counts a waiting receive until it ends, however it ends.
pub(super) struct WaitGuard<'a> {
    inner: &'a Inner,
    queue: QueueKey,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.inner.waiting_total.fetch_sub(1, Ordering::AcqRel);
        let mut waiting = self.inner.waiting.lock();
        if let Some(here) = waiting.get_mut(&self.queue) {
            *here -= 1;
            if *here == 0 {
                waiting.remove(&self.queue);
            }
        }
    }
}

pub(super) fn check(field: &str, value: i64, least: i64, most: i64) -> Result<(), Error> {
    if value < least || value > most {
        return Err(Error::invalid(
            field,
            format!("is {value}, must lie in {least}..={most}"),
        ));
    }
    Ok(())
}

fn checked_text(field: &str, text: String, bytes_max: usize) -> Result<String, Error> {
    if text.len() > bytes_max {
        return Err(Error::invalid(
            field,
            format!("has {} bytes, at most {bytes_max} are allowed", text.len()),
        ));
    }
    Ok(text)
}

fn checked_reason(reason: Option<String>) -> Result<Option<String>, Error> {
    reason
        .map(|reason| checked_text("reason", reason, limits::REASON_BYTES_MAX))
        .transpose()
}
