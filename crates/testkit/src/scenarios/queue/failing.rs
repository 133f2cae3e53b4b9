//! Retries, dead letters, leases that end.

use anyhow::Result;
use futures::future::BoxFuture;
use plinth_client::{PublishMessage, QueueMessage, QueueOptions, ReceiveOptions};
use serde_json::json;

use super::{bodies, receipts, receive, settled};
use crate::scenarios::{Log, Rig, Scenario, refused};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "queue: a failing message is retried, then dead-lettered with its history",
            run: retry_then_dead,
            expect: || {
                json!([
                    [true], [2], [true], [],
                    [{
                        "body": "x", "origin": true, "reason": "max_attempts", "attempt": 1,
                        "history": [[1, "retry", "no luck"], [2, "retry", "no luck"]],
                    }],
                ])
            },
        },
        Scenario {
            name: "queue: a rejected message is dead-lettered at once; an end takes none",
            run: reject,
            expect: || json!([[true], [2105], ["rejected"], refused(1005, "CONFLICT", &[])]),
        },
        Scenario {
            name: "queue: a lease that ends returns its message and refuses a late ack",
            run: lease_ends,
            expect: || json!([1, [2, "lease_expired"], [2105], [true]]),
        },
        Scenario {
            name: "queue: a full queue refuses, or drops its oldest where it is told to",
            run: full,
            expect: || {
                json!([
                    { "code": 2106, "reason": "QUEUE_FULL", "outcome": "not_applied", "retriable": true, "fields": [] },
                    ["b"], ["a", "dropped"],
                ])
            },
        },
    ]
}

fn retry_then_dead<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("failing"));
        let options = QueueOptions {
            max_attempts: Some(2),
            ..QueueOptions::default()
        };
        queues.create_queue(&queue, &options).await?;
        queues
            .publish(&PublishMessage::to_queue(&queue, "x"), None)
            .await?;
        let first = receive(rig, &queue).await?;
        let retry = async |messages: &[QueueMessage]| {
            queues
                .retry(&queue, &receipts(messages), Some(0), Some("no luck"))
                .await
        };
        log.note(settled(&retry(&first).await?));
        let second = receive(rig, &queue).await?;
        log.note(
            second
                .iter()
                .map(|message| message.attempt)
                .collect::<Vec<_>>(),
        );
        log.note(settled(&retry(&second).await?));
        log.note(bodies(&receive(rig, &queue).await?));
        let letters = receive(rig, &format!("{queue}.dead")).await?;
        let fact = |letter: &QueueMessage| {
            let dead = letter.dead_letter.as_ref();
            let history = letter
                .history
                .iter()
                .map(|attempt| json!([attempt.attempt, attempt.outcome, attempt.error]));
            json!({
                "body": String::from_utf8_lossy(&letter.body),
                "origin": dead.is_some_and(|dead| dead.queue == queue),
                "reason": dead.map(|dead| dead.reason.clone()), "attempt": letter.attempt,
                "history": history.collect::<Vec<_>>(),
            })
        };
        log.note(letters.iter().map(fact).collect::<Vec<_>>());
        Ok(())
    })
}

fn reject<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("rejecting"));
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        queues
            .publish(&PublishMessage::to_queue(&queue, "x"), None)
            .await?;
        let messages = receive(rig, &queue).await?;
        let dead = async || {
            queues
                .dead(&queue, &receipts(&messages), Some("poison"))
                .await
        };
        log.note(settled(&dead().await?));
        log.note(settled(&dead().await?));
        let letters = receive(rig, &format!("{queue}.dead")).await?;
        let reasons = letters
            .iter()
            .filter_map(|letter| letter.dead_letter.as_ref());
        log.note(reasons.map(|dead| dead.reason.clone()).collect::<Vec<_>>());
        let outcome = queues
            .dead(&format!("{queue}.dead"), &receipts(&letters), None)
            .await;
        log.outcome(outcome, |items| settled(&items));
        Ok(())
    })
}

fn lease_ends<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("leases"));
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        queues
            .publish(&PublishMessage::to_queue(&queue, "x"), None)
            .await?;
        let short = ReceiveOptions {
            lease_ms: Some(100),
            ..ReceiveOptions::default()
        };
        let late = queues.receive(&queue, &short).await?;
        log.note(late.len());
        let waiting = ReceiveOptions {
            wait_ms: Some(10_000),
            ..ReceiveOptions::default()
        };
        let again = queues.receive(&queue, &waiting).await?;
        for message in &again {
            let outcome = message
                .history
                .first()
                .map(|attempt| attempt.outcome.clone());
            log.note((message.attempt, outcome));
        }
        log.note(settled(&queues.ack(&queue, &receipts(&late)).await?));
        log.note(settled(&queues.ack(&queue, &receipts(&again)).await?));
        Ok(())
    })
}

fn full<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("full"));
        let refusing = QueueOptions {
            max_length: Some(1),
            ..QueueOptions::default()
        };
        queues.create_queue(&queue, &refusing).await?;
        queues
            .publish(&PublishMessage::to_queue(&queue, "a"), None)
            .await?;
        let message = PublishMessage::to_queue(&queue, "b");
        // Retriable, so the client comes back as often as its policy says before it tells.
        log.outcome(queues.publish(&message, None).await, |_| "stored");
        let dropping = rig.name("dropping");
        let options = QueueOptions {
            max_length: Some(1),
            on_full: Some("drop_oldest".to_owned()),
            ..QueueOptions::default()
        };
        queues.create_queue(&dropping, &options).await?;
        for body in ["a", "b"] {
            queues
                .publish(&PublishMessage::to_queue(&dropping, body), None)
                .await?;
        }
        log.note(bodies(&receive(rig, &dropping).await?));
        for letter in receive(rig, &format!("{dropping}.dead")).await? {
            let reason = letter.dead_letter.map(|dead| dead.reason);
            log.note((String::from_utf8_lossy(&letter.body).into_owned(), reason));
        }
        Ok(())
    })
}
