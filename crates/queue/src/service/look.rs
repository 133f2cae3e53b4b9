//! Looking at queues, and clearing them.

use futures::{StreamExt as _, TryStreamExt as _};
use plinth_core::{CallContext, Cursor, Error, PageLimit};

use super::{Inner, QueueService};
use crate::backend::QueueKey;
use crate::error::QueueError;
use crate::model::{
    Binding, GetQueueInfoRequest, ListQueuesReply, ListQueuesRequest, PeekReply, PeekRequest,
    PurgeReply, PurgeRequest, QueueDepth, QueueInfo, QueueName, StateFilter, limits,
};

/// Depths of a listing that are read at once.
const DEPTHS_AT_ONCE: usize = 4;

impl QueueService {
    /// Lists queues by name, with their depths.
    ///
    /// Errors: 1001 naming the field.
    pub async fn list_queues(
        &self,
        context: &CallContext,
        request: ListQueuesRequest,
    ) -> Result<ListQueuesReply, QueueError> {
        let limit =
            usize::try_from(PageLimit::parse(request.limit)?.get()).map_err(Error::internal)?;
        let after: Option<String> = request.cursor.as_deref().map(Cursor::decode).transpose()?;
        let prefix = request.prefix.unwrap_or_default();
        let tenant = &context.caller.tenant;
        let mut names: Vec<QueueName> = self.inner.topology.look(tenant, |topology| {
            topology
                .queues
                .keys()
                .filter(|name| name.as_str().starts_with(&prefix))
                .filter(|name| after.as_deref().is_none_or(|after| name.as_str() > after))
                .take(limit + 1)
                .cloned()
                .collect()
        });
        let has_more = names.len() > limit;
        names.truncate(limit);
        let next = names.last().filter(|_| has_more);
        let next_cursor = next
            .map(|name| Cursor::encode(&name.as_str()))
            .transpose()?;
        let keys = names.into_iter().map(|name| QueueKey {
            tenant: tenant.clone(),
            name,
        });
        let queues = futures::stream::iter(keys)
            .map(|key| self.inner.depth_if_there(key))
            .buffered(DEPTHS_AT_ONCE)
            .try_filter_map(async |depth| Ok(depth))
            .try_collect()
            .await?;
        Ok(ListQueuesReply {
            queues,
            next_cursor: next_cursor.map(|cursor| cursor.as_str().to_owned()),
        })
    }

    /// One queue: depths, rates, options, bindings, subscriptions.
    ///
    /// Errors: 1004 where it does not exist.
    pub async fn get_queue_info(
        &self,
        context: &CallContext,
        request: GetQueueInfoRequest,
    ) -> Result<QueueInfo, QueueError> {
        let key = self
            .inner
            .find_queue(&context.caller.tenant, &request.queue)?;
        let depth = self.inner.depth(&key).await?;
        let absent = || QueueError::QueueAbsent {
            queue: request.queue.clone(),
        };
        self.inner.topology.look(&key.tenant, |topology| {
            let entry = topology.queues.get(&key.name).ok_or_else(absent)?;
            let bindings = topology.exchanges.iter().flat_map(|(name, exchange)| {
                exchange
                    .bindings()
                    .map(move |(routing_key, queue)| (name, exchange.kind, routing_key, queue))
            });
            Ok(QueueInfo {
                depth,
                options: entry.policy.to_options(),
                bindings: bindings
                    .filter(|(_, _, _, queue)| **queue == key.name)
                    .map(|(exchange, kind, routing_key, queue)| Binding {
                        exchange: exchange.to_string(),
                        exchange_type: kind.as_str().to_owned(),
                        queue: queue.to_string(),
                        routing_key: routing_key.to_owned(),
                    })
                    .collect(),
                subscriptions: topology
                    .subscriptions
                    .values()
                    .filter(|subscription| subscription.queue == key.name)
                    .map(|subscription| subscription.info())
                    .collect(),
                created_at_ms: entry.created_at.0,
            })
        })
    }

    /// Shows messages in the order of publishing, without leasing them.
    ///
    /// Errors: 1001 naming the field, 1004 where the queue does not exist.
    pub async fn peek(
        &self,
        context: &CallContext,
        queue: &str,
        request: PeekRequest,
    ) -> Result<PeekReply, QueueError> {
        let key = self.inner.find_queue(&context.caller.tenant, queue)?;
        let filter = StateFilter::parse(request.state.as_deref())?;
        if filter == StateFilter::Dead {
            return Err(QueueError::Refused(Error::invalid(
                "state",
                "is dead, which is another queue: peek into the dead-letter queue",
            )));
        }
        let limit = request.limit.unwrap_or(limits::PEEK_DEFAULT);
        if !(1..=limits::PEEK_MAX).contains(&limit) {
            let message = format!("is {limit}, must lie in 1..={}", limits::PEEK_MAX);
            return Err(QueueError::Refused(Error::invalid("limit", message)));
        }
        let after: i64 = request.cursor.as_deref().map_or(Ok(0), Cursor::decode)?;
        let page = self.inner.backend.peek(&key, filter, after, limit).await?;
        let next_cursor = page.next.map(|next| Cursor::encode(&next)).transpose()?;
        Ok(PeekReply {
            messages: page.messages,
            next_cursor: next_cursor.map(|cursor| cursor.as_str().to_owned()),
        })
    }

    /// Deletes messages that are there when it begins.
    ///
    /// Errors: 1001 naming the field, 1004 where the queue does not exist.
    pub async fn purge(
        &self,
        context: &CallContext,
        queue: &str,
        request: PurgeRequest,
    ) -> Result<PurgeReply, QueueError> {
        let key = self.inner.find_queue(&context.caller.tenant, queue)?;
        let filter = StateFilter::parse(request.state.as_deref())?;
        let inner = std::sync::Arc::clone(&self.inner);
        let purge = async move {
            let ended = inner.delivery_ended();
            inner.backend.purge(&key, filter, ended).await
        };
        // To its end, also where the caller goes away: a purge that was asked for is not half of one.
        let purged = self
            .inner
            .tasks
            .spawn(purge)
            .await
            .map_err(QueueError::Lost)??;
        Ok(PurgeReply { purged })
    }
}

impl Inner {
    /// A queue that is deleted between the listing and the look is left out.
    async fn depth_if_there(&self, key: QueueKey) -> Result<Option<QueueDepth>, QueueError> {
        match self.depth(&key).await {
            Ok(depth) => Ok(Some(depth)),
            Err(QueueError::QueueAbsent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn depth(&self, key: &QueueKey) -> Result<QueueDepth, QueueError> {
        let depth = self.backend.depth(key).await?;
        Ok(QueueDepth {
            queue: key.name.to_string(),
            ready: depth.ready,
            leased: depth.leased,
            delayed: depth.delayed,
            dead: depth.dead,
            bytes: depth.bytes,
            oldest_age_ms: depth.oldest_age_ms,
            publish_rate: depth.publish_rate,
            deliver_rate: depth.deliver_rate,
            ack_rate: depth.ack_rate,
            consumers: self.waiting_on(key),
        })
    }
}
