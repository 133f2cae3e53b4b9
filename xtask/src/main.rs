//! The project's own tools: `cargo xtask <command>`.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]

mod services;
mod workspace;

use clap::{Parser, Subcommand};

/// The project's own tools.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Private PostgreSQL and MariaDB for the tests.
    #[command(subcommand)]
    Services(services::ServicesCommand),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Services(command) => services::run(command),
    }
}
