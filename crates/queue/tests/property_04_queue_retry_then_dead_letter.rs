//! Property 4: failing messages are retried exactly by the policy, then dead-lettered with their history.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what the property shares stands outside #[test] functions"
)]

mod support;

use plinth_queue::model::{
    BackoffOptions, DeadRequest, Message, QueueName, QueueOptions, RetryRequest,
};
use plinth_store::EngineLocation;
use proptest::prelude::*;
use support::{Fixture, TENANT, context, world};

/// How one attempt fails.
#[derive(Clone, Debug)]
enum Failure {
    /// By the queue's backoff.
    Retry,
    /// After a time of the consumer's choice.
    RetryAfter(i64),
    /// The consumer dies; its lease ends.
    LeaseEnds,
    /// The consumer says: never again.
    Reject,
}

impl Failure {
    const fn word(&self) -> &'static str {
        match self {
            Self::Retry | Self::RetryAfter(_) => "retry",
            Self::LeaseEnds => "lease_expired",
            Self::Reject => "dead",
        }
    }
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        4 => Just(Failure::Retry),
        3 => (0_i64..5_000).prop_map(Failure::RetryAfter),
        3 => Just(Failure::LeaseEnds),
        1 => Just(Failure::Reject),
    ]
}

fn policy() -> impl Strategy<Value = QueueOptions> {
    (1..6, 0..4, 1_i64..2_000, 0_i64..20_000, 1.0..4.0).prop_map(
        |(max_attempts, immediate_tries, initial_ms, more_ms, multiplier)| QueueOptions {
            max_attempts: Some(max_attempts),
            backoff: Some(BackoffOptions {
                immediate_tries: Some(immediate_tries),
                initial_ms: Some(initial_ms),
                max_ms: Some(initial_ms + more_ms),
                multiplier: Some(multiplier),
            }),
            ..QueueOptions::default()
        },
    )
}

const LEASE_MS: u64 = 30_000;

/// Ends an attempt, and waits as long as the policy allows at most. Exact times are checked to the millisecond.
async fn fail(fixture: &Fixture, message: &Message, failure: &Failure, bound_ms: i64) {
    let receipts = vec![message.receipt.clone().expect("is leased")];
    let retry = |after_ms| RetryRequest {
        queue: "q".to_owned(),
        receipts: receipts.clone(),
        after_ms,
        reason: Some(format!("attempt {}", message.attempt)),
    };
    let pass = |ms: i64| {
        fixture
            .clock
            .advance_ms(u64::try_from(ms).expect("is positive"))
    };
    match failure {
        Failure::Retry => {
            let reply = fixture.service.retry(&context(TENANT), retry(None)).await;
            assert!(reply.expect("answers").items[0].settled);
            pass(bound_ms);
        }
        Failure::RetryAfter(after_ms) => {
            let reply = fixture
                .service
                .retry(&context(TENANT), retry(Some(*after_ms)))
                .await;
            assert!(reply.expect("answers").items[0].settled);
            if *after_ms > 0 {
                pass(after_ms - 1);
                assert!(
                    fixture.receive("q", 1).await.is_empty(),
                    "one before its time"
                );
                pass(1);
            }
        }
        Failure::LeaseEnds => {
            fixture.clock.advance_ms(LEASE_MS - 1);
            assert!(
                fixture.receive("q", 1).await.is_empty(),
                "one before its lease's end"
            );
            pass(1);
        }
        Failure::Reject => {
            let request = DeadRequest {
                queue: "q".to_owned(),
                receipts,
                reason: None,
            };
            let reply = fixture.service.dead(&context(TENANT), request).await;
            assert!(reply.expect("answers").items[0].settled);
        }
    }
}

async fn run(options: QueueOptions, failures: Vec<Failure>) {
    let (clock, definitions) = world();
    let fixture = Fixture::open(EngineLocation::Memory, clock, definitions).await;
    fixture.create("q", options.clone()).await;
    let name = QueueName::parse("queue", "q").expect("a name");
    let policy = options.validate(&name).expect("valid");
    let published = fixture
        .publish("q", |message| {
            message.body = "body".into();
            message.headers = Some([("h".to_owned(), "v".to_owned())].into());
        })
        .await
        .expect("is confirmed");
    let mut told = Vec::new();
    let mut attempt = 0;
    let reason = loop {
        let messages = fixture.receive("q", 10).await;
        attempt += 1;
        assert_eq!(
            messages.len(),
            1,
            "attempt {attempt} of {}",
            policy.max_attempts
        );
        let message = &messages[0];
        assert_eq!(message.attempt, attempt);
        let words: Vec<&str> = message
            .history
            .iter()
            .map(|entry| entry.outcome.as_str())
            .collect();
        assert_eq!(words, told, "the history so far");
        // A script that ends goes on with plain retries.
        let index = usize::try_from(attempt).expect("is positive") - 1;
        let failure = failures.get(index).cloned().unwrap_or(Failure::Retry);
        fail(
            &fixture,
            message,
            &failure,
            policy.backoff.bound_ms(attempt),
        )
        .await;
        told.push(failure.word());
        if matches!(failure, Failure::Reject) {
            break "rejected";
        }
        if attempt == policy.max_attempts {
            break "max_attempts";
        }
    };
    fixture.clock.advance_ms(10_000_000);
    assert!(fixture.receive("q", 1).await.is_empty(), "never again");
    let letters = fixture.receive("q.dead", 10).await;
    assert_eq!(letters.len(), 1, "exactly one dead letter");
    let letter = &letters[0];
    assert_eq!(letter.message_id, published.message_id);
    assert_eq!(letter.body.as_ref(), b"body");
    assert_eq!(
        (letter.exchange.as_str(), letter.routing_key.as_str()),
        ("", "q")
    );
    assert_eq!(letter.headers.get("h").map(String::as_str), Some("v"));
    let origin = letter.dead_letter.as_ref().expect("has an origin");
    assert_eq!(
        (origin.queue.as_str(), origin.reason.as_str()),
        ("q", reason)
    );
    let history: Vec<(i32, &str)> = letter
        .history
        .iter()
        .map(|entry| (entry.attempt, entry.outcome.as_str()))
        .collect();
    let expected: Vec<(i32, &str)> = (1..).zip(told).collect();
    assert_eq!(history, expected);
    assert!(
        letter
            .history
            .iter()
            .all(|entry| entry.consumer == "worker" && entry.leased_at_ms <= entry.ended_at_ms)
    );
    fixture.service.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn failing_messages_follow_the_policy_into_the_dead_letter_queue(
        options in policy(),
        failures in proptest::collection::vec(failure(), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(options, failures));
    }
}
