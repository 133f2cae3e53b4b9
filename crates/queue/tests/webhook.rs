//! Pushing to webhooks, over a real socket on loopback.

#![expect(
    clippy::expect_used,
    reason = "what the tests share stands outside #[test] functions"
)]

mod support;

mod late_lease;

use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use late_lease::LateLease;
use plinth_core::TenantId;
use plinth_queue::backend::{Backend as _, LeaseRequest, QueueKey};
use plinth_queue::model::{
    CreateQueueRequest, GetQueueInfoRequest, Message, PeekRequest, PublishBatchRequest,
    PublishMessage, QueueDepth, QueueName, QueueOptions, SubscribeRequest, Webhook, limits,
};
use plinth_store::EngineLocation;
use support::{Fixture, TENANT, backend, context, world};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Longest that the tests wait for anything; shorter than the time after which a call that hangs is given up by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the clock of the tests rests between two steps.
const CLOCK_STEP: Duration = Duration::from_millis(10);
/// The tenant whose receiver never answers.
const HOG: &str = "hog";

/// Takes connections and never answers, until it is aborted.
async fn hanging_receiver() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("binds");
    let url = format!("http://{}/hook", listener.local_addr().expect("has one"));
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = listener.accept().await {
            held.push(connection);
        }
    });
    (url, holding)
}

/// Answers each request with the next status of a script, and hands on what it was sent.
async fn receiver(script: &'static [&'static str]) -> (String, mpsc::Receiver<serde_json::Value>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("binds");
    let url = format!("http://{}/hook", listener.local_addr().expect("has one"));
    let (sender, seen) = mpsc::channel(16);
    tokio::spawn(async move {
        for status in script {
            let (stream, _) = listener.accept().await.expect("accepts");
            let mut stream = BufReader::new(stream);
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).await.expect("is text") > 2 {
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.expect("is whole");
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("is sent");
            sender
                .send(serde_json::from_slice(&body).expect("json"))
                .await
                .expect("is awaited");
        }
    });
    (url, seen)
}

async fn pushing(url: String) -> Fixture {
    let (clock, definitions) = world();
    let fixture = Fixture::open(EngineLocation::Memory, clock, definitions).await;
    push_to(&fixture, TENANT, url, None).await;
    fixture
}

/// Declares the queue `q` of a tenant, and a webhook on it.
async fn push_to(fixture: &Fixture, tenant: &str, url: String, prefetch: Option<i32>) {
    let request = CreateQueueRequest::default();
    let created = fixture
        .service
        .create_queue(&context(tenant), "q", request)
        .await;
    created.expect("is declared");
    let request = SubscribeRequest {
        queue: "q".to_owned(),
        mode: Some("webhook".to_owned()),
        webhook: Some(Webhook {
            url,
            secret: "0123456789abcdef".to_owned(),
        }),
        prefetch,
        ..SubscribeRequest::default()
    };
    fixture
        .service
        .subscribe(&context(tenant), "s", request)
        .await
        .expect("subscribes");
}

/// Waits until the queue looks as expected.
async fn wait_for(fixture: &Fixture, expected: impl Fn(&QueueDepth) -> bool) {
    wait_for_queue_of(TENANT, fixture, expected).await;
}

async fn wait_for_queue_of(
    tenant: &str,
    fixture: &Fixture,
    expected: impl Fn(&QueueDepth) -> bool,
) {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let request = GetQueueInfoRequest {
                queue: "q".to_owned(),
            };
            let info = fixture
                .service
                .get_queue_info(&context(tenant), request)
                .await;
            if expected(&info.expect("is there").depth) {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("the queue comes to look as expected");
}

fn length(depth: &QueueDepth) -> i64 {
    depth.ready + depth.leased + depth.delayed
}

#[tokio::test]
async fn an_accepted_delivery_is_an_ack() {
    let (url, mut seen) = receiver(&["204 No Content"]).await;
    let fixture = pushing(url).await;
    let published = fixture
        .publish("q", |message| message.body = "hello".into())
        .await
        .expect("is stored");
    let delivered = seen.recv().await.expect("is pushed");
    assert_eq!(delivered["message_id"], published.message_id);
    assert_eq!(delivered["body_base64"], "aGVsbG8=");
    assert_eq!(delivered["attempt"], 1);
    assert!(
        delivered["receipt"].is_null(),
        "a receiver settles by its answer"
    );
    wait_for(&fixture, |depth| length(depth) == 0 && depth.dead == 0).await;
    fixture.service.close().await;
}

#[tokio::test]
async fn a_refused_delivery_comes_again_when_it_was_asked_to() {
    let (url, mut seen) = receiver(&["503 Service Unavailable\r\nretry-after: 20", "200 OK"]).await;
    let fixture = pushing(url).await;
    fixture.publish("q", |_| ()).await.expect("is stored");
    assert_eq!(seen.recv().await.expect("is pushed")["attempt"], 1);
    wait_for(&fixture, |depth| depth.delayed == 1).await;
    fixture.clock.advance_ms(20_000);
    let again = seen.recv().await.expect("is pushed again");
    assert_eq!(
        (&again["attempt"], &again["history"][0]["error"]),
        (&2.into(), &"the receiver answered 503".into())
    );
    wait_for(&fixture, |depth| length(depth) == 0).await;
    fixture.service.close().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_for_good_sends_to_the_dead_letters() {
    let (url, mut seen) = receiver(&["410 Gone"]).await;
    let fixture = pushing(url).await;
    fixture.publish("q", |_| ()).await.expect("is stored");
    seen.recv().await.expect("is pushed");
    wait_for(&fixture, |depth| depth.dead == 1).await;
    assert_eq!(
        fixture.receive("q.dead", 1).await[0].history[0].consumer,
        "webhook:s"
    );
    fixture.service.close().await;
}

#[tokio::test]
async fn receivers_that_hang_hold_up_their_own_tenant_alone() {
    let share = i64::try_from(limits::WEBHOOKS_PER_TENANT_MAX).expect("fits");
    let (url, mut seen) = receiver(&["204 No Content"]).await;
    let fixture = pushing(url).await;
    let (url, hanging) = hanging_receiver().await;
    push_to(&fixture, HOG, url, Some(limits::RECEIVE_MAX)).await;
    let batch = PublishBatchRequest {
        messages: (0..share + 8)
            .map(|_| PublishMessage {
                routing_key: "q".to_owned(),
                ..PublishMessage::default()
            })
            .collect(),
    };
    let published = fixture.service.publish_batch(&context(HOG), batch).await;
    published.expect("are stored");
    // What has no place is not leased, so that no attempt of it is counted while it waits.
    wait_for_queue_of(HOG, &fixture, |depth| {
        (depth.leased, depth.ready) == (share, 8)
    })
    .await;
    fixture.publish("q", |_| ()).await.expect("is stored");
    let delivered = tokio::time::timeout(PATIENCE, seen.recv()).await;
    assert!(
        delivered.expect("is pushed meanwhile").is_some(),
        "another tenant's"
    );
    // A moment before the leases end the calls are given up, and settled while that is still possible.
    fixture
        .clock
        .advance_ms(u64::try_from(limits::LEASE_MS_DEFAULT).expect("fits") - 1_000);
    let given_up = |message: &Message| {
        let error = message
            .history
            .first()
            .and_then(|attempt| attempt.error.clone());
        error.as_deref() == Some("no answer before the end of the lease")
    };
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let request = PeekRequest {
                limit: Some(limits::PEEK_MAX),
                ..PeekRequest::default()
            };
            let page = fixture.service.peek(&context(HOG), "q", request).await;
            let messages = page.expect("shows").messages;
            if messages.iter().filter(|message| given_up(message)).count() == 32 {
                return;
            }
        }
    });
    waited.await.expect("every call is given up");
    hanging.abort();
    // The calls that took their places pause before they try again, until the clock moves on.
    let mut closing = pin!(fixture.service.close());
    while tokio::time::timeout(CLOCK_STEP, closing.as_mut())
        .await
        .is_err()
    {
        fixture.clock.advance_ms(1_000);
    }
}

#[tokio::test]
async fn what_gets_too_little_of_its_lease_is_handed_back_unsent_and_uncounted() {
    let (url, mut seen) = receiver(&["204 No Content"]).await;
    let (clock, definitions) = world();
    let inner = backend(EngineLocation::Memory, &clock).await;
    let moving = clock.clone();
    // Of a lease of 30 s ten are left.
    let late = Arc::new(LateLease::new(inner, move || moving.advance_ms(20_000)));
    let fixture = Fixture::over(late.clone(), clock, definitions).await;
    push_to(&fixture, TENANT, url, None).await;
    fixture.publish("q", |_| ()).await.expect("is stored");
    let delivered = seen.recv().await.expect("is pushed");
    assert_eq!(late.given(), 2, "the first lease came too late to be used");
    assert_eq!(
        (&delivered["attempt"], &delivered["history"]),
        (&1.into(), &serde_json::json!([]))
    );
    wait_for(&fixture, |depth| length(depth) == 0).await;
    fixture.service.close().await;
}

#[tokio::test]
async fn a_message_that_was_handed_back_expires_in_time() {
    let (clock, definitions) = world();
    let backend = Arc::new(backend(EngineLocation::Memory, &clock).await);
    let fixture = Fixture::over(backend.clone(), clock, definitions).await;
    fixture.create("q", QueueOptions::default()).await;
    let queue = QueueKey {
        tenant: TenantId::parse(TENANT).expect("a tenant"),
        name: QueueName::parse("queue", "q").expect("a name"),
    };
    let ready_is = async |expected: i64| {
        let waited = tokio::time::timeout(PATIENCE, async {
            while backend.depth(&queue).await.expect("counts").ready != expected {
                tokio::task::yield_now().await;
            }
        });
        waited.await.expect("the queue comes to look as expected");
    };
    let short_lived = fixture.publish("q", |message| message.ttl_ms = Some(1_000));
    short_lived.await.expect("is stored");
    let lease = LeaseRequest {
        queue: queue.clone(),
        max: 1,
        lease_ms: 30_000,
        consumer: "nobody".to_owned(),
    };
    let leased = backend.lease(lease).await.expect("leases");
    // The timer runs meanwhile, and does not watch the expiry of what is leased.
    let delayed = fixture.publish("q", |message| message.delay_ms = Some(100));
    delayed.await.expect("is stored");
    fixture.clock.advance_ms(100);
    ready_is(1).await;
    let receipts: Vec<String> = leased
        .into_iter()
        .filter_map(|message| message.receipt)
        .collect();
    backend
        .hand_back(&queue, &receipts)
        .await
        .expect("takes it back");
    ready_is(2).await;
    fixture.clock.advance_ms(900);
    ready_is(1).await;
    fixture.service.close().await;
}
