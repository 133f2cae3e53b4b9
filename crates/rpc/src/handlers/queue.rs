//! The `queue` block.

mod shapes;

use plinth_core::{Resource, Result};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::queue::*;
use plinth_queue::model::{
    AckRequest, BindRequest, CreateQueueRequest, DeadRequest, DeleteQueueRequest,
    GetQueueInfoRequest, ListQueuesRequest, PeekRequest, PublishBatchRequest, PublishRequest,
    PurgeRequest, ReceiveRequest, RetryRequest, SubscribeRequest, UnbindRequest,
    UnsubscribeRequest, Webhook, queue_resource,
};

use super::convert::{text, text_list};
use crate::services::Services;

pub(crate) async fn publish(
    services: &Services,
    session: &Session,
    request: QueuePublishRequest,
) -> Result<QueuePublishResponse> {
    let request = PublishRequest {
        message: shapes::publish_message(request.message),
    };
    let target = Target::resources(request.resources());
    let call = |context| async move { services.queue.publish(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_PUBLISH, target, call)
        .await?;
    Ok(QueuePublishResponse {
        published: shapes::published(reply.published),
        base_resp: None,
    })
}

pub(crate) async fn publish_batch(
    services: &Services,
    session: &Session,
    request: QueuePublishBatchRequest,
) -> Result<QueuePublishBatchResponse> {
    let request = PublishBatchRequest {
        messages: request
            .messages
            .into_iter()
            .map(shapes::publish_message)
            .collect(),
    };
    let target = Target::resources(request.resources());
    let call = |context| async move { services.queue.publish_batch(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_PUBLISH_BATCH, target, call)
        .await?;
    Ok(QueuePublishBatchResponse {
        published: reply.published.into_iter().map(shapes::published).collect(),
        base_resp: None,
    })
}

pub(crate) async fn subscribe(
    services: &Services,
    session: &Session,
    request: QueueSubscribeRequest,
) -> Result<QueueSubscribeResponse> {
    let target = Target::resource(queue_resource(&request.queue));
    let subscription = request.subscription.to_string();
    let request = SubscribeRequest {
        queue: request.queue.to_string(),
        prefetch: request.prefetch,
        lease_ms: request.lease_ms,
        mode: text(request.mode),
        webhook: request.webhook.map(|webhook| Webhook {
            url: webhook.url.to_string(),
            secret: webhook.secret.to_string(),
        }),
    };
    let call = |context| async move {
        services
            .queue
            .subscribe(&context, &subscription, request)
            .await
    };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_SUBSCRIBE, target, call)
        .await?;
    Ok(QueueSubscribeResponse {
        created: reply.created,
        base_resp: None,
    })
}

pub(crate) async fn unsubscribe(
    services: &Services,
    session: &Session,
    request: QueueUnsubscribeRequest,
) -> Result<QueueUnsubscribeResponse> {
    let target = Target::resource(
        services
            .queue
            .resource_of_subscription(&session.caller.tenant, &request.subscription),
    );
    let request = UnsubscribeRequest {
        subscription: request.subscription.to_string(),
    };
    let call = |context| async move { services.queue.unsubscribe(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_UNSUBSCRIBE, target, call)
        .await?;
    Ok(QueueUnsubscribeResponse {
        removed: reply.removed,
        base_resp: None,
    })
}

pub(crate) async fn receive(
    services: &Services,
    session: &Session,
    request: QueueReceiveRequest,
) -> Result<QueueReceiveResponse> {
    let wait_ms = u64::try_from(request.wait_ms.unwrap_or(0)).unwrap_or(0);
    let target = Target::resource(queue_resource(&request.queue)).waiting_ms(wait_ms);
    let request = ReceiveRequest {
        queue: request.queue.to_string(),
        subscription: text(request.subscription),
        max: request.max,
        wait_ms: request.wait_ms,
        lease_ms: request.lease_ms,
        consumer: text(request.consumer),
    };
    let call = |context| async move { services.queue.receive(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_RECEIVE, target, call)
        .await?;
    Ok(QueueReceiveResponse {
        messages: reply.messages.into_iter().map(shapes::message).collect(),
        base_resp: None,
    })
}

pub(crate) async fn ack(
    services: &Services,
    session: &Session,
    request: QueueAckRequest,
) -> Result<QueueAckResponse> {
    let target = Target::resource(queue_resource(&request.queue));
    let request = AckRequest {
        queue: request.queue.to_string(),
        receipts: text_list(request.receipts),
    };
    let call = |context| async move { services.queue.ack(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_ACK, target, call)
        .await?;
    Ok(QueueAckResponse {
        items: reply.items.into_iter().map(shapes::settled).collect(),
        base_resp: None,
    })
}

pub(crate) async fn retry(
    services: &Services,
    session: &Session,
    request: QueueRetryRequest,
) -> Result<QueueRetryResponse> {
    let target = Target::resource(queue_resource(&request.queue));
    let request = RetryRequest {
        queue: request.queue.to_string(),
        receipts: text_list(request.receipts),
        after_ms: request.after_ms,
        reason: text(request.reason),
    };
    let call = |context| async move { services.queue.retry(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_RETRY, target, call)
        .await?;
    Ok(QueueRetryResponse {
        items: reply.items.into_iter().map(shapes::settled).collect(),
        base_resp: None,
    })
}

pub(crate) async fn dead(
    services: &Services,
    session: &Session,
    request: QueueDeadRequest,
) -> Result<QueueDeadResponse> {
    let target = Target::resource(queue_resource(&request.queue));
    let request = DeadRequest {
        queue: request.queue.to_string(),
        receipts: text_list(request.receipts),
        reason: text(request.reason),
    };
    let call = |context| async move { services.queue.dead(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_DEAD, target, call)
        .await?;
    Ok(QueueDeadResponse {
        items: reply.items.into_iter().map(shapes::settled).collect(),
        base_resp: None,
    })
}

pub(crate) async fn create_queue(
    services: &Services,
    session: &Session,
    request: QueueCreateQueueRequest,
) -> Result<QueueCreateQueueResponse> {
    let name = request.queue.to_string();
    let request = CreateQueueRequest {
        options: request.options.map(shapes::options_in),
    };
    let target = Target::resources(request.resources(&name));
    let call = |context| async move { services.queue.create_queue(&context, &name, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_CREATE_QUEUE, target, call)
        .await?;
    Ok(QueueCreateQueueResponse {
        created: reply.created,
        options: shapes::options_out(reply.options),
        base_resp: None,
    })
}

pub(crate) async fn delete_queue(
    services: &Services,
    session: &Session,
    request: QueueDeleteQueueRequest,
) -> Result<QueueDeleteQueueResponse> {
    let target = Target::resource(queue_resource(&request.queue));
    let request = DeleteQueueRequest {
        queue: request.queue.to_string(),
    };
    let call = |context| async move { services.queue.delete_queue(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_DELETE_QUEUE, target, call)
        .await?;
    Ok(QueueDeleteQueueResponse {
        removed: reply.removed,
        messages: reply.messages,
        base_resp: None,
    })
}

pub(crate) async fn list_queues(
    services: &Services,
    session: &Session,
    request: QueueListQueuesRequest,
) -> Result<QueueListQueuesResponse> {
    let request = ListQueuesRequest {
        prefix: text(request.prefix),
        cursor: text(request.cursor),
        limit: request.limit.map(i64::from),
    };
    let target = Target::resource(Resource::all("queue"));
    let call = |context| async move { services.queue.list_queues(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_LIST_QUEUES, target, call)
        .await?;
    Ok(QueueListQueuesResponse {
        queues: reply.queues.into_iter().map(shapes::depth).collect(),
        next_cursor: reply.next_cursor.map(Into::into),
        base_resp: None,
    })
}

pub(crate) async fn get_queue_info(
    services: &Services,
    session: &Session,
    request: QueueGetQueueInfoRequest,
) -> Result<QueueGetQueueInfoResponse> {
    let target = Target::resource(queue_resource(&request.queue));
    let request = GetQueueInfoRequest {
        queue: request.queue.to_string(),
    };
    let call = |context| async move { services.queue.get_queue_info(&context, request).await };
    let info = services
        .gate
        .call(session, &ops::QUEUE_GET_QUEUE_INFO, target, call)
        .await?;
    Ok(QueueGetQueueInfoResponse {
        depth: shapes::depth(info.depth),
        options: shapes::options_out(info.options),
        bindings: info.bindings.into_iter().map(shapes::binding).collect(),
        subscriptions: info
            .subscriptions
            .into_iter()
            .map(shapes::subscription)
            .collect(),
        created_at_ms: info.created_at_ms,
        base_resp: None,
    })
}

pub(crate) async fn bind(
    services: &Services,
    session: &Session,
    request: QueueBindRequest,
) -> Result<QueueBindResponse> {
    let request = BindRequest {
        exchange: request.exchange.to_string(),
        exchange_type: text(request.exchange_type),
        queue: request.queue.to_string(),
        routing_key: text(request.routing_key),
    };
    let target = Target::resources(request.resources());
    let call = |context| async move { services.queue.bind(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_BIND, target, call)
        .await?;
    Ok(QueueBindResponse {
        created: reply.created,
        base_resp: None,
    })
}

pub(crate) async fn unbind(
    services: &Services,
    session: &Session,
    request: QueueUnbindRequest,
) -> Result<QueueUnbindResponse> {
    let request = UnbindRequest {
        exchange: request.exchange.to_string(),
        queue: request.queue.to_string(),
        routing_key: text(request.routing_key),
    };
    let target = Target::resources(request.resources());
    let call = |context| async move { services.queue.unbind(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_UNBIND, target, call)
        .await?;
    Ok(QueueUnbindResponse {
        removed: reply.removed,
        base_resp: None,
    })
}

pub(crate) async fn peek(
    services: &Services,
    session: &Session,
    request: QueuePeekRequest,
) -> Result<QueuePeekResponse> {
    let name = request.queue.to_string();
    let target = Target::resource(queue_resource(&name));
    let request = PeekRequest {
        state: text(request.state),
        cursor: text(request.cursor),
        limit: request.limit.map(i64::from),
    };
    let call = |context| async move { services.queue.peek(&context, &name, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_PEEK, target, call)
        .await?;
    Ok(QueuePeekResponse {
        messages: reply.messages.into_iter().map(shapes::message).collect(),
        next_cursor: reply.next_cursor.map(Into::into),
        base_resp: None,
    })
}

pub(crate) async fn purge(
    services: &Services,
    session: &Session,
    request: QueuePurgeRequest,
) -> Result<QueuePurgeResponse> {
    let name = request.queue.to_string();
    let target = Target::resource(queue_resource(&name));
    let request = PurgeRequest {
        state: text(request.state),
    };
    let call = |context| async move { services.queue.purge(&context, &name, request).await };
    let reply = services
        .gate
        .call(session, &ops::QUEUE_PURGE, target, call)
        .await?;
    Ok(QueuePurgeResponse {
        purged: reply.purged,
        base_resp: None,
    })
}
