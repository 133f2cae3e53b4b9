//! Which servers there are, and which one serves a slot.

use std::sync::Arc;

use crate::error::LinkError;
use crate::server::Server;
use crate::settings::Address;
use crate::slot::{SLOTS, Slot};

/// Stands in the map of slots for "nobody".
const NOBODY: u16 = u16::MAX;

/// The servers as they are known now.
#[derive(Clone)]
pub(crate) struct Topology {
    /// Primaries.
    pub(crate) servers: Vec<Arc<Server>>,
    /// The place in `servers` of each slot; empty where the first serves all.
    slots: Vec<u16>,
    /// Why there is no server; `None` before the first discovery is over.
    missing: Option<Arc<str>>,
}

impl Topology {
    /// Nothing is known yet.
    pub(crate) const fn beginning() -> Self {
        Self {
            servers: Vec::new(),
            slots: Vec::new(),
            missing: None,
        }
    }

    /// Nobody is known.
    pub(crate) fn none(missing: impl Into<Arc<str>>) -> Self {
        Self {
            missing: Some(missing.into()),
            ..Self::beginning()
        }
    }

    /// Whether the first discovery is still under way.
    pub(crate) const fn is_beginning(&self) -> bool {
        self.missing.is_none()
    }

    /// One server serves all.
    pub(crate) fn one(server: Arc<Server>) -> Self {
        Self {
            servers: vec![server],
            ..Self::none("")
        }
    }

    /// Servers share the slots: ranges with the place in `servers`.
    pub(crate) fn shared(servers: Vec<Arc<Server>>, ranges: &[(usize, usize, u16)]) -> Self {
        let mut slots = vec![NOBODY; SLOTS];
        for (from, to, place) in ranges {
            if let Some(range) = slots.get_mut(*from..=*to) {
                range.fill(*place);
            }
        }
        Self {
            servers,
            slots,
            ..Self::none("the cluster serves no such slot")
        }
    }

    /// The server of a slot. Errors: there is none.
    pub(crate) fn server(&self, slot: Slot) -> Result<Arc<Server>, LinkError> {
        let place = match self.slots.get(slot.index()) {
            Some(place) => usize::from(*place),
            None => 0,
        };
        let server = self.servers.get(place).cloned();
        server.ok_or_else(|| {
            let missing = self.missing.as_deref();
            LinkError::not_connected(missing.unwrap_or("the servers are being looked for"))
        })
    }

    /// The server at an address.
    pub(crate) fn at(&self, address: &Address) -> Option<Arc<Server>> {
        let found = self
            .servers
            .iter()
            .find(|server| server.address == *address);
        found.cloned()
    }
}
