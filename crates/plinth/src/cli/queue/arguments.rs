//! What `publish` and `create` are told.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use plinth_client::{PublishMessage, QueueBackoff, QueueOptions};

use crate::cli::exit::Usage;

#[derive(Args)]
pub(crate) struct PublishArguments {
    /// Queue; with --exchange the routing key
    pub(super) key: String,
    /// The body; `-` reads it from standard input
    pub(super) body: String,
    /// Exchange that routes the message
    #[arg(long)]
    pub(super) exchange: Option<String>,
    /// Media type of the body
    #[arg(long)]
    pub(super) content_type: Option<String>,
    /// A header, as name=value; may stand more than once
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(super) headers: Vec<(String, String)>,
    /// 0 to 9; higher goes first
    #[arg(long)]
    pub(super) priority: Option<i32>,
    /// Wait before it can be received
    #[arg(long, value_name = "MS")]
    pub(super) delay_ms: Option<i64>,
    /// Life of the message
    #[arg(long, value_name = "MS")]
    pub(super) ttl_ms: Option<i64>,
    /// Id for deduplication
    #[arg(long, value_name = "ID")]
    pub(super) message_id: Option<String>,
    /// Messages of one key are delivered in order, one at a time
    #[arg(long, value_name = "KEY")]
    pub(super) ordering_key: Option<String>,
    /// Idempotency key: a repeat with the same message gets the first answer
    #[arg(long, value_name = "ID")]
    pub(super) request_id: Option<String>,
}

#[derive(Args)]
pub(crate) struct CreateArguments {
    /// Queue
    pub(super) queue: String,
    /// Most messages in the queue
    #[arg(long)]
    pub(super) max_length: Option<i64>,
    /// Most bytes of bodies and headers
    #[arg(long)]
    pub(super) max_bytes: Option<i64>,
    /// What happens to a publish at a limit: reject or drop_oldest
    #[arg(long)]
    pub(super) on_full: Option<String>,
    /// Life of a message
    #[arg(long, value_name = "MS")]
    pub(super) ttl_ms: Option<i64>,
    /// Deliveries before the dead-letter queue
    #[arg(long)]
    pub(super) max_attempts: Option<i32>,
    /// Failed attempts that are repeated at once
    #[arg(long)]
    pub(super) immediate_tries: Option<i32>,
    /// Upper bound of the first wait between attempts
    #[arg(long, value_name = "MS")]
    pub(super) backoff_initial_ms: Option<i64>,
    /// Upper bound of every wait between attempts
    #[arg(long, value_name = "MS")]
    pub(super) backoff_max_ms: Option<i64>,
    /// Growth of the bound
    #[arg(long)]
    pub(super) backoff_multiplier: Option<f64>,
    /// Where failed messages go; empty for nowhere
    #[arg(long, value_name = "QUEUE")]
    pub(super) dead_letter_queue: Option<String>,
    /// Deliver in the order of publishing whatever the priority
    #[arg(long)]
    pub(super) no_priorities: bool,
    /// How long a message id is remembered
    #[arg(long, value_name = "MS")]
    pub(super) dedup_window_ms: Option<i64>,
}

impl CreateArguments {
    pub(super) fn options(&self) -> QueueOptions {
        let backoff = QueueBackoff {
            immediate_tries: self.immediate_tries,
            initial_ms: self.backoff_initial_ms,
            max_ms: self.backoff_max_ms,
            multiplier: self.backoff_multiplier,
        };
        QueueOptions {
            max_length: self.max_length,
            max_bytes: self.max_bytes,
            on_full: self.on_full.clone(),
            ttl_ms: self.ttl_ms,
            max_attempts: self.max_attempts,
            backoff: (backoff != QueueBackoff::default()).then_some(backoff),
            dead_letter_queue: self.dead_letter_queue.clone(),
            priorities: self.no_priorities.then_some(false),
            dedup_window_ms: self.dedup_window_ms,
        }
    }
}

pub(super) fn message(arguments: PublishArguments) -> Result<PublishMessage> {
    let body = read_body(arguments.body)?;
    let headers = arguments.headers.into_iter().collect();
    Ok(PublishMessage {
        exchange: arguments.exchange,
        routing_key: arguments.key,
        body: body.into(),
        content_type: arguments.content_type,
        headers: Some(headers),
        priority: arguments.priority,
        delay_ms: arguments.delay_ms,
        deliver_at_ms: None,
        ttl_ms: arguments.ttl_ms,
        message_id: arguments.message_id,
        ordering_key: arguments.ordering_key,
        traceparent: None,
    })
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn read_body(argument: String) -> Result<Vec<u8>> {
    if argument != "-" {
        return Ok(argument.into_bytes());
    }
    let mut body = Vec::new();
    std::io::stdin()
        .read_to_end(&mut body)
        .context("cannot read the body from standard input")?;
    if body.is_empty() {
        bail!(Usage("standard input is empty".to_owned()));
    }
    Ok(body)
}
