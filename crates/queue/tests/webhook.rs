//! Pushing to webhooks, over a real socket on loopback.

#![expect(
    clippy::expect_used,
    reason = "what the tests share stands outside #[test] functions"
)]

mod support;

use std::net::Ipv4Addr;

use plinth_queue::model::{
    GetQueueInfoRequest, QueueDepth, QueueOptions, SubscribeRequest, Webhook,
};
use plinth_store::EngineLocation;
use support::{Fixture, TENANT, context, world};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

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
    fixture.create("q", QueueOptions::default()).await;
    let request = SubscribeRequest {
        queue: "q".to_owned(),
        mode: Some("webhook".to_owned()),
        webhook: Some(Webhook {
            url,
            secret: "0123456789abcdef".to_owned(),
        }),
        ..SubscribeRequest::default()
    };
    fixture
        .service
        .subscribe(&context(TENANT), "s", request)
        .await
        .expect("subscribes");
    fixture
}

/// Waits until the queue looks as expected.
async fn wait_for(fixture: &Fixture, expected: impl Fn(&QueueDepth) -> bool) {
    loop {
        let request = GetQueueInfoRequest {
            queue: "q".to_owned(),
        };
        let info = fixture
            .service
            .get_queue_info(&context(TENANT), request)
            .await;
        if expected(&info.expect("is there").depth) {
            return;
        }
        tokio::task::yield_now().await;
    }
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
