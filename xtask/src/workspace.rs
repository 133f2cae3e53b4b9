//! Where things stand in the workspace, and how its programs are built and started.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The folder of the root `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// The cargo that runs this tool.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs cargo in the workspace. Errors: it cannot be run, or says no.
pub(crate) fn run_cargo(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(cargo());
    command.args(arguments).current_dir(root());
    // Cargo tells its own children which package runs; they must not take it for theirs.
    command
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_PKG_NAME");
    let status = command.status().context("cannot run cargo")?;
    ensure!(
        status.success(),
        "`cargo {}` ended with {status}",
        arguments.join(" ")
    );
    Ok(())
}

/// Builds the programs and returns the folder that they are in. The whole workspace is built with one set of features, the
/// same that the tests use, so that nothing is built twice.
pub(crate) fn build_programs() -> Result<PathBuf> {
    run_cargo(&["build", "--workspace", "--bins"])?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("debug"))
}

/// A server in memory on free ports; it ends with the value.
pub(crate) struct EphemeralServer {
    child: Child,
    /// Where it listens, and its key.
    pub(crate) announcement: Announcement,
}

/// What a server tells when it is ready.
#[derive(Deserialize)]
pub(crate) struct Announcement {
    /// `http://127.0.0.1:…`
    pub(crate) http: String,
    /// `127.0.0.1:…`
    pub(crate) thrift: String,
    /// Its first key.
    pub(crate) key: String,
}

impl EphemeralServer {
    /// Starts `plinth serve --ephemeral` and waits until it is ready.
    pub(crate) fn start(programs: &Path) -> Result<Self> {
        let mut child = Command::new(programs.join("plinth"))
            .args(["serve", "--ephemeral", "--output", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start plinth")?;
        let stdout = child.stdout.take().context("plinth has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let announcement =
            serde_json::from_str(&line).with_context(|| format!("plinth said: {line}"))?;
        Ok(Self {
            child,
            announcement,
        })
    }
}

impl Drop for EphemeralServer {
    fn drop(&mut self) {
        // It keeps nothing: there is nothing to end gracefully, and one that ended by itself cannot be killed.
        let _ended = self.child.kill().is_ok();
        let _collected = self.child.wait().is_ok();
    }
}
