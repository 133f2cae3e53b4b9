//! Server-sent events of a real server: messages as they come, answers as they change, and how a stream ends.

use std::time::Duration;

use plinth_testkit::process::Server;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::tool::{http, serve};

/// Longest that a test waits for an event.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of its own for a test, with its first key.
struct World {
    server: Server,
    base: String,
    key: String,
    _place: tempfile::TempDir,
}

impl World {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let server = serve(&place.path().join("data"), settings).await;
        let announcement = server.announcement();
        Self {
            base: announcement.http.clone(),
            key: announcement.key.clone().expect("the first key"),
            server,
            _place: place,
        }
    }

    fn ask(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(&self.key)
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.base);
        let reply = self.ask(http().post(url)).json(body).send().await;
        let reply = reply.expect("answers");
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
        reply.json().await.expect("is JSON")
    }

    async fn put(&self, path: &str, body: &Value) {
        let url = format!("{}{path}", self.base);
        let reply = self.ask(http().put(url)).json(body).send().await;
        assert!(reply.expect("answers").status().is_success(), "{path}");
    }

    async fn publish(&self, body: &str) {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(body);
        let message = json!({"message": {"routing_key": "orders", "body_base64": body}});
        self.post("/v1/queue/publish", &message).await;
    }

    /// Opens a stream of messages.
    async fn consume(&self, request: &Value) -> Events {
        let url = format!("{}/v1/queue/receive", self.base);
        let request = self.ask(http().post(url)).json(request);
        Events::open(request).await
    }

    async fn watch(&self, path: &str) -> Events {
        let request = self.ask(http().get(format!("{}{path}", self.base)));
        Events::open(request.header("x-live-interval-ms", "100")).await
    }
}

/// One event.
#[derive(Debug, Default)]
struct Told {
    event: String,
    id: String,
    data: Value,
}

/// A stream of events, read as the standard says: fields by lines, events by empty lines, comments ignored.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn open(request: RequestBuilder) -> Self {
        let response = request.header("accept", "text/event-stream").send().await;
        let response = response.expect("answers");
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event; `None` where the stream ended.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut told = Told::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", text)) => told.event = text.to_owned(),
                        Some(("id", text)) => told.id = text.to_owned(),
                        Some(("data", text)) => {
                            told.data = serde_json::from_str(text).expect("is JSON");
                        }
                        _ => assert!(line.starts_with(':'), "{line}"),
                    }
                }
                self.text = rest.to_owned();
                if told.event.is_empty() {
                    continue;
                }
                return Some(told);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("an event in time").ok().flatten()?;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// Whether nothing is told for a while.
    async fn is_silent(&mut self) -> bool {
        let wait = Duration::from_millis(300);
        tokio::time::timeout(wait, self.next()).await.is_err()
    }
}

async fn with_queue() -> World {
    with_queue_and(&[]).await
}

async fn with_queue_and(settings: &[(&str, &str)]) -> World {
    let world = World::new(settings).await;
    world.put("/v1/queue/queues/orders", &json!({})).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_as_events_and_no_more_than_may_be_unsettled() {
    let world = with_queue().await;
    for body in ["1", "2", "3"] {
        world.publish(body).await;
    }
    let mut events = world.consume(&json!({"queue": "orders", "max": 2})).await;
    let (first, second) = (events.next().await, events.next().await);
    let (first, second) = (first.expect("the first"), second.expect("the second"));
    assert_eq!(
        (first.event.as_str(), second.event.as_str()),
        ("message", "message")
    );
    assert_eq!(first.data["body_base64"], "MQ==");
    assert_eq!(first.id, first.data["message_id"].as_str().expect("an id"));
    assert!(events.is_silent().await, "two are unsettled");
    let ack = json!({"queue": "orders", "receipts": [second.data["receipt"]]});
    world.post("/v1/queue/ack", &ack).await;
    let third = events.next().await.expect("the third");
    assert_eq!(third.data["body_base64"], "Mw==");
    // What is published while the stream waits comes at once.
    let ack =
        json!({"queue": "orders", "receipts": [first.data["receipt"], third.data["receipt"]]});
    world.post("/v1/queue/ack", &ack).await;
    world.publish("4").await;
    let fourth = events.next().await.expect("the fourth");
    assert_eq!(fourth.data["body_base64"], "NA==");
    // A consumer that leaves holds what it has until the lease ends, and takes nothing more.
    drop(events);
    world.publish("5").await;
    let left = world
        .post(
            "/v1/queue/receive",
            &json!({"queue": "orders", "max": 9, "wait_ms": 1000}),
        )
        .await;
    let left = left["messages"].as_array().expect("messages");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["body_base64"], "NQ==");
    world.server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_tells_each_change_once() {
    let world = with_queue().await;
    let mut events = world.watch("/v1/queue/queues/orders").await;
    let first = events.next().await.expect("the first look");
    assert_eq!(first.event, "view");
    assert_eq!(first.data["depth"]["ready"], 0);
    assert!(events.is_silent().await, "nothing changed");
    world.publish("1").await;
    loop {
        let told = events.next().await.expect("the change");
        assert_eq!(told.event, "view");
        if told.data["depth"]["ready"] == 1 {
            break;
        }
    }
    // A question with a body can be watched as well.
    let url = format!("{}/v1/cache/orders/batch-get", world.base);
    let request = world.ask(http().post(url)).json(&json!({"keys": ["A-1"]}));
    let mut events = Events::open(request.header("x-live-interval-ms", "100")).await;
    let first = events.next().await.expect("the first look");
    assert_eq!(first.data["items"][0]["found"], false);
    let url = format!("{}/v1/cache/orders/entries/A-1", world.base);
    let set = world.ask(http().put(url)).body("approved").send().await;
    assert!(set.expect("answers").status().is_success());
    let change = events.next().await.expect("the change");
    assert_eq!(change.data["items"][0]["found"], true);
    world.server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_its_streams() {
    let world = with_queue().await;
    let created = world
        .post(
            "/v1/access/keys",
            &json!({"principal": "watcher", "roles": ["operator", "developer"]}),
        )
        .await;
    let key = created["created"]["key"]
        .as_str()
        .expect("the text of the key");
    let id = created["created"]["key_id"].as_str().expect("its id");
    let open = async |request: RequestBuilder| Events::open(request.bearer_auth(key)).await;
    let queue = format!("{}/v1/queue/queues/orders", world.base);
    let receive = format!("{}/v1/queue/receive", world.base);
    let mut views = open(http().get(queue)).await;
    let mut messages = open(http().post(receive).json(&json!({"queue": "orders"}))).await;
    assert_eq!(views.next().await.expect("the first look").event, "view");
    world
        .post(&format!("/v1/access/keys/{id}/revoke"), &json!({}))
        .await;
    for (name, stream) in [("views", &mut views), ("messages", &mut messages)] {
        let mut last = Told::default();
        while let Some(told) = stream.next().await {
            last = told;
        }
        assert_eq!(last.event, "problem", "{name}");
        assert_eq!(last.data["code"], 1002, "{name}");
        assert_eq!(last.data["status"], 401, "{name}");
    }
    world.server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_streams_at_once() {
    let world = with_queue().await;
    let mut views = world.watch("/v1/health").await;
    assert_eq!(views.next().await.expect("the first look").event, "view");
    let mut messages = world.consume(&json!({"queue": "orders"})).await;
    let began = std::time::Instant::now();
    let ended = tokio::spawn(async move {
        while views.next().await.is_some() {}
        while messages.next().await.is_some() {}
    });
    world.server.stop().await.expect("ends well");
    ended.await.expect("the streams end");
    println!("drained in {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_outlives_the_idle_time() {
    let world = with_queue_and(&[("PLINTH__HTTP__IDLE_TIMEOUT_MS", "600")]).await;
    let mut messages = world.consume(&json!({"queue": "orders"})).await;
    for _ in 0..5 {
        assert!(messages.is_silent().await, "nothing was published");
    }
    world.publish("1").await;
    let told = messages.next().await.expect("it is still open");
    assert_eq!(told.data["body_base64"], "MQ==");
    world.server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused_by_name() {
    let world = with_queue().await;
    let refused = async |request: RequestBuilder| {
        let request = world.ask(request).header("accept", "text/event-stream");
        let reply = request.send().await.expect("answers");
        let status = reply.status().as_u16();
        let problem: Value = reply.json().await.expect("is a problem");
        let field = problem["errors"][0]["field"].as_str().unwrap_or_default();
        (
            status,
            problem["code"].as_u64().unwrap_or(0),
            field.to_owned(),
        )
    };
    let url = |path: &str| format!("{}{path}", world.base);
    let receive = || http().post(url("/v1/queue/receive"));
    let cases = [
        (
            receive().json(&json!({"queue": "orders", "wait_ms": 5})),
            (400, 1001, "wait_ms"),
        ),
        (
            receive().json(&json!({"queue": "orders", "max": 257})),
            (400, 1001, "max"),
        ),
        (
            receive().json(&json!({"queue": "orders", "lease_ms": 1})),
            (400, 1001, "lease_ms"),
        ),
        (receive().json(&json!({"queue": "absent"})), (404, 1004, "")),
        (
            receive().json(&json!({"qeue": "orders"})),
            (400, 1001, "qeue"),
        ),
        (
            http().post(url("/v1/queue/publish")).json(&json!({})),
            (406, 1001, "accept"),
        ),
        (http().get(url("/v1/access/keys")), (406, 1001, "accept")),
        (
            http()
                .get(url("/v1/health"))
                .header("x-live-interval-ms", "99"),
            (400, 1001, "x-live-interval-ms"),
        ),
        (
            http()
                .post(url("/v1/cache/n/batch-get"))
                .json(&json!({"keys": ["k"], "pad": "x".repeat(64 * 1024)})),
            (413, 1007, "body"),
        ),
        (http().get(url("/v1/queue/queues/absent")), (404, 1004, "")),
    ];
    for (request, (status, code, field)) in cases {
        assert_eq!(refused(request).await, (status, code, field.to_owned()));
    }
    let nobody = http()
        .get(url("/v1/health"))
        .header("accept", "text/event-stream");
    assert_eq!(nobody.send().await.expect("answers").status().as_u16(), 401);
    // Who would take something else as well gets the usual answer.
    let both = world.ask(http().get(url("/v1/access/keys")));
    let both = both.header("accept", "application/json, text/event-stream");
    assert_eq!(both.send().await.expect("answers").status().as_u16(), 200);
    world.server.stop().await.expect("ends well");
}
