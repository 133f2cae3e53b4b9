//! The primaries of a cluster and their slots: asked for at the start, at every doubt and redirection, and now and then.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::watch;

use crate::error::LinkError;
use crate::lane::LaneRules;
use crate::script::Answer;
use crate::server::Server;
use crate::settings::Address;
use crate::supervise::wait;
use crate::topology::Topology;
use crate::wire::send;

/// Most primaries of a cluster.
const PRIMARIES_MAX: usize = 1_000;
/// Shortest time between two questions, in milliseconds: many callers learn of a change at once.
const ASK_EVERY_MS_MIN: u64 = 50;
/// How often it is asked without a reason, in heartbeats.
const ASK_EVERY_HEARTBEATS: u32 = 10;

/// What is needed to know the slots.
pub(crate) struct Cluster {
    pub(crate) addresses: Vec<Address>,
    pub(crate) lanes: usize,
    pub(crate) rules: Arc<LaneRules>,
}

/// One line of the map: slots from, to, and who serves them.
type Range = (usize, usize, Address);

impl Cluster {
    /// Keeps the map true for as long as it is polled.
    pub(crate) async fn follow(self, topology: watch::Sender<Arc<Topology>>) {
        let mut failed = 0_u32;
        loop {
            let known = topology.borrow().clone();
            match self.discover(&known).await {
                Ok(ranges) => {
                    failed = 0;
                    self.adopt(&ranges, &topology);
                    let unasked = self.rules.heartbeat.saturating_mul(ASK_EVERY_HEARTBEATS);
                    tokio::select! {
                        () = self.rules.doubt.notified() => {}
                        () = tokio::time::sleep(unasked) => {}
                    }
                    tokio::time::sleep(Duration::from_millis(ASK_EVERY_MS_MIN)).await;
                }
                Err(error) => {
                    failed = failed.saturating_add(1);
                    if topology.borrow().servers.is_empty() {
                        topology.send_replace(Arc::new(Topology::none(error.reason())));
                    }
                    wait(self.rules.backoff, failed).await;
                }
            }
        }
    }

    /// Asks those who are known, then those whom the URL names.
    async fn discover(&self, known: &Topology) -> Result<Vec<Range>, LinkError> {
        for server in &known.servers {
            if let Some(live) = server.live_now()
                && let Ok(ranges) = self.ask(&server.address, &live.connection).await
            {
                return Ok(ranges);
            }
        }
        let mut last = LinkError::not_connected("no node of the cluster is known");
        for address in &self.addresses {
            let wire = match self.rules.dialer.dial(address, |_| ()).await {
                Ok(wire) => wire,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            match self.ask(address, &wire.connection).await {
                Ok(ranges) => return Ok(ranges),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask(
        &self,
        address: &Address,
        connection: &redis::aio::MultiplexedConnection,
    ) -> Result<Vec<Range>, LinkError> {
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let asking = send(connection, &question);
        let Ok(answer) = tokio::time::timeout(self.rules.answer_within, asking).await else {
            return Err(LinkError::not_connected(format!(
                "{address} does not answer"
            )));
        };
        let ranges = ranges(answer?, &address.host)?;
        if ranges.is_empty() {
            return Err(LinkError::not_connected("the cluster serves no slot"));
        }
        Ok(ranges)
    }

    fn adopt(&self, ranges: &[Range], topology: &watch::Sender<Arc<Topology>>) {
        let known = topology.borrow().clone();
        let mut wanted: Vec<&Address> = ranges.iter().map(|(_, _, address)| address).collect();
        let mut seen = HashSet::new();
        wanted.retain(|address| seen.insert(*address));
        wanted.truncate(PRIMARIES_MAX);
        let servers: Vec<_> = wanted
            .iter()
            .map(|address| {
                let start = || Server::start((*address).clone(), self.lanes, &self.rules);
                known.at(address).unwrap_or_else(start)
            })
            .collect();
        let placed: Vec<_> = ranges
            .iter()
            .filter_map(|(from, to, address)| {
                let place = wanted.iter().position(|wanted| *wanted == address)?;
                Some((*from, *to, u16::try_from(place).ok()?))
            })
            .collect();
        topology.send_replace(Arc::new(Topology::shared(servers, &placed)));
    }
}

/// Reads the answer of `CLUSTER SLOTS`; a node that does not know its own name is the one that was asked.
fn ranges(answer: Value, asked_host: &str) -> Result<Vec<Range>, LinkError> {
    let slot = |number: i64| {
        usize::try_from(number).map_err(|_| LinkError::Unexpected {
            text: "no slot".to_owned(),
        })
    };
    let mut lines = Answer::of(answer)?;
    let mut ranges = Vec::new();
    while !lines.is_empty() {
        let mut line = lines.array()?;
        let (from, to) = (slot(line.integer()?)?, slot(line.integer()?)?);
        let mut primary = line.array()?;
        let (host, port) = (primary.text()?, primary.integer()?);
        let Ok(port) = u16::try_from(port) else {
            continue;
        };
        let host = match host.as_str() {
            "" => asked_host.to_owned(),
            // The node that was asked does not know where this one is.
            "?" => continue,
            _ => host,
        };
        ranges.push((from, to, Address { host, port }));
    }
    Ok(ranges)
}
