//! Settings of the block.

use plinth_core::Result;
use plinth_redis_link::check_key_prefix;
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
    /// The Redis of the section `redis`: all instances on it and on one control database share their locks.
    Redis,
}

/// Where locks are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LockSettings {
    /// Which backend keeps them: `sqlite` is a file of this instance alone, `control` the control database, by which all
    /// instances on it share their locks, `redis` the Redis of the section `redis`, by which all instances on it and on one
    /// control database share them.
    pub backend: LockBackend,
    /// With `redis`: part of the beginning of every key there, `{<key_prefix>.lock}:`: 1 to 64 letters, digits, `-`, `_` and `.`; instances with the same one
    /// share their locks.
    pub key_prefix: String,
    /// Most locks of a tenant that are held or waited for at one time.
    pub locks_per_tenant_max: u32,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            backend: LockBackend::default(),
            key_prefix: "plinth".to_owned(),
            locks_per_tenant_max: 20_000,
        }
    }
}

impl LockSettings {
    /// Checks them. Errors: 1001 naming the setting.
    pub fn validate(&self) -> Result<()> {
        check_key_prefix("lock.key_prefix", &self.key_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_would_move_keys_to_another_slot_is_refused() {
        assert!(LockSettings::default().validate().is_ok());
        let bad = LockSettings {
            key_prefix: "a{b}".to_owned(),
            ..LockSettings::default()
        };
        let refused = bad.validate().expect_err("is refused");
        assert_eq!(refused.violations()[0].field, "lock.key_prefix");
    }
}
