//! Confirmed publishes, and deliveries with acknowledgements, per second on disk.
//!
//! `cargo bench -p plinth-queue --bench publish -- [folder] [publishers] [seconds]`
//!
//! The folder should lie on the disk that is to be measured; a temporary file system has no syncs to wait for.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]
#![expect(clippy::expect_used, reason = "a bench ends where something fails")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plinth_core::{MetricSink, SystemClock, TenantId, TimestampMs};
use plinth_queue::backend::embedded::{EmbeddedBackend, EmbeddedOptions};
use plinth_queue::backend::{
    Backend, LeaseRequest, PublishBatch, QueueKey, QueueSpec, RoutedMessage, Settlement, Verdict,
};
use plinth_queue::model::{PublishMessage, QueueName, QueueOptions};
use plinth_security::SystemEntropy;
use plinth_store::{EngineLimits, EngineLocation};

/// Bytes of a body: a status change of the platform.
const BODY_BYTES: usize = 256;
/// Messages that a consumer takes at a time.
const RECEIVE: i32 = 64;

struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

fn batch(queue: &QueueKey, count: usize) -> PublishBatch {
    let message = PublishMessage {
        routing_key: queue.name.to_string(),
        body: vec![b'x'; BODY_BYTES].into(),
        ..PublishMessage::default()
    };
    let message = message.validate(TimestampMs(0)).expect("is valid");
    let routed = RoutedMessage {
        message,
        message_id: "0190f4e5-7d5c-7000-8000-000000000000".to_owned(),
        published_at: TimestampMs(0),
        queues: vec![queue.name.clone()],
    };
    PublishBatch {
        tenant: queue.tenant.clone(),
        messages: vec![routed; count],
        scope: None,
    }
}

/// Publishes from many tasks for a while; prints and returns how many messages were confirmed.
async fn publish(
    backend: &Arc<EmbeddedBackend>,
    queue: &QueueKey,
    publishers: usize,
    per_batch: usize,
    time: Duration,
) -> u64 {
    let confirmed = Arc::new(AtomicU64::new(0));
    let (begun, commits) = (Instant::now(), backend.commits());
    let tasks = (0..publishers).map(|_| {
        let (backend, queue, confirmed) =
            (Arc::clone(backend), queue.clone(), Arc::clone(&confirmed));
        tokio::spawn(async move {
            while begun.elapsed() < time {
                let published = backend
                    .publish(batch(&queue, per_batch))
                    .await
                    .expect("is confirmed");
                confirmed.fetch_add(published.len() as u64, Ordering::Relaxed);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("ends");
    }
    let (count, elapsed) = (confirmed.load(Ordering::Relaxed), begun.elapsed());
    println!(
        "{:>9.0} confirmed publishes/s  {publishers} publishers × {per_batch} per call, {} commits/s",
        count as f64 / elapsed.as_secs_f64(),
        ((backend.commits() - commits) as f64 / elapsed.as_secs_f64()).round(),
    );
    count
}

/// Receives and acknowledges everything; prints how fast.
async fn consume(backend: &Arc<EmbeddedBackend>, queue: &QueueKey, consumers: usize) {
    let acked = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let tasks = (0..consumers).map(|_| {
        let (backend, queue, acked) = (Arc::clone(backend), queue.clone(), Arc::clone(&acked));
        tokio::spawn(async move {
            loop {
                let request = LeaseRequest {
                    queue: queue.clone(),
                    max: RECEIVE,
                    lease_ms: 60_000,
                    consumer: "bench".to_owned(),
                };
                let messages = backend.lease(request).await.expect("leases");
                if messages.is_empty() {
                    return;
                }
                let receipts = messages
                    .into_iter()
                    .filter_map(|message| message.receipt)
                    .collect();
                let settlement = Settlement {
                    queue: queue.clone(),
                    receipts,
                    verdict: Verdict::Ack,
                };
                let settled = backend.settle(settlement).await.expect("settles");
                acked.fetch_add(settled.len() as u64, Ordering::Relaxed);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("ends");
    }
    let rate = acked.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:>9.0} deliveries with ack/s  {consumers} consumers × {RECEIVE} per call");
}

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let folder = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let publishers = arguments
        .next()
        .map_or(64, |text| text.parse().expect("a number"));
    let time = Duration::from_secs(
        arguments
            .next()
            .map_or(2, |text| text.parse().expect("a number")),
    );
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let backend = EmbeddedBackend::open(EmbeddedOptions {
        location: EngineLocation::File(folder.path().join("queue.db")),
        limits: EngineLimits::default(),
        clock: SystemClock::shared(),
        entropy: SystemEntropy::shared(),
        metrics: Arc::new(NoMetrics),
    })
    .await
    .expect("opens");
    let backend = Arc::new(backend);
    let name = QueueName::parse("queue", "bench").expect("a name");
    let queue = QueueKey {
        tenant: TenantId::parse("bench").expect("a tenant"),
        name: name.clone(),
    };
    let policy = QueueOptions::default().validate(&name).expect("valid");
    let spec = QueueSpec {
        key: queue.clone(),
        uid: "bench".to_owned(),
        policy: Arc::new(policy),
    };
    backend.open_queues(vec![spec]).await.expect("opens");
    println!("{BODY_BYTES}-byte bodies on {}", folder.path().display());
    for (publishers, per_batch) in [(1, 1), (publishers, 1), (publishers * 4, 1), (4, 100)] {
        publish(&backend, &queue, publishers, per_batch, time).await;
        consume(&backend, &queue, 4).await;
    }
    backend.close().await;
}
