//! The table of scenarios over both transports of a real server.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a broken fixture must fail the test, which says what it ran"
)]

use std::path::Path;

use plinth_testkit::process::{Server, ServerOptions};
use plinth_testkit::redis::{RedisProcess, is_installed};
use plinth_testkit::scenarios::{self, Rig};

/// Runs the scenarios whose name begins with a word, on a server with settings of its own.
async fn check(settings: &[(&str, &str)], block: &str) {
    let binary = Path::new(env!("CARGO_BIN_EXE_plinth"));
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options = ServerOptions {
        settings: settings.iter().map(owned).collect(),
        ..ServerOptions::default()
    };
    let server = Server::start(binary, &options).await.expect("starts");
    let key = server.first_key().expect("a first key").to_owned();
    let [http, thrift] = server.clients(&key).expect("clients");
    let addresses = (
        server.announcement().http.clone(),
        server.announcement().thrift.clone(),
    );
    let rigs = [("http", http), ("thrift", thrift)].map(|(transport, client)| Rig {
        client,
        transport,
        addresses: addresses.clone(),
    });
    let mut table = scenarios::all();
    table.retain(|scenario| scenario.name.starts_with(block));
    let mut failures = Vec::new();
    for scenario in &table {
        for rig in &rigs {
            if let Err(error) = scenarios::check(scenario, rig).await {
                failures.push(format!("{error:#}"));
            }
        }
    }
    println!("{} scenarios over {} transports", table.len(), rigs.len());
    assert!(!table.is_empty(), "no scenario of {block}");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_transports_tell_the_same() {
    check(&[], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_and_the_locks_tell_the_same_on_redis() {
    if !is_installed() {
        return;
    }
    let redis = RedisProcess::start("").await.expect("starts");
    let url = redis.url();
    let settings = [
        ("PLINTH__CACHE__BACKEND", "redis"),
        ("PLINTH__LOCK__BACKEND", "redis"),
        ("PLINTH__REDIS__URL", url.as_str()),
    ];
    check(&settings, "cache: ").await;
    check(&settings, "lock: ").await;
    // The scenarios begin with nothing stored.
    let near = [
        ("PLINTH__CACHE__NEAR__BYTES_MAX", "1000000"),
        ("PLINTH__CACHE__KEY_PREFIX", "near"),
    ];
    let near: Vec<_> = settings.into_iter().chain(near).collect();
    check(&near, "cache: ").await;
}
