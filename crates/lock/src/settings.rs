//! Settings of the block.

use serde::{Deserialize, Serialize};

/// Where locks are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LockSettings {
    /// Most locks of a tenant that are held or waited for at one time.
    pub locks_per_tenant_max: u32,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            locks_per_tenant_max: 20_000,
        }
    }
}
