//! The commands that change something, under a lock where one is named.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use plinth_client::{AppendOptions, CacheClient, IncrementOptions, Stored};
use serde_json::json;

use super::arguments::{ConditionArguments, ExpiryArguments, FenceArguments, SetArguments};
use super::{batch, names, print_read};
use crate::cli::exit::Usage;
use crate::cli::output::{Output, time_text};

/// Changes
#[derive(Subcommand)]
pub(crate) enum ChangeCommand {
    /// Store a value
    Set {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        /// The value; `-` reads it from standard input
        value: String,
        #[command(flatten)]
        how: Box<SetArguments>,
        #[command(flatten)]
        under: FenceArguments,
    },
    /// Print a value and give it a new expiry; exit code 3 where the key is absent
    Touch {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        #[command(flatten)]
        expiry: ExpiryArguments,
        /// No expiry
        #[arg(long)]
        persist: bool,
        #[command(flatten)]
        under: FenceArguments,
    },
    /// Store many values, all or none
    BatchSet {
        /// Namespace
        namespace: String,
        /// The items as a JSON array, each with `key` and `value` or `value_base64`, and the other fields of HTTP:
        /// `ttl_ms`, `condition`, `version`, `tags`, …; `-` reads them from standard input
        items: String,
        /// Each item alone; exit code 1 where one was refused
        #[arg(long)]
        each_alone: bool,
        #[command(flatten)]
        under: FenceArguments,
    },
    /// Delete entries, all or none
    Delete {
        /// Namespace
        namespace: String,
        /// Keys
        #[arg(required = true)]
        keys: Vec<String>,
        /// Only where this version is stored; goes with one key
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
        #[command(flatten)]
        under: FenceArguments,
    },
    /// Change the expiry of an entry; with none named it no longer expires
    Expire {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        #[command(flatten)]
        expiry: ExpiryArguments,
        /// Only where this version is stored
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
        #[command(flatten)]
        under: FenceArguments,
    },
    /// Add to a counter
    Increment {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        /// What is added
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        delta: i64,
        /// What an absent counter counts from; without it an absent one is refused
        #[arg(long, allow_negative_numbers = true)]
        initial: Option<i64>,
        /// The lowest number allowed
        #[arg(long, allow_negative_numbers = true)]
        min: Option<i64>,
        /// The highest number allowed
        #[arg(long, allow_negative_numbers = true)]
        max: Option<i64>,
        #[command(flatten)]
        expiry: ExpiryArguments,
        /// Give a counter that was there this expiry too
        #[arg(long)]
        renew: bool,
        /// Idempotency key, for a repeat after a lost answer
        #[arg(long, value_name = "KEY")]
        request_id: Option<String>,
        #[command(flatten)]
        under: FenceArguments,
    },
    /// Add bytes at the end of a value
    Append {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        /// The bytes; `-` reads them from standard input
        value: String,
        /// Media type of a value that is created
        #[arg(long)]
        content_type: Option<String>,
        #[command(flatten)]
        condition: ConditionArguments,
        #[command(flatten)]
        expiry: ExpiryArguments,
        /// Give a value that was there this expiry too
        #[arg(long)]
        renew: bool,
        /// Idempotency key, for a repeat after a lost answer
        #[arg(long, value_name = "KEY")]
        request_id: Option<String>,
        #[command(flatten)]
        under: FenceArguments,
    },
    /// Remove everything of a namespace
    Clear {
        /// Namespace
        namespace: String,
        #[command(flatten)]
        under: FenceArguments,
    },
    /// Make every entry absent that carries one of the tags
    InvalidateTags {
        /// Namespace
        namespace: String,
        /// Tags, at most 16
        #[arg(required = true)]
        tags: Vec<String>,
        #[command(flatten)]
        under: FenceArguments,
    },
}

impl ChangeCommand {
    pub(super) async fn run(self, cache: CacheClient<'_>, output: Output) -> Result<()> {
        match self {
            Self::Set {
                namespace,
                key,
                value,
                how,
                under,
            } => {
                let value = if how.known_absent() {
                    value.into_bytes()
                } else {
                    read_value(value)?
                };
                let cache = fenced(cache, &under);
                let stored = cache.set(&namespace, &key, value, how.options()?).await?;
                output.say(&stored, |stored| {
                    format!("stored as version {}", stored.version)
                })
            }
            Self::Touch {
                namespace,
                key,
                expiry,
                persist,
                under,
            } => {
                let expiry = expiry.options_or_never(persist)?;
                let cache = fenced(cache, &under);
                let read = cache.get_and_touch(&namespace, &key, expiry).await?;
                print_read(output, &namespace, &key, &read)
            }
            Self::BatchSet {
                namespace,
                items,
                each_alone,
                under,
            } => {
                let text =
                    String::from_utf8(read_value(items)?).context("the items are no text")?;
                let items = batch::parse(&text)?;
                let cache = fenced(cache, &under);
                let results = cache.batch_set(&namespace, &items, !each_alone).await?;
                output.show(&results, |results| batch::stored_table(results))?;
                batch::all_done(&results)
            }
            Self::Delete {
                namespace,
                keys,
                if_version,
                under,
            } => {
                let cache = fenced(cache, &under);
                if let (Some(version), [key]) = (if_version, keys.as_slice()) {
                    let deleted = cache.delete(&namespace, key, Some(version)).await?;
                    return output.say(&json!({ "key": key, "deleted": deleted }), |_| {
                        format!("version {version} of {key} is deleted")
                    });
                }
                if if_version.is_some() {
                    bail!(Usage("--if-version goes with one key".to_owned()));
                }
                let items: Vec<(&str, Option<i64>)> =
                    keys.iter().map(|key| (key.as_str(), None)).collect();
                let results = cache.batch_delete(&namespace, &items, true).await?;
                output.show(&results, |results| batch::deleted_table(results))
            }
            Self::Expire {
                namespace,
                key,
                expiry,
                if_version,
                under,
            } => {
                let cache = fenced(cache, &under);
                let expiry = expiry.options();
                let stored = cache.expire(&namespace, &key, expiry, if_version).await?;
                output.say(&stored, expiry_text)
            }
            Self::Increment {
                namespace,
                key,
                delta,
                initial,
                min,
                max,
                expiry,
                renew,
                request_id,
                under,
            } => {
                let options = IncrementOptions {
                    delta,
                    initial,
                    min,
                    max,
                    expiry: expiry.options(),
                    renew,
                    request_id,
                };
                let cache = fenced(cache, &under);
                let counted = cache.increment(&namespace, &key, &options).await?;
                output.say(&counted, |counted| counted.number.to_string())
            }
            Self::Append {
                namespace,
                key,
                value,
                content_type,
                condition,
                expiry,
                renew,
                request_id,
                under,
            } => {
                let options = AppendOptions {
                    content_type,
                    condition: condition.condition(),
                    expiry: expiry.options(),
                    renew,
                    request_id,
                };
                let cache = fenced(cache, &under);
                let value = read_value(value)?;
                let appended = cache.append(&namespace, &key, value, &options).await?;
                output.say(&appended, |appended| {
                    format!("{} bytes, version {}", appended.length, appended.version)
                })
            }
            Self::Clear { namespace, under } => {
                let version = fenced(cache, &under).clear(&namespace).await?;
                output.say(&json!({ "version": version.to_string() }), |_| {
                    format!("{namespace} is empty")
                })
            }
            Self::InvalidateTags {
                namespace,
                tags,
                under,
            } => {
                let tags = names(&tags);
                let cache = fenced(cache, &under);
                let version = cache.invalidate_tags(&namespace, &tags).await?;
                output.say(&json!({ "version": version.to_string() }), |_| {
                    format!("what carries {} is absent", tags.join(" or "))
                })
            }
        }
    }
}

fn fenced<'all>(cache: CacheClient<'all>, under: &'all FenceArguments) -> CacheClient<'all> {
    match &under.fence {
        Some(fence) => cache.under(fence),
        None => cache,
    }
}

fn expiry_text(stored: &Stored) -> String {
    match stored.expires_at_ms {
        Some(at) => format!("expires at {}", time_text(at)),
        None => "no longer expires".to_owned(),
    }
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
