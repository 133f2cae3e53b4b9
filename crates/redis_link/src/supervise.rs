//! Tasks that end with their owner, and the wait between attempts.

use std::time::Duration;

use plinth_resilience::Backoff;
use rand::Rng as _;
use tokio::task::JoinHandle;

/// A task that is aborted when this is dropped.
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Returns when the task has ended.
    pub(crate) async fn ended(&mut self) {
        // An error says that it was aborted or panicked: ended either way.
        let _ended = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits before the attempt after `failed` failed ones.
pub(crate) async fn wait(backoff: Backoff, failed: u32) {
    let delay_ms = backoff.delay_ms(failed, rand::rng().random());
    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
}
