//! How many points per second are recorded, durable, in batches; and how long queries over them take.
//!
//! `cargo bench -p plinth-monitor` runs it; `-- <seconds> <callers> <series>` changes its size. It writes into a folder of
//! its own under the current directory, so that the disk is the project's.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench ends where something fails, and tells its figures"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plinth_core::{
    CallContext, Caller, CredentialId, Deadline, OperationId, Principal, PrincipalId,
    PrincipalKind, SharedClock, SystemClock, TenantId, TraceContext, Transport,
};
use plinth_monitor::{
    EmbeddedBackend, EmbeddedOptions, GetMetricsRequest, MonitorService, MonitorSettings,
    OwnMetrics, RecordBatchRequest, Sample,
};
use plinth_store::EngineLocation;
use plinth_store::memory::MemoryDefinitions;

/// Samples of one batch.
const BATCH: u64 = 1_000;

fn context() -> CallContext {
    CallContext {
        caller: Caller {
            tenant: TenantId::parse("bench").expect("a tenant"),
            principal: Principal {
                id: PrincipalId::parse("bench").expect("an id"),
                name: "bench".to_owned(),
                kind: PrincipalKind::Service,
            },
            credential: CredentialId::parse("bench").expect("an id"),
            roles: Arc::from([]),
            address: None,
            user_agent: None,
            trace: TraceContext::begin(),
        },
        operation: OperationId::new("monitor.bench"),
        transport: Transport::Internal,
        deadline: Deadline::after_ms(600_000),
        idempotency_key: None,
    }
}

fn argument(place: usize, default: u64) -> u64 {
    let numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok());
    numbers.into_iter().nth(place).unwrap_or(default)
}

/// One batch over the series from `from` on: counters, gauges and their labels as a service would send them.
fn batch(from: u64, series: u64, increments: bool) -> RecordBatchRequest {
    let sample = |index: u64| {
        let own = (from + index) % series;
        let labels = BTreeMap::from([
            ("service".to_owned(), format!("service-{}", own % 10)),
            ("status".to_owned(), format!("status-{}", own % 7)),
            ("shop".to_owned(), format!("shop-{own}")),
        ]);
        Sample {
            metric: if increments {
                "requests_total"
            } else {
                "depth"
            }
            .to_owned(),
            labels,
            value: (!increments).then_some(own as f64),
            increment: increments.then_some(1.0),
            ..Sample::default()
        }
    };
    RecordBatchRequest {
        samples: (0..BATCH).map(sample).collect(),
        mode: None,
    }
}

async fn record(service: &Arc<MonitorService>, seconds: u64, callers: u64, series: u64) {
    for increments in [true, false] {
        let points = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let until = begun + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (service, points) = (Arc::clone(service), Arc::clone(&points));
                tokio::spawn(async move {
                    let mut from = caller * BATCH;
                    let mut slowest = Duration::ZERO;
                    while Instant::now() < until {
                        let request = batch(from, series, increments);
                        let sent = Instant::now();
                        service
                            .record_batch(&context(), request)
                            .await
                            .expect("records");
                        slowest = slowest.max(sent.elapsed());
                        points.fetch_add(BATCH, Ordering::Relaxed);
                        from += BATCH;
                    }
                    slowest
                })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        for task in tasks {
            slowest = slowest.max(task.await.expect("ends"));
        }
        let per_second = points.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        println!(
            "{:<12} {per_second:>10.0} points/s in batches of {BATCH}, {callers} callers, {series} series, slowest batch {:.0} ms",
            if increments { "increments" } else { "gauges" },
            slowest.as_secs_f64() * 1_000.0,
        );
    }
}

async fn query(service: &MonitorService) {
    let now_ms = plinth_core::Clock::now(&SystemClock::new()).0;
    for (name, aggregate, by, start_ms) in [
        ("instant sum by status", "sum", "status", None),
        (
            "increase by service, 60 steps",
            "increase",
            "service",
            Some(now_ms - 60_000),
        ),
    ] {
        let request = GetMetricsRequest {
            metric: "requests_total".to_owned(),
            aggregate: Some(aggregate.to_owned()),
            by: vec![by.to_owned()],
            start_ms,
            step_ms: start_ms.map(|_| 1_000),
            window_ms: start_ms.map(|_| 5_000),
            ..GetMetricsRequest::default()
        };
        let begun = Instant::now();
        match service.get_metrics(&context(), request).await {
            Ok(reply) => println!(
                "{name:<32} {:>8.1} ms, {} samples read, {} groups",
                begun.elapsed().as_secs_f64() * 1_000.0,
                reply.samples_read,
                reply.series.len(),
            ),
            Err(error) => println!("{name:<32} refused: {error}"),
        }
    }
}

fn main() {
    let (seconds, callers, series) = (argument(0, 5), argument(1, 8), argument(2, 5_000));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(".").expect("a folder");
        let clock: SharedClock = SystemClock::shared();
        let open = async || {
            let backend = EmbeddedBackend::open(EmbeddedOptions {
                location: EngineLocation::File(folder.path().join("monitor.db")),
                settings: MonitorSettings::default(),
                clock: Arc::clone(&clock),
                metrics: Arc::new(OwnMetrics::new(Arc::clone(&clock))),
            })
            .await
            .expect("opens");
            let definitions = Arc::new(MemoryDefinitions::default());
            let service = MonitorService::open(
                Arc::new(backend),
                definitions,
                MonitorSettings::default(),
                Arc::clone(&clock),
            );
            Arc::new(service.await.expect("starts"))
        };
        let service = open().await;
        record(&service, seconds, callers, series).await;
        query(&service).await;
        service.close().await;
        let bytes =
            std::fs::metadata(folder.path().join("monitor.db")).map_or(0, |file| file.len());
        let begun = Instant::now();
        let service = open().await;
        println!(
            "reopened in {:.0} ms, file {:.1} MiB",
            begun.elapsed().as_secs_f64() * 1_000.0,
            bytes as f64 / 1_048_576.0
        );
        service.close().await;
    });
}
