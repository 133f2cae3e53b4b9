//! Declaring queues, bindings and subscriptions, and looking at them.

use plinth_idl::queue as idl;
use reqwest::Method;
use serde_json::json;

use super::QueueClient;
use super::model::{
    CreatedQueue, DeletedQueue, MessagePage, QueueInfo, QueueOptions, QueuePage,
    SubscriptionOptions,
};
use super::wire::{CreatedBody, PurgedBody, RemovedBody, text, text_option};
use crate::error::Result;
use crate::retry::Repeat;
use crate::transport::Transport;

impl QueueClient<'_> {
    /// Declares a queue, and its dead-letter queue where that is absent. The same declaration again changes nothing.
    ///
    /// Errors: 1001 naming the field, 1005 naming the difference where it exists with other options.
    pub async fn create_queue(&self, queue: &str, options: &QueueOptions) -> Result<CreatedQueue> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueCreateQueueRequest {
                        queue: text(queue),
                        options: Some(options.into()),
                        base: None,
                    };
                    let reply = thrift
                        .call(thrift.api().queue_create_queue(request))
                        .await?;
                    Ok(CreatedQueue {
                        created: reply.created,
                        options: reply.options.into(),
                    })
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::PUT, &["v1", "queue", "queues", queue])
                        .json(&json!({ "options": options }));
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Deletes a queue with its messages, bindings and subscriptions. Its dead-letter queue stays.
    ///
    /// Errors: 1005 where it is the dead-letter queue of another one.
    pub async fn delete_queue(&self, queue: &str) -> Result<DeletedQueue> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueDeleteQueueRequest {
                        queue: text(queue),
                        base: None,
                    };
                    let reply = thrift
                        .call(thrift.api().queue_delete_queue(request))
                        .await?;
                    Ok(DeletedQueue {
                        removed: reply.removed,
                        messages: reply.messages,
                    })
                }
                Transport::Http(http) => {
                    let path = ["v1", "queue", "queues", queue];
                    http.json(http.request(Method::DELETE, &path)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Lists queues by name, with their depths.
    pub async fn list_queues(
        &self,
        prefix: Option<&str>,
        cursor: Option<&str>,
        limit: Option<i32>,
    ) -> Result<QueuePage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueListQueuesRequest {
                        prefix: text_option(prefix),
                        cursor: text_option(cursor),
                        limit,
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().queue_list_queues(request)).await?;
                    Ok(QueuePage {
                        queues: reply.queues.into_iter().map(Into::into).collect(),
                        next_cursor: reply.next_cursor.map(|cursor| cursor.to_string()),
                    })
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::GET, &["v1", "queue", "queues"])
                        .query(&[("prefix", prefix), ("cursor", cursor)])
                        .query(&[("limit", limit)]);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// One queue: depths, rates, options, bindings, subscriptions. Errors: 1004 where it does not exist.
    pub async fn queue_info(&self, queue: &str) -> Result<QueueInfo> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueGetQueueInfoRequest {
                        queue: text(queue),
                        base: None,
                    };
                    let call = thrift.api().queue_get_queue_info(request);
                    Ok(thrift.call(call).await?.into())
                }
                Transport::Http(http) => {
                    let path = ["v1", "queue", "queues", queue];
                    http.json(http.request(Method::GET, &path)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Binds a queue to an exchange, which is declared where it is absent; says whether the binding was new. Without a
    /// type: that of the exchange where it exists, else direct.
    ///
    /// Errors: 1004 where the queue does not exist, 1005 where the exchange has another type.
    pub async fn bind(
        &self,
        exchange: &str,
        exchange_type: Option<&str>,
        queue: &str,
        routing_key: &str,
    ) -> Result<bool> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueBindRequest {
                        exchange: text(exchange),
                        exchange_type: text_option(exchange_type),
                        queue: text(queue),
                        routing_key: Some(text(routing_key)),
                        base: None,
                    };
                    Ok(thrift.call(thrift.api().queue_bind(request)).await?.created)
                }
                Transport::Http(http) => {
                    let body = json!({
                        "exchange": exchange, "exchange_type": exchange_type, "queue": queue,
                        "routing_key": routing_key,
                    });
                    let path = ["v1", "queue", "bindings"];
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<CreatedBody>(request).await?.created)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Removes a binding and says whether there was one; an exchange goes with its last binding.
    pub async fn unbind(&self, exchange: &str, queue: &str, routing_key: &str) -> Result<bool> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueUnbindRequest {
                        exchange: text(exchange),
                        queue: text(queue),
                        routing_key: Some(text(routing_key)),
                        base: None,
                    };
                    Ok(thrift
                        .call(thrift.api().queue_unbind(request))
                        .await?
                        .removed)
                }
                Transport::Http(http) => {
                    let body =
                        json!({ "exchange": exchange, "queue": queue, "routing_key": routing_key });
                    let path = ["v1", "queue", "bindings", "remove"];
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<RemovedBody>(request).await?.removed)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Shows messages in the order of publishing, without leasing them. The state is `all`, `ready`, `delayed` or
    /// `leased`.
    pub async fn peek(
        &self,
        queue: &str,
        state: Option<&str>,
        cursor: Option<&str>,
        limit: Option<i32>,
    ) -> Result<MessagePage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueuePeekRequest {
                        queue: text(queue),
                        state: text_option(state),
                        cursor: text_option(cursor),
                        limit,
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().queue_peek(request)).await?;
                    Ok(MessagePage {
                        messages: reply.messages.into_iter().map(Into::into).collect(),
                        next_cursor: reply.next_cursor.map(|cursor| cursor.to_string()),
                    })
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::GET, &["v1", "queue", "queues", queue, "messages"])
                        .query(&[("state", state), ("cursor", cursor)])
                        .query(&[("limit", limit)]);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Deletes messages and says how many. The state is `ready`, `delayed`, `leased`, `all` or `dead`.
    pub async fn purge(&self, queue: &str, state: Option<&str>) -> Result<i64> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueuePurgeRequest {
                        queue: text(queue),
                        state: text_option(state),
                        base: None,
                    };
                    Ok(thrift.call(thrift.api().queue_purge(request)).await?.purged)
                }
                Transport::Http(http) => {
                    let path = ["v1", "queue", "queues", queue, "purge"];
                    let body = json!({ "state": state });
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<PurgedBody>(request).await?.purged)
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }

    /// Declares a durable subscription and says whether it was new; with a webhook, pushing begins. To handle messages
    /// in this process, see [`QueueClient::subscribe`].
    ///
    /// Errors: 1004 where the queue does not exist, 1005 naming the difference where it exists otherwise.
    pub async fn declare_subscription(
        &self,
        subscription: &str,
        options: &SubscriptionOptions,
    ) -> Result<bool> {
        let mode = match options.webhook {
            Some(_) => "webhook",
            None => "polled",
        };
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let webhook = options.webhook.as_ref().map(|webhook| idl::QueueWebhook {
                        url: text(&webhook.url),
                        secret: text(&webhook.secret),
                    });
                    let request = idl::QueueSubscribeRequest {
                        subscription: text(subscription),
                        queue: text(&options.queue),
                        prefetch: options.prefetch,
                        lease_ms: options.lease_ms,
                        mode: Some(text(mode)),
                        webhook,
                        base: None,
                    };
                    Ok(thrift
                        .call(thrift.api().queue_subscribe(request))
                        .await?
                        .created)
                }
                Transport::Http(http) => {
                    let body = json!({
                        "queue": options.queue, "prefetch": options.prefetch, "lease_ms": options.lease_ms,
                        "mode": mode, "webhook": options.webhook,
                    });
                    let path = ["v1", "queue", "subscriptions", subscription];
                    let request = http.request(Method::PUT, &path).json(&body);
                    Ok(http.json::<CreatedBody>(request).await?.created)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Ends a durable subscription and says whether there was one.
    pub async fn unsubscribe(&self, subscription: &str) -> Result<bool> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::QueueUnsubscribeRequest {
                        subscription: text(subscription),
                        base: None,
                    };
                    Ok(thrift
                        .call(thrift.api().queue_unsubscribe(request))
                        .await?
                        .removed)
                }
                Transport::Http(http) => {
                    let path = ["v1", "queue", "subscriptions", subscription];
                    let request = http.request(Method::DELETE, &path);
                    Ok(http.json::<RemovedBody>(request).await?.removed)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
