//! The memory that large frames share.
//!
//! A frame takes what has come of it, not what it claims: a length costs its sender nothing. Frames that grow step by step
//! could all hold a part and wait for each other, so room for one whole frame is set apart: when nothing else is left, one
//! frame after the other is finished in it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit of the common room, in bytes.
const UNIT_BYTES: usize = 1_024;

/// The budget; clones share it.
#[derive(Clone, Debug)]
pub struct ReceivingBudget {
    common: Arc<Semaphore>,
    apart: Arc<Semaphore>,
}

/// What one frame holds of the budget. Dropping it gives everything back.
#[derive(Debug, Default)]
pub(crate) struct Share {
    common: Option<OwnedSemaphorePermit>,
    apart: Option<OwnedSemaphorePermit>,
}

impl ReceivingBudget {
    /// A budget of `bytes`, of which `frame_bytes` are set apart for the frame that nothing else is left for.
    #[must_use]
    pub fn new(bytes: usize, frame_bytes: usize) -> Self {
        let units = bytes.saturating_sub(frame_bytes) / UNIT_BYTES;
        Self {
            common: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            apart: Arc::new(Semaphore::new(1)),
        }
    }

    /// Grows `share` to the room for `bytes`, waiting until there is some.
    pub(crate) async fn grow(&self, share: &mut Share, bytes: usize) {
        let held = share
            .common
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(UNIT_BYTES).saturating_sub(held);
        if missing == 0 || share.apart.is_some() {
            return;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let (common, apart) = (Arc::clone(&self.common), Arc::clone(&self.apart));
        tokio::select! {
            biased;
            permit = common.acquire_many_owned(missing) => {
                // The semaphore is never closed; without a permit the frame would only be uncounted.
                match (&mut share.common, permit.ok()) {
                    (Some(held), Some(more)) => held.merge(more),
                    (held, more) => *held = more,
                }
            }
            permit = apart.acquire_owned() => share.apart = permit.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const FRAME_BYTES: usize = 8 * UNIT_BYTES;

    fn grown(budget: &ReceivingBudget, share: &mut Share, units: usize) -> bool {
        budget
            .grow(share, units * UNIT_BYTES)
            .now_or_never()
            .is_some()
    }

    #[test]
    fn frames_that_wait_for_each_other_are_finished_one_by_one() {
        let budget = ReceivingBudget::new(FRAME_BYTES + 8 * UNIT_BYTES, FRAME_BYTES);
        let mut shares = [(); 3].map(|()| Share::default());
        let [first, second, third] = &mut shares;
        assert!(grown(&budget, first, 4) && grown(&budget, second, 4));
        assert!(grown(&budget, first, 8), "the room set apart");
        assert!(!grown(&budget, second, 8), "one frame at a time");
        assert!(!grown(&budget, third, 1));
        *first = Share::default();
        assert!(grown(&budget, second, 8), "what the first one had");
        assert!(grown(&budget, third, 8), "the room set apart came back");
    }

    #[test]
    fn a_budget_of_one_frame_serves_one_frame_after_the_other() {
        let budget = ReceivingBudget::new(FRAME_BYTES, FRAME_BYTES);
        let (mut first, mut second) = (Share::default(), Share::default());
        assert!(grown(&budget, &mut first, 1) && grown(&budget, &mut first, 8));
        assert!(!grown(&budget, &mut second, 1));
        drop(first);
        assert!(grown(&budget, &mut second, 8));
    }
}
