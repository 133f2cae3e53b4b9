//! A real `plinth serve` in a process of its own, ended by its process id.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use plinth_client::{Client, ClientSettings, RetryPolicy};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a start may take, in milliseconds; a debug build on a busy machine is slow.
const START_MS_MAX: u64 = 60_000;
/// How long a graceful end may take, in milliseconds.
const STOP_MS_MAX: u64 = 30_000;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Keeps its files here; `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Settings by the name of their environment variable: `PLINTH__LOG__FILTER`.
    pub settings: Vec<(String, String)>,
    /// Addresses to listen on again after a restart: HTTP and Thrift. `None` takes free ports.
    pub addresses: Option<(String, String)>,
}

/// A running server. It is killed when the value is dropped.
pub struct Server {
    child: Child,
    announcement: Announcement,
}

/// What a server tells when it is ready.
#[derive(Clone, Debug, Deserialize)]
pub struct Announcement {
    /// `http://127.0.0.1:…`
    pub http: String,
    /// `127.0.0.1:…`
    pub thrift: String,
    /// The first key, at the first start of a data directory.
    pub key: Option<String>,
    /// Where duties are separated, the first keys of the administrators, at the first start of a data directory.
    #[serde(default)]
    pub keys: Vec<AnnouncedKey>,
    /// Milliseconds from its start to ready, by its own clock.
    pub ready_ms: u64,
}

/// The first key of one administrator.
#[derive(Clone, Debug, Deserialize)]
pub struct AnnouncedKey {
    /// The role of its holder.
    pub role: String,
    /// Its text.
    pub key: String,
}

impl Announcement {
    /// The client of a history, on one transport or the other by its number, without retries: a call that is made twice may
    /// take effect twice.
    pub fn client_of_a_history(&self, key: &str, number: u32) -> Result<Client> {
        let mut settings = match number % 2 {
            0 => ClientSettings::thrift(self.thrift.clone(), key),
            _ => ClientSettings::http(self.http.clone(), key),
        };
        settings.retry = RetryPolicy {
            attempts_max: 1,
            ..RetryPolicy::default()
        };
        Ok(Client::connect(settings)?)
    }
}

impl Server {
    /// Starts a server and waits until it is ready. Errors: it ended, or is not ready in time.
    pub async fn start(binary: &Path, options: &ServerOptions) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["serve", "--output", "json"]);
        match &options.data_dir {
            Some(directory) => command.arg("--data-dir").arg(directory),
            None => command.arg("--ephemeral"),
        };
        let free = ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned());
        let (http, thrift) = options.addresses.clone().unwrap_or(free);
        command.args([
            "--http",
            http.trim_start_matches("http://"),
            "--thrift",
            &thrift,
        ]);
        command.envs(options.settings.iter().map(|(name, value)| (name, value)));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let bound = Duration::from_millis(START_MS_MAX);
        let line = tokio::time::timeout(bound, lines.next_line())
            .await
            .context("the server was not ready in time")??;
        let Some(line) = line else {
            bail!("the server ended with {}", child.wait().await?);
        };
        let announcement =
            serde_json::from_str(&line).with_context(|| format!("the server said: {line}"))?;
        Ok(Self {
            child,
            announcement,
        })
    }

    /// What it told when it was ready.
    #[must_use]
    pub const fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// A client of each transport, under a key: HTTP, then Thrift.
    pub fn clients(&self, key: &str) -> Result<[Client; 2]> {
        Ok([
            Client::connect(ClientSettings::http(self.announcement.http.clone(), key))?,
            Client::connect(ClientSettings::thrift(
                self.announcement.thrift.clone(),
                key,
            ))?,
        ])
    }

    /// The first key. Errors: the data directory had one already.
    pub fn first_key(&self) -> Result<&str> {
        self.announcement
            .key
            .as_deref()
            .context("this was not the first start")
    }

    /// The first key of an administrator. Errors: duties are not separated, or this was not the first start.
    pub fn first_key_of(&self, role: &str) -> Result<&str> {
        let keys = &self.announcement.keys;
        keys.iter()
            .find(|key| key.role == role)
            .map(|key| key.key.as_str())
            .with_context(|| format!("no first key of {role} was announced"))
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the server")
    }

    /// Asks it to end and waits until it has; errors where it does not end well or in time.
    pub async fn stop(mut self) -> Result<()> {
        let id = self.child.id().context("the server has ended already")?;
        let ended = Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status()
            .await?;
        if !ended.success() {
            bail!("cannot signal the server");
        }
        let bound = Duration::from_millis(STOP_MS_MAX);
        let status = tokio::time::timeout(bound, self.child.wait())
            .await
            .context("the server did not end in time")??;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}
