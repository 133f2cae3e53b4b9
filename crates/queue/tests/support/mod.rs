//! A queue service over the embedded engine, with a clock that stands still until it is told to move.

use std::sync::Arc;

use plinth_core::{CallContext, ManualClock, MetricSink, SharedClock, TimestampMs};
use plinth_outbound::{OutboundClient, OutboundSettings};
use plinth_queue::backend::Backend;
use plinth_queue::backend::embedded::{EmbeddedBackend, EmbeddedOptions};
use plinth_queue::model::{
    CreateQueueRequest, Message, PublishMessage, PublishRequest, Published, QueueOptions,
    ReceiveRequest,
};
use plinth_queue::{QueueError, QueueService, QueueServiceParts};
use plinth_security::SeededEntropy;
use plinth_store::memory::MemoryDefinitions;
use plinth_store::{Definitions, EngineLimits, EngineLocation};
use plinth_testkit::calls::call_of;

/// The tenant of most tests.
pub(crate) const TENANT: &str = "shop";

struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

/// A clock that stands still, and a control plane; both outlive a service.
pub(crate) fn world() -> (Arc<ManualClock>, Arc<dyn Definitions>) {
    let clock = ManualClock::starting_at(TimestampMs(1_000_000));
    let shared: SharedClock = clock.clone();
    (clock, Arc::new(MemoryDefinitions::new(shared)))
}

/// The embedded engine over a location.
pub(crate) async fn backend(location: EngineLocation, clock: &Arc<ManualClock>) -> EmbeddedBackend {
    EmbeddedBackend::open(EmbeddedOptions {
        location,
        limits: EngineLimits::default(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
        metrics: Arc::new(NoMetrics),
    })
    .await
    .expect("the backend opens")
}

/// A service, and the clock that it runs by.
pub(crate) struct Fixture {
    pub(crate) service: QueueService,
    pub(crate) clock: Arc<ManualClock>,
}

impl Fixture {
    /// A service over a location, or over what an earlier one left there.
    pub(crate) async fn open(
        location: EngineLocation,
        clock: Arc<ManualClock>,
        definitions: Arc<dyn Definitions>,
    ) -> Self {
        let backend = backend(location, &clock).await;
        Self::over(Arc::new(backend), clock, definitions).await
    }

    /// A service over a backend.
    pub(crate) async fn over(
        backend: Arc<dyn Backend>,
        clock: Arc<ManualClock>,
        definitions: Arc<dyn Definitions>,
    ) -> Self {
        let shared: SharedClock = clock.clone();
        let settings = OutboundSettings {
            allow_private: true,
            // Nothing ends by the machine's clock, however busy the machine is.
            connect_ms_max: 120_000,
            attempt_ms_max: 120_000,
            ..OutboundSettings::default()
        };
        let outbound = OutboundClient::new(settings, Arc::clone(&shared));
        let service = QueueService::open(QueueServiceParts {
            backend,
            definitions,
            outbound: outbound.expect("the client is built"),
            clock: shared,
        })
        .await
        .expect("the service opens");
        Self { service, clock }
    }

    /// Declares a queue.
    pub(crate) async fn create(&self, queue: &str, options: QueueOptions) {
        let request = CreateQueueRequest {
            options: Some(options),
        };
        self.service
            .create_queue(&context(TENANT), queue, request)
            .await
            .expect("is declared");
    }

    /// Publishes to a queue by the default exchange.
    pub(crate) async fn publish(
        &self,
        queue: &str,
        change: impl FnOnce(&mut PublishMessage),
    ) -> Result<Published, QueueError> {
        let mut message = PublishMessage {
            routing_key: queue.to_owned(),
            ..PublishMessage::default()
        };
        change(&mut message);
        let reply = self
            .service
            .publish(&context(TENANT), PublishRequest { message })
            .await?;
        Ok(reply.published)
    }

    /// Leases what is ready, without waiting.
    pub(crate) async fn receive(&self, queue: &str, max: i32) -> Vec<Message> {
        let request = ReceiveRequest {
            queue: queue.to_owned(),
            max: Some(max),
            ..ReceiveRequest::default()
        };
        self.service
            .receive(&context(TENANT), request)
            .await
            .expect("receives")
            .messages
    }
}

/// A call of a tenant.
pub(crate) fn context(tenant: &str) -> CallContext {
    call_of(tenant, "queue.publish").expect("a tenant")
}
