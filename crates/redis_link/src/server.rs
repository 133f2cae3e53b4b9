//! One server with the lanes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::LinkError;
use crate::lane::{Lane, LaneRules, LaneState, Live};
use crate::settings::Address;

/// A server.
pub(crate) struct Server {
    pub(crate) address: Address,
    lanes: Vec<Lane>,
    turn: AtomicUsize,
}

impl Server {
    pub(crate) fn start(address: Address, lanes: usize, rules: &Arc<LaneRules>) -> Arc<Self> {
        let lane = |_| Lane::start(address.clone(), Arc::clone(rules));
        Arc::new(Self {
            lanes: (0..lanes).map(lane).collect(),
            turn: AtomicUsize::new(0),
            address,
        })
    }

    /// A connection that stands, by turns. Waits for the first attempt only. Errors: there is none.
    pub(crate) async fn live(&self) -> Result<Live, LinkError> {
        if let Some(live) = self.live_now() {
            return Ok(live);
        }
        if let Some(lane) = self.lanes.first() {
            lane.begun().await;
        }
        self.live_now().ok_or_else(|| self.away())
    }

    /// A connection that stands, by turns.
    pub(crate) fn live_now(&self) -> Option<Live> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let lanes = self
            .lanes
            .iter()
            .cycle()
            .skip(turn % self.lanes.len().max(1));
        lanes
            .take(self.lanes.len())
            .find_map(|lane| match lane.state() {
                LaneState::Up(live) if !live.is_closed() => Some(live),
                LaneState::Up(_) => None,
                LaneState::Beginning | LaneState::Down(_) => None,
            })
    }

    /// Why there is no connection.
    pub(crate) fn away(&self) -> LinkError {
        let reason = self.lanes.iter().find_map(|lane| match lane.state() {
            LaneState::Down(reason) => Some(reason),
            LaneState::Beginning | LaneState::Up(_) => None,
        });
        let reason =
            reason.unwrap_or_else(|| format!("{} is being connected to", self.address).into());
        LinkError::not_connected(reason.to_string())
    }
}
