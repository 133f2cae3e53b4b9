//! The peer: a Redis of this run's own and its `redis-benchmark`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::load::Sample;

/// How long Redis may take to start.
const PATIENCE: Duration = Duration::from_secs(5);

/// A Redis without persistence on a free port.
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts it and waits until it listens. Errors: Debian's `redis-server` is not installed.
    pub async fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let mut child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start redis-server; apt-get install redis-server redis-tools")?;
        let log = child.stdout.take().context("redis-server has no output")?;
        let mut lines = BufReader::new(log).lines();
        timeout(PATIENCE, listening(&mut lines))
            .await
            .context("redis-server does not listen")??;
        // It goes on writing; a pipe that nobody reads would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, port })
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Stores a value by `redis-cli`.
    pub async fn set(&self, key: &str, value: &str) -> Result<()> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "set", key, value])
            .output()
            .await
            .context("cannot run redis-cli")?;
        ensure!(output.status.success(), "redis-cli failed");
        Ok(())
    }

    /// Runs `redis-benchmark` without pipelining with values of 100 bytes: SET and GET.
    pub async fn benchmark(&self, connections: usize, requests: usize) -> Result<(Sample, Sample)> {
        let tests = ["-d", "100", "-t", "set,get"];
        let text = self.run(connections, requests, &tests).await?;
        Ok((sample(&text, "SET")?, sample(&text, "GET")?))
    }

    /// Runs one command many times by `redis-benchmark`.
    pub async fn benchmark_command(
        &self,
        connections: usize,
        requests: usize,
        command: &[&str],
    ) -> Result<Sample> {
        let text = self.run(connections, requests, command).await?;
        sample(&text, "")
    }

    async fn run(&self, connections: usize, requests: usize, what: &[&str]) -> Result<String> {
        let (port, connections) = (self.port.to_string(), connections.to_string());
        let output = Command::new("redis-benchmark")
            .args(["-p", &port, "-c", &connections, "-n", &requests.to_string()])
            .arg("--csv")
            .args(what)
            .output()
            .await
            .context("cannot run redis-benchmark")?;
        ensure!(output.status.success(), "redis-benchmark failed");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends it.
    pub async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("cannot end redis-server")
    }
}

/// Reads its log until it says that it listens. Errors: it ended before.
async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<()> {
    while let Some(line) = lines.next_line().await? {
        if line.contains("Ready to accept connections") {
            return Ok(());
        }
    }
    anyhow::bail!("redis-server ended before it listened")
}

/// Reads the line of a test, whose name begins so: rate in the second column, median in the fifth.
fn sample(text: &str, test: &str) -> Result<Sample> {
    let line = text
        .lines()
        .filter(|line| !line.starts_with("\"test\""))
        .find(|line| line.starts_with(&format!("\"{test}")))
        .with_context(|| format!("redis-benchmark said nothing of {test}"))?;
    // Counted from the end: a command's own text may hold commas.
    let columns: Vec<&str> = line.rsplit("\",\"").collect();
    let column = |from_end: usize| {
        let text = columns.get(from_end).copied().unwrap_or_default();
        text.trim_matches('"').parse::<f64>()
    };
    Ok(Sample {
        per_second: column(6)?,
        p50_ms: column(3)?,
    })
}
