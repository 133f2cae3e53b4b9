//! The `queue` block. Bodies and answers are the block's own types.

use axum::extract::State;
use plinth_core::Resource;
use plinth_gate::Target;
use plinth_gate::catalogue::ops;
use plinth_queue::model::{
    AckRequest, BindReply, BindRequest, CreateQueueReply, CreateQueueRequest, DeadRequest,
    DeleteQueueReply, DeleteQueueRequest, GetQueueInfoRequest, ListQueuesReply, ListQueuesRequest,
    PeekReply, PeekRequest, PublishBatchReply, PublishBatchRequest, PublishReply, PublishRequest,
    PurgeReply, PurgeRequest, QueueInfo, ReceiveReply, ReceiveRequest, RetryRequest, SettleReply,
    SubscribeReply, SubscribeRequest, UnbindReply, UnbindRequest, UnsubscribeReply,
    UnsubscribeRequest, queue_resource,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{ApiJson, ApiPath, ApiQuery, ApiSession, WaitingJson};
use crate::problem::ApiResult;
use crate::services::Services;

/// The routes of the block.
pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(publish))
        .routes(routes!(publish_batch))
        .routes(routes!(subscribe, unsubscribe))
        .routes(routes!(receive))
        .routes(routes!(ack))
        .routes(routes!(retry))
        .routes(routes!(dead))
        .routes(routes!(list_queues))
        .routes(routes!(create_queue, get_queue_info, delete_queue))
        .routes(routes!(bind))
        .routes(routes!(unbind))
        .routes(routes!(peek))
        .routes(routes!(purge))
}

/// Publishes one message. It is durable in every queue that takes it when this answers.
#[utoipa::path(
    post, path = "/v1/queue/publish", operation_id = "queue.publish",
    request_body = PublishRequest,
    responses((status = 200, description = "It is stored.", body = PublishReply)),
)]
async fn publish(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<PublishRequest>,
) -> ApiResult<ApiJson<PublishReply>> {
    let target = Target::resources(request.resources());
    let service = &services.queue;
    let call = |context| async move { service.publish(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_PUBLISH, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Publishes many messages, all or nothing.
#[utoipa::path(
    post, path = "/v1/queue/publish-batch", operation_id = "queue.publish_batch",
    request_body = PublishBatchRequest,
    responses((status = 200, description = "All are stored.", body = PublishBatchReply)),
)]
async fn publish_batch(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<PublishBatchRequest>,
) -> ApiResult<ApiJson<PublishBatchReply>> {
    let target = Target::resources(request.resources());
    let service = &services.queue;
    let call = |context| async move { service.publish_batch(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_PUBLISH_BATCH, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Declares a durable subscription, polled or pushed to a signed webhook.
#[utoipa::path(
    put, path = "/v1/queue/subscriptions/{subscription}", operation_id = "queue.subscribe",
    params(("subscription" = String, Path, description = "Name of the subscription")),
    request_body = SubscribeRequest,
    responses((status = 200, description = "It is declared.", body = SubscribeReply)),
)]
async fn subscribe(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(subscription): ApiPath<String>,
    ApiJson(request): ApiJson<SubscribeRequest>,
) -> ApiResult<ApiJson<SubscribeReply>> {
    let target = Target::resource(queue_resource(&request.queue));
    let service = &services.queue;
    let call = |context| async move { service.subscribe(&context, &subscription, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_SUBSCRIBE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Ends a subscription; its queue and the messages there stay.
#[utoipa::path(
    delete, path = "/v1/queue/subscriptions/{subscription}", operation_id = "queue.unsubscribe",
    params(("subscription" = String, Path, description = "Name of the subscription")),
    responses((status = 200, description = "Whether there was one.", body = UnsubscribeReply)),
)]
async fn unsubscribe(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(subscription): ApiPath<String>,
) -> ApiResult<ApiJson<UnsubscribeReply>> {
    let target = Target::resource(
        services
            .queue
            .resource_of_subscription(&session.caller.tenant, &subscription),
    );
    let service = &services.queue;
    let call = |context| async move {
        service
            .unsubscribe(&context, UnsubscribeRequest { subscription })
            .await
    };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_UNSUBSCRIBE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Leases messages, waiting for the first one if asked.
#[utoipa::path(
    post, path = "/v1/queue/receive", operation_id = "queue.receive",
    request_body = ReceiveRequest,
    responses((status = 200, description = "Leased messages; empty when the wait ended.", body = ReceiveReply)),
)]
async fn receive(
    State(services): State<Services>,
    session: ApiSession,
    WaitingJson(request): WaitingJson<ReceiveRequest>,
) -> ApiResult<ApiJson<ReceiveReply>> {
    let wait_ms = u64::try_from(request.wait_ms.unwrap_or(0)).unwrap_or(0);
    let target = Target::resource(queue_resource(&request.queue)).waiting_ms(wait_ms);
    let service = &services.queue;
    let call = |context| async move { service.receive(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_RECEIVE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Settles leased messages as done.
#[utoipa::path(
    post, path = "/v1/queue/ack", operation_id = "queue.ack",
    request_body = AckRequest,
    responses((status = 200, description = "A status for each receipt.", body = SettleReply)),
)]
async fn ack(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<AckRequest>,
) -> ApiResult<ApiJson<SettleReply>> {
    let target = Target::resource(queue_resource(&request.queue));
    let service = &services.queue;
    let call = |context| async move { service.ack(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_ACK, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Hands leased messages back for another attempt.
#[utoipa::path(
    post, path = "/v1/queue/retry", operation_id = "queue.retry",
    request_body = RetryRequest,
    responses((status = 200, description = "A status for each receipt.", body = SettleReply)),
)]
async fn retry(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<RetryRequest>,
) -> ApiResult<ApiJson<SettleReply>> {
    let target = Target::resource(queue_resource(&request.queue));
    let service = &services.queue;
    let call = |context| async move { service.retry(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_RETRY, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Moves leased messages to the dead-letter queue.
#[utoipa::path(
    post, path = "/v1/queue/dead", operation_id = "queue.dead",
    request_body = DeadRequest,
    responses((status = 200, description = "A status for each receipt.", body = SettleReply)),
)]
async fn dead(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<DeadRequest>,
) -> ApiResult<ApiJson<SettleReply>> {
    let target = Target::resource(queue_resource(&request.queue));
    let service = &services.queue;
    let call = |context| async move { service.dead(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_DEAD, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Lists queues by name, with their depths.
#[utoipa::path(
    get, path = "/v1/queue/queues", operation_id = "queue.list_queues",
    params(ListQueuesRequest),
    responses((status = 200, description = "A page of queues.", body = ListQueuesReply)),
)]
async fn list_queues(
    State(services): State<Services>,
    session: ApiSession,
    ApiQuery(request): ApiQuery<ListQueuesRequest>,
) -> ApiResult<ApiJson<ListQueuesReply>> {
    let target = Target::resource(Resource::all("queue"));
    let service = &services.queue;
    let call = |context| async move { service.list_queues(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_LIST_QUEUES, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Declares a queue, and its dead-letter queue where that is absent.
#[utoipa::path(
    put, path = "/v1/queue/queues/{queue}", operation_id = "queue.create_queue",
    params(("queue" = String, Path, description = "Name of the queue")),
    request_body = CreateQueueRequest,
    responses((status = 200, description = "It is declared.", body = CreateQueueReply)),
)]
async fn create_queue(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(queue): ApiPath<String>,
    ApiJson(request): ApiJson<CreateQueueRequest>,
) -> ApiResult<ApiJson<CreateQueueReply>> {
    let target = Target::resources(request.resources(&queue));
    let service = &services.queue;
    let call = |context| async move { service.create_queue(&context, &queue, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_CREATE_QUEUE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// One queue: depths, rates, options, bindings, subscriptions.
#[utoipa::path(
    get, path = "/v1/queue/queues/{queue}", operation_id = "queue.get_queue_info",
    params(("queue" = String, Path, description = "Name of the queue")),
    responses((status = 200, description = "The queue.", body = QueueInfo)),
)]
async fn get_queue_info(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(queue): ApiPath<String>,
) -> ApiResult<ApiJson<QueueInfo>> {
    let target = Target::resource(queue_resource(&queue));
    let service = &services.queue;
    let call = |context| async move {
        service
            .get_queue_info(&context, GetQueueInfoRequest { queue })
            .await
    };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_GET_QUEUE_INFO, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Deletes a queue with its messages, bindings and subscriptions.
#[utoipa::path(
    delete, path = "/v1/queue/queues/{queue}", operation_id = "queue.delete_queue",
    params(("queue" = String, Path, description = "Name of the queue")),
    responses((status = 200, description = "What went.", body = DeleteQueueReply)),
)]
async fn delete_queue(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(queue): ApiPath<String>,
) -> ApiResult<ApiJson<DeleteQueueReply>> {
    let target = Target::resource(queue_resource(&queue));
    let service = &services.queue;
    let call = |context| async move {
        service
            .delete_queue(&context, DeleteQueueRequest { queue })
            .await
    };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_DELETE_QUEUE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Binds a queue to an exchange, which is declared where it is absent.
#[utoipa::path(
    post, path = "/v1/queue/bindings", operation_id = "queue.bind",
    request_body = BindRequest,
    responses((status = 200, description = "It is bound.", body = BindReply)),
)]
async fn bind(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<BindRequest>,
) -> ApiResult<ApiJson<BindReply>> {
    let target = Target::resources(request.resources());
    let service = &services.queue;
    let call = |context| async move { service.bind(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_BIND, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Removes a binding; an exchange goes with its last one.
#[utoipa::path(
    post, path = "/v1/queue/bindings/remove", operation_id = "queue.unbind",
    request_body = UnbindRequest,
    responses((status = 200, description = "Whether there was one.", body = UnbindReply)),
)]
async fn unbind(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<UnbindRequest>,
) -> ApiResult<ApiJson<UnbindReply>> {
    let target = Target::resources(request.resources());
    let service = &services.queue;
    let call = |context| async move { service.unbind(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_UNBIND, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Shows messages in the order of publishing, without leasing them.
#[utoipa::path(
    get, path = "/v1/queue/queues/{queue}/messages", operation_id = "queue.peek",
    params(("queue" = String, Path, description = "Name of the queue"), PeekRequest),
    responses((status = 200, description = "A page of messages.", body = PeekReply)),
)]
async fn peek(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(queue): ApiPath<String>,
    ApiQuery(request): ApiQuery<PeekRequest>,
) -> ApiResult<ApiJson<PeekReply>> {
    let target = Target::resource(queue_resource(&queue));
    let service = &services.queue;
    let call = |context| async move { service.peek(&context, &queue, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_PEEK, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Deletes messages of a queue that are there when it begins.
#[utoipa::path(
    post, path = "/v1/queue/queues/{queue}/purge", operation_id = "queue.purge",
    params(("queue" = String, Path, description = "Name of the queue")),
    request_body = PurgeRequest,
    responses((status = 200, description = "How many went.", body = PurgeReply)),
)]
async fn purge(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(queue): ApiPath<String>,
    ApiJson(request): ApiJson<PurgeRequest>,
) -> ApiResult<ApiJson<PurgeReply>> {
    let target = Target::resource(queue_resource(&queue));
    let service = &services.queue;
    let call = |context| async move { service.purge(&context, &queue, request).await };
    let reply = services
        .gate
        .call(&session, &ops::QUEUE_PURGE, target, call)
        .await?;
    Ok(ApiJson(reply))
}
