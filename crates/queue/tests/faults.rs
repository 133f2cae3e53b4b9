//! What goes wrong inside: a dead-letter queue that is away, a queue full of crumbs, long histories, a clock that jumps.

#![expect(
    clippy::expect_used,
    reason = "what the tests share stands outside #[test] functions"
)]

mod late_lease;
mod support;

use std::sync::Arc;

use futures::FutureExt as _;
use late_lease::LateLease;
use plinth_core::{TenantId, TimestampMs};
use plinth_queue::backend::embedded::EmbeddedBackend;
use plinth_queue::backend::{
    Backend as _, LeaseRequest, PublishBatch, QueueKey, QueueSpec, RoutedMessage, SettleOutcome,
    Settlement, Verdict,
};
use plinth_queue::model::{
    Message, PublishBatchRequest, PublishMessage, QueueName, QueueOptions, QueuePolicy,
    ReceiveRequest, RetryRequest, limits,
};
use plinth_store::EngineLocation;
use support::{Fixture, TENANT, backend, context, world};

fn key(name: &str) -> QueueKey {
    QueueKey {
        tenant: TenantId::parse(TENANT).expect("a tenant"),
        name: QueueName::try_from(name.to_owned()).expect("a name"),
    }
}

/// Opens a queue in the backend alone, as if its other queues had not come yet.
async fn open(backend: &EmbeddedBackend, name: &str, policy: QueuePolicy) {
    let spec = QueueSpec {
        key: key(name),
        uid: name.to_owned(),
        policy: Arc::new(policy),
    };
    backend.open_queues(vec![spec]).await.expect("opens");
}

async fn publish(backend: &EmbeddedBackend, name: &str) {
    let message = PublishMessage {
        routing_key: name.to_owned(),
        ..PublishMessage::default()
    };
    let batch = PublishBatch {
        tenant: key(name).tenant,
        messages: vec![RoutedMessage {
            message: message.validate(TimestampMs(0)).expect("is right"),
            message_id: "m".to_owned(),
            published_at: TimestampMs(0),
            queues: vec![key(name).name],
        }],
        scope: None,
    };
    backend.publish(batch).await.expect("is stored");
}

async fn lease(backend: &EmbeddedBackend, name: &str) -> Vec<Message> {
    let request = LeaseRequest {
        queue: key(name),
        max: 10,
        lease_ms: 30_000,
        consumer: "c".to_owned(),
    };
    backend.lease(request).await.expect("leases")
}

fn receipts(messages: &[Message]) -> Vec<String> {
    let receipts = messages
        .iter()
        .filter_map(|message| message.receipt.clone());
    receipts.collect()
}

#[tokio::test]
async fn a_message_stays_while_its_dead_letter_queue_is_not_open() {
    let (clock, _) = world();
    let backend = backend(EngineLocation::Memory, &clock).await;
    let once = QueueOptions {
        max_attempts: Some(1),
        ..QueueOptions::default()
    };
    open(&backend, "q", once.validate(&key("q").name).expect("valid")).await;
    publish(&backend, "q").await;
    let retry = Verdict::Retry {
        after_ms: Some(0),
        reason: None,
    };
    let dead = Verdict::Dead { reason: None };
    for verdict in [retry, dead.clone()] {
        let settlement = Settlement {
            queue: key("q"),
            receipts: receipts(&lease(&backend, "q").await),
            verdict,
        };
        let settled = backend.settle(settlement).await.expect("settles");
        assert_eq!(settled, [SettleOutcome::Settled]);
        let depth = backend.depth(&key("q")).await.expect("counts");
        assert_eq!((depth.delayed, depth.dead), (1, 0), "it waits");
        clock.advance_ms(300_000);
    }
    open(&backend, "q.dead", QueuePolicy::of_dead_letters()).await;
    let settlement = Settlement {
        queue: key("q"),
        receipts: receipts(&lease(&backend, "q").await),
        verdict: dead,
    };
    backend.settle(settlement).await.expect("settles");
    let letters = lease(&backend, "q.dead").await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters.first().map(|letter| letter.history.len()), Some(3));
    backend.close().await;
}

#[tokio::test]
async fn what_must_be_dropped_for_one_message_goes_in_bounded_commits() {
    let (clock, definitions) = world();
    let backend = Arc::new(backend(EngineLocation::Memory, &clock).await);
    let fixture = Fixture::over(backend.clone(), clock, definitions).await;
    let crumbs = QueueOptions {
        max_bytes: Some(3_000),
        on_full: Some("drop_oldest".to_owned()),
        ..QueueOptions::default()
    };
    fixture.create("q", crumbs).await;
    let message = |bytes: usize| PublishMessage {
        routing_key: "q".to_owned(),
        body: vec![0; bytes].into(),
        ..PublishMessage::default()
    };
    for _ in 0..3 {
        let batch = PublishBatchRequest {
            messages: vec![message(1); limits::BATCH_ITEMS_MAX],
        };
        let stored = fixture.service.publish_batch(&context(TENANT), batch).await;
        stored.expect("fits");
    }
    let before = backend.commits();
    let large = fixture.publish("q", |large| large.body = vec![0; 2_900].into());
    large.await.expect("finds room");
    // One try, three commits of at most a thousand, and the one that stores it.
    assert!(backend.commits() - before >= 5);
    let depth = backend.depth(&key("q")).await.expect("counts");
    assert_eq!((depth.ready, depth.bytes, depth.dead), (101, 3_000, 2_900));
    fixture.service.close().await;
}

#[tokio::test]
async fn the_history_counts_among_the_bytes_of_a_reply() {
    let (clock, definitions) = world();
    let fixture = Fixture::open(EngineLocation::Memory, clock, definitions).await;
    fixture.create("q", QueueOptions::default()).await;
    // Eight bodies are what a reply may hold.
    for _ in 0..8 {
        let large = |message: &mut PublishMessage| {
            message.body = vec![0; limits::BODY_BYTES_MAX].into();
        };
        fixture.publish("q", large).await.expect("is stored");
    }
    let first = fixture.receive("q", 10).await;
    assert_eq!(first.len(), 8);
    let retry = RetryRequest {
        queue: "q".to_owned(),
        receipts: receipts(&first),
        after_ms: Some(0),
        reason: Some("no luck".to_owned()),
    };
    let retried = fixture.service.retry(&context(TENANT), retry).await;
    retried.expect("settles");
    assert_eq!(fixture.receive("q", 10).await.len(), 7);
    fixture.service.close().await;
}

#[tokio::test]
async fn a_flow_counts_what_it_holds_whatever_the_wall_clock_does() {
    let (clock, definitions) = world();
    let inner = backend(EngineLocation::Memory, &clock).await;
    let jumping = clock.clone();
    let late = LateLease::new(inner, move || jumping.jump_wall_ms(3_600_000));
    let late = Arc::new(late);
    let fixture = Fixture::over(late.clone(), clock, definitions).await;
    fixture.create("q", QueueOptions::default()).await;
    fixture.publish("q", |_| ()).await.expect("is stored");
    let context = context(TENANT);
    let request = ReceiveRequest {
        queue: "q".to_owned(),
        ..ReceiveRequest::default()
    };
    let flow = fixture.service.flow(&context, request).expect("flows");
    flow.receive(&context, 1, 0).await.expect("receives");
    assert_eq!(late.given(), 1);
    assert!(flow.room().now_or_never().is_none(), "it holds its most");
    fixture.clock.advance_ms(30_000);
    assert_eq!(flow.room().now_or_never(), Some(1));
    fixture.service.close().await;
}
