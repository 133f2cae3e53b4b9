//! `cargo xtask test`: everything that must hold before a change lands.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{services, tidy, workspace};

/// Runs every check, stops at the first that fails, and says at the end how long each took.
pub(crate) fn run() -> Result<()> {
    let mut took = Vec::new();
    step(&mut took, "services", || {
        services::run(services::ServicesCommand::Up)
    })?;
    step(&mut took, "format", || {
        workspace::run_cargo(&["fmt", "--all", "--check"])
    })?;
    step(&mut took, "lints", || {
        workspace::run_cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    step(&mut took, "tidy", tidy::check)?;
    step(&mut took, "tests", || {
        workspace::run_cargo(&["test", "--workspace", "--no-fail-fast"])
    })?;
    step(&mut took, "foreign clients", foreign_clients)?;
    println!("\n━━ all checks passed");
    for (name, took) in &took {
        println!("   {name:<16} {:>7.1} s", took.as_secs_f64());
    }
    Ok(())
}

fn step(
    took: &mut Vec<(&'static str, Duration)>,
    name: &'static str,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    println!("\n━━ {name}");
    let began = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    took.push((name, began.elapsed()));
    Ok(())
}

/// Runs each client under `clients/` that speaks another language against a server of its own.
fn foreign_clients() -> Result<()> {
    let root = workspace::root();
    let programs = workspace::build_programs()?;
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(root.join("clients"))?
        .filter_map(|entry| Some(entry.ok()?.path().join("run.sh")))
        .filter(|script| script.is_file())
        .collect();
    scripts.sort();
    ensure!(!scripts.is_empty(), "there is no client under clients/");
    for script in scripts {
        println!(
            "   {}",
            script.strip_prefix(&root).unwrap_or(&script).display()
        );
        let server = workspace::EphemeralServer::start(&programs)?;
        let told = &server.announcement;
        let speaks_http = script
            .parent()
            .is_some_and(|folder| folder.ends_with("curl"));
        let address = if speaks_http {
            &told.http
        } else {
            &told.thrift
        };
        let status = Command::new("bash")
            .arg(&script)
            .args([address, &told.key])
            .current_dir(&root)
            .status()?;
        if !status.success() {
            bail!("{} ended with {status}", script.display());
        }
    }
    Ok(())
}
