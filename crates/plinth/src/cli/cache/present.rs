//! How answers of the cache are shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plinth_client::{CacheLease, CacheLeased, CacheRead, ScanPage};
use serde_json::{Value, json};

use crate::cli::Table;

/// One read as a program sees it.
pub(super) fn as_json(key: &str, read: &CacheRead) -> Value {
    let mut row = json!({ "key": key, "found": read.value.is_some(), "ttl_ms": read.ttl_ms });
    let Some(fields) = row.as_object_mut() else {
        return row;
    };
    let mut say = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    if read.known_absent {
        say("known_absent", json!(true));
    }
    if read.degraded {
        say("degraded", json!(true));
    }
    if let Some(failure) = &read.failure {
        say("code", json!(failure.code));
        say("message", json!(failure.message));
    }
    if let Some(found) = &read.value {
        say("version", json!(found.version.to_string()));
        say("content_type", json!(found.content_type));
        let freshness = if found.is_stale { "stale" } else { "fresh" };
        say("freshness", json!(freshness));
        say("age_ms", json!(found.age_ms));
        say("flags", json!(found.flags));
        say("tags", json!(found.tags));
        match std::str::from_utf8(&found.value) {
            Ok(text) => say("value", json!(text)),
            Err(_) => say("value_base64", json!(BASE64.encode(&found.value))),
        };
    }
    row
}

/// A leased read as a program sees it.
pub(super) fn leased_json(key: &str, leased: &CacheLeased) -> Value {
    let item = as_json(key, &leased.read);
    match leased.lease {
        CacheLease::NotNeeded => json!({ "item": item }),
        CacheLease::Granted { token } => json!({ "item": item, "lease_token": token.to_string() }),
        CacheLease::Held { left_ms } => json!({ "item": item, "held_ms": left_ms }),
    }
}

/// What a caller of a lease does now.
pub(super) fn leased_text(leased: &CacheLeased) -> String {
    match (leased.lease, &leased.read.value) {
        (CacheLease::Granted { token }, _) => {
            format!("yours to fill: store it with --lease-token {token}")
        }
        (CacheLease::Held { left_ms }, None) => {
            format!("somebody else fills it; that lease ends in {left_ms} ms")
        }
        (_, Some(found)) => String::from_utf8_lossy(&found.value).into_owned(),
        (CacheLease::NotNeeded, None) => "known to be absent".to_owned(),
    }
}

/// Many reads for people.
pub(super) fn reads_table(rows: &Vec<Value>) -> Table {
    let mut table = Table::new(["key", "version", "ttl ms", "value"]);
    for row in rows {
        table.row(["key", "version", "ttl_ms", "value"].map(|field| cell(row, field)));
    }
    table
}

/// A page of keys for people.
pub(super) fn page_table(page: &ScanPage) -> Table {
    let mut table = Table::new(["key", "version", "ttl ms", "bytes"]);
    for item in &page.items {
        let ttl = item.ttl_ms.map_or("–".to_owned(), |ttl| ttl.to_string());
        table.row([
            item.key.clone(),
            item.version.to_string(),
            ttl,
            item.value_bytes.to_string(),
        ]);
    }
    if let Some(cursor) = &page.next_cursor {
        let more = format!("more: --cursor {cursor}");
        table.row([more, String::new(), String::new(), String::new()]);
    }
    table
}

fn cell(row: &Value, field: &str) -> String {
    match row.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "–".to_owned(),
        Some(other) => other.to_string(),
    }
}
