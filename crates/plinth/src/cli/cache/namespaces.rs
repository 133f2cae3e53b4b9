//! `plinth cache namespace …`

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use plinth_client::{CacheClient, LoaderSettings, NamespaceInfo, NamespaceSettings};
use serde_json::json;

use crate::cli::exit::Usage;
use crate::cli::{Output, Table};

/// How the values of namespaces live
#[derive(Subcommand)]
pub(crate) enum NamespaceCommand {
    /// Define a namespace, or change its definition: what is not named is as without a definition
    Define {
        /// Namespace
        namespace: String,
        #[command(flatten)]
        settings: SettingsArguments,
        /// Only where this version of the definition stands; 0 where there must be none
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Show the definition of a namespace
    Get {
        /// Namespace
        namespace: String,
    },
    /// List the namespaces that have a definition
    List {
        /// What the names begin with
        #[arg(long)]
        prefix: Option<String>,
        /// Where to go on: what the page before said
        #[arg(long)]
        cursor: Option<String>,
        /// Namespaces of a page, at most 1,000
        #[arg(long)]
        limit: Option<i64>,
    },
    /// Remove the definition of a namespace; its values stay
    Delete {
        /// Namespace
        namespace: String,
    },
}

/// What may be said about a namespace
#[derive(Args)]
pub(crate) struct SettingsArguments {
    /// Milliseconds to live of a value whose caller names no expiry
    #[arg(long, value_name = "MS")]
    default_ttl_ms: Option<i64>,
    /// Milliseconds after the last read or write until such a value is gone
    #[arg(long, value_name = "MS")]
    default_sliding_ms: Option<i64>,
    /// How long a sliding expiry lasts at most
    #[arg(long, value_name = "MS")]
    sliding_max_ms: Option<i64>,
    /// By how many hundredths a life is shortened at most, by chance
    #[arg(long, value_name = "PERCENT")]
    jitter_percent: Option<i64>,
    /// After how many hundredths of its life a value is stale
    #[arg(long, value_name = "PERCENT")]
    fresh_percent: Option<i64>,
    /// Milliseconds to live of a negative entry
    #[arg(long, value_name = "MS")]
    negative_ttl_ms: Option<i64>,
    /// Most keys that it may hold
    #[arg(long)]
    keys_max: Option<i64>,
    /// Most bytes that it may hold
    #[arg(long)]
    bytes_max: Option<i64>,
    /// How values of at least 1,024 bytes are kept: none or zstd
    #[arg(long)]
    codec: Option<String>,
    /// Where values come from that are not there, as JSON in the words of the HTTP interface, or @FILE that holds it:
    /// {"kind":"sql","database":"shop","sql":"SELECT status FROM orders WHERE no = ?"}
    #[arg(long, value_name = "JSON")]
    loader: Option<String>,
    /// Where the keys lie: together, so that a batch can be all or nothing; or spread over the nodes of a cluster
    #[arg(long)]
    placement: Option<String>,
}

impl SettingsArguments {
    fn settings(self) -> Result<NamespaceSettings> {
        let loader = self.loader.as_deref().map(loader).transpose()?;
        Ok(NamespaceSettings {
            loader,
            ..NamespaceSettings::from(self)
        })
    }
}

/// A loader as it was named. Errors: the file cannot be read, or it is not the JSON of a loader.
fn loader(text: &str) -> Result<LoaderSettings> {
    let text = match text.strip_prefix('@') {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| Usage(format!("--loader: {error}")).into())
}

impl From<SettingsArguments> for NamespaceSettings {
    fn from(arguments: SettingsArguments) -> Self {
        Self {
            loader: None,
            default_ttl_ms: arguments.default_ttl_ms,
            default_sliding_ms: arguments.default_sliding_ms,
            sliding_max_ms: arguments.sliding_max_ms,
            jitter_percent: arguments.jitter_percent,
            fresh_percent: arguments.fresh_percent,
            negative_ttl_ms: arguments.negative_ttl_ms,
            keys_max: arguments.keys_max,
            bytes_max: arguments.bytes_max,
            codec: arguments.codec,
            placement: arguments.placement,
        }
    }
}

impl NamespaceCommand {
    pub(super) async fn run(self, cache: CacheClient<'_>, output: Output) -> Result<()> {
        match self {
            Self::Define {
                namespace,
                settings,
                if_version,
            } => {
                let settings = settings.settings()?;
                let info = cache
                    .define_namespace(&namespace, &settings, if_version)
                    .await?;
                output.say(&info, |info| format!("defined as version {}", info.version))
            }
            Self::Get { namespace } => {
                let info = cache.get_namespace(&namespace).await?;
                output.show(&info, info_table)
            }
            Self::List {
                prefix,
                cursor,
                limit,
            } => {
                let page = cache
                    .list_namespaces(prefix.as_deref(), cursor.as_deref(), limit)
                    .await?;
                output.show(&page, |page| {
                    let mut table = Table::new(["namespace", "version", "settings"]);
                    for info in &page.namespaces {
                        let settings = json!(info.settings).to_string();
                        let version = info.version.to_string();
                        table.row([info.namespace_name.clone(), version, settings]);
                    }
                    if let Some(cursor) = &page.next_cursor {
                        table.row([
                            format!("more: --cursor {cursor}"),
                            String::new(),
                            String::new(),
                        ]);
                    }
                    table
                })
            }
            Self::Delete { namespace } => {
                let deleted = cache.delete_namespace(&namespace).await?;
                output.say(&json!({ "deleted": deleted }), |_| {
                    if deleted {
                        format!("{namespace} has no definition any more; its values stay")
                    } else {
                        format!("{namespace} had none")
                    }
                })
            }
        }
    }
}

fn info_table(info: &NamespaceInfo) -> Table {
    let mut table = Table::new(["setting", "value"]);
    table.row(["version".to_owned(), info.version.to_string()]);
    if let Some(settings) = json!(info.settings).as_object() {
        for (setting, value) in settings {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            table.row([setting.clone(), value]);
        }
    }
    table
}
