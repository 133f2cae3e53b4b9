//! The indexer: brings durable leaves into the query index, in their order. The index is a view: it may be deleted, and
//! is then built again from the tiles and the leaves that no checkpoint holds yet.

use std::sync::Arc;

use bytes::Bytes;
use plinth_core::Deadline;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::condition::Condition;
use super::files::LogFiles;
use super::integrator::{Published, approximate, blocking};
use super::reader::TileReader;
use super::sequencer::Sequencer;
use crate::backend::AuditIndex;
use crate::error::AuditError;
use crate::service::AuditHandles;
use crate::tree::TileAt;
use crate::tree::tile::TILE_WIDTH;

/// How long the indexer rests after a failure, in milliseconds.
const RETRY_MS: u64 = 500;

/// Indexes one log.
pub struct Indexer {
    sequencer: Sequencer,
    files: Arc<dyn LogFiles>,
    index: Arc<dyn AuditIndex>,
    handles: AuditHandles,
    condition: Arc<Condition>,
    published: watch::Receiver<Arc<Published>>,
    indexed: watch::Sender<u64>,
}

impl Indexer {
    /// Resumes where the index stands. Errors: the index knows more leaves than the log has.
    pub async fn open(
        sequencer: Sequencer,
        files: Arc<dyn LogFiles>,
        index: Arc<dyn AuditIndex>,
        handles: AuditHandles,
        condition: Arc<Condition>,
        published: watch::Receiver<Arc<Published>>,
    ) -> Result<Arc<Self>, AuditError> {
        let indexed = index.indexed().await?;
        let durable = *sequencer.durable().borrow();
        if indexed > durable {
            let message = format!("holds {indexed} leaves, but the log has {durable}");
            return Err(AuditError::tampered("index.db", message));
        }
        Ok(Arc::new(Self {
            sequencer,
            files,
            index,
            handles,
            condition,
            published,
            indexed: watch::Sender::new(indexed),
        }))
    }

    /// Waits until everything that is durable now can be found, and returns that size. Errors: the index is too far
    /// behind to get there by the deadline.
    pub async fn catch_up(&self, deadline: Deadline) -> Result<u64, AuditError> {
        let size = *self.sequencer.durable().borrow();
        let mut indexed = self.indexed.subscribe();
        let reached = indexed.wait_for(|indexed| *indexed >= size);
        match tokio::time::timeout_at(deadline.instant().into(), reached).await {
            Ok(Ok(_)) => Ok(size),
            Ok(Err(_closed)) => Err(AuditError::Closed),
            Err(_elapsed) => Err(AuditError::IndexBehind {
                records: size.saturating_sub(*self.indexed.borrow()),
            }),
        }
    }

    /// Indexes until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let work = async {
            let mut durable = self.sequencer.durable();
            durable.mark_changed();
            while durable.changed().await.is_ok() {
                let target = *durable.borrow_and_update();
                while let Err(error) = self.index_to(target).await {
                    self.condition.cannot_index();
                    self.handles
                        .metrics
                        .add("plinth_audit_index_failures_total", &[], 1);
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "audit.index failed"
                    );
                    let next_ms = self.handles.clock.monotonic_ms().saturating_add(RETRY_MS);
                    self.handles.clock.sleep_until_monotonic(next_ms).await;
                }
                self.condition.indexed();
            }
        };
        // A chunk is applied in one commit, so stopping in the middle leaves nothing half-done.
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn index_to(&self, target: u64) -> Result<(), AuditError> {
        let mut next = *self.indexed.borrow();
        while next < target {
            let leaves = self.leaves(next, target).await?;
            let count = leaves.len() as u64;
            self.index.apply(next, leaves).await?;
            next += count;
            self.indexed.send_replace(next);
            self.handles.metrics.set(
                "plinth_audit_index_lag",
                &[],
                approximate(target.saturating_sub(next)),
            );
        }
        Ok(())
    }

    /// At least one leaf from `first` on: staged ones, or where a checkpoint has taken them over, those of a bundle.
    async fn leaves(&self, first: u64, end: u64) -> Result<Vec<Bytes>, AuditError> {
        let staged = self.sequencer.staged(first, end).await?;
        if !staged.is_empty() {
            return Ok(staged);
        }
        // Between the commit that lets the leaves go and the publication there is a moment in which neither shows.
        let mut published = self.published.clone();
        let size = {
            let held = published.wait_for(|published| published.checkpoint.size > first);
            held.await
                .map_err(|_closed| AuditError::Closed)?
                .checkpoint
                .size
        };
        let files = Arc::clone(&self.files);
        blocking(move || bundle_from(files, size, first)).await
    }
}

/// The leaves of a bundle from one of them on.
fn bundle_from(files: Arc<dyn LogFiles>, size: u64, first: u64) -> Result<Vec<Bytes>, AuditError> {
    let at = TileAt::holding(0, first, size)
        .ok_or_else(|| AuditError::malformed(first, "is past the checkpoint"))?;
    let mut entries = TileReader::new(files, size).entries(at)?;
    let place = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX);
    Ok(entries.split_off(place.min(entries.len())))
}
