//! `plinth serve`: start, tell where, wait for a signal, drain, close.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use plinth_gate::access::FirstKey;
use plinth_security::rbac::OWNER;
use rustix::process::Signal;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::Output;
use crate::compose::{Keeping, Plinth};
use crate::data_dir::DataDir;
use crate::logs::Logs;
use crate::settings::{PlaceArguments, Settings};

/// Run the server
#[derive(Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Address of the HTTP edge
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Address of the Thrift edge
    #[arg(long, value_name = "ADDRESS")]
    thrift: Option<SocketAddr>,
    /// Keep everything in memory and listen on free ports; everything is gone at the end. For tests
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
}

/// What is told once the instance is ready.
#[derive(Serialize)]
struct Announcement {
    version: &'static str,
    http: String,
    thrift: String,
    docs: String,
    data_dir: Option<PathBuf>,
    /// The first key, of the owner; only at the first start, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Where duties are separated, the first keys of the three administrators instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<AnnouncedKey>,
    ready_ms: u128,
}

/// A first key of an administrator.
#[derive(Serialize)]
struct AnnouncedKey {
    role: String,
    tenant: String,
    principal: String,
    key: String,
}

impl AnnouncedKey {
    fn of(key: &FirstKey) -> Self {
        Self {
            role: key.role.as_ref().to_owned(),
            tenant: key.tenant.as_str().to_owned(),
            principal: key.principal.as_str().to_owned(),
            key: key.text.expose().to_owned(),
        }
    }
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(arguments: ServeArguments, output: Output) -> Result<()> {
    let began = Instant::now();
    let mut settings = arguments.place.load()?;
    apply(&mut settings, &arguments);
    let logs = Logs::start(&settings.log)?;
    let (place, keeping) = if arguments.ephemeral {
        (DataDir::ephemeral()?, Keeping::Memory)
    } else {
        (DataDir::open(&settings.data_dir)?, Keeping::Files)
    };
    // Before anything is written: the first key is shown once.
    settings.check_tls()?;
    let http = listen(settings.http.listen, "http").await?;
    let thrift = listen(settings.thrift.listen, "thrift").await?;
    let signals = Signals::new()?;
    let mut plinth = Plinth::build(&settings, &place, &keeping).await?;
    tell_separation(&plinth).await;
    let (owner, administrators): (Vec<_>, Vec<_>) = std::mem::take(&mut plinth.first_keys)
        .into_iter()
        .map(|key| AnnouncedKey::of(&key))
        .partition(|key| key.role == OWNER);
    let announcement = Announcement {
        version: env!("CARGO_PKG_VERSION"),
        http: format!(
            "{}://{}",
            scheme(settings.http.tls.is_some()),
            http.local_addr()?
        ),
        thrift: thrift.local_addr()?.to_string(),
        docs: format!(
            "{}://{}/docs",
            scheme(settings.http.tls.is_some()),
            http.local_addr()?
        ),
        data_dir: (!arguments.ephemeral).then(|| settings.data_dir.clone()),
        key: owner.into_iter().next().map(|key| key.key),
        keys: administrators,
        ready_ms: began.elapsed().as_millis(),
    };
    let stop = CancellationToken::new();
    let edges = Edges::start(&plinth, &settings, http, thrift, &stop);
    plinth.health.serve();
    announce(&announcement, output)?;
    drop(announcement);
    let outcome = signals
        .wait(&logs, arguments.place.settings.as_deref(), edges)
        .await;
    drain(plinth, &settings, stop, outcome).await
}

fn apply(settings: &mut Settings, arguments: &ServeArguments) {
    if arguments.ephemeral {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        (settings.http.listen, settings.thrift.listen) = (free, free);
    }
    if let Some(http) = arguments.http {
        settings.http.listen = http;
    }
    if let Some(thrift) = arguments.thrift {
        settings.thrift.listen = thrift;
    }
}

const fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

async fn listen(address: SocketAddr, edge: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} ({edge}); is another plinth running? --{edge} names another address")
    })
}

fn announce(announcement: &Announcement, output: Output) -> Result<()> {
    output.say(announcement, |told| {
        let data = told.data_dir.as_ref().map_or_else(
            || "in memory: gone at the end".to_owned(),
            |path| path.display().to_string(),
        );
        let mut text = format!(
            "plinth {} is ready after {} ms\n\n  http    {}\n  docs    {}\n  thrift  {}\n  data    {data}\n",
            told.version, told.ready_ms, told.http, told.docs, told.thrift
        );
        if let Some(key) = &told.key {
            text.push_str(&format!(
                "\n  first key (role owner, tenant default), shown this once:\n\n      {key}\n\n  try:  export PLINTH_KEY={key}\n        plinth --server {} access who-am-i\n",
                told.http
            ));
        }
        if !told.keys.is_empty() {
            text.push_str("\n  duties are separated; first keys (tenant default), each shown this once, each for another person:\n\n");
            for key in &told.keys {
                text.push_str(&format!("      {:<15} {}\n", key.role, key.key));
            }
        }
        text
    })
}

/// Where duties are separated, says what of it the data do not have: bindings of `owner` that hold nothing any more, and
/// powers that nobody holds.
async fn tell_separation(plinth: &Plinth) {
    let state = match plinth.access.separation_state().await {
        Ok(Some(state)) => state,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, "it is not known who holds which power: the control plane did not answer");
            return;
        }
    };
    if state.owners > 0 {
        tracing::warn!(
            principals = state.owners,
            "duties are separated: bindings of owner from before hold nothing now; unbind them, or they hold everything again where access.separation goes back to none"
        );
    }
    for role in state.vacant {
        tracing::warn!(
            role,
            "duties are separated, and nobody of the tenant default holds this power; stop the server and run `plinth access recover-key --role {role}`"
        );
    }
}

/// The running edges.
struct Edges {
    tasks: tokio::task::JoinSet<(&'static str, Result<()>)>,
}

impl Edges {
    fn start(
        plinth: &Plinth,
        settings: &Settings,
        http: TcpListener,
        thrift: TcpListener,
        stop: &CancellationToken,
    ) -> Self {
        let mut tasks = tokio::task::JoinSet::new();
        let (services, edge, token) = (plinth.http_services(), settings.http.clone(), stop.clone());
        tasks.spawn(async move {
            (
                "http",
                plinth_http::serve(http, services, edge, token)
                    .await
                    .map_err(Into::into),
            )
        });
        let (services, edge, token) =
            (plinth.rpc_services(), settings.thrift.clone(), stop.clone());
        tasks.spawn(async move {
            (
                "thrift",
                plinth_rpc::serve(thrift, services, edge, token)
                    .await
                    .map_err(Into::into),
            )
        });
        Self { tasks }
    }

    /// Waits for the next edge that ends; `None` once all have.
    async fn ended(&mut self) -> Option<(&'static str, Result<()>)> {
        match self.tasks.join_next().await? {
            Ok(ended) => Some(ended),
            Err(error) => Some(("an edge", Err(error.into()))),
        }
    }
}

/// The signals that the process obeys.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    /// Heard so that it does not end the process: a write past a limit on the size of files then fails like one to a full
    /// disk.
    _file_too_large: tokio::signal::unix::Signal,
}

/// Why serving ended, and the edges that still run.
struct Ended {
    edges: Edges,
    fault: Option<anyhow::Error>,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            _file_too_large: signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for the end: a signal, or an edge that gave up. SIGHUP reads the levels of the log again.
    async fn wait(
        mut self,
        logs: &Logs,
        file: Option<&std::path::Path>,
        mut edges: Edges,
    ) -> Ended {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ended { edges, fault: None },
                _ = self.interrupt.recv() => return Ended { edges, fault: None },
                _ = self.hang_up.recv() => reload(logs, file),
                ended = edges.ended() => {
                    let fault = ended.map(|(edge, outcome)| match outcome {
                        Ok(()) => anyhow::anyhow!("the {edge} edge ended by itself"),
                        Err(error) => error.context(format!("the {edge} edge failed")),
                    });
                    return Ended { edges, fault };
                }
            }
        }
    }
}

fn reload(logs: &Logs, file: Option<&std::path::Path>) {
    let outcome = Settings::load(file).and_then(|settings| logs.change(&settings.log));
    match outcome {
        Ok(()) => tracing::info!("the levels of the log were read again"),
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "settings cannot be read; the old levels stay"
        ),
    }
}

/// Readiness goes false, accepting stops, work in flight ends, files close.
async fn drain(
    plinth: Plinth,
    settings: &Settings,
    stop: CancellationToken,
    ended: Ended,
) -> Result<()> {
    tracing::info!("shutdown begins");
    plinth.health.drain();
    tokio::time::sleep(Duration::from_millis(settings.shutdown.notice_ms)).await;
    plinth.stop_waiting();
    stop.cancel();
    let mut edges = ended.edges;
    while let Some((edge, outcome)) = edges.ended().await {
        if let Err(error) = outcome {
            tracing::error!(
                edge,
                error = format!("{error:#}"),
                "an edge failed while it drained"
            );
        }
    }
    let bound = Duration::from_millis(settings.shutdown.close_timeout_ms);
    if tokio::time::timeout(bound, plinth.close()).await.is_err() {
        bail!(
            "blocks did not close within {} ms; everything acknowledged is on disk",
            bound.as_millis()
        );
    }
    tracing::info!("shutdown is done");
    ended.fault.map_or(Ok(()), Err)
}
