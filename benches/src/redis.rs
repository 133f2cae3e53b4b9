//! The peer: a Redis of this run's own and its `redis-benchmark`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long Redis may take to start.
const PATIENCE: Duration = Duration::from_secs(5);

/// A Redis without persistence on a free port.
pub(crate) struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts it and waits until it listens. Errors: Debian's `redis-server` is not installed.
    pub(crate) async fn start() -> Result<Self> {
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

    /// Runs `redis-benchmark` without pipelining with values of 100 bytes: SET and GET a second.
    pub(crate) async fn benchmark(
        &self,
        connections: usize,
        requests: usize,
    ) -> Result<(f64, f64)> {
        let output = Command::new("redis-benchmark")
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                &connections.to_string(),
                "-n",
                &requests.to_string(),
            ])
            .args(["-d", "100", "-t", "set,get", "--csv"])
            .output()
            .await
            .context("cannot run redis-benchmark")?;
        ensure!(output.status.success(), "redis-benchmark failed");
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = |test: &str| {
            text.lines()
                .find(|line| line.starts_with(&format!("\"{test}\"")))
                .and_then(|line| {
                    line.split(',')
                        .nth(1)?
                        .trim_matches('"')
                        .parse::<f64>()
                        .ok()
                })
                .with_context(|| format!("redis-benchmark said nothing of {test}"))
        };
        Ok((rate("SET")?, rate("GET")?))
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
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
