//! Durable audit writes a second, by concurrent writers: `cargo bench -p plinth-audit --bench audit_writes -- [SECONDS]`.
//!
//! Each write is acknowledged after the sync of its commit; integration and indexing run beside, as in the server. The
//! last columns say how long the index took to follow after the end, and how long the whole log took to verify.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints, and ends where its preparation fails"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use plinth_audit::model::{QueryLogsRequest, VerifyRequest};
use plinth_core::Deadline;
use support::{context, full_entry, in_directory, log, log_many};

fn main() {
    let seconds = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(3);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("writers  batch  records/s  p50 ms  p99 ms  index behind ms  verify records/s");
    for (writers, batch) in [(1, 1), (16, 1), (64, 1), (256, 1), (8, 100)] {
        runtime.block_on(measure(writers, batch, Duration::from_secs(seconds)));
    }
}

async fn measure(writers: usize, batch: usize, span: Duration) {
    let directory = tempfile::tempdir().expect("a place");
    let service = Arc::new(in_directory(directory.path()).await);
    let end = Instant::now() + span;
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    if batch == 1 {
                        log(&service, "shop", full_entry("merchant.approve")).await;
                    } else {
                        log_many(
                            &service,
                            "shop",
                            vec![full_entry("merchant.approve"); batch],
                        )
                        .await;
                    }
                    latencies.push(began.elapsed());
                }
                latencies
            })
        })
        .collect();
    let began = Instant::now();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("ends"));
    }
    let elapsed = began.elapsed();
    latencies.sort_unstable();
    let at = |part: usize| latencies[(latencies.len() * part / 100).min(latencies.len() - 1)];
    let records = latencies.len() * batch;

    let began = Instant::now();
    while service
        .query_logs(&context("shop"), QueryLogsRequest::default())
        .await
        .is_err()
    {}
    let behind = began.elapsed();
    let mut context = context("shop");
    context.deadline = Deadline::after_ms(120_000);
    let began = Instant::now();
    let verified = service
        .verify(&context, VerifyRequest::default())
        .await
        .expect("verifies");
    assert!(verified.valid, "{:?}", verified.discrepancy);
    let verifying = began.elapsed().as_secs_f64();
    println!(
        "{writers:>7}  {batch:>5}  {:>9.0}  {:>6.2}  {:>6.2}  {:>15}  {:>16.0}",
        records as f64 / elapsed.as_secs_f64(),
        at(50).as_secs_f64() * 1_000.0,
        at(99).as_secs_f64() * 1_000.0,
        behind.as_millis(),
        verified.entries_checked.0 as f64 / verifying,
    );
    service.close().await;
}
