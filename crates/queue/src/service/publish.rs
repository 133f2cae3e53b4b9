//! Publishing.

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
        let message = self
            .inner
            .routed(context, &request.message)
            .map_err(|error| Error::from(error).in_field("message"))?;
        check_copies("message", std::slice::from_ref(&message))?;
        let batch = PublishBatch {
            tenant: context.caller.tenant.clone(),
            messages: vec![message],
            scope,
        };
        let mut published = self.inner.backend.publish(batch).await?;
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
        check_batch(&request)?;
        let messages = request
            .messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                self.inner
                    .routed(context, message)
                    .map_err(|error| in_place(error, index))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        check_copies("messages", &messages)?;
        let batch = PublishBatch {
            tenant: context.caller.tenant.clone(),
            messages,
            scope,
        };
        Ok(PublishBatchReply {
            published: self.inner.backend.publish(batch).await?,
        })
    }
}

impl Inner {
    /// Checks a message and finds its queues.
    fn routed(
        &self,
        context: &CallContext,
        message: &PublishMessage,
    ) -> Result<RoutedMessage, QueueError> {
        let published_at = self.clock.now();
        let mut message = message.validate(published_at)?;
        let queues = self.topology.route(&context.caller.tenant, &message)?;
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
///
/// Errors: 1007 naming the field.
fn check_copies(field: &str, messages: &[RoutedMessage]) -> Result<(), Error> {
    let (mut copies, mut bytes) = (0_usize, 0_usize);
    for routed in messages {
        let count = routed.queues.len();
        copies = copies.saturating_add(count);
        bytes = bytes.saturating_add(routed.message.body.len().saturating_mul(count));
    }
    if copies > limits::COPIES_MAX || bytes > limits::COPIES_BYTES_MAX {
        let rule = format!(
            "would be stored as {copies} copies of {bytes} bytes together, at most {} and {} are; publish fewer at a time",
            limits::COPIES_MAX,
            limits::COPIES_BYTES_MAX
        );
        return Err(Error::too_large(field, rule));
    }
    Ok(())
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
