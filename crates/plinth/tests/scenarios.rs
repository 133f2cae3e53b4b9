//! The table of scenarios over both transports of a real server.

use std::path::Path;

use plinth_testkit::process::{Server, ServerOptions};
use plinth_testkit::scenarios::{self, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn both_transports_tell_the_same() {
    let binary = Path::new(env!("CARGO_BIN_EXE_plinth"));
    let server = Server::start(binary, &ServerOptions::default())
        .await
        .expect("starts");
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
    let table = scenarios::all();
    let mut failures = Vec::new();
    for scenario in &table {
        for rig in &rigs {
            if let Err(error) = scenarios::check(scenario, rig).await {
                failures.push(format!("{error:#}"));
            }
        }
    }
    println!("{} scenarios over {} transports", table.len(), rigs.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    server.stop().await.expect("ends well");
}
