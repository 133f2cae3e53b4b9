//! The flow: many applications at once, each on its own way, each step written, cached, announced, counted and audited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use futures::StreamExt as _;
use indicatif::ProgressBar;

use crate::model::StatusChange;
use crate::plane::Plane;

/// Walks all ways, `concurrency` at once, and returns the number of steps. Each application takes its steps in order; a step
/// is over when all five places have confirmed it.
pub(crate) async fn run(
    plane: &Plane,
    ways: &[Vec<StatusChange>],
    concurrency: usize,
    progress: &ProgressBar,
    finished: &Arc<AtomicU64>,
) -> Result<usize> {
    let mut running = futures::stream::iter(ways)
        .map(|way| async move {
            for change in way {
                take(plane, change).await?;
            }
            Ok::<_, anyhow::Error>(way.len())
        })
        .buffer_unordered(concurrency);
    let mut steps = 0;
    while let Some(walked) = running.next().await {
        steps += walked?;
        progress.inc(1);
        finished.fetch_add(1, Ordering::Release);
    }
    Ok(steps)
}

/// Takes one step. The database decides; the other places follow, each under an idempotency key of its own, so that an
/// attempt whose answer was lost has its effect once.
async fn take(plane: &Plane, change: &StatusChange) -> Result<()> {
    if change.is_a_decision() {
        // The way of two reviewers is large; most steps do not take it.
        Box::pin(plane.review(change)).await?;
    } else {
        plane.write(change).await?;
    }
    plane.cache(change).await?;
    plane.announce(change).await?;
    plane.count(change).await?;
    plane.audit(change).await
}
