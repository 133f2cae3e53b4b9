//! The notifier: a consumer of its own that hears of every step.

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::model::StatusChange;
use crate::plane::Plane;

/// What the notifier heard, deliveries that came again included.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// In the order of arrival.
    pub(crate) changes: Vec<StatusChange>,
}

/// A running notifier.
pub(crate) struct Notifier {
    task: JoinHandle<Result<Received>>,
    stop: CancellationToken,
}

impl Notifier {
    /// Begins to listen.
    pub(crate) fn start(plane: Plane) -> Self {
        let stop = CancellationToken::new();
        let listening = listen(plane, stop.clone());
        Self {
            task: tokio::spawn(listening),
            stop,
        }
    }

    /// Lets it hear what is left and returns what it heard.
    pub(crate) async fn finish(self) -> Result<Received> {
        self.stop.cancel();
        self.task.await?
    }
}

/// Listens until it is told to stop and nothing is left. A message is acknowledged after it was noted: a crash in between
/// brings it again, which is counted, not hidden.
async fn listen(plane: Plane, stop: CancellationToken) -> Result<Received> {
    let mut received = Received::default();
    loop {
        let ending = stop.is_cancelled();
        let messages = plane.receive().await?;
        if messages.is_empty() && ending && plane.depth().await?.left == 0 {
            return Ok(received);
        }
        let receipts = messages
            .iter()
            .map(|message| message.receipt.clone())
            .collect();
        received
            .changes
            .extend(messages.into_iter().map(|message| message.change));
        plane.acknowledge(receipts).await?;
    }
}
