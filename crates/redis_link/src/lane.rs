//! One connection to one server, made again for as long as the lane lives.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};

use crate::error::LinkError;
use crate::gauges::Gauges;
use crate::settings::Address;
use crate::supervise::{Task, wait};
use crate::wire::{Closed, Dialer, Role, ServerInfo, Wire, identify, ping, role_of};

/// How lanes behave.
pub(crate) struct LaneRules {
    pub(crate) dialer: Dialer,
    pub(crate) backoff: plinth_resilience::Backoff,
    pub(crate) heartbeat: Duration,
    pub(crate) answer_within: Duration,
    /// Whether a server that takes no writes is not the one that is looked for.
    pub(crate) primaries_only: bool,
    pub(crate) gauges: Gauges,
    /// Told whenever a connection is lost or cannot be made: the servers may have changed their places.
    pub(crate) doubt: Notify,
}

/// A connection that stands.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) server: Arc<ServerInfo>,
    pub(crate) address: Arc<Address>,
    suspicion: Arc<Notify>,
    closed: Closed,
}

impl Live {
    /// Whether the connection is closed already, which the lane is about to notice: nothing can be sent on it.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_set()
    }

    /// Makes the lane connect anew: the server is not what it was.
    pub(crate) fn suspect(&self) {
        self.suspicion.notify_one();
    }
}

/// Where a lane stands.
#[derive(Clone)]
pub(crate) enum LaneState {
    /// The first attempt is under way.
    Beginning,
    /// There is a connection.
    Up(Live),
    /// There is none, and why.
    Down(Arc<str>),
}

/// A lane; closed when dropped.
pub(crate) struct Lane {
    state: watch::Receiver<LaneState>,
    _task: Task,
}

impl Lane {
    pub(crate) fn start(address: Address, rules: Arc<LaneRules>) -> Self {
        let (tell, state) = watch::channel(LaneState::Beginning);
        Self {
            state,
            _task: Task::spawn(async move { keep(&address, &rules, &tell).await }),
        }
    }

    /// Where it stands now.
    pub(crate) fn state(&self) -> LaneState {
        self.state.borrow().clone()
    }

    /// Returns once the first attempt is over.
    pub(crate) async fn begun(&self) {
        let mut state = self.state.clone();
        // An error says that the lane is gone, which the caller sees next.
        let _gone = state
            .wait_for(|state| !matches!(state, LaneState::Beginning))
            .await;
    }
}

async fn keep(address: &Address, rules: &LaneRules, tell: &watch::Sender<LaneState>) {
    let mut failed = 0;
    let mut first = true;
    loop {
        if !first {
            rules.gauges.reconnected();
        }
        first = false;
        let reason = match open(address, rules).await {
            Ok((wire, server)) => {
                failed = 0;
                tracing::info!(server = %address, version = %server.version_text(), "redis.connected");
                let reason = hold(wire, server, address, rules, tell).await;
                tracing::warn!(server = %address, reason, "redis.connection_lost");
                format!("{address}: {reason}")
            }
            Err(error) => {
                if failed == 0 {
                    tracing::warn!(server = %address, %error, "redis.cannot_connect");
                }
                error.reason()
            }
        };
        failed = u32::saturating_add(failed, 1);
        tell.send_replace(LaneState::Down(reason.into()));
        rules.doubt.notify_one();
        wait(rules.backoff, failed).await;
    }
}

async fn open(address: &Address, rules: &LaneRules) -> Result<(Wire, ServerInfo), LinkError> {
    let wire = rules.dialer.dial(address, |_| ()).await?;
    let asking = async {
        let server = identify(&wire.connection).await?;
        if rules.primaries_only && role_of(&wire.connection).await? != Role::Primary {
            return Err(LinkError::not_connected(format!("{address} is no primary")));
        }
        Ok(server)
    };
    match tokio::time::timeout(rules.dialer.timeout(), asking).await {
        Ok(asked) => Ok((wire, asked?)),
        Err(_) => Err(LinkError::not_connected(format!(
            "{address} does not answer"
        ))),
    }
}

/// Holds a connection until it is lost. Returns why.
async fn hold(
    mut wire: Wire,
    server: ServerInfo,
    address: &Address,
    rules: &LaneRules,
    tell: &watch::Sender<LaneState>,
) -> &'static str {
    let _open = rules.gauges.open();
    let suspicion = Arc::new(Notify::new());
    tell.send_replace(LaneState::Up(Live {
        connection: wire.connection.clone(),
        server: Arc::new(server),
        address: Arc::new(address.clone()),
        suspicion: Arc::clone(&suspicion),
        closed: wire.closed.clone(),
    }));
    let connection = wire.connection.clone();
    let beating = async {
        loop {
            tokio::time::sleep(rules.heartbeat).await;
            let answered = tokio::time::timeout(rules.answer_within, ping(&connection)).await;
            if !matches!(answered, Ok(Ok(()))) {
                return;
            }
        }
    };
    tokio::select! {
        () = wire.driver.ended() => "it was closed",
        () = suspicion.notified() => "the server takes no writes any more",
        () = beating => "the server does not answer",
    }
}
