//! What one instance declares, another one on the same control plane knows within a bounded time, without a restart.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail by panicking, as the test does"
)]

#[cfg(test)]
mod support;

use std::sync::Arc;
use std::time::Duration;

use plinth_core::SharedClock;
use plinth_queue::model::{
    BindRequest, DeleteQueueRequest, PublishMessage, QueueOptions, UnbindRequest,
};
use plinth_store::definitions::DEFINITIONS_LOOK_EVERY_MS;
use plinth_store::{ControlStore, Definitions, EngineLocation};
use support::{Fixture, TENANT, context, world};

/// Longest that the tests wait for anything, whatever the machine does beside.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two instances with files of their own over one control plane.
struct Pair {
    one: Fixture,
    other: Fixture,
    _folder: tempfile::TempDir,
}

impl Pair {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!(
            "sqlite://{}?mode=rwc",
            folder.path().join("control.db").display()
        );
        let (clock, _) = world();
        let instance = async || {
            let shared: SharedClock = clock.clone();
            let store = ControlStore::open(&url, shared).await.expect("opens");
            let definitions: Arc<dyn Definitions> = Arc::new(store);
            Fixture::open(EngineLocation::Memory, clock.clone(), definitions).await
        };
        Self {
            one: instance().await,
            other: instance().await,
            _folder: folder,
        }
    }

    /// Lets looks pass until `holds`.
    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds().await {
                self.one.clock.advance_ms(DEFINITIONS_LOOK_EVERY_MS);
                tokio::task::yield_now().await;
            }
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("{what} was not seen"));
    }
}

#[tokio::test]
async fn queues_and_bindings_of_another_instance_come_and_go() {
    let pair = Pair::open().await;
    let (one, other) = (&pair.one, &pair.other);
    one.create("orders", QueueOptions::default()).await;
    pair.until("a new queue", async || {
        other.publish("orders", |_| {}).await.is_ok()
    })
    .await;
    assert_eq!(other.receive("orders", 10).await.len(), 1);

    let bind = BindRequest {
        exchange: "events".to_owned(),
        queue: "orders".to_owned(),
        routing_key: Some("order.paid".to_owned()),
        exchange_type: None,
    };
    one.service
        .bind(&context(TENANT), bind)
        .await
        .expect("binds");
    let event = |message: &mut PublishMessage| {
        message.exchange = Some("events".to_owned());
        message.routing_key = "order.paid".to_owned();
    };
    pair.until("a new binding", async || {
        other.publish("orders", event).await.is_ok()
    })
    .await;

    let unbind = UnbindRequest {
        exchange: "events".to_owned(),
        queue: "orders".to_owned(),
        routing_key: Some("order.paid".to_owned()),
    };
    one.service
        .unbind(&context(TENANT), unbind)
        .await
        .expect("unbinds");
    pair.until("a removed binding", async || {
        other.publish("orders", event).await.is_err()
    })
    .await;

    let delete = DeleteQueueRequest {
        queue: "orders".to_owned(),
    };
    one.service
        .delete_queue(&context(TENANT), delete)
        .await
        .expect("deletes");
    pair.until("a removed queue", async || {
        other.publish("orders", |_| {}).await.is_err()
    })
    .await;
    // The same name again is another queue: nothing of the old one comes back.
    one.create("orders", QueueOptions::default()).await;
    pair.until("a queue of the same name", async || {
        other.publish("orders", |_| {}).await.is_ok()
    })
    .await;
    assert_eq!(other.receive("orders", 10).await.len(), 1);
    one.service.close().await;
    other.service.close().await;
}
