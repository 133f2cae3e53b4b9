//! `plinth cache …`

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use plinth_client::{CacheStats, SetCondition, SetOptions};

use super::exit::Usage;
use super::{Context, Table};

/// Values with expiry, versions and conditions
#[derive(Subcommand)]
pub(crate) enum CacheCommand {
    /// Store a value
    Set {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        /// The value; `-` reads it from standard input
        value: String,
        /// Milliseconds until it is gone; without it the value does not expire
        #[arg(long, value_name = "MS")]
        ttl_ms: Option<i64>,
        /// Media type of the value
        #[arg(long)]
        content_type: Option<String>,
        /// Store only where the key is absent
        #[arg(long, conflicts_with_all = ["if_present", "if_version"])]
        if_absent: bool,
        /// Store only where the key is present
        #[arg(long, conflicts_with = "if_version")]
        if_present: bool,
        /// Store only over this version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Print a value; exit code 3 where the key is absent
    Get {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
    },
    /// Print many values
    BatchGet {
        /// Namespace
        namespace: String,
        /// Keys
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Delete entries
    Delete {
        /// Namespace
        namespace: String,
        /// Keys
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Tell which keys are present
    Exists {
        /// Namespace
        namespace: String,
        /// Keys
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Change the expiry of an entry
    Expire {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        /// Milliseconds from now; without it the entry no longer expires
        #[arg(long, value_name = "MS")]
        ttl_ms: Option<i64>,
    },
    /// Show hit rate, keys and memory of a namespace
    Stats {
        /// Namespace
        namespace: String,
    },
}

impl CacheCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let cache = context.client.cache();
        let output = context.output;
        match self {
            Self::Set {
                namespace,
                key,
                value,
                ttl_ms,
                content_type,
                if_absent,
                if_present,
                if_version,
            } => {
                let condition = match (if_absent, if_present, if_version) {
                    (true, ..) => SetCondition::Absent,
                    (_, true, _) => SetCondition::Present,
                    (.., Some(version)) => SetCondition::Version(version),
                    (false, false, None) => SetCondition::Always,
                };
                let options = SetOptions {
                    ttl_ms,
                    content_type,
                    condition,
                };
                let stored = cache
                    .set(&namespace, &key, read_value(value)?, options)
                    .await?;
                output.say(&stored, |stored| {
                    format!("stored as version {}", stored.version)
                })
            }
            Self::Get { namespace, key } => {
                let Some(found) = cache.get(&namespace, &key).await? else {
                    bail!(plinth_client::ClientError::from(plinth_core::Error::new(
                        plinth_core::ErrorCode::CacheKeyNotFound,
                        format!("{namespace}/{key} is absent"),
                    )));
                };
                if output.is_json() {
                    return output.json(&as_json(&key, Some(&found)));
                }
                output.bytes(&found.value)
            }
            Self::BatchGet { namespace, keys } => {
                let names: Vec<&str> = keys.iter().map(String::as_str).collect();
                let found = cache.batch_get(&namespace, &names).await?;
                let rows: Vec<_> = keys
                    .iter()
                    .zip(&found)
                    .map(|(key, found)| as_json(key, found.as_ref()))
                    .collect();
                output.show(&rows, |rows| {
                    let mut table = Table::new(["key", "version", "ttl ms", "value"]);
                    for row in rows {
                        table.row(
                            ["key", "version", "ttl_ms", "value"].map(|field| cell(row, field)),
                        );
                    }
                    table
                })
            }
            Self::Delete { namespace, keys } => {
                let items: Vec<(&str, Option<i64>)> =
                    keys.iter().map(|key| (key.as_str(), None)).collect();
                let results = cache.batch_delete(&namespace, &items, true).await?;
                output.show(&results, |results| {
                    let mut table = Table::new(["key", "deleted"]);
                    for result in results {
                        let deleted = result.deleted.unwrap_or_default();
                        table.row([result.key.clone(), deleted.to_string()]);
                    }
                    table
                })
            }
            Self::Exists { namespace, keys } => {
                let names: Vec<&str> = keys.iter().map(String::as_str).collect();
                let present = cache.exists(&namespace, &names).await?;
                let rows: Vec<(String, bool)> = keys.into_iter().zip(present).collect();
                output.show(&rows, |rows| {
                    let mut table = Table::new(["key", "present"]);
                    for (key, present) in rows {
                        table.row([key.clone(), present.to_string()]);
                    }
                    table
                })
            }
            Self::Expire {
                namespace,
                key,
                ttl_ms,
            } => {
                let stored = cache.expire(&namespace, &key, ttl_ms, None).await?;
                output.say(&stored, |stored| match stored.expires_at_ms {
                    Some(at) => format!("expires at {}", super::output::time_text(at)),
                    None => "no longer expires".to_owned(),
                })
            }
            Self::Stats { namespace } => {
                let stats = cache.stats(&namespace).await?;
                output.show(&stats, stats_table)
            }
        }
    }
}

fn stats_table(stats: &CacheStats) -> Table {
    let mut table = Table::new(["what", "value"]);
    for (what, value) in [
        ("backend", stats.backend.clone()),
        ("keys", stats.keys.to_string()),
        (
            "memory",
            format!(
                "{} of {}",
                indicatif::HumanBytes(stats.bytes.unsigned_abs()),
                indicatif::HumanBytes(stats.bytes_max.unsigned_abs())
            ),
        ),
        ("hit rate", format!("{:.1} %", stats.hit_rate * 100.0)),
        ("hits", stats.hits.to_string()),
        ("misses", stats.misses.to_string()),
        ("sets", stats.sets.to_string()),
        ("deletes", stats.deletes.to_string()),
        ("expired", stats.expired.to_string()),
        ("evicted", stats.evicted.to_string()),
    ] {
        table.row([what.to_owned(), value]);
    }
    table
}

fn read_value(argument: String) -> Result<Vec<u8>> {
    if argument != "-" {
        return Ok(argument.into_bytes());
    }
    let mut value = Vec::new();
    std::io::stdin()
        .read_to_end(&mut value)
        .context("cannot read the value from standard input")?;
    if value.is_empty() {
        bail!(Usage("standard input is empty".to_owned()));
    }
    Ok(value)
}

fn as_json(key: &str, found: Option<&plinth_client::CacheValue>) -> serde_json::Value {
    use base64::Engine as _;
    let Some(found) = found else {
        return serde_json::json!({ "key": key, "found": false });
    };
    let mut row = serde_json::json!({
        "key": key, "found": true, "version": found.version.to_string(),
        "ttl_ms": found.ttl_ms, "content_type": found.content_type,
    });
    let value = match std::str::from_utf8(&found.value) {
        Ok(text) => ("value", text.to_owned()),
        Err(_) => (
            "value_base64",
            base64::engine::general_purpose::STANDARD.encode(&found.value),
        ),
    };
    if let Some(row) = row.as_object_mut() {
        row.insert(value.0.to_owned(), value.1.into());
    }
    row
}

fn cell(row: &serde_json::Value, field: &str) -> String {
    match row.get(field) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) | None => "–".to_owned(),
        Some(other) => other.to_string(),
    }
}
