//! The primary that sentinels name: asked for at the start, at every doubt, and whenever they tell of a switch.

use std::sync::Arc;

use redis::{PushInfo, Value};
use tokio::sync::{Notify, watch};

use crate::error::LinkError;
use crate::lane::LaneRules;
use crate::script::Answer;
use crate::server::Server;
use crate::settings::Address;
use crate::supervise::wait;
use crate::topology::Topology;
use crate::wire::{Dialer, Wire, send};

/// What is needed to follow the primary.
pub(crate) struct Sentinels {
    pub(crate) addresses: Vec<Address>,
    pub(crate) primary: String,
    /// With the credentials of the URL; without, for sentinels that know no users.
    pub(crate) dialers: [Dialer; 2],
    pub(crate) lanes: usize,
    pub(crate) rules: Arc<LaneRules>,
}

impl Sentinels {
    /// Follows the primary for as long as it is polled.
    pub(crate) async fn follow(self, topology: watch::Sender<Arc<Topology>>) {
        let mut failed = 0_u32;
        loop {
            let mut reason = String::new();
            for address in &self.addresses {
                if let Err(error) = self.listen(address, &topology, &mut failed).await {
                    tracing::debug!(sentinel = %address, %error, "redis.sentinel_away");
                    reason = error.reason();
                }
            }
            if topology.borrow().servers.is_empty() {
                topology.send_replace(Arc::new(Topology::none(reason)));
            }
            failed = failed.saturating_add(1);
            wait(self.rules.backoff, failed).await;
        }
    }

    /// Listens to one sentinel until it is lost or names no primary.
    async fn listen(
        &self,
        address: &Address,
        topology: &watch::Sender<Arc<Topology>>,
        failed: &mut u32,
    ) -> Result<(), LinkError> {
        let switched = Arc::new(Notify::new());
        let mut wire = self.dial(address, &switched).await?;
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg("+switch-master");
        self.bounded(send(&wire.connection, &subscribe)).await?;
        loop {
            let primary = self.bounded(self.ask(&wire)).await?;
            *failed = 0;
            self.adopt(primary, topology);
            tokio::select! {
                () = wire.driver.ended() => return Err(LinkError::not_connected("the sentinel closed the connection")),
                () = switched.notified() => {}
                () = self.rules.doubt.notified() => {
                    // Many lanes doubt at once, and a sentinel takes its time to decide.
                    wait(self.rules.backoff, 1).await;
                }
                () = tokio::time::sleep(self.rules.heartbeat) => {}
            }
        }
    }

    async fn dial(&self, address: &Address, switched: &Arc<Notify>) -> Result<Wire, LinkError> {
        let mut last = LinkError::not_connected("no way to reach a sentinel");
        for dialer in &self.dialers {
            let switched = Arc::clone(switched);
            let pushed = move |push: PushInfo| {
                if push.kind == redis::PushKind::Message {
                    switched.notify_one();
                }
            };
            match dialer.dial(address, pushed).await {
                Ok(wire) => return Ok(wire),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, LinkError>>,
    ) -> Result<T, LinkError> {
        match tokio::time::timeout(self.rules.answer_within, work).await {
            Ok(done) => done,
            Err(_) => Err(LinkError::not_connected("a sentinel does not answer")),
        }
    }

    async fn ask(&self, wire: &Wire) -> Result<Address, LinkError> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        let answer = send(&wire.connection, &question).await?;
        if answer == Value::Nil {
            let reason = format!("the sentinel knows no primary named {}", self.primary);
            return Err(LinkError::not_connected(reason));
        }
        let mut answer = Answer::of(answer)?;
        let (host, port) = (answer.text()?, answer.integer()?);
        let port = u16::try_from(port).map_err(|_| LinkError::Unexpected {
            text: "no port".to_owned(),
        })?;
        Ok(Address { host, port })
    }

    fn adopt(&self, primary: Address, topology: &watch::Sender<Arc<Topology>>) {
        if topology.borrow().at(&primary).is_some() {
            return;
        }
        tracing::info!(server = %primary, "redis.primary");
        let server = Server::start(primary, self.lanes, &self.rules);
        topology.send_replace(Arc::new(Topology::one(server)));
    }
}
