//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Runs merchant onboarding on Plinth and proves that every place agrees.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// The plinth program: starts one of its own, keeps it for the run, and may kill it
    #[arg(long, value_name = "PROGRAM", required_unless_present = "server")]
    pub(crate) plinth: Option<PathBuf>,
    /// Data directory of that Plinth; without it a temporary one
    #[arg(long, value_name = "DIR", requires = "plinth")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Redis in which that Plinth keeps cached values and locks; without it in the memory and the files of its own
    #[arg(
        long,
        value_name = "URL",
        env = "ONBOARDING_REDIS_URL",
        hide_env_values = true,
        requires = "plinth"
    )]
    pub(crate) redis: Option<String>,
    /// A Plinth that runs already: http://… or host:port of its Thrift edge, as the transport says
    #[arg(long, conflicts_with = "plinth", requires = "key")]
    pub(crate) server: Option<String>,
    /// API key for that server
    #[arg(long, env = "PLINTH_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// How to talk to Plinth
    #[arg(long, value_enum, default_value_t = TransportName::Thrift)]
    pub(crate) transport: TransportName,
    /// How many merchants apply
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) applications: u32,
    /// How many applications are under way at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    concurrency: u32,
    /// Kill Plinth without warning when half of the applications are through, and start it again
    #[arg(long, requires = "plinth")]
    pub(crate) kill_plinth: bool,
    /// Stay up after the proofs, until Ctrl-C
    #[arg(long, requires = "plinth")]
    pub(crate) stay: bool,
    /// Seed of the drawn ways
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Arguments {
    /// How many applications are under way at once.
    pub(crate) fn concurrency(&self) -> usize {
        usize::try_from(self.concurrency).unwrap_or(usize::MAX)
    }
}

/// The way to Plinth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportName {
    /// Thrift RPC
    Thrift,
    /// HTTP
    Http,
}
