//! First figures: cache reads and writes over both transports, confirmed publishes and audit writes, beside
//! `redis-benchmark` on the same machine in the same run.
//!
//! The cache's load client sends requests that were encoded before the run over connections that it keeps, one request under
//! way on each, as `redis-benchmark` does; so the server's cost is what is measured. Publishes and audit writes go through
//! `plinth-client`. Rounds alternate between the candidates; medians are shown.
#![expect(
    clippy::print_stdout,
    reason = "a command-line program answers on standard output"
)]

mod frames;
mod load;
mod redis;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use plinth_client::Client;
use plinth_testkit::process::{Server, ServerOptions};

use crate::frames::{http_get, http_set, thrift_get, thrift_set};
use crate::load::{Framing, Load};

/// Measures a Plinth of its own beside a Redis of its own.
#[derive(Parser)]
struct Arguments {
    /// The plinth program, built with --release
    #[arg(long, default_value = "target/release/plinth")]
    plinth: PathBuf,
    /// Connections
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Requests of a round of the cache
    #[arg(long, default_value_t = 100_000)]
    requests: usize,
    /// Requests of a round of publishes and audit writes
    #[arg(long, default_value_t = 10_000)]
    durable_requests: usize,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// One row of the answer: what was measured, and its rate in each round.
struct Row {
    what: &'static str,
    rates: Vec<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir()?;
    let options = ServerOptions {
        data_dir: Some(directory.path().join("data")),
        settings: vec![("PLINTH__LOG__FILTER".to_owned(), "warn".to_owned())],
        addresses: None,
    };
    let server = Server::start(&arguments.plinth, &options).await?;
    let key = server.first_key()?.to_owned();
    let told = server.announcement().clone();
    println!(
        "plinth was ready after {} ms; idle memory {}",
        told.ready_ms,
        memory(server.id())
    );
    let redis = redis::Redis::start().await?;
    let http = told.http.trim_start_matches("http://").to_owned();
    let load = |address: &str, frame: Vec<u8>, framing| Load {
        address: address.to_owned(),
        frame,
        framing,
        connections: arguments.connections,
        requests: arguments.requests,
    };
    let loads = [
        (
            "cache SET, Thrift",
            load(&told.thrift, thrift_set(&key), Framing::Thrift),
        ),
        (
            "cache GET, Thrift",
            load(&told.thrift, thrift_get(&key), Framing::Thrift),
        ),
        (
            "cache SET, HTTP",
            load(&http, http_set(&http, &key), Framing::Http),
        ),
        (
            "cache GET, HTTP",
            load(&http, http_get(&http, &key), Framing::Http),
        ),
    ];
    let client = Client::connect(plinth_client::ClientSettings::thrift(
        told.thrift.clone(),
        key,
    ))?;
    prepare(&client).await?;
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..arguments.rounds {
        println!("round {} of {}", round + 1, arguments.rounds);
        for (what, load) in &loads {
            note(&mut rows, what, load.run().await?);
        }
        let (set, get) = redis
            .benchmark(arguments.connections, arguments.requests)
            .await?;
        note(&mut rows, "redis-benchmark SET", set);
        note(&mut rows, "redis-benchmark GET", get);
        note(
            &mut rows,
            "confirmed publishes",
            publishes(&client, &arguments).await?,
        );
        note(
            &mut rows,
            "durable audit writes",
            audit_writes(&client, &arguments).await?,
        );
    }
    show(&mut rows);
    println!("memory after the run {}", memory(server.id()));
    redis.stop().await?;
    server.stop().await
}

async fn prepare(client: &Client) -> Result<()> {
    client
        .queue()
        .create_queue("bench", &Default::default())
        .await?;
    Ok(())
}

async fn publishes(client: &Client, arguments: &Arguments) -> Result<f64> {
    let client = client.clone();
    load::concurrently(
        arguments.connections,
        arguments.durable_requests,
        move |_| {
            let client = client.clone();
            async move {
                let message = plinth_client::PublishMessage::to_queue("bench", vec![7; 100]);
                client.queue().publish(&message, None).await?;
                Ok(())
            }
        },
    )
    .await
}

async fn audit_writes(client: &Client, arguments: &Arguments) -> Result<f64> {
    let client = client.clone();
    load::concurrently(
        arguments.connections,
        arguments.durable_requests,
        move |index| {
            let client = client.clone();
            async move {
                let entry = plinth_client::AuditEntry::new(
                    "bench.write",
                    "bench",
                    ("run", index.to_string()),
                    "success",
                );
                client.audit().log(&entry, None).await?;
                Ok(())
            }
        },
    )
    .await
}

fn note(rows: &mut Vec<Row>, what: &'static str, rate: f64) {
    match rows.iter_mut().find(|row| row.what == what) {
        Some(row) => row.rates.push(rate),
        None => rows.push(Row {
            what,
            rates: vec![rate],
        }),
    }
}

fn show(rows: &mut [Row]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(["what", "median /s", "least", "most"]);
    for row in rows {
        row.rates.sort_by(f64::total_cmp);
        let at = |place: usize| row.rates.get(place).copied().unwrap_or_default();
        let shown = [
            at(row.rates.len() / 2),
            at(0),
            at(row.rates.len().saturating_sub(1)),
        ];
        let [median, least, most] = shown.map(|rate| format!("{rate:.0}"));
        table.add_row([row.what.to_owned(), median, least, most]);
    }
    println!("{table}");
}

/// Resident memory of a process, for people.
fn memory(id: Option<u32>) -> String {
    let status = id.and_then(|id| std::fs::read_to_string(format!("/proc/{id}/status")).ok());
    status
        .as_deref()
        .and_then(|status| status.lines().find(|line| line.starts_with("VmRSS:")))
        .map_or_else(
            || "unknown".to_owned(),
            |line| line.trim_start_matches("VmRSS:").trim().to_owned(),
        )
}
