//! Answers that are lost between server and client: what was done is done once, and the client learns of it.

use std::net::SocketAddr;

use plinth_client::{AppendOptions, Client, ClientSettings, IncrementOptions};
use plinth_testkit::chaos::{Chaos, ChaosProxy};

use crate::tool::serve;

/// Both ways to one server: through a proxy, and without.
async fn through(
    address: &str,
    settings: impl Fn(String) -> ClientSettings,
) -> (ChaosProxy, [Client; 2]) {
    let server: SocketAddr = address.parse().expect("an address");
    let proxy = ChaosProxy::start(server).await.expect("a proxy");
    let addresses = [proxy.address().to_string(), address.to_owned()];
    let clients = addresses.map(|address| Client::connect(settings(address)).expect("a client"));
    (proxy, clients)
}

/// What stands under a key now.
async fn text(client: &Client, key: &str) -> String {
    let found = client.cache().get("counted", key).await;
    let found = found.expect("reads").expect("a value");
    String::from_utf8(found.value.to_vec()).expect("text")
}

/// Loses the answer to a change that `direct` sees done, then ends the connection over which it was asked for.
async fn lose_answer(proxy: &ChaosProxy, direct: &Client, key: &str, done: &str) {
    while text(direct, key).await != done {
        tokio::task::yield_now().await;
    }
    proxy.set(Chaos::Calm);
    proxy.cut();
}

async fn changes_are_made_once(proxy: ChaosProxy, [lossy, direct]: [Client; 2], key: &str) {
    let one = IncrementOptions::by(1);
    let counted = lossy.cache().increment("counted", key, &one).await;
    assert_eq!(counted.expect("counts").number, 1);
    proxy.set(Chaos::SwallowAnswers);
    let cache = lossy.cache();
    let (counted, ()) = tokio::join!(
        cache.increment("counted", key, &one),
        lose_answer(&proxy, &direct, key, "2"),
    );
    assert_eq!(counted.expect("is told at last").number, 2);
    assert_eq!(text(&direct, key).await, "2");

    let grown = format!("{key}-grown");
    let options = AppendOptions::default();
    let appended = cache.append("counted", &grown, "a", &options).await;
    assert_eq!(appended.expect("appends").length, 1);
    proxy.set(Chaos::SwallowAnswers);
    let (appended, ()) = tokio::join!(
        cache.append("counted", &grown, "b", &options),
        lose_answer(&proxy, &direct, &grown, "ab"),
    );
    assert_eq!(appended.expect("is told at last").length, 2);
    assert_eq!(text(&direct, &grown).await, "ab");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_whose_answer_was_lost_is_asked_for_again_and_made_once() {
    let place = tempfile::tempdir().expect("a directory");
    let server = serve(place.path(), &[]).await;
    let key = server.first_key().expect("a first key").to_owned();
    let addresses = server.announcement();
    let thrift = |address| ClientSettings::thrift(address, key.clone());
    let (proxy, clients) = through(&addresses.thrift, thrift).await;
    Box::pin(changes_are_made_once(proxy, clients, "thrift")).await;
    let http = |address| ClientSettings::http(format!("http://{address}"), key.clone());
    let address = addresses.http.trim_start_matches("http://");
    let (proxy, clients) = through(address, http).await;
    Box::pin(changes_are_made_once(proxy, clients, "http")).await;
    server.stop().await.expect("ends well");
}
