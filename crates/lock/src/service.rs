//! The use cases.

mod acquire;
mod hold;
mod look;

use std::sync::Arc;
use std::time::Duration;

use plinth_core::{MetricSink, SharedClock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, LockKey};
use crate::error::LockError;
use crate::machine::{Command, Reply};
use crate::model::limits;
use crate::wakes::Wakes;

/// What a service is made of.
pub struct LockServiceParts {
    /// Keeps the locks.
    pub backend: Arc<dyn Backend>,
    /// Whom the backend wakes.
    pub wakes: Arc<Wakes>,
    /// Time.
    pub clock: SharedClock,
    /// Where numbers go.
    pub metrics: Arc<dyn MetricSink>,
}

/// The lock block's use cases. Clones share it.
#[derive(Clone)]
pub struct LockService {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<dyn Backend>,
    wakes: Arc<Wakes>,
    clock: SharedClock,
    metrics: Arc<dyn MetricSink>,
    /// Ends waits.
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl LockService {
    /// Begins to serve, and to tidy up what nobody asks for.
    #[must_use]
    pub fn start(parts: LockServiceParts) -> Self {
        let LockServiceParts {
            backend,
            wakes,
            clock,
            metrics,
        } = parts;
        let inner = Arc::new(Inner {
            backend,
            wakes,
            clock,
            metrics,
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        inner.tasks.spawn(Arc::clone(&inner).keep_house());
        Self { inner }
    }

    /// Which backend keeps the locks.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.inner.backend.name()
    }

    /// Ends every wait at once, so that a drain does not last as long as a long poll.
    pub fn stop_waiting(&self) {
        self.inner.cancel.cancel();
    }

    /// Ends waits and closes the backend.
    pub async fn close(&self) {
        self.inner.cancel.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.backend.close().await;
    }
}

impl Inner {
    async fn keep_house(self: Arc<Self>) {
        loop {
            let pause = Duration::from_millis(limits::SWEEP_MS);
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = self.backend.sweep(limits::SWEEP_RECORDS_MAX).await {
                tracing::warn!(%error, "the housekeeping of the locks failed; it tries again");
            }
        }
    }

    /// Applies a command. The lease of a grant is what is left of it for certain when this returns: it began at some instant
    /// after the call.
    async fn apply(&self, key: &LockKey, command: Command) -> Result<Reply, LockError> {
        let began = self.clock.monotonic_ms();
        let reply = self.backend.apply(key, command).await?;
        let took_ms = self.clock.monotonic_ms().saturating_sub(began);
        Ok(reply.later_by_ms(took_ms))
    }

    fn count(&self, name: &'static str, delta: usize) {
        if delta > 0 {
            self.metrics
                .add(name, &[], u64::try_from(delta).unwrap_or(u64::MAX));
        }
    }
}
