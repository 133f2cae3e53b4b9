//! Retries, maximum of attempts, dead letters.

use plinth_queue::model::{BackoffOptions, DeadRequest, QueueOptions};

use super::{Fixture, TENANT, ack, bodies, code, context, dead, list, receipts, retry};

list![
    a_retry_waits_as_long_as_it_says,
    a_retry_without_a_time_waits_by_the_backoff,
    at_the_maximum_a_message_is_dead_lettered_with_its_history,
    a_rejected_message_is_dead_lettered_at_once,
    leases_that_end_count_to_the_maximum,
    an_end_is_tried_for_ever_and_takes_no_rejection,
    a_dead_letter_can_be_consumed,
];

async fn one(fixture: &Fixture, options: QueueOptions) {
    fixture.create("q", options).await;
    fixture
        .publish("q", |message| {
            message.body = "1".into();
            message.headers = Some([("kept".to_owned(), "yes".to_owned())].into());
        })
        .await
        .expect("is stored");
}

async fn a_retry_waits_as_long_as_it_says(fixture: &Fixture) {
    one(fixture, QueueOptions::default()).await;
    let messages = fixture.receive("q", 1).await;
    assert!(retry(fixture, &messages, Some(700)).await[0].settled);
    fixture.clock.advance_ms(699);
    assert!(fixture.receive("q", 1).await.is_empty());
    fixture.clock.advance_ms(1);
    let again = fixture.receive("q", 1).await;
    assert_eq!(
        (again[0].attempt, again[0].history[0].error.as_deref()),
        (2, Some("no luck"))
    );
    retry(fixture, &again, Some(0)).await;
    assert_eq!(fixture.receive("q", 1).await[0].attempt, 3, "at once");
}

async fn a_retry_without_a_time_waits_by_the_backoff(fixture: &Fixture) {
    let backoff = BackoffOptions {
        immediate_tries: Some(1),
        initial_ms: Some(1_000),
        ..BackoffOptions::default()
    };
    one(
        fixture,
        QueueOptions {
            backoff: Some(backoff),
            ..QueueOptions::default()
        },
    )
    .await;
    let first = fixture.receive("q", 1).await;
    retry(fixture, &first, None).await;
    let second = fixture.receive("q", 1).await;
    assert_eq!(
        second[0].attempt, 2,
        "the first failure is tried again at once"
    );
    retry(fixture, &second, None).await;
    fixture.clock.advance_ms(1_000);
    assert_eq!(
        fixture.receive("q", 1).await[0].attempt,
        3,
        "never later than the bound"
    );
}

async fn at_the_maximum_a_message_is_dead_lettered_with_its_history(fixture: &Fixture) {
    one(
        fixture,
        QueueOptions {
            max_attempts: Some(3),
            ..QueueOptions::default()
        },
    )
    .await;
    for attempt in 1..=3 {
        fixture.clock.advance_ms(10);
        let messages = fixture.receive("q", 1).await;
        assert_eq!(messages[0].attempt, attempt);
        retry(fixture, &messages, Some(0)).await;
    }
    assert!(fixture.receive("q", 1).await.is_empty());
    let letters = fixture.receive("q.dead", 10).await;
    let letter = &letters[0];
    let origin = letter.dead_letter.as_ref().expect("has an origin");
    assert_eq!(
        (origin.queue.as_str(), origin.reason.as_str(), origin.at_ms),
        ("q", "max_attempts", 1_000_030)
    );
    assert_eq!(
        (
            letter.body.as_ref(),
            letter.routing_key.as_str(),
            letter.attempt
        ),
        (b"1".as_slice(), "q", 1)
    );
    assert_eq!(letter.headers.get("kept").map(String::as_str), Some("yes"));
    let history: Vec<(i32, &str, i64, &str)> = letter
        .history
        .iter()
        .map(|attempt| {
            (
                attempt.attempt,
                attempt.queue.as_str(),
                attempt.leased_at_ms,
                attempt.outcome.as_str(),
            )
        })
        .collect();
    assert_eq!(
        history,
        [
            (1, "q", 1_000_010, "retry"),
            (2, "q", 1_000_020, "retry"),
            (3, "q", 1_000_030, "retry")
        ]
    );
}

async fn a_rejected_message_is_dead_lettered_at_once(fixture: &Fixture) {
    one(fixture, QueueOptions::default()).await;
    let messages = fixture.receive("q", 1).await;
    assert!(dead(fixture, &messages).await[0].settled);
    assert_eq!(dead(fixture, &messages).await[0].code, Some(2105));
    let letters = fixture.receive("q.dead", 1).await;
    assert_eq!(
        letters[0]
            .dead_letter
            .as_ref()
            .map(|dead| dead.reason.as_str()),
        Some("rejected")
    );
    assert_eq!(letters[0].history[0].error.as_deref(), Some("poison"));
}

async fn leases_that_end_count_to_the_maximum(fixture: &Fixture) {
    one(
        fixture,
        QueueOptions {
            max_attempts: Some(2),
            ..QueueOptions::default()
        },
    )
    .await;
    for _ in 0..2 {
        assert_eq!(fixture.receive("q", 1).await.len(), 1);
        fixture.clock.advance_ms(30_000);
    }
    assert!(fixture.receive("q", 1).await.is_empty());
    assert_eq!(fixture.receive("q.dead", 1).await[0].history.len(), 2);
}

async fn an_end_is_tried_for_ever_and_takes_no_rejection(fixture: &Fixture) {
    let end = QueueOptions {
        dead_letter_queue: Some(String::new()),
        max_attempts: Some(1),
        ..QueueOptions::default()
    };
    one(fixture, end).await;
    for attempt in 1..=3 {
        let messages = fixture.receive("q", 1).await;
        assert_eq!(messages[0].attempt, attempt);
        retry(fixture, &messages, Some(0)).await;
    }
    let messages = fixture.receive("q", 1).await;
    let request = DeadRequest {
        queue: "q".to_owned(),
        receipts: receipts(&messages),
        reason: None,
    };
    assert_eq!(
        code(fixture.service.dead(&context(TENANT), request).await),
        1005
    );
    assert!(ack(fixture, &messages).await[0].settled);
}

async fn a_dead_letter_can_be_consumed(fixture: &Fixture) {
    one(fixture, QueueOptions::default()).await;
    let messages = fixture.receive("q", 1).await;
    dead(fixture, &messages).await;
    let letters = fixture.receive("q.dead", 1).await;
    assert_eq!(bodies(&letters), ["1"]);
    assert!(ack(fixture, &letters).await[0].settled);
    fixture.clock.advance_ms(60_000);
    assert!(fixture.receive("q.dead", 1).await.is_empty());
}
