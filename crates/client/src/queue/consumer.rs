//! A consumer in this process: receives over a durable subscription, handles, settles by the handler's result.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::model::{QueueMessage, ReceiveOptions, SubscriptionOptions};
use super::{QueueClient, Settled};
use crate::Client;
use crate::error::{ClientError, Result};

/// First pause after a receive that failed, in milliseconds; it doubles with each further one.
const PAUSE_MS_INITIAL: u64 = 100;
/// Longest pause after a receive that failed, in milliseconds.
const PAUSE_MS_MAX: u64 = 5_000;
/// Most messages of one receive.
const RECEIVE_MAX: usize = 256;

/// How a consumer works.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// Name of the durable subscription; declared where it is absent.
    pub subscription: String,
    /// Queue to read.
    pub queue: String,
    /// Messages that are handled at once, at least 1; also what is held at most.
    pub concurrency: usize,
    /// How long a message is held, in milliseconds: longer than the handler ever takes. A message whose lease ends while
    /// it is handled is delivered again.
    pub lease_ms: i64,
    /// How long one receive waits, in milliseconds; [`RunningConsumer::stop`] may take as long.
    pub wait_ms: i64,
    /// Name of this consumer for the history.
    pub consumer: Option<String>,
}

impl ConsumerSettings {
    /// Eight at once, a lease of a minute, receives of two seconds.
    pub fn new(subscription: impl Into<String>, queue: impl Into<String>) -> Self {
        Self {
            subscription: subscription.into(),
            queue: queue.into(),
            concurrency: 8,
            lease_ms: 60_000,
            wait_ms: 2_000,
            consumer: None,
        }
    }
}

/// What a handler makes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Done.
    Ack,
    /// Again, later.
    Retry {
        /// After so many milliseconds; `None` is the queue's backoff.
        after_ms: Option<i64>,
        /// Why, for the history.
        reason: String,
    },
    /// Never again.
    Dead {
        /// Why, for the history.
        reason: String,
    },
}

/// An error is a retry by the queue's policy.
impl<E: std::fmt::Display> From<Result<(), E>> for Handled {
    fn from(outcome: Result<(), E>) -> Self {
        match outcome {
            Ok(()) => Self::Ack,
            Err(error) => Self::Retry {
                after_ms: None,
                reason: error.to_string(),
            },
        }
    }
}

/// A consumer at work. Dropped, it goes on; [`RunningConsumer::stop`] ends it.
pub struct RunningConsumer {
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl RunningConsumer {
    /// Takes no more messages, handles and settles those that were received, and returns when that is done.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.wait().await;
    }
}

impl QueueClient<'_> {
    /// Declares a polled subscription and handles its messages in this process, up to `concurrency` at once, until it is
    /// stopped. What the handler returns settles the message; a handler that panics is a retry. Failures of the way to
    /// Plinth are outwaited.
    ///
    /// Errors: those of [`QueueClient::declare_subscription`].
    pub async fn subscribe<H, F>(
        &self,
        settings: ConsumerSettings,
        handler: H,
    ) -> Result<RunningConsumer>
    where
        H: Fn(QueueMessage) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Into<Handled> + Send + 'static,
    {
        let concurrency = settings.concurrency.clamp(1, RECEIVE_MAX);
        let declaration = SubscriptionOptions {
            queue: settings.queue.clone(),
            prefetch: i32::try_from(concurrency).ok(),
            lease_ms: Some(settings.lease_ms),
            webhook: None,
        };
        self.declare_subscription(&settings.subscription, &declaration)
            .await?;
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let consumer = Consumer {
            client: self.client.clone(),
            settings,
            places: Arc::new(Semaphore::new(concurrency)),
            cancel: cancel.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(Arc::new(consumer).run(Arc::new(handler)));
        tasks.close();
        Ok(RunningConsumer { cancel, tasks })
    }
}

struct Consumer {
    client: Client,
    settings: ConsumerSettings,
    places: Arc<Semaphore>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Consumer {
    async fn run<H, F>(self: Arc<Self>, handler: Arc<H>)
    where
        H: Fn(QueueMessage) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Into<Handled> + Send + 'static,
    {
        let mut pause_ms = PAUSE_MS_INITIAL;
        loop {
            let places = tokio::select! {
                () = self.cancel.cancelled() => return,
                places = self.free_places() => places,
            };
            if places.is_empty() {
                return;
            }
            // Not given up by a stop: what it leases would be held for nobody until its lease ends.
            match self.receive(places.len()).await {
                Ok(messages) => {
                    pause_ms = PAUSE_MS_INITIAL;
                    for (message, place) in messages.into_iter().zip(places) {
                        let consumer = Arc::clone(&self);
                        let handler = Arc::clone(&handler);
                        self.tasks.spawn(consumer.handle(handler, message, place));
                    }
                }
                Err(error) => {
                    tracing::warn!(queue = %self.settings.queue, %error, pause_ms, "receiving pauses");
                    let pause = tokio::time::sleep(Duration::from_millis(pause_ms));
                    tokio::select! {
                        () = self.cancel.cancelled() => return,
                        () = pause => {}
                    }
                    pause_ms = pause_ms.saturating_mul(2).min(PAUSE_MS_MAX);
                }
            }
        }
    }

    /// Waits for one free place and takes every other that is free too. Empty only if the semaphore were closed.
    async fn free_places(&self) -> Vec<OwnedSemaphorePermit> {
        let mut places: Vec<OwnedSemaphorePermit> = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .into_iter()
            .collect();
        while let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            places.push(place);
        }
        places
    }

    async fn receive(&self, max: usize) -> Result<Vec<QueueMessage>> {
        let options = ReceiveOptions {
            subscription: Some(self.settings.subscription.clone()),
            max: i32::try_from(max).ok(),
            wait_ms: Some(self.settings.wait_ms),
            lease_ms: Some(self.settings.lease_ms),
            consumer: self.settings.consumer.clone(),
        };
        self.client
            .queue()
            .receive(&self.settings.queue, &options)
            .await
    }

    async fn handle<H, F>(
        self: Arc<Self>,
        handler: Arc<H>,
        message: QueueMessage,
        _place: OwnedSemaphorePermit,
    ) where
        H: Fn(QueueMessage) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Into<Handled> + Send + 'static,
    {
        let (receipt, message_id) = (message.receipt.clone(), message.message_id.clone());
        let Some(receipt) = receipt else {
            return;
        };
        // In a task of its own, so that a panic ends the handler and not the consumer.
        let handled = tokio::spawn(async move { handler(message).await.into() })
            .await
            .unwrap_or_else(|_| Handled::Retry {
                after_ms: None,
                reason: "the handler panicked".to_owned(),
            });
        match self.settle(&receipt, &handled).await {
            Ok(items) if items.iter().all(|item| item.settled) => {}
            Ok(_) => {
                tracing::warn!(%message_id, "the lease ended before the message was settled; it may come again");
            }
            Err(error) => {
                tracing::warn!(%message_id, %error, "the message could not be settled; it comes again");
            }
        }
    }

    async fn settle(&self, receipt: &str, handled: &Handled) -> Result<Vec<Settled>, ClientError> {
        let (queue, receipts) = (self.settings.queue.as_str(), [receipt]);
        let client = self.client.queue();
        match handled {
            Handled::Ack => client.ack(queue, &receipts).await,
            Handled::Retry { after_ms, reason } => {
                client
                    .retry(queue, &receipts, *after_ms, Some(cut(reason)))
                    .await
            }
            Handled::Dead { reason } => client.dead(queue, &receipts, Some(cut(reason))).await,
        }
    }
}

/// Longest reason that the history takes, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

fn cut(reason: &str) -> &str {
    reason
        .get(..reason.floor_char_boundary(REASON_BYTES_MAX))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_settles_and_a_reason_is_cut_on_a_character() {
        assert_eq!(Handled::from(Ok::<(), String>(())), Handled::Ack);
        let failed: Handled = Err::<(), _>("no luck").into();
        let retry = Handled::Retry {
            after_ms: None,
            reason: "no luck".to_owned(),
        };
        assert_eq!(failed, retry);
        assert_eq!(cut(&"é".repeat(600)).len(), 1_024);
        assert_eq!(cut(&format!("a{}", "é".repeat(600))).len(), 1_023);
    }
}
