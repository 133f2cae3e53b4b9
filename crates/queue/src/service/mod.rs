//! The use cases.

mod consume;
mod define;
mod flow;
mod follow;
mod look;
mod publish;
mod push;
mod slots;
mod subscribe;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;
use plinth_core::{SharedClock, TenantId};
use plinth_outbound::OutboundClient;
use plinth_store::Definitions;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::consume::Waiting;
pub use self::flow::Flow;
use self::flow::Held;
use self::push::Pushers;
use crate::backend::{Backend, QueueKey};
use crate::error::QueueError;
use crate::model::QueueName;
use crate::topology::Topology;

/// What a service is made of.
pub struct QueueServiceParts {
    /// Keeps the messages.
    pub backend: Arc<dyn Backend>,
    /// Keeps the definitions.
    pub definitions: Arc<dyn Definitions>,
    /// Delivers to webhooks.
    pub outbound: OutboundClient,
    /// Time.
    pub clock: SharedClock,
}

/// The queue block's use cases. Clones share it.
#[derive(Clone)]
pub struct QueueService {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<dyn Backend>,
    definitions: Arc<dyn Definitions>,
    outbound: OutboundClient,
    clock: SharedClock,
    topology: Topology,
    /// Declarations go one at a time, each to its end; the permit is what is held across the control plane's answers.
    declaring: Semaphore,
    waiting: Mutex<Waiting>,
    waiting_total: AtomicUsize,
    held: Held,
    pushers: Pushers,
    /// Ends waits and stops the pushers.
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl QueueService {
    /// Reads the definitions, opens their queues, and begins to push to webhooks.
    ///
    /// Errors: the control plane or the backend cannot be read.
    pub async fn open(parts: QueueServiceParts) -> Result<Self, QueueError> {
        let QueueServiceParts {
            backend,
            definitions,
            outbound,
            clock,
        } = parts;
        let topology = Topology::load(definitions.as_ref()).await?;
        backend.open_queues(topology.specs()).await?;
        backend.delete_condemned().await?;
        let subscriptions = topology.subscriptions();
        let inner = Arc::new(Inner {
            backend,
            definitions,
            outbound,
            clock,
            topology,
            declaring: Semaphore::new(1),
            waiting: Mutex::default(),
            waiting_total: AtomicUsize::new(0),
            held: Held::default(),
            pushers: Pushers::new(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        for (tenant, subscription) in subscriptions {
            inner.start_pusher(tenant, subscription);
        }
        inner.tasks.spawn(follow::follow(Arc::clone(&inner)));
        Ok(Self { inner })
    }

    /// Ends waits, lets deliveries in flight end, and closes the backend.
    pub async fn close(&self) {
        self.inner.cancel.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.backend.close().await;
    }

    /// Ends every wait of a receive at once, so that a drain does not last as long as a long poll.
    pub fn stop_waiting(&self) {
        self.inner.cancel.cancel();
    }
}

impl Inner {
    /// Finds a queue of a tenant. Errors: 1001 where the name breaks the rule, 1004 where it does not exist.
    fn find_queue(&self, tenant: &TenantId, name: &str) -> Result<QueueKey, QueueError> {
        let name = QueueName::try_from(name.to_owned())?;
        if self
            .topology
            .look(tenant, |topology| topology.queues.contains_key(&name))
        {
            return Ok(QueueKey {
                tenant: tenant.clone(),
                name,
            });
        }
        Err(QueueError::QueueAbsent {
            queue: name.to_string(),
        })
    }
}
