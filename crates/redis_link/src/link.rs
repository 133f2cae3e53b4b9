//! The link: every command of every caller goes through here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plinth_core::{Error, Outcome, Result as CoreResult};
use plinth_resilience::Backoff;
use redis::{Cmd, Value};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::cluster::Cluster;
use crate::error::{LinkError, Refusal};
use crate::gauges::{Gauges, LinkNumbers};
use crate::lane::{LaneRules, Live};
use crate::script::Script;
use crate::sentinel::Sentinels;
use crate::server::Server;
use crate::settings::{Address, Deployment, RedisSettings, Target};
use crate::slot::Slot;
use crate::supervise::Task;
use crate::topology::Topology;
use crate::wire::{Dialer, ServerInfo, evicted_keys, refusal_of, send, send_all};

/// Most callers that wait for a place among the commands under way; one more is refused (1009).
pub const QUEUED_MAX: u64 = 20_000;
/// Most times that one command follows a cluster to another server.
pub const REDIRECTS_MAX: u32 = 5;
/// The pause before a command is tried again that found its slot on the move, in milliseconds.
const MOVING_WAIT_MS: u64 = 20;

/// The way to Redis; ends with its last owner.
pub struct RedisLink {
    pub(crate) topology: watch::Receiver<Arc<Topology>>,
    pub(crate) rules: Arc<LaneRules>,
    places: Arc<Semaphore>,
    in_flight_max: usize,
    answer_within: Duration,
    _task: Option<Task>,
}

/// How well Redis can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkHealth {
    /// Primaries that are known.
    pub servers: usize,
    /// Primaries to which a connection stands.
    pub reached: usize,
    /// Why not all are, or none is known.
    pub reason: Option<String>,
}

/// What is sent: something that each server is told in its own words.
enum Call<'call> {
    One(&'call Cmd),
    Many(&'call redis::Pipeline),
    Script {
        script: &'call Script,
        keys: &'call [&'call [u8]],
        args: &'call [&'call [u8]],
    },
}

impl RedisLink {
    /// Begins to reach Redis; returns before it is reached. To be called inside a runtime.
    ///
    /// Errors: 1001 naming the setting, also where the file of the authorities cannot be used.
    pub fn start(settings: &RedisSettings) -> CoreResult<Arc<Self>> {
        settings.validate()?;
        let target = Target::parse(&settings.url)?;
        let answer_within = Duration::from_millis(settings.command_timeout_ms);
        let rules = Arc::new(LaneRules {
            dialer: Dialer::new(settings, &target)?,
            backoff: Backoff {
                first_ms: settings.reconnect_first_ms,
                max_ms: settings.reconnect_max_ms,
            },
            heartbeat: Duration::from_millis(settings.heartbeat_ms),
            answer_within,
            primaries_only: target.deployment != Deployment::Single,
            gauges: Gauges::default(),
            doubt: Notify::new(),
        });
        let (topology, task) = discover(settings, target, &rules)?;
        Ok(Arc::new(Self {
            topology,
            rules,
            places: Arc::new(Semaphore::new(settings.in_flight_max)),
            in_flight_max: settings.in_flight_max,
            answer_within,
            _task: task,
        }))
    }

    /// Runs one command on the server of a slot. Errors: see [`LinkError::outcome`].
    pub async fn run(&self, slot: Slot, command: &Cmd) -> Result<Value, LinkError> {
        let mut answers = self.call(slot, Call::One(command)).await?;
        answers.pop().ok_or_else(too_few)
    }

    /// Runs commands on the server of a slot in one go; one answer for each, in order. They are no one step: between two of
    /// them another caller's may be done. For reads: where one is refused, all are.
    pub async fn read_all(
        &self,
        slot: Slot,
        commands: impl IntoIterator<Item = Cmd>,
    ) -> Result<Vec<Value>, LinkError> {
        let mut pipeline = redis::Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        // The library would turn the whole answer into the first refusal; here each is looked at.
        pipeline.ignore_errors();
        let count = pipeline.len();
        let answers = self.call(slot, Call::Many(&pipeline)).await?;
        if answers.len() == count {
            Ok(answers)
        } else {
            Err(too_few())
        }
    }

    /// Runs a script on the server of a slot, where all its keys must lie. `ARGV[1]` is the server's `run_id`, `args` follow.
    pub async fn eval(
        &self,
        slot: Slot,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Value, LinkError> {
        let call = Call::Script { script, keys, args };
        let mut answers = self.call(slot, call).await?;
        answers.pop().ok_or_else(too_few)
    }

    /// What the server of a slot says of itself. Errors: it cannot be reached.
    pub async fn server(&self, slot: Slot) -> Result<Arc<ServerInfo>, LinkError> {
        let live = self.known(slot).await?.live().await?;
        Ok(live.server)
    }

    /// The primaries that are known now.
    #[must_use]
    pub fn primaries(&self) -> Vec<Address> {
        let topology = self.topology.borrow();
        topology
            .servers
            .iter()
            .map(|server| server.address.clone())
            .collect()
    }

    /// Numbers for the metrics.
    #[must_use]
    pub fn numbers(&self) -> LinkNumbers {
        self.rules.gauges.read()
    }

    /// Keys that the primaries have evicted since each was started. Errors: one of them does not tell.
    pub async fn evicted_keys(&self) -> Result<u64, LinkError> {
        let servers = self.topology.borrow().servers.clone();
        let mut evicted = 0_u64;
        for server in servers {
            let live = server.live().await?;
            let asking = evicted_keys(&live.connection);
            let told = tokio::time::timeout(self.answer_within, asking).await;
            let told = told.unwrap_or_else(|_| Err(self.late()));
            evicted = evicted.saturating_add(told?);
        }
        Ok(evicted)
    }

    /// How well Redis can be reached, as of now.
    #[must_use]
    pub fn health(&self) -> LinkHealth {
        let topology = self.topology.borrow();
        let away: Vec<_> = topology
            .servers
            .iter()
            .filter(|server| server.live_now().is_none())
            .collect();
        let reason = match (topology.server(crate::slot::slot_of(b"")), away.first()) {
            (_, Some(server)) => Some(server.away().reason()),
            (Err(error), None) => Some(error.reason()),
            (Ok(_), None) => None,
        };
        LinkHealth {
            servers: topology.servers.len(),
            reached: topology.servers.len().saturating_sub(away.len()),
            reason,
        }
    }

    async fn call(&self, slot: Slot, call: Call<'_>) -> Result<Vec<Value>, LinkError> {
        let _place = self.place().await?;
        let _under_way = self.rules.gauges.in_flight();
        let deadline = tokio::time::Instant::now() + self.answer_within;
        let mut server = self.known(slot).await?;
        let mut asking = false;
        for _ in 0..=REDIRECTS_MAX {
            let live = server.live().await?;
            let answered = self.send(&live, &call, asking, deadline).await;
            let refused = match answered {
                Err(LinkError::Refused { refusal, text }) => (refusal, text),
                Err(error) => {
                    if error.outcome() == Outcome::Unknown {
                        self.rules.gauges.unknown();
                    }
                    return Err(error);
                }
                Ok(answers) => return Ok(answers),
            };
            asking = false;
            match self.next(&live, refused.0, &refused.1).await? {
                Next::GiveUp => {
                    return Err(LinkError::Refused {
                        refusal: refused.0,
                        text: refused.1,
                    });
                }
                Next::Again => server = self.known(slot).await?,
                Next::At(other) => server = other,
                Next::AskAt(other) => (server, asking) = (other, true),
            }
            if tokio::time::Instant::now() >= deadline {
                break;
            }
        }
        Err(LinkError::Refused {
            refusal: Refusal::ClusterDown,
            text: "the cluster keeps sending from one server to another".to_owned(),
        })
    }

    /// What to do about a refusal: only where it says that another server is to be asked, or this one again.
    async fn next(&self, live: &Live, refusal: Refusal, text: &str) -> Result<Next, LinkError> {
        if refusal == Refusal::ReadOnly {
            // A primary that was made a replica: the next command must not find it again.
            if self.rules.primaries_only {
                live.suspect();
            }
            self.rules.doubt.notify_one();
            return Ok(Next::GiveUp);
        }
        let mut words = text.split(' ');
        let (code, target) = (
            words.next().unwrap_or_default(),
            words.nth(1).and_then(Address::parse),
        );
        match (code, target) {
            ("TRYAGAIN", _) => {
                tokio::time::sleep(Duration::from_millis(MOVING_WAIT_MS)).await;
                Ok(Next::Again)
            }
            ("MOVED" | "ASK", Some(target)) => {
                self.rules.gauges.redirected();
                if code == "MOVED" {
                    self.rules.doubt.notify_one();
                }
                let target = self.named(target, live);
                Ok(if code == "ASK" {
                    Next::AskAt(target)
                } else {
                    Next::At(target)
                })
            }
            ("CLUSTERDOWN", _) => {
                self.rules.doubt.notify_one();
                Ok(Next::GiveUp)
            }
            _ => Ok(Next::GiveUp),
        }
    }

    /// The server that a redirection names: known, or reached for this command alone.
    fn named(&self, mut address: Address, live: &Live) -> Arc<Server> {
        if address.host.is_empty() {
            address.host.clone_from(&live.address.host);
        }
        let known = self.topology.borrow().at(&address);
        known.unwrap_or_else(|| Server::start(address, 1, &self.rules))
    }

    /// The server of a slot; waits for the first discovery.
    async fn known(&self, slot: Slot) -> Result<Arc<Server>, LinkError> {
        let found = self.topology.borrow().server(slot);
        if found.is_ok() || !self.topology.borrow().is_beginning() {
            return found;
        }
        let mut topology = self.topology.clone();
        let first = topology.wait_for(|topology| !topology.is_beginning());
        match tokio::time::timeout(self.rules.dialer.timeout(), first).await {
            Ok(Ok(topology)) => topology.server(slot),
            Ok(Err(_)) | Err(_) => found,
        }
    }

    /// A place among the commands under way. Errors: too many wait already, or none came free in time; nothing was sent.
    async fn place(&self) -> Result<OwnedSemaphorePermit, LinkError> {
        let overloaded = || LinkError::Overloaded {
            in_flight_max: self.in_flight_max,
        };
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        if self.rules.gauges.waiting() >= QUEUED_MAX {
            return Err(overloaded());
        }
        let _queued = self.rules.gauges.queued();
        let since = Instant::now();
        let acquiring = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(self.answer_within, acquiring).await;
        self.rules.gauges.waited(since.elapsed());
        match place {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }

    async fn send(
        &self,
        live: &Live,
        call: &Call<'_>,
        asking: bool,
        deadline: tokio::time::Instant,
    ) -> Result<Vec<Value>, LinkError> {
        let sent = Instant::now();
        let answered = tokio::time::timeout_at(deadline, told(live, call, asking)).await;
        self.rules.gauges.answered(sent);
        answered.unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> LinkError {
        LinkError::TimedOut {
            after_ms: u64::try_from(self.answer_within.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

enum Next {
    GiveUp,
    Again,
    At(Arc<Server>),
    AskAt(Arc<Server>),
}

/// Tells a server what to do and takes its answers; the first refusal refuses all.
async fn told(live: &Live, call: &Call<'_>, asking: bool) -> Result<Vec<Value>, LinkError> {
    if live.is_closed() {
        return Err(LinkError::not_connected(format!(
            "{}: it was closed",
            live.address
        )));
    }
    if asking {
        return told_asking(live, call).await;
    }
    match call {
        Call::One(command) => Ok(vec![send(&live.connection, command).await?]),
        Call::Many(pipeline) => {
            let answers = send_all(&live.connection, pipeline).await?;
            answers.into_iter().map(refusal_of).collect()
        }
        Call::Script { script, keys, args } => {
            let by_hash = script.by_hash(&live.server.run_id, keys, args);
            match send(&live.connection, &by_hash).await {
                Err(LinkError::Refused {
                    refusal: Refusal::NoScript,
                    ..
                }) => {
                    let by_text = script.by_text(&live.server.run_id, keys, args);
                    Ok(vec![send(&live.connection, &by_text).await?])
                }
                answered => Ok(vec![answered?]),
            }
        }
    }
}

/// The same for a slot that is on the move: `ASKING` goes before each command, in one pipeline.
async fn told_asking(live: &Live, call: &Call<'_>) -> Result<Vec<Value>, LinkError> {
    let mut pipeline = redis::Pipeline::new();
    pipeline.ignore_errors();
    let mut ask = |command: Cmd| {
        pipeline.add_command(redis::cmd("ASKING"));
        pipeline.add_command(command);
    };
    match call {
        Call::One(command) => ask((*command).clone()),
        Call::Many(commands) => commands.cmd_iter().for_each(|command| ask(command.clone())),
        Call::Script { script, keys, args } => ask(script.by_text(&live.server.run_id, keys, args)),
    }
    let answers = send_all(&live.connection, &pipeline).await?;
    answers
        .into_iter()
        .skip(1)
        .step_by(2)
        .map(refusal_of)
        .collect()
}

fn too_few() -> LinkError {
    LinkError::Unexpected {
        text: "fewer answers than commands".to_owned(),
    }
}

type Discovery = (watch::Receiver<Arc<Topology>>, Option<Task>);

/// Starts to find the servers.
fn discover(
    settings: &RedisSettings,
    target: Target,
    rules: &Arc<LaneRules>,
) -> CoreResult<Discovery> {
    let lanes = settings.connections;
    let first = target.addresses.first().cloned();
    let first = first.ok_or_else(|| Error::invalid("redis.url", "names no server"))?;
    Ok(match target.deployment.clone() {
        Deployment::Single => {
            let one = Topology::one(Server::start(first, lanes, rules));
            (watch::channel(Arc::new(one)).1, None)
        }
        Deployment::Sentinel { primary } => {
            let sentinels = Sentinels {
                primary,
                lanes,
                rules: Arc::clone(rules),
                dialers: [
                    Dialer::new(settings, &target)?,
                    Dialer::new(settings, &target.without_credentials())?,
                ],
                addresses: target.addresses,
            };
            let (tell, topology) = watch::channel(Arc::new(Topology::beginning()));
            (topology, Some(Task::spawn(sentinels.follow(tell))))
        }
        Deployment::Cluster => {
            let cluster = Cluster {
                addresses: target.addresses,
                lanes,
                rules: Arc::clone(rules),
            };
            let (tell, topology) = watch::channel(Arc::new(Topology::beginning()));
            (topology, Some(Task::spawn(cluster.follow(tell))))
        }
    })
}
