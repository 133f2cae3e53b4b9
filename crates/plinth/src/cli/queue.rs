//! `plinth queue …`

mod arguments;
mod show;

use anyhow::Result;
use clap::Subcommand;
use plinth_client::{QueueWebhook, ReceiveOptions, SubscriptionOptions};

use self::arguments::{CreateArguments, PublishArguments, message};
use self::show::{depths_table, info_table, message_rows, messages_table, settled, settled_table};
use super::Context;

/// Publish, consume and manage messages
#[derive(Subcommand)]
pub(crate) enum QueueCommand {
    /// Publish a message
    Publish(PublishArguments),
    /// Lease messages and print them with their receipts
    Receive {
        /// Queue
        queue: String,
        /// Subscription whose prefetch and lease are the defaults
        #[arg(long)]
        subscription: Option<String>,
        /// Messages at most
        #[arg(long)]
        max: Option<i32>,
        /// How long to wait for the first one
        #[arg(long, value_name = "MS")]
        wait_ms: Option<i64>,
        /// How long the messages are held
        #[arg(long, value_name = "MS")]
        lease_ms: Option<i64>,
        /// Name of this consumer for the history
        #[arg(long)]
        consumer: Option<String>,
    },
    /// Settle leased messages as done
    Ack {
        /// Queue of the receipts
        queue: String,
        /// Receipts, as `receive` prints them
        #[arg(required = true)]
        receipts: Vec<String>,
    },
    /// Hand leased messages back for another attempt
    Retry {
        /// Queue of the receipts
        queue: String,
        /// Receipts, as `receive` prints them
        #[arg(required = true)]
        receipts: Vec<String>,
        /// Wait before the next attempt; without it the queue's backoff decides
        #[arg(long, value_name = "MS")]
        after_ms: Option<i64>,
        /// Why, for the history
        #[arg(long)]
        reason: Option<String>,
    },
    /// Move leased messages to the dead-letter queue
    Dead {
        /// Queue of the receipts
        queue: String,
        /// Receipts, as `receive` prints them
        #[arg(required = true)]
        receipts: Vec<String>,
        /// Why, for the history
        #[arg(long)]
        reason: Option<String>,
    },
    /// Declare a queue; declaring it again with the same options changes nothing
    Create(CreateArguments),
    /// Delete a queue with its messages, bindings and subscriptions
    Delete {
        /// Queue
        queue: String,
    },
    /// List queues with their depths and rates
    List {
        /// Only queues whose name begins so
        #[arg(long)]
        prefix: Option<String>,
        /// Queues at most
        #[arg(long)]
        limit: Option<i32>,
        /// Where to go on
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one queue: depths, rates, options, bindings, subscriptions
    Info {
        /// Queue
        queue: String,
    },
    /// Bind a queue to an exchange, which is declared where it is absent
    Bind {
        /// Exchange
        exchange: String,
        /// Queue
        queue: String,
        /// Routing key; for a topic a pattern, where * is one word and # any number of words
        #[arg(long, default_value = "", value_name = "KEY")]
        routing_key: String,
        /// Type of the exchange: direct, topic or fanout
        #[arg(long = "type", value_name = "TYPE")]
        exchange_type: Option<String>,
    },
    /// Remove a binding; an exchange goes with its last one
    Unbind {
        /// Exchange
        exchange: String,
        /// Queue
        queue: String,
        /// Routing key or pattern of the binding
        #[arg(long, default_value = "", value_name = "KEY")]
        routing_key: String,
    },
    /// Show messages without leasing them
    Peek {
        /// Queue
        queue: String,
        /// all, ready, delayed or leased
        #[arg(long)]
        state: Option<String>,
        /// Messages at most
        #[arg(long)]
        limit: Option<i32>,
        /// Where to go on
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Delete messages of a queue
    Purge {
        /// Queue
        queue: String,
        /// ready, delayed, leased, all, or dead: its messages in the dead-letter queue
        #[arg(long)]
        state: Option<String>,
    },
    /// Declare a durable subscription, polled or pushed to a webhook
    Subscribe {
        /// Subscription
        subscription: String,
        /// Queue that it reads
        queue: String,
        /// Messages handed out at most at a time
        #[arg(long)]
        prefetch: Option<i32>,
        /// Lease of a delivery
        #[arg(long, value_name = "MS")]
        lease_ms: Option<i64>,
        /// Push to this URL
        #[arg(long, value_name = "URL", requires = "webhook_secret")]
        webhook: Option<String>,
        /// Secret that signs each delivery; better given by the environment, where no process list shows it
        #[arg(
            long,
            value_name = "SECRET",
            env = "PLINTH_WEBHOOK_SECRET",
            hide_env_values = true
        )]
        webhook_secret: Option<String>,
    },
    /// End a durable subscription
    Unsubscribe {
        /// Subscription
        subscription: String,
    },
}

impl QueueCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Publish(_)
            | Self::Receive { .. }
            | Self::Ack { .. }
            | Self::Retry { .. }
            | Self::Dead { .. } => self.run_messages(context).await,
            _ => self.run_definitions(context).await,
        }
    }

    /// Publishing, receiving, settling.
    async fn run_messages(self, context: &Context) -> Result<()> {
        let (queues, output) = (context.client.queue(), context.output);
        match self {
            Self::Publish(arguments) => {
                let request_id = arguments.request_id.clone();
                let published = queues.publish(&message(arguments)?, request_id).await?;
                output.say(&published, |published| {
                    let queues = published.queues.join(", ");
                    match published.duplicate {
                        true => format!("{} was known already to {queues}", published.message_id),
                        false => format!("{} is stored in {queues}", published.message_id),
                    }
                })
            }
            Self::Receive {
                queue,
                subscription,
                max,
                wait_ms,
                lease_ms,
                consumer,
            } => {
                let options = ReceiveOptions {
                    subscription,
                    max,
                    wait_ms,
                    lease_ms,
                    consumer,
                };
                let messages = queues.receive(&queue, &options).await?;
                output.show(&message_rows(&messages), |rows| messages_table(rows))
            }
            Self::Ack { queue, receipts } => {
                let receipts: Vec<&str> = receipts.iter().map(String::as_str).collect();
                let items = queues.ack(&queue, &receipts).await?;
                output.show(&items, |items| settled_table(items))?;
                settled(&items)
            }
            Self::Retry {
                queue,
                receipts,
                after_ms,
                reason,
            } => {
                let receipts: Vec<&str> = receipts.iter().map(String::as_str).collect();
                let items = queues
                    .retry(&queue, &receipts, after_ms, reason.as_deref())
                    .await?;
                output.show(&items, |items| settled_table(items))?;
                settled(&items)
            }
            Self::Dead {
                queue,
                receipts,
                reason,
            } => {
                let receipts: Vec<&str> = receipts.iter().map(String::as_str).collect();
                let items = queues.dead(&queue, &receipts, reason.as_deref()).await?;
                output.show(&items, |items| settled_table(items))?;
                settled(&items)
            }
            _ => Ok(()),
        }
    }

    /// Declaring and looking.
    async fn run_definitions(self, context: &Context) -> Result<()> {
        let (queues, output) = (context.client.queue(), context.output);
        let known = |is_new: bool, what: &str| match is_new {
            true => format!("{what} is declared"),
            false => format!("{what} was declared already"),
        };
        let gone = |removed: bool, what: &str| match removed {
            true => format!("{what} is gone"),
            false => format!("there was no {what}"),
        };
        match self {
            Self::Create(arguments) => {
                let created = queues
                    .create_queue(&arguments.queue, &arguments.options())
                    .await?;
                output.say(&created, |created| known(created.created, &arguments.queue))
            }
            Self::Delete { queue } => {
                let deleted = queues.delete_queue(&queue).await?;
                output.say(&deleted, |deleted| match deleted.removed {
                    true => format!("{queue} is gone with {} messages", deleted.messages),
                    false => format!("there was no {queue}"),
                })
            }
            Self::List {
                prefix,
                limit,
                cursor,
            } => {
                let page = queues
                    .list_queues(prefix.as_deref(), cursor.as_deref(), limit)
                    .await?;
                output.show(&page, |page| depths_table(&page.queues))?;
                show::next(output, page.next_cursor.as_deref())
            }
            Self::Info { queue } => {
                let info = queues.queue_info(&queue).await?;
                output.show(&info, info_table)
            }
            Self::Bind {
                exchange,
                queue,
                routing_key,
                exchange_type,
            } => {
                let created = queues
                    .bind(&exchange, exchange_type.as_deref(), &queue, &routing_key)
                    .await?;
                let answer = serde_json::json!({ "created": created });
                output.say(&answer, |_| known(created, "the binding"))
            }
            Self::Unbind {
                exchange,
                queue,
                routing_key,
            } => {
                let removed = queues.unbind(&exchange, &queue, &routing_key).await?;
                let answer = serde_json::json!({ "removed": removed });
                output.say(&answer, |_| gone(removed, "the binding"))
            }
            Self::Peek {
                queue,
                state,
                limit,
                cursor,
            } => {
                let page = queues
                    .peek(&queue, state.as_deref(), cursor.as_deref(), limit)
                    .await?;
                let rows = message_rows(&page.messages);
                output.show(&rows, |rows| messages_table(rows))?;
                show::next(output, page.next_cursor.as_deref())
            }
            Self::Purge { queue, state } => {
                let purged = queues.purge(&queue, state.as_deref()).await?;
                let answer = serde_json::json!({ "purged": purged });
                output.say(&answer, |_| format!("{purged} messages are gone"))
            }
            Self::Subscribe {
                subscription,
                queue,
                prefetch,
                lease_ms,
                webhook,
                webhook_secret,
            } => {
                let webhook = webhook
                    .zip(webhook_secret)
                    .map(|(url, secret)| QueueWebhook { url, secret });
                let options = SubscriptionOptions {
                    queue,
                    prefetch,
                    lease_ms,
                    webhook,
                };
                let created = queues.declare_subscription(&subscription, &options).await?;
                let answer = serde_json::json!({ "created": created });
                output.say(&answer, |_| known(created, &subscription))
            }
            Self::Unsubscribe { subscription } => {
                let removed = queues.unsubscribe(&subscription).await?;
                let answer = serde_json::json!({ "removed": removed });
                output.say(&answer, |_| gone(removed, &subscription))
            }
            _ => Ok(()),
        }
    }
}
