//! `plinth cache …`

mod arguments;
mod batch;
mod changes;
mod loading;
mod namespaces;
mod numbers;
mod present;

use anyhow::{Result, bail};
use clap::Subcommand;
use plinth_client::CacheClient;
use serde_json::json;

use self::changes::ChangeCommand;
use self::loading::LoadCommand;
use self::namespaces::NamespaceCommand;
use self::numbers::{hot_table, stats_text};
use self::present::{as_json, leased_json, leased_text, page_table, reads_table};
use super::{Context, Output, Table};

/// Values with expiry, versions, conditions, tags and leases
#[derive(Subcommand)]
pub(crate) enum CacheCommand {
    #[command(flatten)]
    Change(ChangeCommand),
    /// Print a value; exit code 3 where the key is absent
    Get {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        /// Only what is stored: a loader is not asked
        #[arg(long)]
        stored_only: bool,
    },
    /// Print many values
    BatchGet {
        /// Namespace
        namespace: String,
        /// Keys
        #[arg(required = true)]
        keys: Vec<String>,
        /// Only what is stored: a loader is not asked
        #[arg(long)]
        stored_only: bool,
    },
    #[command(flatten)]
    Load(LoadCommand),
    /// Tell which keys are present
    Exists {
        /// Namespace
        namespace: String,
        /// Keys
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Walk the keys of a namespace, a page at a time
    Scan {
        /// Namespace
        namespace: String,
        /// What the keys begin with
        #[arg(long)]
        prefix: Option<String>,
        /// Where to go on: what the page before said
        #[arg(long)]
        cursor: Option<String>,
        /// Keys of a page, at most 1,000
        #[arg(long)]
        limit: Option<i64>,
    },
    /// Print a value; on a miss one caller is given a lease to fill it, the others wait
    GetOrLease {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        /// How long the lease is open, in milliseconds
        #[arg(long, value_name = "MS")]
        lease_ms: Option<i64>,
        /// How long to wait for somebody else's value, in milliseconds
        #[arg(long, value_name = "MS")]
        wait_ms: Option<i64>,
    },
    /// Give a lease back without a value
    ReleaseLease {
        /// Namespace
        namespace: String,
        /// Key
        key: String,
        /// The lease's token
        lease_token: i64,
    },
    /// Define, show, list and delete how the values of namespaces live
    #[command(subcommand)]
    Namespace(NamespaceCommand),
    /// Name the keys of a namespace that are read most
    HotKeys {
        /// Namespace
        namespace: String,
    },
    /// Show hit rate, keys, memory and times of a namespace, and how sizes and lives are spread
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
            Self::Change(change) => change.run(cache, output).await,
            Self::Load(load) => load.run(cache, output).await,
            Self::Get {
                namespace,
                key,
                stored_only,
            } => {
                let read = reading(cache, stored_only).read(&namespace, &key).await?;
                print_read(output, &namespace, &key, &read)
            }
            Self::BatchGet {
                namespace,
                keys,
                stored_only,
            } => {
                let cache = reading(cache, stored_only);
                let reads = cache.batch_read(&namespace, &names(&keys)).await?;
                let rows = keys.iter().zip(&reads);
                let rows: Vec<_> = rows.map(|(key, read)| as_json(key, read)).collect();
                output.show(&rows, reads_table)
            }
            Self::Exists { namespace, keys } => {
                let present = cache.exists(&namespace, &names(&keys)).await?;
                let rows: Vec<(String, bool)> = keys.into_iter().zip(present).collect();
                output.show(&rows, |rows| {
                    let mut table = Table::new(["key", "present"]);
                    for (key, present) in rows {
                        table.row([key.clone(), present.to_string()]);
                    }
                    table
                })
            }
            Self::Scan {
                namespace,
                prefix,
                cursor,
                limit,
            } => {
                let (prefix, cursor) = (prefix.as_deref(), cursor.as_deref());
                let page = cache.scan(&namespace, prefix, cursor, limit).await?;
                output.show(&page, page_table)
            }
            Self::GetOrLease {
                namespace,
                key,
                lease_ms,
                wait_ms,
            } => {
                let leased = cache
                    .get_or_lease(&namespace, &key, lease_ms, wait_ms)
                    .await?;
                output.say(&leased_json(&key, &leased), |_| leased_text(&leased))
            }
            Self::ReleaseLease {
                namespace,
                key,
                lease_token,
            } => {
                let released = cache.release_lease(&namespace, &key, lease_token).await?;
                output.say(&json!({ "released": released }), |_| {
                    if released {
                        "given back".to_owned()
                    } else {
                        "it had ended".to_owned()
                    }
                })
            }
            Self::Namespace(command) => command.run(cache, output).await,
            Self::HotKeys { namespace } => {
                let hottest = cache.hot_keys(&namespace).await?;
                output.show(&hottest, hot_table)
            }
            Self::Stats { namespace } => {
                let stats = cache.stats(&namespace).await?;
                output.say(&stats, stats_text)
            }
        }
    }
}

fn reading(cache: CacheClient<'_>, stored_only: bool) -> CacheClient<'_> {
    if stored_only {
        cache.without_loading()
    } else {
        cache
    }
}

fn names(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn print_read(
    output: Output,
    namespace: &str,
    key: &str,
    read: &plinth_client::CacheRead,
) -> Result<()> {
    let Some(found) = &read.value else {
        bail!(plinth_client::ClientError::from(plinth_core::Error::new(
            plinth_core::ErrorCode::CacheKeyNotFound,
            format!("{namespace}/{key} is absent"),
        )));
    };
    if output.is_json() {
        return output.json(&as_json(key, read));
    }
    output.bytes(&found.value)
}
