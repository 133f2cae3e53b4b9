//! The typed Rust client of Plinth, over Thrift or HTTP: one API, two transports, the same answers.
//!
//! ```no_run
//! # async fn run() -> Result<(), plinth_client::ClientError> {
//! use plinth_client::{Client, ClientSettings};
//!
//! let client = Client::connect(ClientSettings::thrift("127.0.0.1:7401", "plk_…"))?;
//! let stored = client.cache().set("orders", "A-1", "approved", Default::default()).await?;
//! assert!(stored.version > 0);
//! # Ok(())
//! # }
//! ```
//!
//! A call that may be repeated without harm (a read, or a mutation under an idempotency key, which the client makes up
//! where the caller gives none) is repeated after a retriable failure, with exponential backoff and full jitter, until
//! [`RetryPolicy`] is spent. Every other call is made once: where its answer was lost, the error says
//! [`Outcome::Unknown`].

mod access;
mod audit;
mod cache;
mod db;
mod error;
mod fence;
mod lock;
mod monitor;
mod optimistic;
mod queue;
mod retry;
mod settings;
mod transport;
mod wide;

use std::sync::Arc;

pub use error::{ClientError, FieldViolation, Result};
pub use plinth_core::{Fence, Outcome};
pub use retry::RetryPolicy;
pub use settings::{ClientSettings, TransportKind};

pub use access::*;
pub use audit::*;
pub use cache::*;
pub use db::*;
pub use lock::*;
pub use monitor::*;
pub use optimistic::*;
pub use queue::*;

use optimistic::Counts;
use retry::Repeat;
use transport::Transport;

/// A client of one Plinth. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    retry: RetryPolicy,
    conflicts: Counts,
}

impl Client {
    /// Makes a client. No connection is opened before the first call.
    ///
    /// Errors: 1001 where the address or the key cannot be used.
    pub fn connect(settings: ClientSettings) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner {
                transport: Transport::new(&settings)?,
                retry: settings.retry,
                conflicts: Counts::default(),
            }),
        })
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> CacheClient<'_> {
        CacheClient::new(self)
    }

    /// The message queue.
    #[must_use]
    pub fn queue(&self) -> QueueClient<'_> {
        QueueClient::new(self)
    }

    /// The metrics.
    #[must_use]
    pub fn monitor(&self) -> MonitorClient<'_> {
        MonitorClient::new(self)
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> AuditClient<'_> {
        AuditClient::new(self)
    }

    /// The databases.
    #[must_use]
    pub fn db(&self) -> DbClient<'_> {
        DbClient::new(self)
    }

    /// The locks.
    #[must_use]
    pub fn lock(&self) -> LockClient<'_> {
        LockClient::new(self)
    }

    /// Tenants, keys and roles.
    #[must_use]
    pub fn access(&self) -> AccessClient<'_> {
        AccessClient::new(self)
    }

    /// How often optimistic writes of this client and its clones met another writer.
    #[must_use]
    pub fn conflicts(&self) -> Conflicts {
        self.inner.conflicts.read()
    }

    pub(crate) fn count_conflict(&self, given_up: bool) {
        self.inner.conflicts.count(given_up);
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// Makes a call, again after a retriable failure where `repeat` allows it.
    pub(crate) async fn run<T, F, Fut>(&self, repeat: Repeat, call: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        self.inner.retry.run(repeat, call).await
    }
}

/// Gives the caller's idempotency key, or makes one up, so that a repeat after a lost answer has no second effect.
pub(crate) fn request_id(given: Option<String>) -> String {
    given.unwrap_or_else(|| uuid::Uuid::now_v7().to_string())
}
