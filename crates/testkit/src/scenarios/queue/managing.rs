//! Declaring, looking, clearing, subscribing.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use plinth_client::{
    ConsumerSettings, Handled, PublishMessage, QueueOptions, QueueWebhook, ReceiveOptions,
    SubscriptionOptions,
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{bodies, receive};
use crate::scenarios::{Log, Rig, Scenario, refused};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "queue: a queue is declared once, and a difference is named",
            run: declare,
            expect: || {
                json!([
                    [true, 16, "reject", true],
                    false,
                    refused(1005, "CONFLICT", &[]),
                    "max_attempts is 16, not 3",
                    refused(1005, "CONFLICT", &[]),
                    [true, 1],
                    [false, 0],
                ])
            },
        },
        Scenario {
            name: "queue: depths, peek and purge agree",
            run: look,
            expect: || {
                json!([
                    [1, 1, 1, 0, 9],
                    ["leased", "ready", "delayed"],
                    [["one"], true, ["two", "six"], false],
                    ["six"],
                    1,
                    2,
                    [0, 0, 0, 0, 0],
                    refused(1001, "INVALID_ARGUMENT", &["state"]),
                    [true, true],
                ])
            },
        },
        Scenario {
            name: "queue: a subscription gives its defaults and is declared once",
            run: subscribe,
            expect: || {
                json!([
                    true,
                    false,
                    refused(1005, "CONFLICT", &[]),
                    ["a", "b"],
                    [["s", 2, "polled"]],
                    refused(1001, "INVALID_ARGUMENT", &["webhook.url"]),
                    refused(1001, "INVALID_ARGUMENT", &["webhook.secret"]),
                    true,
                    false,
                ])
            },
        },
        Scenario {
            name: "queue: a consumer handles, retries by its result, and stops",
            run: consume,
            expect: || json!([[0, 0, 0, 1], "rejected"]),
        },
    ]
}

fn declare<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("declared"));
        let created = queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        let options = created.options;
        let target = options.dead_letter_queue == Some(format!("{queue}.dead"));
        log.note((
            created.created,
            options.max_attempts,
            options.on_full,
            target,
        ));
        let same = QueueOptions {
            max_attempts: Some(16),
            ..QueueOptions::default()
        };
        log.note(queues.create_queue(&queue, &same).await?.created);
        let other = QueueOptions {
            max_attempts: Some(3),
            ..QueueOptions::default()
        };
        if let Err(error) = queues.create_queue(&queue, &other).await {
            log.refusal(&error);
            log.note(error.details.get("difference"));
        }
        let in_use = queues.delete_queue(&format!("{queue}.dead")).await;
        log.outcome(in_use, |deleted| deleted);
        queues
            .publish(&PublishMessage::to_queue(&queue, "x"), None)
            .await?;
        for _ in 0..2 {
            let deleted = queues.delete_queue(&queue).await?;
            log.note((deleted.removed, deleted.messages));
        }
        Ok(())
    })
}

fn look<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("looked-at"));
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        for (body, delay_ms) in [("one", 0), ("two", 0), ("six", 60_000)] {
            let message = PublishMessage {
                delay_ms: Some(delay_ms),
                ..PublishMessage::to_queue(&queue, body)
            };
            queues.publish(&message, None).await?;
        }
        queues.receive(&queue, &ReceiveOptions::default()).await?;
        let depth = async || -> Result<_> {
            let depth = queues.queue_info(&queue).await?.depth;
            Ok((
                depth.ready,
                depth.leased,
                depth.delayed,
                depth.dead,
                depth.bytes,
            ))
        };
        log.note(depth().await?);
        let page = queues.peek(&queue, None, None, None).await?;
        log.note(
            page.messages
                .iter()
                .map(|message| message.state.clone())
                .collect::<Vec<_>>(),
        );
        let first = queues.peek(&queue, Some("all"), None, Some(1)).await?;
        let rest = queues
            .peek(&queue, None, first.next_cursor.as_deref(), None)
            .await?;
        log.note((
            bodies(&first.messages),
            first.next_cursor.is_some(),
            bodies(&rest.messages),
            rest.next_cursor.is_some(),
        ));
        log.note(bodies(
            &queues
                .peek(&queue, Some("delayed"), None, None)
                .await?
                .messages,
        ));
        log.note(queues.purge(&queue, Some("leased")).await?);
        log.note(queues.purge(&queue, None).await?);
        log.note(depth().await?);
        log.outcome(queues.purge(&queue, Some("everything")).await, |purged| {
            purged
        });
        let page = queues.list_queues(Some(&queue), None, Some(1)).await?;
        let next = queues
            .list_queues(Some(&queue), page.next_cursor.as_deref(), Some(1))
            .await?;
        let names = |page: &plinth_client::QueuePage, name: &str| {
            page.queues
                .iter()
                .map(|depth| depth.queue.as_str())
                .eq([name])
        };
        log.note((names(&page, &queue), names(&next, &format!("{queue}.dead"))));
        Ok(())
    })
}

fn subscribe<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("subscribed"));
        let name = rig.name("s");
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        let options = |prefetch| SubscriptionOptions {
            queue: queue.clone(),
            prefetch: Some(prefetch),
            ..SubscriptionOptions::default()
        };
        log.note(queues.declare_subscription(&name, &options(2)).await?);
        log.note(queues.declare_subscription(&name, &options(2)).await?);
        log.outcome(
            queues.declare_subscription(&name, &options(3)).await,
            |created| created,
        );
        for body in ["a", "b", "c"] {
            queues
                .publish(&PublishMessage::to_queue(&queue, body), None)
                .await?;
        }
        let by_subscription = ReceiveOptions {
            subscription: Some(name.clone()),
            ..ReceiveOptions::default()
        };
        log.note(bodies(&queues.receive(&queue, &by_subscription).await?));
        let info = queues.queue_info(&queue).await?;
        let facts = info.subscriptions.iter().map(|found| {
            let short = found.subscription.split('.').next().unwrap_or_default();
            json!([short, found.prefetch, found.mode])
        });
        log.note(facts.collect::<Vec<_>>());
        for (url, secret) in [
            ("ftp://example.com", "0123456789abcdef"),
            ("https://example.com", "short"),
        ] {
            let webhook = QueueWebhook {
                url: url.to_owned(),
                secret: secret.to_owned(),
            };
            let pushing = SubscriptionOptions {
                webhook: Some(webhook),
                ..options(2)
            };
            let outcome = queues.declare_subscription("pushing", &pushing).await;
            log.outcome(outcome, |created| created);
        }
        log.note(queues.unsubscribe(&name).await?);
        log.note(queues.unsubscribe(&name).await?);
        Ok(())
    })
}

fn consume<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (queues, queue) = (rig.client.queue(), rig.name("consumed"));
        queues
            .create_queue(&queue, &QueueOptions::default())
            .await?;
        let ended = Arc::new(Semaphore::new(0));
        let told = Arc::clone(&ended);
        let settings = ConsumerSettings {
            wait_ms: 200,
            ..ConsumerSettings::new(rig.name("consumer"), &queue)
        };
        let consumer = queues
            .subscribe(settings, move |message| {
                let told = Arc::clone(&told);
                async move {
                    let handled = match (message.body.as_ref(), message.attempt) {
                        (b"bad", _) => Handled::Dead {
                            reason: "poison".to_owned(),
                        },
                        (b"again", 1) => Handled::Retry {
                            after_ms: Some(0),
                            reason: "not yet".to_owned(),
                        },
                        _ => Handled::Ack,
                    };
                    told.add_permits(1);
                    handled
                }
            })
            .await?;
        for body in ["good", "again", "bad"] {
            queues
                .publish(&PublishMessage::to_queue(&queue, body), None)
                .await?;
        }
        // Four attempts: one message is handled twice.
        let handled = ended.acquire_many(4);
        tokio::time::timeout(std::time::Duration::from_secs(20), handled)
            .await
            .context("the consumer did not handle four deliveries in 20 s")??
            .forget();
        consumer.stop().await;
        let depth = queues.queue_info(&queue).await?.depth;
        log.note((depth.ready, depth.leased, depth.delayed, depth.dead));
        for letter in receive(rig, &format!("{queue}.dead")).await? {
            log.note(letter.dead_letter.map(|dead| dead.reason));
        }
        Ok(())
    })
}
