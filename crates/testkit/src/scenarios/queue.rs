//! The `queue` block.

use super::Scenario;

/// The scenarios of the block.
pub(super) fn scenarios() -> Vec<Scenario> {
    Vec::new()
}
