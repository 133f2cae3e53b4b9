//! The message queue: publishing and consuming. Declaring and looking stand in [`manage`].

use plinth_idl::queue as idl;
use reqwest::Method;
use serde_json::json;

mod consumer;
mod manage;
mod model;
mod wire;

pub use self::consumer::{ConsumerSettings, Handled, RunningConsumer};
pub use self::model::{
    CreatedQueue, DeletedQueue, MessagePage, PublishMessage, Published, QueueAttempt, QueueBackoff,
    QueueBinding, QueueDeadLetter, QueueDepth, QueueInfo, QueueMessage, QueueOptions, QueuePage,
    QueueSubscription, QueueWebhook, ReceiveOptions, Settled, SubscriptionOptions,
};
use self::wire::{
    ItemsBody, MessagesBody, PublishedBatchBody, PublishedBody, text, text_option, texts,
};
use crate::Client;
use crate::error::Result;
use crate::request_id;
use crate::retry::Repeat;
use crate::transport::Transport;
use crate::transport::http::idempotent;

/// The queue operations of a client.
#[derive(Clone, Copy)]
pub struct QueueClient<'client> {
    client: &'client Client,
}

impl<'client> QueueClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }

    /// Publishes one message; it is durable when this returns. `request_id` is the idempotency key; one is made up where
    /// none is given, so a repeat after a lost answer stores nothing twice.
    ///
    /// Errors: 1001 and 1007 naming the field, 2104 where no queue takes it, 2106 where a queue is full.
    pub async fn publish(
        &self,
        message: &PublishMessage,
        request_id: Option<String>,
    ) -> Result<Published> {
        let request_id = self::request_id(request_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueuePublishRequest {
                        message: message.into(),
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().queue_publish(request)).await?;
                    Ok(reply.published.into())
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "queue", "publish"])
                        .json(&json!({ "message": message }));
                    let reply: PublishedBody = http.json(idempotent(request, &request_id)).await?;
                    Ok(reply.published)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Publishes 1 to 1,000 messages, all or nothing; as [`QueueClient::publish`] otherwise.
    pub async fn publish_batch(
        &self,
        messages: &[PublishMessage],
        request_id: Option<String>,
    ) -> Result<Vec<Published>> {
        let request_id = self::request_id(request_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueuePublishBatchRequest {
                        messages: messages.iter().map(Into::into).collect(),
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let reply = thrift
                        .call(thrift.api().queue_publish_batch(request))
                        .await?;
                    Ok(reply.published.into_iter().map(Into::into).collect())
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "queue", "publish-batch"])
                        .json(&json!({ "messages": messages }));
                    let reply: PublishedBatchBody =
                        http.json(idempotent(request, &request_id)).await?;
                    Ok(reply.published)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Leases messages, waiting for the first one if asked. Not repeated: messages of a lost answer come again when their
    /// lease ends.
    ///
    /// Errors: 1001 naming the field, 1004 where the queue or subscription does not exist, 1009 where too many wait.
    pub async fn receive(
        &self,
        queue: &str,
        options: &ReceiveOptions,
    ) -> Result<Vec<QueueMessage>> {
        let wait_ms = u64::try_from(options.wait_ms.unwrap_or(0)).unwrap_or(0);
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::QueueReceiveRequest {
                    queue: text(queue),
                    subscription: text_option(options.subscription.as_deref()),
                    max: options.max,
                    wait_ms: options.wait_ms,
                    lease_ms: options.lease_ms,
                    consumer: text_option(options.consumer.as_deref()),
                    base: None,
                };
                let call = thrift.api().queue_receive(request);
                let reply = thrift.call_waiting(wait_ms, call).await?;
                Ok(reply.messages.into_iter().map(Into::into).collect())
            }
            Transport::Http(http) => {
                let body = json!({
                    "queue": queue, "subscription": options.subscription, "max": options.max,
                    "wait_ms": options.wait_ms, "lease_ms": options.lease_ms, "consumer": options.consumer,
                });
                let path = ["v1", "queue", "receive"];
                let request = http
                    .request_waiting(Method::POST, &path, wait_ms)
                    .json(&body);
                Ok(http.json::<MessagesBody>(request).await?.messages)
            }
        }
    }

    /// Settles leased messages as done; one status for each receipt. After a repeat, what the first attempt had settled
    /// shows 2105.
    ///
    /// Errors: 1001 naming the field, 1004 where the queue does not exist.
    pub async fn ack(&self, queue: &str, receipts: &[&str]) -> Result<Vec<Settled>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueAckRequest {
                        queue: text(queue),
                        receipts: texts(receipts),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().queue_ack(request)).await?;
                    Ok(reply.items.into_iter().map(Into::into).collect())
                }
                Transport::Http(http) => {
                    let body = json!({ "queue": queue, "receipts": receipts });
                    let request = http
                        .request(Method::POST, &["v1", "queue", "ack"])
                        .json(&body);
                    Ok(http.json::<ItemsBody>(request).await?.items)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Hands leased messages back for another attempt, after a time or by the queue's backoff; as [`QueueClient::ack`]
    /// otherwise.
    pub async fn retry(
        &self,
        queue: &str,
        receipts: &[&str],
        after_ms: Option<i64>,
        reason: Option<&str>,
    ) -> Result<Vec<Settled>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueRetryRequest {
                        queue: text(queue),
                        receipts: texts(receipts),
                        after_ms,
                        reason: text_option(reason),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().queue_retry(request)).await?;
                    Ok(reply.items.into_iter().map(Into::into).collect())
                }
                Transport::Http(http) => {
                    let body = json!({
                        "queue": queue, "receipts": receipts, "after_ms": after_ms, "reason": reason,
                    });
                    let request = http
                        .request(Method::POST, &["v1", "queue", "retry"])
                        .json(&body);
                    Ok(http.json::<ItemsBody>(request).await?.items)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Moves leased messages to the dead-letter queue; as [`QueueClient::ack`] otherwise.
    pub async fn dead(
        &self,
        queue: &str,
        receipts: &[&str],
        reason: Option<&str>,
    ) -> Result<Vec<Settled>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueDeadRequest {
                        queue: text(queue),
                        receipts: texts(receipts),
                        reason: text_option(reason),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().queue_dead(request)).await?;
                    Ok(reply.items.into_iter().map(Into::into).collect())
                }
                Transport::Http(http) => {
                    let body = json!({ "queue": queue, "receipts": receipts, "reason": reason });
                    let request = http
                        .request(Method::POST, &["v1", "queue", "dead"])
                        .json(&body);
                    Ok(http.json::<ItemsBody>(request).await?.items)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
