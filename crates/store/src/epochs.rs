//! Epochs: numbers that only grow, whatever is lost elsewhere.

use async_trait::async_trait;
use parking_lot::Mutex;
use plinth_core::Result;

/// Where epochs of fencing tokens are kept.
#[async_trait]
pub trait Epochs: Send + Sync {
    /// Takes the next epoch: higher than every one that was taken before, and than `above`.
    ///
    /// `backend` names what the epoch is taken for, for people. Errors: 1012 where the control plane is away.
    async fn raise(&self, backend: &str, above: i64) -> Result<i64>;
}

/// [`Epochs`] that last as long as the process, for tests of blocks.
#[derive(Debug, Default)]
pub struct MemoryEpochs {
    epoch: Mutex<i64>,
}

#[async_trait]
impl Epochs for MemoryEpochs {
    async fn raise(&self, _backend: &str, above: i64) -> Result<i64> {
        let mut epoch = self.epoch.lock();
        *epoch = (*epoch).max(above).saturating_add(1);
        Ok(*epoch)
    }
}
