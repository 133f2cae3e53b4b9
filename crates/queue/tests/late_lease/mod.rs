//! A backend in which something happens while the first lease is on its way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use plinth_core::access::IdempotencyScope;
use plinth_queue::QueueError;
use plinth_queue::backend::embedded::EmbeddedBackend;
use plinth_queue::backend::{
    Backend, Capabilities, DeliveryEnded, Depth, LeaseRequest, PeekPage, PublishBatch, QueueKey,
    QueueSpec, SettleOutcome, Settlement,
};
use plinth_queue::model::{Message, Published, StateFilter};
use tokio::sync::Notify;

/// The embedded engine, late.
pub(crate) struct LateLease {
    inner: EmbeddedBackend,
    meanwhile: Box<dyn Fn() + Send + Sync>,
    given: AtomicUsize,
}

impl LateLease {
    pub(crate) fn new(
        inner: EmbeddedBackend,
        meanwhile: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            meanwhile: Box::new(meanwhile),
            given: AtomicUsize::new(0),
        }
    }

    /// How often it gave messages.
    pub(crate) fn given(&self) -> usize {
        self.given.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Backend for LateLease {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open_queues(&self, specs: Vec<QueueSpec>) -> Result<(), QueueError> {
        self.inner.open_queues(specs).await
    }

    async fn condemn_queue(&self, queue: &QueueKey) -> Result<(), QueueError> {
        self.inner.condemn_queue(queue).await
    }

    async fn delete_queue(
        &self,
        queue: &QueueKey,
        ended: DeliveryEnded,
    ) -> Result<i64, QueueError> {
        self.inner.delete_queue(queue, ended).await
    }

    async fn delete_condemned(&self) -> Result<(), QueueError> {
        self.inner.delete_condemned().await
    }

    async fn publish(&self, batch: PublishBatch) -> Result<Vec<Published>, QueueError> {
        self.inner.publish(batch).await
    }

    async fn recall(&self, scope: IdempotencyScope) -> Result<Option<Vec<Published>>, QueueError> {
        self.inner.recall(scope).await
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<Message>, QueueError> {
        let messages = self.inner.lease(request).await?;
        if !messages.is_empty() && self.given.fetch_add(1, Ordering::AcqRel) == 0 {
            (self.meanwhile)();
        }
        Ok(messages)
    }

    async fn settle(&self, settlement: Settlement) -> Result<Vec<SettleOutcome>, QueueError> {
        self.inner.settle(settlement).await
    }

    async fn hand_back(&self, queue: &QueueKey, receipts: &[String]) -> Result<(), QueueError> {
        self.inner.hand_back(queue, receipts).await
    }

    async fn depth(&self, queue: &QueueKey) -> Result<Depth, QueueError> {
        self.inner.depth(queue).await
    }

    async fn peek(
        &self,
        queue: &QueueKey,
        filter: StateFilter,
        after: i64,
        limit: i64,
    ) -> Result<PeekPage, QueueError> {
        self.inner.peek(queue, filter, after, limit).await
    }

    async fn purge(
        &self,
        queue: &QueueKey,
        filter: StateFilter,
        ended: DeliveryEnded,
    ) -> Result<i64, QueueError> {
        self.inner.purge(queue, filter, ended).await
    }

    fn arrivals(&self, queue: &QueueKey) -> Result<Arc<Notify>, QueueError> {
        self.inner.arrivals(queue)
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
