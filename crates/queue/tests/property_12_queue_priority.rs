//! Property 12: whatever is published, delayed, handed back and consumed, a receive gives what is ready in the order of
//! priority, and of publishing within one. The queue is compared with a model, step by step.

#![expect(
    clippy::expect_used,
    reason = "what the property shares stands outside #[test] functions"
)]

mod support;

use std::collections::BTreeMap;

use plinth_queue::model::{AckRequest, QueueOptions, RetryRequest};
use plinth_store::EngineLocation;
use proptest::prelude::*;
use support::{Fixture, TENANT, context, world};

/// What is done to the queue.
#[derive(Clone, Debug)]
enum Step {
    Publish {
        priority: i32,
        delay_ms: i64,
    },
    Receive {
        max: i32,
    },
    /// The n-th of what is held, if so many are.
    Ack {
        index: usize,
    },
    Retry {
        index: usize,
        after_ms: i64,
    },
    Pass {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..=9, prop_oneof![3 => Just(0_i64), 1 => 1_i64..300])
            .prop_map(|(priority, delay_ms)| Step::Publish { priority, delay_ms }),
        4 => (1..6).prop_map(|max| Step::Receive { max }),
        2 => (0_usize..4).prop_map(|index| Step::Ack { index }),
        2 => (0_usize..4, prop_oneof![Just(0_i64), 1_i64..300])
            .prop_map(|(index, after_ms)| Step::Retry { index, after_ms }),
        2 => (1_u64..200).prop_map(|ms| Step::Pass { ms }),
    ]
}

/// The model: what is known of each message that was not acknowledged.
#[derive(Default)]
struct Model {
    now: i64,
    published: usize,
    /// Ready from this time on, by (priority downwards, order of publishing).
    waiting: BTreeMap<(i32, usize), i64>,
    /// Held, in the order of receiving, with their receipts.
    held: Vec<((i32, usize), String)>,
}

impl Model {
    fn next(&self, max: i32) -> Vec<(i32, usize)> {
        let ready = self.waiting.iter().filter(|(_, from)| **from <= self.now);
        let max = usize::try_from(max).expect("is positive");
        ready.map(|(key, _)| *key).take(max).collect()
    }
}

async fn apply(fixture: &Fixture, model: &mut Model, step: Step) {
    let of_one = |receipt: String| ("q".to_owned(), vec![receipt]);
    match step {
        Step::Publish { priority, delay_ms } => {
            let number = model.published;
            let message = |message: &mut plinth_queue::model::PublishMessage| {
                message.priority = Some(priority);
                message.delay_ms = Some(delay_ms);
                message.body = number.to_string().into();
            };
            fixture.publish("q", message).await.expect("is confirmed");
            model.published += 1;
            model
                .waiting
                .insert((-priority, number), model.now + delay_ms);
        }
        Step::Receive { max } => {
            let expected = model.next(max);
            let messages = fixture.receive("q", max).await;
            let received: Vec<(i32, usize)> = messages
                .iter()
                .map(|message| {
                    let body = std::str::from_utf8(&message.body).expect("text");
                    (-message.priority, body.parse().expect("a number"))
                })
                .collect();
            assert_eq!(received, expected);
            for (key, message) in expected.into_iter().zip(messages) {
                model.waiting.remove(&key);
                model.held.push((key, message.receipt.expect("is leased")));
            }
        }
        Step::Ack { index } if index < model.held.len() => {
            let (queue, receipts) = of_one(model.held.remove(index).1);
            let reply = fixture
                .service
                .ack(&context(TENANT), AckRequest { queue, receipts })
                .await;
            assert!(
                reply
                    .expect("answers")
                    .items
                    .iter()
                    .all(|item| item.settled)
            );
        }
        Step::Retry { index, after_ms } if index < model.held.len() => {
            let (key, receipt) = model.held.remove(index);
            let (queue, receipts) = of_one(receipt);
            let request = RetryRequest {
                queue,
                receipts,
                after_ms: Some(after_ms),
                reason: None,
            };
            let reply = fixture.service.retry(&context(TENANT), request).await;
            assert!(
                reply
                    .expect("answers")
                    .items
                    .iter()
                    .all(|item| item.settled)
            );
            model.waiting.insert(key, model.now + after_ms);
        }
        Step::Ack { .. } | Step::Retry { .. } => {}
        Step::Pass { ms } => {
            fixture.clock.advance_ms(ms);
            model.now += i64::try_from(ms).expect("is small");
        }
    }
}

async fn run(steps: Vec<Step>) {
    let (clock, definitions) = world();
    let fixture = Fixture::open(EngineLocation::Memory, clock, definitions).await;
    // No message reaches its maximum of attempts, and 60 steps of 200 ms end no lease of 30 s.
    let options = QueueOptions {
        max_attempts: Some(10_000),
        ..QueueOptions::default()
    };
    fixture.create("q", options).await;
    let mut model = Model::default();
    for step in steps {
        apply(&fixture, &mut model, step).await;
    }
    fixture.service.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_receive_gives_the_most_urgent_first(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
