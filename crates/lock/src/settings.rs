//! Settings of the block.

use serde::{Deserialize, Serialize};

/// Which backend keeps locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockBackend {
    /// A file of this instance alone.
    #[default]
    Sqlite,
    /// The control database: all instances on it share their locks.
    Control,
}

/// Where locks are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LockSettings {
    /// Which backend keeps them: `sqlite` is a file of this instance alone, `control` the control database, by which all
    /// instances on it share their locks.
    pub backend: LockBackend,
    /// Most locks of a tenant that are held or waited for at one time.
    pub locks_per_tenant_max: u32,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            backend: LockBackend::default(),
            locks_per_tenant_max: 20_000,
        }
    }
}
