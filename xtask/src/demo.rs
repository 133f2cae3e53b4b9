//! `cargo xtask demo`: builds, serves on embedded defaults, runs the onboarding flow, shows what it proved, stays up.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::{services, workspace};

/// How much of the flow is run.
#[derive(Args)]
pub(crate) struct DemoArguments {
    /// End after the proofs: status 0 where they hold, 1 where one does not
    #[arg(long)]
    exit: bool,
    /// How many merchants apply
    #[arg(long, default_value_t = 200)]
    applications: u32,
    /// How many applications are under way at once
    #[arg(long, default_value_t = 16)]
    concurrency: u32,
    /// How the business service talks to Plinth: thrift or http
    #[arg(long, default_value = "thrift")]
    transport: String,
    /// Kill Plinth without warning in the middle, and start it again
    #[arg(long)]
    kill_plinth: bool,
    /// Keep cached values and locks in the Redis of `cargo xtask services`, which is started where it does not run
    #[arg(long)]
    redis: bool,
}

/// Runs the demo.
pub(crate) fn run(arguments: &DemoArguments) -> Result<()> {
    let programs = workspace::build_programs()?;
    let data_dir = workspace::root().join("target/demo");
    if data_dir.exists() {
        std::fs::remove_dir_all(&data_dir).context("cannot remove the data of the last demo")?;
    }
    let mut command = Command::new(programs.join("merchant-onboarding"));
    command
        .arg("--plinth")
        .arg(programs.join("plinth"))
        .arg("--data-dir")
        .arg(&data_dir)
        .args(["--applications", &arguments.applications.to_string()])
        .args(["--concurrency", &arguments.concurrency.to_string()])
        .args(["--transport", &arguments.transport]);
    if arguments.kill_plinth {
        command.arg("--kill-plinth");
    }
    if arguments.redis {
        // Not among the arguments, which every process can see.
        command.env("ONBOARDING_REDIS_URL", services::redis_url()?);
        println!("redis: `cargo xtask services down` ends it");
    }
    if !arguments.exit {
        command.arg("--stay");
    }
    let status = command
        .status()
        .context("cannot start the onboarding example")?;
    ensure!(status.success(), "a proof does not hold");
    Ok(())
}
