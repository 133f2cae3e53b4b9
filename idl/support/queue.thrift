// The structs of the queue block.
namespace go support.queue
namespace py support.queue
namespace java support.queue
namespace js support.queue

include "../base.thrift"

struct QueuePublishRequest {
    255: optional base.Base base
}

struct QueuePublishResponse {
    255: optional base.BaseResp base_resp
}

struct QueuePublishBatchRequest {
    255: optional base.Base base
}

struct QueuePublishBatchResponse {
    255: optional base.BaseResp base_resp
}

struct QueueSubscribeRequest {
    255: optional base.Base base
}

struct QueueSubscribeResponse {
    255: optional base.BaseResp base_resp
}

struct QueueUnsubscribeRequest {
    255: optional base.Base base
}

struct QueueUnsubscribeResponse {
    255: optional base.BaseResp base_resp
}

struct QueueReceiveRequest {
    255: optional base.Base base
}

struct QueueReceiveResponse {
    255: optional base.BaseResp base_resp
}

struct QueueAckRequest {
    255: optional base.Base base
}

struct QueueAckResponse {
    255: optional base.BaseResp base_resp
}

struct QueueRetryRequest {
    255: optional base.Base base
}

struct QueueRetryResponse {
    255: optional base.BaseResp base_resp
}

struct QueueDeadRequest {
    255: optional base.Base base
}

struct QueueDeadResponse {
    255: optional base.BaseResp base_resp
}

struct QueueCreateQueueRequest {
    255: optional base.Base base
}

struct QueueCreateQueueResponse {
    255: optional base.BaseResp base_resp
}

struct QueueDeleteQueueRequest {
    255: optional base.Base base
}

struct QueueDeleteQueueResponse {
    255: optional base.BaseResp base_resp
}

struct QueueListQueuesRequest {
    255: optional base.Base base
}

struct QueueListQueuesResponse {
    255: optional base.BaseResp base_resp
}

struct QueueGetQueueInfoRequest {
    255: optional base.Base base
}

struct QueueGetQueueInfoResponse {
    255: optional base.BaseResp base_resp
}

struct QueueBindRequest {
    255: optional base.Base base
}

struct QueueBindResponse {
    255: optional base.BaseResp base_resp
}

struct QueueUnbindRequest {
    255: optional base.Base base
}

struct QueueUnbindResponse {
    255: optional base.BaseResp base_resp
}

struct QueuePeekRequest {
    255: optional base.Base base
}

struct QueuePeekResponse {
    255: optional base.BaseResp base_resp
}

struct QueuePurgeRequest {
    255: optional base.Base base
}

struct QueuePurgeResponse {
    255: optional base.BaseResp base_resp
}
