//! The `queue` block.

mod failing;
mod managing;

use anyhow::Result;
use futures::future::BoxFuture;
use plinth_client::{PublishMessage, QueueMessage, QueueOptions, ReceiveOptions, Settled};
use serde_json::{Value, json};

use super::{Log, Rig, Scenario, refused};

/// The scenarios of the queue.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = vec![
        Scenario {
            name: "queue: a published message arrives as it was sent, once",
            run: publish_receive_ack,
            expect: || {
                json!([
                    { "queues": 1, "duplicate": false },
                    [{
                        "body": "approved", "type": "text/plain", "headers": { "tone": "kind" }, "priority": 3,
                        "attempt": 1, "state": "leased", "receipt": true, "history": 0, "dead": null,
                    }],
                    [true], [2105], [],
                ])
            },
        },
        Scenario {
            name: "queue: exchanges route by their type, and what nobody takes is refused",
            run: exchanges,
            expect: || {
                json!([
                    true,
                    true,
                    true,
                    false,
                    ["t", 2],
                    ["t", 1],
                    ["f", 2],
                    refused(2104, "QUEUE_UNROUTABLE", &[]),
                    refused(1005, "CONFLICT", &[]),
                    true,
                    false,
                    refused(2104, "QUEUE_UNROUTABLE", &[]),
                ])
            },
        },
        Scenario {
            name: "queue: a batch is all or nothing, and repeats are told",
            run: batches,
            expect: || {
                json!([
                    refused(2104, "QUEUE_UNROUTABLE", &["messages[1]"]),
                    [],
                    [false, true],
                    ["a"],
                    { "same": true },
                    refused(1005, "CONFLICT", &[]),
                ])
            },
        },
        Scenario {
            name: "queue: the urgent goes first, the delayed later, one of a key at a time",
            run: order,
            expect: || json!([["9", "5", "0"], [], ["late"], ["k1"], [], ["k2"]]),
        },
        Scenario {
            name: "queue: what breaks a limit is refused by the name of its field",
            run: limits,
            expect: || {
                let invalid = |field: &str| refused(1001, "INVALID_ARGUMENT", &[field]);
                json!([
                    invalid("message.priority"),
                    refused(1007, "TOO_LARGE", &["message.body"]),
                    invalid("message.deliver_at_ms"),
                    invalid("messages"),
                    invalid("max"),
                    invalid("wait_ms"),
                    invalid("lease_ms"),
                    invalid("receipts[0]"),
                    invalid("receipts"),
                    invalid("options.on_full"),
                    invalid("queue"),
                    refused(1004, "NOT_FOUND", &[]),
                ])
            },
        },
    ];
    scenarios.extend(failing::scenarios());
    scenarios.extend(managing::scenarios());
    scenarios
}

/// The bodies of messages, as text.
fn bodies(messages: &[QueueMessage]) -> Vec<String> {
    let body = |message: &QueueMessage| String::from_utf8_lossy(&message.body).into_owned();
    messages.iter().map(body).collect()
}

fn receipts(messages: &[QueueMessage]) -> Vec<&str> {
    messages
        .iter()
        .filter_map(|message| message.receipt.as_deref())
        .collect()
}

/// Whether each was settled, or the number of its refusal.
fn settled(items: &[Settled]) -> Vec<Value> {
    items
        .iter()
        .map(|item| {
            item.code
                .map_or_else(|| json!(item.settled), |code| json!(code))
        })
        .collect()
}

/// Receives up to ten messages without waiting.
async fn receive(rig: &Rig, queue: &str) -> Result<Vec<QueueMessage>> {
    let options = ReceiveOptions {
        max: Some(10),
        ..ReceiveOptions::default()
    };
    Ok(rig.client.queue().receive(queue, &options).await?)
}

fn publish_receive_ack<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("orders"));
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        let message = PublishMessage {
            content_type: Some("text/plain".to_owned()),
            headers: Some([("tone".to_owned(), "kind".to_owned())].into()),
            priority: Some(3),
            ..PublishMessage::to_queue(&queue, "approved")
        };
        let published = queues.publish(&message, None).await?;
        log.note(json!({ "queues": published.queues.len(), "duplicate": published.duplicate }));
        let messages = receive(rig, &queue).await?;
        let fact = |message: &QueueMessage| {
            json!({
                "body": String::from_utf8_lossy(&message.body), "type": message.content_type,
                "headers": message.headers, "priority": message.priority, "attempt": message.attempt,
                "state": message.state, "receipt": message.receipt.is_some(), "history": message.history.len(),
                "dead": message.dead_letter.as_ref().map(|dead| dead.reason.clone()),
            })
        };
        log.note(messages.iter().map(fact).collect::<Vec<_>>());
        log.note(settled(&queues.ack(&queue, &receipts(&messages)).await?));
        log.note(settled(&queues.ack(&queue, &receipts(&messages)).await?));
        log.note(bodies(&receive(rig, &queue).await?));
        Ok(())
    })
}

fn exchanges<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let queues = rig.client.queue();
        let (one, two) = (rig.name("routed.one"), rig.name("routed.two"));
        let (topic, fanout) = (rig.name("topic"), rig.name("fanout"));
        for queue in [&one, &two] {
            queues.create_queue(queue, &QueueOptions::default()).await?;
        }
        log.note(queues.bind(&topic, Some("topic"), &one, "status.*").await?);
        log.note(queues.bind(&topic, None, &two, "#").await?);
        log.note(queues.bind(&fanout, Some("fanout"), &one, "").await?);
        log.note(queues.bind(&fanout, Some("fanout"), &one, "").await?);
        queues.bind(&fanout, None, &two, "").await?;
        for (word, exchange, key) in [
            ("t", &topic, "status.approved"),
            ("t", &topic, "other"),
            ("f", &fanout, ""),
        ] {
            let message = PublishMessage::to_exchange(exchange, key, "x");
            let published = queues.publish(&message, None).await?;
            log.note((word, published.queues.len()));
        }
        let nobody = PublishMessage::to_queue(rig.name("nobody"), "x");
        log.outcome(queues.publish(&nobody, None).await, |_| "stored");
        log.outcome(
            queues.bind(&topic, Some("direct"), &one, "x").await,
            |created| created,
        );
        log.note(queues.unbind(&topic, &two, "#").await?);
        log.note(queues.unbind(&topic, &two, "#").await?);
        let other = PublishMessage::to_exchange(&topic, "other", "x");
        log.outcome(queues.publish(&other, None).await, |_| "stored");
        Ok(())
    })
}

fn batches<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("batches"));
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        let good = PublishMessage {
            message_id: Some("m-1".to_owned()),
            ..PublishMessage::to_queue(&queue, "a")
        };
        let nobody = PublishMessage::to_queue(rig.name("nobody"), "b");
        let outcome = queues.publish_batch(&[good.clone(), nobody], None).await;
        log.outcome(outcome, |_| "stored");
        log.note(bodies(&receive(rig, &queue).await?));
        let published = queues
            .publish_batch(&[good.clone(), good.clone()], None)
            .await?;
        log.note(
            published
                .iter()
                .map(|published| published.duplicate)
                .collect::<Vec<_>>(),
        );
        log.note(bodies(&receive(rig, &queue).await?));
        let key = || Some(format!("batch-{}", rig.transport));
        let message = PublishMessage::to_queue(&queue, "once");
        let first = queues.publish(&message, key()).await?;
        let again = queues.publish(&message, key()).await?;
        log.note(json!({ "same": first == again }));
        let other = PublishMessage::to_queue(&queue, "another");
        log.outcome(queues.publish(&other, key()).await, |_| "stored");
        Ok(())
    })
}

fn order<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("order"));
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        for priority in [0, 9, 5] {
            let message = PublishMessage {
                priority: Some(priority),
                ..PublishMessage::to_queue(&queue, priority.to_string())
            };
            queues.publish(&message, None).await?;
        }
        let late = PublishMessage {
            delay_ms: Some(200),
            ..PublishMessage::to_queue(&queue, "late")
        };
        let urgent = receive(rig, &queue).await?;
        queues.publish(&late, None).await?;
        log.note(bodies(&urgent));
        log.note(bodies(&receive(rig, &queue).await?));
        let waiting = ReceiveOptions {
            wait_ms: Some(10_000),
            ..ReceiveOptions::default()
        };
        log.note(bodies(&queues.receive(&queue, &waiting).await?));
        for body in ["k1", "k2"] {
            let message = PublishMessage {
                ordering_key: Some("k".to_owned()),
                ..PublishMessage::to_queue(&queue, body)
            };
            queues.publish(&message, None).await?;
        }
        let first = receive(rig, &queue).await?;
        log.note(bodies(&first));
        log.note(bodies(&receive(rig, &queue).await?));
        queues.ack(&queue, &receipts(&first)).await?;
        log.note(bodies(&receive(rig, &queue).await?));
        Ok(())
    })
}

fn limits<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("limits"));
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        let plain = || PublishMessage::to_queue(&queue, "x");
        for message in [
            PublishMessage {
                priority: Some(10),
                ..plain()
            },
            PublishMessage {
                body: vec![0; 1_048_577].into(),
                ..plain()
            },
            PublishMessage {
                delay_ms: Some(1),
                deliver_at_ms: Some(1),
                ..plain()
            },
        ] {
            log.outcome(queues.publish(&message, None).await, |_| "stored");
        }
        log.outcome(queues.publish_batch(&[], None).await, |_| "stored");
        let options = ReceiveOptions::default;
        for options in [
            ReceiveOptions {
                max: Some(257),
                ..options()
            },
            ReceiveOptions {
                wait_ms: Some(60_001),
                ..options()
            },
            ReceiveOptions {
                lease_ms: Some(99),
                ..options()
            },
        ] {
            log.outcome(queues.receive(&queue, &options).await, |_| "received");
        }
        log.outcome(queues.ack(&queue, &["nonsense"]).await, |_| "settled");
        log.outcome(queues.ack(&queue, &[]).await, |_| "settled");
        let bad = QueueOptions {
            on_full: Some("panic".to_owned()),
            ..QueueOptions::default()
        };
        log.outcome(queues.create_queue("x", &bad).await, |_| "created");
        log.outcome(
            queues.create_queue("-bad", &QueueOptions::default()).await,
            |_| "created",
        );
        log.outcome(queues.queue_info(&rig.name("nobody")).await, |_| "found");
        Ok(())
    })
}
