//! Durable subscriptions.

use std::sync::Arc;

use plinth_core::{CallContext, Resource, TenantId};
use plinth_store::DefinitionKind;

use super::define::check_count;
use super::{Inner, QueueService};
use crate::backend::QueueKey;
use crate::error::QueueError;
use crate::model::{
    QueueName, SubscribeReply, SubscribeRequest, Subscription, UnsubscribeReply,
    UnsubscribeRequest, limits, queue_resource,
};

impl QueueService {
    /// Declares a subscription; with a webhook, pushing begins. The same declaration again changes nothing.
    ///
    /// Errors: 1001 naming the field, 1004 where the queue does not exist, 1005 naming the difference where it exists
    /// otherwise.
    pub async fn subscribe(
        &self,
        context: &CallContext,
        subscription: &str,
        request: SubscribeRequest,
    ) -> Result<SubscribeReply, QueueError> {
        let subscription = Arc::new(Subscription::validate(subscription, &request)?);
        let (inner, tenant) = (Arc::clone(&self.inner), context.caller.tenant.clone());
        self.inner
            .declare(async move { inner.subscribe(tenant, subscription).await })
            .await
    }

    /// Ends a subscription. Its queue and the messages there stay.
    ///
    /// Errors: 1001 naming the field.
    pub async fn unsubscribe(
        &self,
        context: &CallContext,
        request: UnsubscribeRequest,
    ) -> Result<UnsubscribeReply, QueueError> {
        let name = QueueName::parse("subscription", &request.subscription)?;
        let (inner, tenant) = (Arc::clone(&self.inner), context.caller.tenant.clone());
        self.inner
            .declare(async move {
                let removed = inner.remove_subscription(&tenant, &name).await?;
                Ok(UnsubscribeReply { removed })
            })
            .await
    }

    /// The queue that a subscription reads, for whoever decides whether a caller may end it. Where there is no such
    /// subscription: all queues, so that only who may see them all learns that.
    #[must_use]
    pub fn resource_of_subscription(&self, tenant: &TenantId, subscription: &str) -> Resource {
        let queue = QueueName::parse("subscription", subscription)
            .ok()
            .and_then(|name| {
                self.inner.topology.look(tenant, |topology| {
                    topology
                        .subscriptions
                        .get(&name)
                        .map(|found| queue_resource(found.queue.as_str()))
                })
            });
        queue.unwrap_or_else(|| Resource::all("queue"))
    }
}

impl Inner {
    async fn subscribe(
        self: &Arc<Self>,
        tenant: TenantId,
        subscription: Arc<Subscription>,
    ) -> Result<SubscribeReply, QueueError> {
        self.find_queue(&tenant, subscription.queue.as_str())?;
        let (existing, count) = self.topology.look(&tenant, |topology| {
            (
                topology.subscriptions.get(&subscription.name).cloned(),
                topology.subscriptions.len(),
            )
        });
        if let Some(existing) = existing {
            return match existing.difference(&subscription) {
                None => Ok(SubscribeReply { created: false }),
                Some(difference) => Err(QueueError::Different {
                    kind: "subscription",
                    name: subscription.name.to_string(),
                    difference,
                }),
            };
        }
        check_count("subscriptions", count, limits::SUBSCRIPTIONS_PER_TENANT_MAX)?;
        let document = subscription.to_document();
        self.put(
            DefinitionKind::Subscription,
            &tenant,
            subscription.name.as_str(),
            &document,
        )
        .await?;
        self.topology.change(&tenant, |topology| {
            topology
                .subscriptions
                .insert(subscription.name.clone(), Arc::clone(&subscription))
        });
        self.start_pusher(tenant, subscription);
        Ok(SubscribeReply { created: true })
    }

    pub(super) async fn remove_subscription(
        self: &Arc<Self>,
        tenant: &TenantId,
        name: &QueueName,
    ) -> Result<bool, QueueError> {
        let is_there = self
            .topology
            .look(tenant, |topology| topology.subscriptions.contains_key(name));
        if !is_there {
            return Ok(false);
        }
        self.definitions
            .delete(DefinitionKind::Subscription, tenant, name.as_str())
            .await?;
        self.topology
            .change(tenant, |topology| topology.subscriptions.remove(name));
        self.pushers.stop(tenant, name);
        Ok(true)
    }

    pub(super) fn subscriptions_of(&self, queue: &QueueKey) -> Vec<Arc<Subscription>> {
        self.topology.look(&queue.tenant, |topology| {
            topology
                .subscriptions
                .values()
                .filter(|subscription| subscription.queue == queue.name)
                .cloned()
                .collect()
        })
    }
}
