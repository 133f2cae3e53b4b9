//! `plinth cache refresh` and `preload`.

use anyhow::{Result, bail};
use clap::Subcommand;
use plinth_client::{CacheClient, ClientError, KeyLoad};
use plinth_core::ErrorCode;

use super::names;
use crate::cli::{Output, Table};

/// How many keys are preloaded with one call; after each the progress is told.
const PRELOAD_KEYS: usize = 100;
/// The number of what the deadline cut off.
const CUT_OFF: u16 = ErrorCode::DeadlineExceeded.number();

/// Loads of namespaces with a loader
#[derive(Subcommand)]
pub(crate) enum LoadCommand {
    /// Load keys anew, whatever stands under them; exit code 1 where one could not be loaded
    Refresh {
        /// Namespace
        namespace: String,
        /// Keys
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Load the keys under which nothing fresh stands; exit code 1 where one could not be loaded
    Preload {
        /// Namespace
        namespace: String,
        /// Keys; none: those of the loader's warm-up list
        keys: Vec<String>,
    },
}

impl LoadCommand {
    pub(super) async fn run(self, cache: CacheClient<'_>, output: Output) -> Result<()> {
        let loads = match self {
            Self::Refresh { namespace, keys } => cache.refresh(&namespace, &names(&keys)).await?,
            Self::Preload { namespace, keys } => preload(cache, &namespace, keys).await?,
        };
        output.show(&loads, loads_table)?;
        match loads.iter().find(|load| load.code != 0) {
            None => Ok(()),
            Some(load) => bail!(
                "{} was not loaded: {}",
                load.key,
                load.message.as_deref().unwrap_or("no reason was told")
            ),
        }
    }
}

/// Preloads piece by piece, says how far it is, and goes on with what a deadline cut off as long as that gets on.
async fn preload(
    cache: CacheClient<'_>,
    namespace: &str,
    keys: Vec<String>,
) -> Result<Vec<KeyLoad>, ClientError> {
    let mut done: Vec<KeyLoad> = Vec::new();
    let mut waiting = keys;
    if waiting.is_empty() {
        // The list is the server's; what it did not get to is asked for by name.
        let mut loads = cache.preload(namespace, &[]).await?;
        waiting = cut_off(&mut loads);
        done.extend(loads);
    }
    let all = done.len() + waiting.len();
    let progress = indicatif::ProgressBar::new(u64::try_from(all).unwrap_or(u64::MAX));
    while !waiting.is_empty() {
        let rest = waiting.split_off(waiting.len().min(PRELOAD_KEYS));
        let mut loads = cache.preload(namespace, &names(&waiting)).await?;
        let again = cut_off(&mut loads);
        if loads.is_empty() {
            return Err(plinth_core::Error::new(
                ErrorCode::DeadlineExceeded,
                format!(
                    "no key was loaded before the deadline; {} of {all} are done",
                    done.len()
                ),
            )
            .into());
        }
        done.extend(loads);
        progress.set_position(u64::try_from(done.len()).unwrap_or(u64::MAX));
        waiting = again.into_iter().chain(rest).collect();
    }
    progress.finish_and_clear();
    Ok(done)
}

/// Takes out what the deadline cut off.
fn cut_off(loads: &mut Vec<KeyLoad>) -> Vec<String> {
    let cut = loads.extract_if(.., |load| load.code == CUT_OFF);
    cut.map(|load| load.key).collect()
}

fn loads_table(loads: &Vec<KeyLoad>) -> Table {
    let mut table = Table::new(["key", "state", "version", "why not"]);
    for load in loads {
        let state = load.state.clone();
        let version = load.version.map(|version| version.0.to_string());
        let why = load.message.clone();
        table.row([
            load.key.clone(),
            state.unwrap_or_else(|| format!("error {}", load.code)),
            version.unwrap_or_else(|| "–".to_owned()),
            why.unwrap_or_else(|| "–".to_owned()),
        ]);
    }
    table
}
