//! The command line: one group of commands for each block, over the same API that everybody uses.

mod access;
mod audit;
mod bench;
mod cache;
mod db;
mod doctor;
mod exit;
mod health;
mod lock;
mod monitor;
mod output;
mod queue;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use plinth_client::{Client, ClientSettings, RetryPolicy};

pub(crate) use self::output::{Output, OutputFormat, Table};
use crate::serve::ServeArguments;
use crate::settings::{PlaceArguments, SettingsCommand};

/// The support plane of a backend: cache, message queue, metrics, audit log and database adviser in one binary.
///
/// Commands other than `serve` talk to a running Plinth: name it with --server and show a key with PLINTH_KEY.
///
/// Exit codes: 0 done; 1 failed; 2 the command line is wrong; 3 not found; 4 the key is missing or may not do this;
/// 5 a conflict or a condition that did not hold; 6 unavailable or overloaded, try again.
#[derive(Parser)]
#[command(name = "plinth", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    connection: Connection,

    #[command(subcommand)]
    command: Command,
}

/// Where the server is and how answers look.
#[derive(clap::Args)]
struct Connection {
    /// Address of the server: http://…, https://… or thrift://host:port
    #[arg(
        long,
        global = true,
        env = "PLINTH_SERVER",
        default_value = "http://127.0.0.1:7400",
        value_name = "URL"
    )]
    server: String,

    /// API key; better given by the environment, where no process list shows it
    #[arg(
        long = "key",
        global = true,
        env = "PLINTH_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    api_key: Option<String>,

    /// How answers look
    #[arg(long, global = true, value_enum, default_value_t)]
    output: OutputFormat,

    /// How long one attempt may take, in milliseconds
    #[arg(long, global = true, default_value_t = 10_000, value_name = "MS")]
    timeout_ms: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(ServeArguments),
    /// Cache: values with expiry, versions and conditions
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Message queue: publish, consume, manage
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Metrics: record, query, register
    #[command(subcommand)]
    Monitor(monitor::MonitorCommand),
    /// Audit log: record, query, export, verify
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Databases: query, explain, advise
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Locks: acquire, hold, look, end by force
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// Tenants, API keys and roles
    #[command(subcommand)]
    Access(access::AccessCommand),
    /// Measure a running server: rates and latencies of calls like those that services make
    Bench(bench::BenchArguments),
    /// Show the health of the server and its dependencies
    Health,
    /// Check settings, data directory, disk, ports and server, and say what to do
    Doctor(PlaceArguments),
    /// Check or show settings
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Print the OpenAPI document of the HTTP interface
    Openapi,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What a command of a block works with.
pub(crate) struct Context {
    /// The client of the server.
    pub(crate) client: Client,
    /// Where answers go.
    pub(crate) output: Output,
}

/// Runs the command line of the process.
pub(crate) fn run() -> ExitCode {
    let matches = negative_numbers_are_values(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(Box::pin(dispatch(cli))));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

/// `--ttl-ms -5` is an option with a bad value, which the server names; taken for an option of its own, `-5` would be
/// "unexpected".
fn negative_numbers_are_values(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| {
            let takes_values = argument.get_action().takes_values();
            argument.allow_negative_numbers(takes_values)
        })
        .mut_subcommands(negative_numbers_are_values)
}

async fn dispatch(cli: Cli) -> Result<()> {
    let output = Output::new(cli.connection.output);
    let context = || -> Result<Context> {
        Ok(Context {
            client: connect(&cli.connection, RetryPolicy::default())?,
            output,
        })
    };
    match cli.command {
        Command::Serve(arguments) => crate::serve::run(arguments, output).await,
        Command::Cache(command) => command.run(&context()?).await,
        Command::Queue(command) => command.run(&context()?).await,
        Command::Monitor(command) => command.run(&context()?).await,
        Command::Audit(command) => Box::pin(command.run(&context, output)).await,
        Command::Db(command) => command.run(&context()?).await,
        Command::Lock(command) => Box::pin(command.run(&context()?)).await,
        Command::Access(command) => Box::pin(command.run(&context, output)).await,
        Command::Doctor(place) => Box::pin(doctor::run(place, &context, output)).await,
        Command::Bench(arguments) => {
            // A call that is made again would hide its failure and count its pauses.
            let retry = RetryPolicy {
                attempts_max: 1,
                ..RetryPolicy::default()
            };
            let client = connect(&cli.connection, retry)?;
            Box::pin(bench::run(arguments, &Context { client, output })).await
        }
        Command::Health => health::run(&context()?).await,
        Command::Settings(command) => command.run(output),
        Command::Openapi => output.text(&plinth_http::openapi_document().to_pretty_json()?),
        Command::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "plinth", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn connect(connection: &Connection, retry: RetryPolicy) -> Result<Client> {
    let Some(key) = connection.api_key.as_deref() else {
        bail!(exit::Usage(
            "no API key: set PLINTH_KEY to the key that `plinth serve` printed at its first start"
                .to_owned()
        ));
    };
    let server = connection.server.as_str();
    let settings = match server.strip_prefix("thrift://") {
        Some(address) => ClientSettings::thrift(address, key),
        None => ClientSettings::http(server, key),
    };
    let settings = ClientSettings {
        timeout_ms: connection.timeout_ms,
        retry,
        ..settings
    };
    Ok(Client::connect(settings)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        negative_numbers_are_values(Cli::command()).debug_assert();
    }

    #[test]
    fn a_negative_number_is_the_value_of_its_option() {
        let command = negative_numbers_are_values(Cli::command());
        let words = "plinth cache set orders A-1 x --ttl-ms -5";
        assert!(command.try_get_matches_from(words.split(' ')).is_ok());
    }
}
