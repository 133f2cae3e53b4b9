//! `plinth bench …`: how fast a running server answers, in calls like those that services make.

mod report;
mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use plinth_client::ClientError;

use self::report::Measured;
use self::workload::{Bench, Workload};
use super::exit::Usage;
use super::{Context, Output};

/// Most requests of one workload.
const REQUESTS_MAX: u64 = 10_000_000;
/// Most calls under way at once.
const CONCURRENCY_MAX: u64 = 1_000;
/// Largest payload, in bytes.
const VALUE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Longest a workload may take, in seconds.
const SECONDS_MAX: u64 = 3_600;

/// Measure a running server: rates and latencies of calls like those that services make
///
/// It works on names of its own (namespace, queue and locks `plinth-bench`, metric `bench_calls_total`), and removes what can be removed. The
/// workloads `audit` and `metric` leave their records and series behind, so they run only where they are named.
#[derive(Args)]
pub(crate) struct BenchArguments {
    /// What to measure; without it everything that leaves nothing behind
    #[arg(value_enum)]
    workloads: Vec<Workload>,
    /// Requests of each workload
    #[arg(long, short = 'n', default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=REQUESTS_MAX))]
    requests: u64,
    /// Calls under way at once
    #[arg(long, short = 'c', default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=CONCURRENCY_MAX))]
    concurrency: u64,
    /// Size of values and messages, in bytes
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(0..=VALUE_BYTES_MAX))]
    value_bytes: u64,
    /// Longest a workload may take, in seconds; it then ends with what it has
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds_max: u64,
}

/// Runs the workloads one after the other. Errors: a server that cannot be prepared; any call that failed.
pub(super) async fn run(arguments: BenchArguments, context: &Context) -> Result<()> {
    let mut workloads = arguments.workloads.clone();
    if workloads.is_empty() {
        workloads = Workload::traceless();
    }
    let mut seen = Vec::new();
    for workload in workloads {
        if seen.contains(&workload) {
            bail!(Usage(format!("{} is named twice", workload.name())));
        }
        seen.push(workload);
    }
    let value_bytes = usize::try_from(arguments.value_bytes)?;
    let bench = Arc::new(Bench::new(context.client.clone(), value_bytes));
    let mut rows = Vec::new();
    let mut outcome = Ok(());
    for workload in seen {
        match measure(&bench, workload, &arguments, context.output).await {
            Ok(row) => rows.push(row),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    let cleaned = bench.clean().await;
    report::show(&rows, context.output)?;
    outcome?;
    cleaned?;
    let failed: u64 = rows.iter().map(|row| row.errors).sum();
    match rows.into_iter().find_map(|row| row.first_error) {
        Some(first) => {
            Err(anyhow::Error::from(first)
                .context(format!("{failed} calls failed; the first of them")))
        }
        None => Ok(()),
    }
}

/// What one worker found.
#[derive(Default)]
struct Found {
    /// Latencies of calls that succeeded, in microseconds.
    micros: Vec<u32>,
    errors: u64,
    first_error: Option<ClientError>,
}

async fn measure(
    bench: &Arc<Bench>,
    workload: Workload,
    arguments: &BenchArguments,
    output: Output,
) -> Result<Measured> {
    let bar = report::bar("preparing", arguments.requests, output);
    let within = Duration::from_secs(arguments.seconds_max);
    let until = Instant::now() + within;
    let prepared = bench.prepare(workload, arguments.requests, until, &bar);
    let prepared = prepared.await;
    bar.finish_and_clear();
    let requests = prepared?;
    let bar = report::bar(workload.name(), requests, output);
    let taken = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let until = began + within;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..arguments.concurrency {
        let (bench, taken, bar) = (Arc::clone(bench), Arc::clone(&taken), bar.clone());
        workers.spawn(async move {
            let mut found = Found::default();
            while Instant::now() < until {
                let number = taken.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    break;
                }
                let asked = Instant::now();
                match Box::pin(bench.call(workload, worker, number)).await {
                    Ok(()) => {
                        let micros = asked.elapsed().as_micros();
                        found.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
                    }
                    Err(error) => {
                        found.errors += 1;
                        found.first_error.get_or_insert(error);
                    }
                }
                bar.inc(1);
            }
            found
        });
    }
    let mut all = Found::default();
    while let Some(found) = workers.join_next().await {
        let found = found?;
        all.micros.extend(found.micros);
        all.errors += found.errors;
        all.first_error = all.first_error.or(found.first_error);
    }
    let took = began.elapsed();
    bar.finish_and_clear();
    Ok(Measured::new(workload, all, took))
}
