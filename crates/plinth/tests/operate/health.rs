//! The instance says how it is while it runs, and recovers by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plinth_testkit::chaos::{Chaos, ChaosProxy};
use plinth_testkit::process::Server;
use plinth_testkit::scratch::on_each_product;
use serde_json::Value;

use crate::tool::{http, serve};

/// How long a state may take to turn: a second, and what a busy machine adds, in milliseconds.
const TURN_MS_MAX: u64 = 2_500;
/// Time between two questions, in milliseconds.
const ASK_EVERY_MS: u64 = 20;

/// Asks until the answer is as expected, and says how long that took.
pub(crate) async fn turns<F: Future<Output = bool>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> Duration {
    let began = Instant::now();
    while !ask().await {
        let bound = Duration::from_millis(TURN_MS_MAX);
        assert!(began.elapsed() < bound, "{what} took more than {bound:?}");
        tokio::time::sleep(Duration::from_millis(ASK_EVERY_MS)).await;
    }
    began.elapsed()
}

async fn ready(server: &Server) -> (u16, String) {
    let url = format!("{}/readyz", server.announcement().http);
    let reply = http().get(url).send().await.expect("answers");
    let status = reply.status().as_u16();
    let body: Value = serde_json::from_str(&reply.text().await.expect("text")).expect("is JSON");
    (status, body["status"].as_str().expect("a word").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_database_that_goes_and_comes_turns_readiness_within_about_a_second() {
    on_each_product(async |url: String| {
        let (_, rest) = url.split_once('@').expect("has a user");
        let (address, _) = rest.split_once('/').expect("has a path");
        let database: SocketAddr = address.parse().expect("an address");
        let proxy = ChaosProxy::start(database).await.expect("listens");
        let through = url.replace(address, &proxy.address().to_string());
        let place = tempfile::tempdir().expect("a directory");
        let settings = [("PLINTH__CONTROL__URL", through.as_str())];
        let server = serve(&place.path().join("data"), &settings).await;
        let key = server.first_key().expect("a first key").to_owned();
        let clients = server.clients(&key).expect("clients");
        for client in &clients {
            client.access().who_am_i().await.expect("is let in");
        }
        let up = (200, "up".to_owned());
        let down = (503, "down".to_owned());
        turns("the start", async || ready(&server).await == up).await;
        // Once refused at once, once silent as a dead machine is.
        for chaos in [Chaos::Refuse, Chaos::BlackHole] {
            proxy.set(chaos);
            let fell = turns("the fall", async || ready(&server).await == down).await;
            // Who was let in lately sees what is wrong, and may do nothing else.
            for client in &clients {
                let health = client.access().health().await.expect("answers");
                let parts = health.components.expect("may see the parts");
                let control = parts.iter().find(|part| part.name == "control");
                assert_eq!(control.expect("is listed").status, "down");
                let refused = client.access().who_am_i().await.expect_err("is refused");
                assert_eq!(refused.code, 1012);
            }
            proxy.set(Chaos::Calm);
            proxy.cut();
            let rose = turns("the rise", async || ready(&server).await == up).await;
            println!("{chaos:?}: down after {fell:?}, up after {rose:?}");
        }
        server.stop().await.expect("ends well");
    })
    .await
    .expect("the servers answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_told_on_both_transports_until_it_is_back() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let server = serve(&data, &[]).await;
    let key = server.first_key().expect("a first key").to_owned();
    let clients = server.clients(&key).expect("clients");
    for part in ["queue", "monitor", "lock"] {
        let (file, away) = (data.join(format!("{part}.db")), data.join("away"));
        let is = async |status: &str, overall: &str| {
            for client in &clients {
                let health = client.access().health().await.expect("answers");
                let parts = health.components.expect("may see the parts");
                let found = parts.iter().find(|found| found.name == part);
                if found.expect("is listed").status != status || health.status != overall {
                    return false;
                }
            }
            true
        };
        turns("up", async || is("up", "up").await).await;
        std::fs::rename(&file, &away).expect("moves");
        turns("down", async || is("down", "degraded").await).await;
        assert_eq!(ready(&server).await, (200, "degraded".to_owned()));
        std::fs::rename(&away, &file).expect("moves back");
        turns("up again", async || is("up", "up").await).await;
    }
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_refuses_writes_is_told_until_it_takes_them_again() {
    let place = tempfile::tempdir().expect("a directory");
    let server = serve(&place.path().join("data"), &[]).await;
    let key = server.first_key().expect("a first key").to_owned();
    let [client, _] = server.clients(&key).expect("clients");
    let queue = client.queue();
    queue
        .create_queue("q", &plinth_client::QueueOptions::default())
        .await
        .expect("is declared");
    let publish = async |body: &'static str| {
        let message = plinth_client::PublishMessage::to_queue("q", body);
        queue.publish(&message, None).await
    };
    publish("before").await.expect("is stored");
    let status = async |status: &str| {
        let health = client.access().health().await.expect("answers");
        let parts = health.components.expect("may see the parts");
        let found = parts.into_iter().find(|found| found.name == "queue");
        let found = found.expect("is listed");
        let named = found
            .message
            .is_some_and(|message| message.contains("refuses writes"));
        found.status == status && named == (status == "down")
    };
    turns("up", async || status("up").await).await;
    // No file may grow or change any more: what a full disk does, done to this process alone.
    limit_files(&server, Some(0));
    let refused = publish("lost").await.expect_err("is refused");
    assert_eq!(refused.code, 1012, "{refused}");
    turns("down", async || status("down").await).await;
    assert_eq!(ready(&server).await, (200, "degraded".to_owned()));
    limit_files(&server, None);
    turns("up again, though nobody writes", async || {
        status("up").await
    })
    .await;
    publish("after").await.expect("is stored");
    let options = plinth_client::ReceiveOptions {
        max: Some(9),
        ..Default::default()
    };
    let messages = queue.receive("q", &options).await.expect("receives");
    let bodies: Vec<_> = messages
        .iter()
        .map(|message| message.body.as_ref())
        .collect();
    assert_eq!(bodies, [b"before".as_slice(), b"after"]);
    server.stop().await.expect("ends well");
}

fn limit_files(server: &Server, bytes: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let id = server.id().and_then(|id| i32::try_from(id).ok());
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(id.and_then(Pid::from_raw), Resource::Fsize, limit).expect("is limited");
}
