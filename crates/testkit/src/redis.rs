//! Redis servers of a test's own, to be killed, emptied, paused and failed over.
//!
//! Each is a process of Debian's `redis-server` on a free loopback port with a folder of its own, known by its process id and
//! killed when its value is dropped. The user `plinth` may do everything; the user `default` is off.

mod groups;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::Rng as _;
use tokio::process::{Child, Command};

pub use groups::{RedisCluster, RedisSentinels};

/// The server.
const SERVER: &str = "redis-server";
/// The client by which a test gives orders.
const CLIENT: &str = "redis-cli";
/// How long a server may take to answer, in milliseconds; a busy test machine is slow.
const START_MS_MAX: u64 = 30_000;
/// Between two looks at something that gives no event, in milliseconds.
const LOOK_EVERY_MS: u64 = 20;
/// Password of the user `plinth`.
pub const PASSWORD: &str = "a-password-for-tests";

/// Whether `redis-server` is there; says so where it is not.
///
/// # Panics
///
/// Where it is not and the variable `CI` is `true`: in CI no test passes because its service is missing.
#[must_use]
#[expect(
    clippy::print_stderr,
    reason = "this is called by tests, which answer on standard error"
)]
pub fn is_installed() -> bool {
    let found = std::process::Command::new(SERVER)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let installed = found.is_ok_and(|status| status.success());
    if !installed {
        let advice = "redis-server is not installed: run `cargo xtask services up`";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{advice}");
        eprintln!("skipped: {advice}");
    }
    installed
}

/// One server.
pub struct RedisProcess {
    settings: String,
    arguments: &'static [&'static str],
    port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

/// Where the servers listen.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Ports that are tried before none counts as free.
const PORT_TRIES: usize = 100;

impl RedisProcess {
    /// Starts a server that keeps nothing on disk, with more settings in the form of `redis.conf`.
    pub async fn start(settings: &str) -> Result<Self> {
        Self::start_as(free_port()?, settings, &[]).await
    }

    async fn start_as(
        port: u16,
        settings: &str,
        arguments: &'static [&'static str],
    ) -> Result<Self> {
        let mut server = Self {
            settings: settings.to_owned(),
            arguments,
            port,
            folder: tempfile::tempdir()?,
            child: None,
        };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again on its port after [`RedisProcess::kill`]; it begins empty, unless its settings keep its data.
    pub async fn restart(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("the server still runs");
        }
        let file = self.folder.path().join("redis.conf");
        std::fs::write(&file, self.file())?;
        let mut child = Command::new(SERVER)
            .arg(&file)
            .args(self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start redis-server")?;
        let answers = wait_for("an answer", || self.ask(&["PING"]), |text| text == "PONG");
        tokio::select! {
            ended = child.wait() => bail!("redis-server ended with {}", ended?),
            answered = answers => answered?,
        };
        self.child = Some(child);
        Ok(())
    }

    fn file(&self) -> String {
        let Self { port, settings, .. } = self;
        format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nappendonly no\nlogfile server.log\n\
             user default off\nuser plinth on >{PASSWORD} ~* &* +@all\n\
             masteruser plinth\nmasterauth {PASSWORD}\nrepl-diskless-sync-delay 0\n{settings}\n",
            self.folder.path().display()
        )
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its folder: where it finds files that its settings name.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL by which it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        url_at(self.address())
    }

    /// Kills it as a power cut would, and waits until it is gone. Its port stays its own.
    pub async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the server does not run")?;
        child.kill().await.context("cannot kill the server")
    }

    /// Stops its process where it stands: connections stay open and nothing answers.
    pub async fn pause(&self) -> Result<()> {
        self.signal("-STOP").await
    }

    /// Lets it go on after [`RedisProcess::pause`].
    pub async fn resume(&self) -> Result<()> {
        self.signal("-CONT").await
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        let id = self.child.as_ref().and_then(Child::id);
        let id = id.context("the server does not run")?.to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await?;
        if !sent.success() {
            bail!("cannot signal the server");
        }
        Ok(())
    }

    /// Gives it an order in the words of `redis-cli` and returns what it prints. Errors: refused, or no answer.
    pub async fn ask(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(CLIENT)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["--user", "plinth", "-e"])
            .args(words)
            .env("REDISCLI_AUTH", PASSWORD)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run redis-cli")?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() {
            bail!(
                "{words:?}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(text)
    }

    /// Gives an order again and again until what it prints is as wanted. Errors: not so in 30 s.
    pub async fn ask_until(&self, words: &[&str], wanted: impl Fn(&str) -> bool) -> Result<String> {
        wait_for(&format!("{words:?}"), || self.ask(words), wanted).await
    }
}

/// The URL of a server, or of a proxy in front of one.
#[must_use]
pub fn url_at(address: SocketAddr) -> String {
    format!("redis://plinth:{PASSWORD}@{address}")
}

/// A port that nobody else is given while its server is killed: below those that the machine hands out by itself (from 32,768
/// on unless told otherwise).
fn free_port() -> Result<u16> {
    let mut random = rand::rng();
    (0..PORT_TRIES)
        .map(|_| random.random_range(PORTS))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port")
}

async fn wait_for<F>(
    what: &str,
    ask: impl Fn() -> F,
    wanted: impl Fn(&str) -> bool,
) -> Result<String>
where
    F: Future<Output = Result<String>>,
{
    let mut last = String::new();
    let asking = async {
        loop {
            match ask().await {
                Ok(text) if wanted(&text) => return text,
                Ok(text) => last = text,
                Err(error) => last = error.to_string(),
            }
            // Another program's state gives no event to wait for.
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_millis(START_MS_MAX), asking).await;
    asked.with_context(|| format!("waited in vain for {what}; last: {last}"))
}
