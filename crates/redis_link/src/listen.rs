//! Connections of their own for what servers say unasked: messages and invalidations.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use redis::{Cmd, PushKind, Value};
use tokio::sync::watch;

use crate::error::LinkError;
use crate::lane::LaneRules;
use crate::link::RedisLink;
use crate::settings::Address;
use crate::supervise::{Task, wait};
use crate::topology::Topology;
use crate::wire::{Role, identify, ping, role_of, send};

/// What is heard, from which primary.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The primaries that are known from now on; also told at the start, and again where nothing changed.
    Servers(Vec<Address>),
    /// The commands of the listener are in force on this primary: from now on it is heard.
    Up(Address),
    /// The server said something unasked.
    Push {
        /// Who.
        server: Address,
        /// What kind of thing.
        kind: PushKind,
        /// What.
        data: Vec<Value>,
    },
    /// It is not heard any more: what it said meanwhile is lost. Also told when it is no primary any more.
    Down(Address),
}

/// Which primaries there are, and which of them are heard: what listens to all of them knows by it whether it misses nothing.
#[derive(Debug, Default)]
pub struct Heed {
    servers: BTreeSet<Address>,
    up: BTreeSet<Address>,
}

impl Heed {
    /// Takes note of what was heard. Returns whether anything changed.
    pub fn note(&mut self, heard: &Heard) -> bool {
        match heard {
            Heard::Servers(servers) => {
                let servers = servers.iter().cloned().collect();
                let changed = self.servers != servers;
                self.servers = servers;
                changed
            }
            Heard::Up(server) => self.up.insert(server.clone()),
            Heard::Down(server) => self.up.remove(server),
            Heard::Push { .. } => false,
        }
    }

    /// Whether there are primaries and each one is heard.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.servers.is_empty() && self.servers.is_subset(&self.up)
    }
}

/// Listens on one connection to each primary until it is dropped. Connections are made again, and the commands given
/// again, after every loss and on every new primary.
pub struct Listener {
    _task: Task,
}

impl RedisLink {
    /// Begins to listen: `commands` (`SUBSCRIBE`, `CLIENT TRACKING` …) are given on each new connection, then a `PING` on
    /// every heartbeat shows that it still stands. `hear` is called on the connection's task and must not block.
    pub fn listen(
        &self,
        commands: Vec<Cmd>,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Listener {
        let ear = Arc::new(Ear {
            commands,
            hear: Box::new(hear),
            rules: Arc::clone(&self.rules),
        });
        Listener {
            _task: Task::spawn(follow(self.topology.clone(), ear)),
        }
    }
}

struct Ear {
    commands: Vec<Cmd>,
    hear: Box<dyn Fn(Heard) + Send + Sync>,
    rules: Arc<LaneRules>,
}

/// Says `Down` when the connection is over, however it ends.
struct UpUntilDropped {
    ear: Arc<Ear>,
    address: Address,
}

impl Drop for UpUntilDropped {
    fn drop(&mut self) {
        (self.ear.hear)(Heard::Down(self.address.clone()));
    }
}

/// Keeps one connection to each primary.
async fn follow(mut topology: watch::Receiver<Arc<Topology>>, ear: Arc<Ear>) {
    let mut tasks: HashMap<Address, Task> = HashMap::new();
    loop {
        let wanted: Vec<Address> = {
            let topology = topology.borrow_and_update();
            topology
                .servers
                .iter()
                .map(|server| server.address.clone())
                .collect()
        };
        (ear.hear)(Heard::Servers(wanted.clone()));
        tasks.retain(|address, _| wanted.contains(address));
        for address in wanted {
            tasks.entry(address.clone()).or_insert_with(|| {
                let ear = Arc::clone(&ear);
                Task::spawn(async move { keep(&address, &ear).await })
            });
        }
        if topology.changed().await.is_err() {
            // A single server's place never changes: its connection lives until the listener is dropped.
            std::future::pending::<()>().await;
        }
    }
}

async fn keep(address: &Address, ear: &Arc<Ear>) {
    let mut failed = 0_u32;
    loop {
        if let Err(error) = hear(address, ear, &mut failed).await {
            tracing::debug!(server = %address, %error, "redis.listening_ended");
        }
        failed = failed.saturating_add(1);
        wait(ear.rules.backoff, failed).await;
    }
}

/// Listens on one connection until it is lost.
async fn hear(address: &Address, ear: &Arc<Ear>, failed: &mut u32) -> Result<(), LinkError> {
    let rules = &ear.rules;
    let (pushed_to, server) = (Arc::clone(ear), address.clone());
    let mut wire = rules
        .dialer
        .dial(address, move |push| {
            if push.kind != PushKind::Disconnection {
                (pushed_to.hear)(Heard::Push {
                    server: server.clone(),
                    kind: push.kind,
                    data: push.data,
                });
            }
        })
        .await?;
    let late = || LinkError::not_connected(format!("{address} does not answer"));
    let beginning = async {
        identify(&wire.connection).await?;
        if rules.primaries_only && role_of(&wire.connection).await? != Role::Primary {
            return Err(LinkError::not_connected(format!("{address} is no primary")));
        }
        for command in &ear.commands {
            send(&wire.connection, command).await?;
        }
        Ok(())
    };
    tokio::time::timeout(rules.dialer.timeout(), beginning)
        .await
        .unwrap_or_else(|_| Err(late()))?;
    *failed = 0;
    let _open = rules.gauges.open();
    let _up = UpUntilDropped {
        ear: Arc::clone(ear),
        address: address.clone(),
    };
    (ear.hear)(Heard::Up(address.clone()));
    loop {
        tokio::select! {
            () = wire.driver.ended() => return Err(LinkError::not_connected("it was closed")),
            () = tokio::time::sleep(rules.heartbeat) => {}
        }
        tokio::time::timeout(rules.answer_within, ping(&wire.connection))
            .await
            .unwrap_or_else(|_| Err(late()))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missed_only_while_every_primary_is_heard() {
        let at = |port| Address {
            host: "h".to_owned(),
            port,
        };
        let mut heed = Heed::default();
        for (heard, changes, whole) in [
            (Heard::Up(at(1)), true, false),
            (Heard::Servers(vec![at(1)]), true, true),
            (Heard::Servers(vec![at(1)]), false, true),
            (Heard::Servers(vec![at(1), at(2)]), true, false),
            (Heard::Up(at(2)), true, true),
            (Heard::Down(at(1)), true, false),
            (Heard::Servers(vec![at(2)]), true, true),
            (Heard::Servers(vec![]), true, false),
        ] {
            let told = format!("{heard:?}");
            assert_eq!(
                (heed.note(&heard), heed.is_whole()),
                (changes, whole),
                "{told}"
            );
        }
    }
}
