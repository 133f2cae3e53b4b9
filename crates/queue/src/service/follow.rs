//! Takes over what other instances on the same control plane declared.
//!
//! Messages are not shared with them on the embedded engine, declarations are. A queue that another instance deleted is
//! forgotten here: nothing is routed to it and nobody finds it, but its messages stay in the file. Only a deletion that was
//! asked of this instance destroys messages.

use std::collections::HashMap;
use std::sync::Arc;

use plinth_core::TenantId;
use plinth_store::DefinitionKind;
use plinth_store::definitions::DefinitionWatch;

use super::Inner;
use crate::error::QueueError;
use crate::model::{QueueName, Subscription};
use crate::topology::Topology;

/// What a topology is made of.
const KINDS: &[DefinitionKind] = &[
    DefinitionKind::Queue,
    DefinitionKind::Exchange,
    DefinitionKind::Binding,
    DefinitionKind::Subscription,
];

/// Reads the declarations again whenever they changed, until the service is closed.
pub(super) async fn follow(inner: Arc<Inner>) {
    let definitions = Arc::clone(&inner.definitions);
    let mut watch = DefinitionWatch::new(definitions, KINDS, Arc::clone(&inner.clock));
    let work = async {
        loop {
            watch.changed().await;
            match inner.take_over().await {
                Ok(()) => watch.taken(),
                Err(error) => tracing::warn!(%error, "declarations could not be read again"),
            }
        }
    };
    tokio::select! {
        () = inner.cancel.cancelled() => {}
        () = work => {}
    }
}

impl Inner {
    async fn take_over(self: &Arc<Self>) -> Result<(), QueueError> {
        // A declaration that is under way here is either read, or made after.
        let _turn = self
            .declaring
            .acquire()
            .await
            .map_err(|_| QueueError::Stopping)?;
        let fresh = Topology::load(self.definitions.as_ref()).await?;
        self.backend
            .open_queues(fresh.specs_unknown_to(&self.topology))
            .await?;
        let before = keyed(&self.topology);
        let after = keyed(&fresh);
        self.topology.replace(fresh);
        for ((tenant, name), subscription) in &before {
            let stays = after
                .get(&(tenant.clone(), name.clone()))
                .is_some_and(|found| found.difference(subscription).is_none());
            if !stays {
                self.pushers.stop(tenant, name);
            }
        }
        for ((tenant, name), subscription) in after {
            let ran = before
                .get(&(tenant.clone(), name))
                .is_some_and(|found| found.difference(&subscription).is_none());
            if !ran {
                self.start_pusher(tenant, subscription);
            }
        }
        Ok(())
    }
}

type Subscriptions = HashMap<(TenantId, QueueName), Arc<Subscription>>;

fn keyed(topology: &Topology) -> Subscriptions {
    let all = topology.subscriptions().into_iter();
    all.map(|(tenant, subscription)| ((tenant, subscription.name.clone()), subscription))
        .collect()
}
