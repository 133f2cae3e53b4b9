//! How answers of the queue look.

use anyhow::{Result, bail};
use plinth_client::{ClientError, QueueDepth, QueueInfo, QueueMessage, Settled};

use crate::cli::{Output, Table};

/// A message for programs: the body as text where it is text.
pub(super) fn message_rows(messages: &[QueueMessage]) -> Vec<serde_json::Value> {
    messages
        .iter()
        .map(|message| {
            let mut row = serde_json::to_value(message).unwrap_or_default();
            if let (Some(row), Ok(text)) = (row.as_object_mut(), std::str::from_utf8(&message.body))
            {
                row.shift_remove("body_base64");
                row.insert("body".to_owned(), text.into());
            }
            row
        })
        .collect()
}

fn cell(row: &serde_json::Value, field: &str) -> String {
    match row.get(field) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) | None => "–".to_owned(),
        Some(other) => other.to_string(),
    }
}

pub(super) fn messages_table(rows: &[serde_json::Value]) -> Table {
    let mut table = Table::new(["message", "state", "priority", "attempt", "body", "receipt"]);
    for row in rows {
        let body = match row.get("body") {
            Some(_) => cell(row, "body"),
            None => cell(row, "body_base64"),
        };
        table.row([
            cell(row, "message_id"),
            cell(row, "state"),
            cell(row, "priority"),
            cell(row, "attempt"),
            body,
            cell(row, "receipt"),
        ]);
    }
    table
}

pub(super) fn settled_table(items: &[Settled]) -> Table {
    let mut table = Table::new(["receipt", "settled", "why not"]);
    for item in items {
        let why = match (item.code, &item.message) {
            (Some(code), Some(message)) => format!("{code} {message}"),
            _ => "–".to_owned(),
        };
        table.row([item.receipt.clone(), item.settled.to_string(), why]);
    }
    table
}

/// Fails where a receipt was refused, so that a script notices: exit code 5.
pub(super) fn settled(items: &[Settled]) -> Result<()> {
    let refused = items.iter().filter(|item| !item.settled).count();
    if refused > 0 {
        bail!(ClientError::from(plinth_core::Error::new(
            plinth_core::ErrorCode::QueueLeaseLost,
            format!("{refused} of {} receipts were refused", items.len()),
        )));
    }
    Ok(())
}

/// Tells people where the next page begins; programs find it in the answer.
pub(super) fn next(output: Output, cursor: Option<&str>) -> Result<()> {
    match cursor {
        Some(cursor) if !output.is_json() => output.text(&format!("more: --cursor {cursor}")),
        _ => Ok(()),
    }
}

pub(super) fn depths_table(queues: &[QueueDepth]) -> Table {
    let mut table = Table::new([
        "queue", "ready", "leased", "delayed", "dead", "bytes", "oldest", "in/s", "out/s", "ack/s",
        "waiting",
    ]);
    for depth in queues {
        let rate = |rate: f64| format!("{rate:.1}");
        table.row([
            depth.queue.clone(),
            depth.ready.to_string(),
            depth.leased.to_string(),
            depth.delayed.to_string(),
            depth.dead.to_string(),
            indicatif::HumanBytes(depth.bytes.unsigned_abs()).to_string(),
            age(depth.oldest_age_ms),
            rate(depth.publish_rate),
            rate(depth.deliver_rate),
            rate(depth.ack_rate),
            depth.consumers.to_string(),
        ]);
    }
    table
}

fn age(age_ms: Option<i64>) -> String {
    age_ms.map_or_else(
        || "–".to_owned(),
        |age_ms| {
            let age = std::time::Duration::from_millis(age_ms.unsigned_abs());
            indicatif::HumanDuration(age).to_string()
        },
    )
}

pub(super) fn info_table(info: &QueueInfo) -> Table {
    let mut table = Table::new(["what", "value"]);
    let mut say = |what: &str, value: String| table.row([what.to_owned(), value]);
    let depth = &info.depth;
    say("queue", depth.queue.clone());
    say("created", crate::cli::output::time_text(info.created_at_ms));
    say(
        "messages",
        format!(
            "{} ready, {} leased, {} delayed, {} dead",
            depth.ready, depth.leased, depth.delayed, depth.dead
        ),
    );
    say(
        "bytes",
        indicatif::HumanBytes(depth.bytes.unsigned_abs()).to_string(),
    );
    say("oldest", age(depth.oldest_age_ms));
    say(
        "per second",
        format!(
            "{:.1} in, {:.1} out, {:.1} acknowledged",
            depth.publish_rate, depth.deliver_rate, depth.ack_rate
        ),
    );
    say("consumers waiting", depth.consumers.to_string());
    let options = serde_json::to_value(&info.options).unwrap_or_default();
    for (option, value) in options.as_object().into_iter().flatten() {
        let value = match value {
            serde_json::Value::Null => "unlimited".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        say(option, value);
    }
    for binding in &info.bindings {
        let (exchange, kind) = (&binding.exchange, &binding.exchange_type);
        say(
            "binding",
            format!("{exchange} ({kind}) {:?}", binding.routing_key),
        );
    }
    for subscription in &info.subscriptions {
        let target = subscription.url.as_deref().unwrap_or(&subscription.mode);
        say(
            "subscription",
            format!("{} → {target}", subscription.subscription),
        );
    }
    table
}
