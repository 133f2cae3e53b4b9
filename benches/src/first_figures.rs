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

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use plinth_client::Client;
use plinth_testkit::process::{Server, ServerOptions};

use plinth_benches::frames::{http_get, http_set, thrift_get, thrift_set};
use plinth_benches::load::{Framing, Load, Sample};
use plinth_benches::redis::Redis;
use plinth_benches::table::{Row, note, show};

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
    let redis = Redis::start().await?;
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
            note(&mut rows, what, 1.0, load.run().await?);
        }
        let (set, get) = redis
            .benchmark(arguments.connections, arguments.requests)
            .await?;
        note(&mut rows, "redis-benchmark SET", 1.0, set);
        note(&mut rows, "redis-benchmark GET", 1.0, get);
        note(
            &mut rows,
            "confirmed publishes",
            1.0,
            publishes(&client, &arguments).await?,
        );
        note(
            &mut rows,
            "durable audit writes",
            1.0,
            audit_writes(&client, &arguments).await?,
        );
    }
    println!("{}", show(&rows));
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

async fn publishes(client: &Client, arguments: &Arguments) -> Result<Sample> {
    let client = client.clone();
    plinth_benches::load::concurrently(
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

async fn audit_writes(client: &Client, arguments: &Arguments) -> Result<Sample> {
    let client = client.clone();
    plinth_benches::load::concurrently(
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
