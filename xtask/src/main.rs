//! The project's own tools: `cargo xtask <command>`.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]

mod demo;
mod layers;
mod services;
mod test;
mod tidy;
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
    /// Build, serve on embedded defaults, run the onboarding flow, show what it proved, stay up.
    Demo(demo::DemoArguments),
    /// Everything that must hold before a change lands.
    Test,
    /// Arrows between crates, file lengths, catalogue coverage, compatibility of IDL and OpenAPI.
    Tidy,
    /// Write the generated documents anew.
    Docs,
    /// Private PostgreSQL and MariaDB for the tests.
    #[command(subcommand)]
    Services(services::ServicesCommand),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test => test::run(),
        Command::Tidy => tidy::check(),
        Command::Docs => tidy::documents(true),
        Command::Services(command) => services::run(command),
    }
}
