//! Publishing.

use plinth_core::access::IdempotencyScope;
use plinth_core::{CallContext, Error};
use plinth_store::idempotency;
use uuid::Uuid;

use super::{Inner, QueueService};
use crate::backend::{PublishBatch, RoutedMessage};
use crate::error::QueueError;
use crate::model::{
    PublishBatchReply, PublishBatchRequest, PublishMessage, PublishReply, PublishRequest,
    Published, limits,
};
use crate::routing::RoutingSteps;

impl QueueService {
    /// Publishes one message. It is durable in every queue that takes it when this returns.
    ///
    /// Errors: 1001 and 1007 naming the field, 2104 where no queue takes it, 2106 where a queue is full, 1005 where the
    /// idempotency key was used for another message.
    pub async fn publish(
        &self,
        context: &CallContext,
        request: PublishRequest,
    ) -> Result<PublishReply, QueueError> {
        let scope = idempotency::scope(context, &request, self.inner.clock.now());
        let prepared = self.inner.prepare_one(context, &request.message);
        let stored = self.inner.store(context, scope, prepared).await;
        let mut published = stored.map_err(|error| match error {
            never @ QueueError::NeverFits { .. } => {
                QueueError::Refused(Error::too_large("message", never.to_string()))
            }
            other => other,
        })?;
        let published: Published = published.pop().ok_or_else(|| {
            QueueError::Refused(Error::internal("the backend answered for no message"))
        })?;
        Ok(PublishReply { published })
    }

    /// Publishes 1 to [`limits::BATCH_ITEMS_MAX`] messages, all or nothing.
    ///
    /// Errors: as for one message, the field named with its index.
    pub async fn publish_batch(
        &self,
        context: &CallContext,
        request: PublishBatchRequest,
    ) -> Result<PublishBatchReply, QueueError> {
        let scope = idempotency::scope(context, &request, self.inner.clock.now());
        let prepared = self.inner.prepare_batch(context, &request).await;
        Ok(PublishBatchReply {
            published: self.inner.store(context, scope, prepared).await?,
        })
    }
}

impl Inner {
    /// Stores messages that were checked. What is refused now may have been published before, when its exchange, its queues
    /// or its time were still there: then the answer that is stored under its key is the answer.
    async fn store(
        &self,
        context: &CallContext,
        scope: Option<IdempotencyScope>,
        prepared: Result<Vec<RoutedMessage>, Error>,
    ) -> Result<Vec<Published>, QueueError> {
        match (prepared, scope) {
            (Ok(messages), scope) => {
                let batch = PublishBatch {
                    tenant: context.caller.tenant.clone(),
                    messages,
                    scope,
                };
                self.backend.publish(batch).await
            }
            (Err(refusal), None) => Err(QueueError::Refused(refusal)),
            (Err(refusal), Some(scope)) => {
                let stored = self.backend.recall(scope).await?;
                stored.ok_or(QueueError::Refused(refusal))
            }
        }
    }

    fn prepare_one(
        &self,
        context: &CallContext,
        message: &PublishMessage,
    ) -> Result<Vec<RoutedMessage>, Error> {
        let mut copies = Copies::default();
        let routed = self
            .routed(context, message, &mut RoutingSteps::new())
            .map_err(|error| Error::from(error).in_field("message"))?;
        copies.add("message", &routed)?;
        Ok(vec![routed])
    }

    async fn prepare_batch(
        &self,
        context: &CallContext,
        request: &PublishBatchRequest,
    ) -> Result<Vec<RoutedMessage>, Error> {
        check_batch(request)?;
        let (mut copies, mut steps) = (Copies::default(), RoutingSteps::new());
        let mut messages = Vec::with_capacity(request.messages.len());
        for (index, message) in request.messages.iter().enumerate() {
            let routed = self
                .routed(context, message, &mut steps)
                .map_err(|error| in_place(error, index))?;
            copies.add("messages", &routed)?;
            messages.push(routed);
            steps.rest().await;
        }
        Ok(messages)
    }

    /// Checks a message and finds its queues.
    fn routed(
        &self,
        context: &CallContext,
        message: &PublishMessage,
        steps: &mut RoutingSteps,
    ) -> Result<RoutedMessage, QueueError> {
        let published_at = self.clock.now();
        let mut message = message.validate(published_at)?;
        let queues = self
            .topology
            .route(&context.caller.tenant, &message, steps)?;
        message
            .traceparent
            .get_or_insert_with(|| context.caller.trace.header());
        Ok(RoutedMessage {
            message_id: message
                .message_id
                .clone()
                .unwrap_or_else(|| Uuid::now_v7().to_string()),
            message,
            published_at,
            queues,
        })
    }
}

/// Each queue that takes a message gets a copy of its own, and all copies of a publish are written in one commit.
#[derive(Default)]
struct Copies {
    count: usize,
    bytes: usize,
}

impl Copies {
    /// Errors: 1007 naming the field.
    fn add(&mut self, field: &str, routed: &RoutedMessage) -> Result<(), Error> {
        let count = routed.queues.len();
        self.count = self.count.saturating_add(count);
        let bytes = routed.message.body.len().saturating_mul(count);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.count > limits::COPIES_MAX || self.bytes > limits::COPIES_BYTES_MAX {
            let rule = format!(
                "would be stored as more than {} copies or {} bytes over all queues, which is the most; publish fewer at a time",
                limits::COPIES_MAX,
                limits::COPIES_BYTES_MAX
            );
            return Err(Error::too_large(field, rule));
        }
        Ok(())
    }
}

fn check_batch(request: &PublishBatchRequest) -> Result<(), Error> {
    let count = request.messages.len();
    if count == 0 || count > limits::BATCH_ITEMS_MAX {
        return Err(Error::invalid(
            "messages",
            format!(
                "has {count} items, must have 1 to {}",
                limits::BATCH_ITEMS_MAX
            ),
        ));
    }
    let bytes: usize = request
        .messages
        .iter()
        .map(|message| message.body.len())
        .sum();
    if bytes > limits::BATCH_BYTES_MAX {
        return Err(Error::too_large(
            "messages",
            format!(
                "have {bytes} bytes of bodies, at most {} are allowed",
                limits::BATCH_BYTES_MAX
            ),
        ));
    }
    Ok(())
}

/// Puts the place of a message before the fields that it got wrong; where no field is to blame, names the message.
fn in_place(error: QueueError, index: usize) -> Error {
    let (error, place) = (Error::from(error), format!("messages[{index}]"));
    if error.violations().is_empty() {
        return error.with_violation(place, "is the message that was refused");
    }
    error.in_field(&place)
}
