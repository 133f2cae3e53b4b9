//! Property 3: a confirmed publish is received by a consumer unless it expired or was deleted; also when consumers die with
//! their leases, hand messages back, and the service is stopped and opened again in between.

#![expect(
    clippy::expect_used,
    reason = "what the property shares stands outside #[test] functions"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use plinth_queue::model::{AckRequest, Message, QueueOptions, RetryRequest};
use plinth_store::EngineLocation;
use proptest::prelude::*;
use support::{Fixture, TENANT, context, world};

/// What happens to the queue, step by step.
#[derive(Clone, Debug)]
enum Step {
    /// A message; the numbers are its priority, delay and, where it has one, its life.
    Publish {
        priority: i32,
        delay_ms: i64,
        ttl_ms: Option<i64>,
    },
    /// A consumer takes some and acknowledges them.
    Consume(i32),
    /// A consumer takes some and dies.
    Die(i32),
    /// A consumer takes some and hands them back.
    HandBack(i32),
    /// Time passes.
    Pass(u64),
    /// The service is stopped and opened again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..=9, prop_oneof![Just(0), 1_i64..500], proptest::option::weighted(0.3, 1_i64..2_000))
            .prop_map(|(priority, delay_ms, ttl_ms)| Step::Publish { priority, delay_ms, ttl_ms }),
        3 => (1..5).prop_map(Step::Consume),
        2 => (1..5).prop_map(Step::Die),
        2 => (1..5).prop_map(Step::HandBack),
        4 => (1_u64..1_000).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

/// What was confirmed, and when it may be gone without a consumer.
#[derive(Default)]
struct Ledger {
    confirmed: Vec<(String, Option<i64>)>,
    acked: BTreeSet<String>,
}

fn receipts(messages: &[Message]) -> Vec<String> {
    let receipts = messages.iter().map(|message| message.receipt.clone());
    receipts
        .map(|receipt| receipt.expect("is leased"))
        .collect()
}

async fn ack(fixture: &Fixture, ledger: &mut Ledger, messages: &[Message]) {
    if messages.is_empty() {
        return;
    }
    let request = AckRequest {
        queue: "q".to_owned(),
        receipts: receipts(messages),
    };
    let reply = fixture.service.ack(&context(TENANT), request).await;
    for (item, message) in reply.expect("answers").items.iter().zip(messages) {
        assert!(item.settled, "a lease that is held can be settled");
        assert!(
            ledger.acked.insert(message.message_id.clone()),
            "settled twice"
        );
    }
}

async fn hand_back(fixture: &Fixture, messages: &[Message]) {
    if messages.is_empty() {
        return;
    }
    let request = RetryRequest {
        queue: "q".to_owned(),
        receipts: receipts(messages),
        ..RetryRequest::default()
    };
    let reply = fixture.service.retry(&context(TENANT), request).await;
    assert!(
        reply
            .expect("answers")
            .items
            .iter()
            .all(|item| item.settled)
    );
}

async fn run(steps: Vec<Step>, file: &Path) {
    let location = || EngineLocation::File(file.to_owned());
    let (clock, definitions) = world();
    let mut fixture = Fixture::open(location(), clock.clone(), definitions.clone()).await;
    let patient = QueueOptions {
        max_attempts: Some(10_000),
        ..QueueOptions::default()
    };
    fixture.create("q", patient).await;
    let mut ledger = Ledger::default();
    let mut now = 0_i64;
    for step in steps {
        match step {
            Step::Publish {
                priority,
                delay_ms,
                ttl_ms,
            } => {
                let published = fixture
                    .publish("q", |message| {
                        message.priority = Some(priority);
                        message.delay_ms = Some(delay_ms);
                        message.ttl_ms = ttl_ms;
                    })
                    .await
                    .expect("is confirmed");
                let expires = ttl_ms.map(|ttl_ms| now + ttl_ms);
                ledger.confirmed.push((published.message_id, expires));
            }
            Step::Consume(max) => {
                let messages = fixture.receive("q", max).await;
                ack(&fixture, &mut ledger, &messages).await;
            }
            Step::Die(max) => drop(fixture.receive("q", max).await),
            Step::HandBack(max) => hand_back(&fixture, &fixture.receive("q", max).await).await,
            Step::Pass(ms) => {
                fixture.clock.advance_ms(ms);
                now += i64::try_from(ms).expect("is small");
            }
            Step::Restart => {
                fixture.service.close().await;
                fixture = Fixture::open(location(), clock.clone(), definitions.clone()).await;
            }
        }
    }
    // Time enough for every delay, lease and backoff; what may expire meanwhile is not waited for.
    for _ in 0..3 {
        fixture.clock.advance_ms(400_000);
        loop {
            let messages = fixture.receive("q", 256).await;
            if messages.is_empty() {
                break;
            }
            ack(&fixture, &mut ledger, &messages).await;
        }
    }
    for (id, expires) in &ledger.confirmed {
        assert!(
            ledger.acked.contains(id) || expires.is_some(),
            "{id} was confirmed, cannot expire, and was not received"
        );
    }
    assert!(ledger.acked.len() <= ledger.confirmed.len());
    fixture.service.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_confirmed_publish_is_received(steps in proptest::collection::vec(step(), 1..40)) {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps, &folder.path().join("queue.db")));
    }
}
