//! Requests, replies and what they become once they are checked.

mod base64_text;
pub mod limits;
mod message;
mod names;
mod options;
mod requests;
mod resources;
mod subscription;

pub use message::{NewMessage, PublishMessage, Published};
pub use names::{ExchangeKind, QueueName, RoutingKey, StateFilter};
pub use options::{Backoff, BackoffOptions, OnFull, QueueOptions, QueuePolicy};
pub use requests::{
    AckRequest, Attempt, BindReply, BindRequest, Binding, CreateQueueReply, CreateQueueRequest,
    DeadLetter, DeadRequest, DeleteQueueReply, DeleteQueueRequest, GetQueueInfoRequest,
    ListQueuesReply, ListQueuesRequest, Message, PeekReply, PeekRequest, PublishBatchReply,
    PublishBatchRequest, PublishReply, PublishRequest, PurgeReply, PurgeRequest, QueueDepth,
    QueueInfo, ReceiveReply, ReceiveRequest, RetryRequest, SettleReply, Settled, SubscribeReply,
    SubscribeRequest, SubscriptionInfo, UnbindReply, UnbindRequest, UnsubscribeReply,
    UnsubscribeRequest, Webhook,
};
pub use resources::queue_resource;
pub use subscription::{Delivery, Subscription, WebhookTarget};
