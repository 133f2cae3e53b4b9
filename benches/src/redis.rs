//! The peer: a Redis of this run's own and its `redis-benchmark`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// How often a connection is tried before Redis counts as not started.
const TRIES: u32 = 100;

/// A Redis without persistence on a free port.
pub(crate) struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts it and waits until it listens. Errors: Debian's `redis-server` is not installed.
    pub(crate) async fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let child = Command::new("redis-server")
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
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start redis-server; apt-get install redis-server redis-tools")?;
        for _ in 0..TRIES {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(Self { child, port });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("redis-server does not listen")
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
