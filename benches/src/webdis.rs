//! The peer over HTTP: a webdis of this run's own in front of a Redis.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// How long webdis may take to start.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two attempts to reach it: it does not say when it listens.
const ATTEMPT_EVERY: Duration = Duration::from_millis(20);

/// A webdis with as many threads as this machine has cores.
pub struct Webdis {
    child: Child,
    _settings: tempfile::TempDir,
    /// Where it listens.
    pub address: String,
}

impl Webdis {
    /// Starts it and waits until it listens. Errors: Debian's `webdis` is not installed.
    pub async fn start(redis_port: u16) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let threads = std::thread::available_parallelism()?;
        let place = tempfile::tempdir()?;
        let file = place.path().join("webdis.json");
        let settings = format!(
            r#"{{"redis_host":"127.0.0.1","redis_port":{redis_port},"http_host":"127.0.0.1","http_port":{port},
                "threads":{threads},"pool_size":20,"daemonize":false,"database":0,"verbosity":1,"logfile":"/dev/null"}}"#
        );
        tokio::fs::write(&file, settings).await?;
        let child = Command::new("webdis")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start webdis; apt-get install webdis")?;
        let address = format!("127.0.0.1:{port}");
        let listening = async {
            while TcpStream::connect(&address).await.is_err() {
                tokio::time::sleep(ATTEMPT_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, listening)
            .await
            .context("webdis does not listen")?;
        Ok(Self {
            child,
            _settings: place,
            address,
        })
    }

    /// Ends it.
    pub async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("cannot end webdis")
    }
}
