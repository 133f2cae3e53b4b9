//! The cache beside its peers, all in one run: in memory over Thrift beside `redis-benchmark`, batches beside `MGET`, over HTTP
//! through a Redis beside webdis on the same Redis, and with what was read kept near.
//!
//! Requests are encoded before the run and sent over connections that are kept, one under way on each, as `redis-benchmark`
//! does. Rounds alternate between the candidates; medians are shown.
#![expect(
    clippy::print_stdout,
    reason = "a command-line program answers on standard output"
)]

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use plinth_client::{Client, ClientSettings, SetItem};
use plinth_testkit::process::{Server, ServerOptions};

use plinth_benches::frames::{
    VALUE, batch_key, http_get, resp_get, thrift_batch_get, thrift_get, webdis_get,
};
use plinth_benches::load::{Framing, Load};
use plinth_benches::redis::Redis;
use plinth_benches::table::{Row, note, ratio, show};
use plinth_benches::webdis::Webdis;

/// Bytes that the server near Redis may keep.
const NEAR_BYTES: u64 = 64 * 1024 * 1024;
/// Keys of one batch.
const BATCH: usize = 100;

/// Measures three servers of its own, in memory, on Redis and near Redis, beside a Redis and a webdis of its own.
#[derive(Parser)]
struct Arguments {
    /// The plinth program, built with --release
    #[arg(long, default_value = "target/release/plinth")]
    plinth: PathBuf,
    /// Connections
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Requests of a round; a tenth of them in batches
    #[arg(long, default_value_t = 100_000)]
    requests: usize,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// A server and its first key.
struct Plinth {
    server: Server,
    key: String,
}

impl Plinth {
    async fn start(arguments: &Arguments, settings: &[(&str, String)]) -> Result<Self> {
        let quiet = ("PLINTH__LOG__FILTER", "warn".to_owned());
        let settings = settings.iter().chain([&quiet]);
        let options = ServerOptions {
            data_dir: None,
            settings: settings
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            addresses: None,
        };
        let server = Server::start(&arguments.plinth, &options).await?;
        let key = server.first_key()?.to_owned();
        let plinth = Self { server, key };
        plinth.fill().await?;
        Ok(plinth)
    }

    /// Stores what will be read.
    async fn fill(&self) -> Result<()> {
        let thrift = self.server.announcement().thrift.clone();
        let client = Client::connect(ClientSettings::thrift(thrift, self.key.clone()))?;
        let cache = client.cache();
        cache
            .set("bench", "key", VALUE.to_vec(), Default::default())
            .await?;
        let items: Vec<SetItem> = (0..BATCH)
            .map(|number| SetItem {
                key: batch_key(number),
                value: VALUE.to_vec().into(),
                options: Default::default(),
            })
            .collect();
        cache.batch_set("bench", &items, true).await?;
        Ok(())
    }

    fn thrift(&self) -> String {
        self.server.announcement().thrift.clone()
    }

    fn http(&self) -> String {
        let address = &self.server.announcement().http;
        address.trim_start_matches("http://").to_owned()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let redis = Redis::start().await?;
    let webdis = Webdis::start(redis.port()).await?;
    let on_redis = [
        ("PLINTH__CACHE__BACKEND", "redis".to_owned()),
        (
            "PLINTH__REDIS__URL",
            format!("redis://127.0.0.1:{}", redis.port()),
        ),
    ];
    let memory = Plinth::start(&arguments, &[]).await?;
    let through = Plinth::start(&arguments, &on_redis).await?;
    let kept = ("PLINTH__CACHE__NEAR__BYTES_MAX", NEAR_BYTES.to_string());
    let near_redis: Vec<_> = on_redis.iter().cloned().chain([kept]).collect();
    let near = Plinth::start(&arguments, &near_redis).await?;
    let value = String::from_utf8_lossy(&VALUE).into_owned();
    redis.set("bench", &value).await?;
    for number in 0..BATCH {
        redis.set(&batch_key(number), &value).await?;
    }
    let mut mget = vec!["mget".to_owned()];
    mget.extend((0..BATCH).map(batch_key));
    let mget: Vec<&str> = mget.iter().map(String::as_str).collect();
    let load = |address: String, frame: Vec<u8>, framing| Load {
        address,
        frame,
        framing,
        connections: arguments.connections,
        requests: arguments.requests,
    };
    let batches = arguments.requests / 10;
    let get = load(memory.thrift(), thrift_get(&memory.key), Framing::Thrift);
    let many = Load {
        requests: batches,
        ..load(
            memory.thrift(),
            thrift_batch_get(&memory.key, BATCH),
            Framing::Thrift,
        )
    };
    let host = through.http();
    let over_http = load(host.clone(), http_get(&host, &through.key), Framing::Http);
    let near_get = load(near.thrift(), thrift_get(&near.key), Framing::Thrift);
    let host = near.http();
    let near_http = load(host.clone(), http_get(&host, &near.key), Framing::Http);
    let host = webdis.address.clone();
    let over_webdis = load(host.clone(), webdis_get(&host), Framing::Http);
    let each = f64::from(u32::try_from(BATCH)?);
    // `redis-benchmark` counts a request from when it is written, and writes it a turn after the answer before it; beside
    // its figure stands what this client, which writes at once, sees of the same Redis.
    let by_this_client = load(
        format!("127.0.0.1:{}", redis.port()),
        resp_get("bench"),
        Framing::Resp,
    );
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..arguments.rounds {
        println!("round {} of {}", round + 1, arguments.rounds);
        note(&mut rows, GET, 1.0, get.run().await?);
        let (_, peer) = redis
            .benchmark(arguments.connections, arguments.requests)
            .await?;
        note(&mut rows, REDIS_GET, 1.0, peer);
        note(&mut rows, SAME_CLIENT_GET, 1.0, by_this_client.run().await?);
        note(&mut rows, NEAR_GET, 1.0, near_get.run().await?);
        note(&mut rows, BATCH_GET, each, many.run().await?);
        let peer = redis
            .benchmark_command(arguments.connections, batches, &mget)
            .await?;
        note(&mut rows, REDIS_MGET, each, peer);
        note(&mut rows, HTTP_GET, 1.0, over_http.run().await?);
        note(&mut rows, NEAR_HTTP, 1.0, near_http.run().await?);
        note(&mut rows, WEBDIS_GET, 1.0, over_webdis.run().await?);
    }
    println!("{}", show(&rows));
    for (ours, theirs) in [
        (GET, REDIS_GET),
        (BATCH_GET, REDIS_MGET),
        (HTTP_GET, WEBDIS_GET),
        (GET, SAME_CLIENT_GET),
        (NEAR_GET, REDIS_GET),
        (NEAR_HTTP, WEBDIS_GET),
    ] {
        let times = ratio(&rows, ours, theirs).unwrap_or_default();
        println!("{ours}: {times:.2} x {theirs}");
    }
    webdis.stop().await?;
    redis.stop().await?;
    memory.server.stop().await?;
    near.server.stop().await?;
    through.server.stop().await
}

const GET: &str = "GET in memory, Thrift";
const REDIS_GET: &str = "redis-benchmark GET";
const SAME_CLIENT_GET: &str = "GET of Redis by the client of these figures";
const BATCH_GET: &str = "keys by BatchGet(100) in memory, Thrift";
const REDIS_MGET: &str = "keys by redis-benchmark MGET(100)";
const NEAR_GET: &str = "GET near Redis, Thrift";
const NEAR_HTTP: &str = "GET near Redis, HTTP";
const HTTP_GET: &str = "GET through Redis, HTTP";
const WEBDIS_GET: &str = "GET by webdis on the same Redis";
