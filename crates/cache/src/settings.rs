//! Settings of the block.

use plinth_core::{Error, Result};
use plinth_redis_link::check_key_prefix;
use serde::{Deserialize, Serialize};

use crate::model::Quota;

/// Which backend keeps values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheBackendKind {
    /// The memory of this instance.
    #[default]
    Memory,
    /// The Redis of the section `redis`.
    Redis,
}

/// What is answered from what is kept near while Redis cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAway {
    /// Nothing: reads fail.
    #[default]
    Fail,
    /// Reads of values that are kept near, marked `degraded`.
    Near,
}

/// Largest age of a value that is kept near, in milliseconds.
const NEAR_AGE_MS_MAX: u64 = 60 * 60 * 1_000;

/// Values of Redis that are kept in this process as long as nobody changed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NearSettings {
    /// Bound of keys, values and bookkeeping that are kept, in bytes; 0 keeps nothing.
    pub bytes_max: u64,
    /// After how long a value is read from Redis again although nobody changed it, in milliseconds: also where the clock of
    /// Redis jumps forward, what is gone by it is not told for longer.
    pub max_age_ms: u64,
    /// While Redis cannot be reached: `fail` refuses reads; `near` answers those of values that were read in the last
    /// `max_age_ms` from here, marked `degraded`, which may miss what others changed meanwhile.
    pub when_away: WhenAway,
}

impl Default for NearSettings {
    fn default() -> Self {
        Self {
            bytes_max: 0,
            max_age_ms: 10_000,
            when_away: WhenAway::default(),
        }
    }
}

/// Where values are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSettings {
    /// Which backend keeps values: `memory` is that of this instance, `redis` the Redis of the section `redis`, by which all
    /// instances on it share them.
    pub backend: CacheBackendKind,
    /// With `redis`: the beginning of every key there, 1 to 64 letters, digits, `-`, `_` and `.`; instances with the same one
    /// share their values.
    pub key_prefix: String,
    /// With `memory`: bound of keys, values and bookkeeping, in bytes.
    pub bytes_max: u64,
    /// With `memory`: most namespaces of all tenants together.
    pub namespaces_max: usize,
    /// With `memory`: most keys of one tenant in all its namespaces; 0 is no limit of its own.
    pub tenant_keys_max: u64,
    /// With `memory`: most bytes of one tenant in all its namespaces; 0 is no limit of its own.
    pub tenant_bytes_max: u64,
    /// With `redis`: what of it is kept in this process.
    pub near: NearSettings,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            backend: CacheBackendKind::default(),
            key_prefix: "plinth".to_owned(),
            near: NearSettings::default(),
            bytes_max: 256 * 1024 * 1024,
            namespaces_max: 10_000,
            tenant_keys_max: 0,
            tenant_bytes_max: 0,
        }
    }
}

impl CacheSettings {
    /// Checks them. Errors: 1001 naming the setting.
    pub fn validate(&self) -> Result<()> {
        check_key_prefix("cache.key_prefix", &self.key_prefix)?;
        if !(1..=NEAR_AGE_MS_MAX).contains(&self.near.max_age_ms) {
            return Err(Error::invalid(
                "cache.near.max_age_ms",
                format!("must lie in 1..={NEAR_AGE_MS_MAX}"),
            ));
        }
        if self.near.bytes_max > 0 && self.backend != CacheBackendKind::Redis {
            return Err(Error::invalid(
                "cache.near.bytes_max",
                "goes with cache.backend = `redis` only: what is in memory is near already",
            ));
        }
        if self.near.when_away == WhenAway::Near && self.near.bytes_max == 0 {
            return Err(Error::invalid(
                "cache.near.when_away",
                "goes with cache.near.bytes_max above 0 only: else nothing is kept",
            ));
        }
        if self.backend == CacheBackendKind::Redis {
            // Namespaces of a tenant lie on different nodes, which no step counts together.
            for (field, set) in [
                ("cache.tenant_keys_max", self.tenant_keys_max),
                ("cache.tenant_bytes_max", self.tenant_bytes_max),
            ] {
                if set > 0 {
                    return Err(Error::invalid(field, "does not go with `redis`"));
                }
            }
        }
        Ok(())
    }

    pub(crate) const fn tenant_quota(&self) -> Quota {
        const fn limit(max: u64) -> Option<u64> {
            if max == 0 { None } else { Some(max) }
        }
        Quota {
            keys_max: limit(self.tenant_keys_max),
            bytes_max: limit(self.tenant_bytes_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use plinth_redis_link::KEY_PREFIX_BYTES_MAX;

    use super::*;

    #[test]
    fn a_prefix_is_a_short_word_and_quotas_of_tenants_are_of_the_memory() {
        let refused = |settings: &CacheSettings| {
            let error = settings.validate().expect_err("is refused");
            error.violations()[0].field.clone()
        };
        let with = |key_prefix: &str| CacheSettings {
            key_prefix: key_prefix.to_owned(),
            ..CacheSettings::default()
        };
        assert!(with(&"p".repeat(KEY_PREFIX_BYTES_MAX)).validate().is_ok());
        for bad in ["", "a{b}", "a:b", &"p".repeat(KEY_PREFIX_BYTES_MAX + 1)] {
            assert_eq!(refused(&with(bad)), "cache.key_prefix");
        }
        let mut near = CacheSettings::default();
        near.near.bytes_max = 1;
        assert_eq!(refused(&near), "cache.near.bytes_max");
        near.backend = CacheBackendKind::Redis;
        assert!(near.validate().is_ok());
        near.near.when_away = WhenAway::Near;
        assert!(near.validate().is_ok());
        near.near.bytes_max = 0;
        assert_eq!(refused(&near), "cache.near.when_away");
        near.near.max_age_ms = 0;
        assert_eq!(refused(&near), "cache.near.max_age_ms");
        let mut quota = CacheSettings {
            tenant_bytes_max: 1,
            ..CacheSettings::default()
        };
        assert!(quota.validate().is_ok());
        quota.backend = CacheBackendKind::Redis;
        assert_eq!(refused(&quota), "cache.tenant_bytes_max");
    }
}
