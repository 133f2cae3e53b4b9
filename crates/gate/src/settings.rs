//! The settings of the gate.

use plinth_core::{Error, Result, limits};
use plinth_resilience::RateLimit;
use plinth_resilience::limiter::RATE_PER_SECOND_MAX;
use plinth_security::Pattern;
use serde::{Deserialize, Serialize};

/// Most audit patterns that settings may add.
pub const AUDIT_PATTERNS_MAX: usize = 64;

/// What the gate lets through, and how much at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateSettings {
    /// How long an authenticated key is served from memory, in milliseconds; at most
    /// [`limits::CREDENTIAL_CACHE_MS_MAX`]. Revocation reaches other instances that fast; on its own instance it works at
    /// once.
    pub credential_cache_ms: u64,
    /// How long a key that was refused is refused from memory, in milliseconds; at most
    /// [`limits::CREDENTIAL_CACHE_MS_MAX`], so that a tenant that is switched on again is let in promptly.
    pub refused_cache_ms: u64,
    /// Most keys of which either memory holds a decision.
    pub credential_cache_keys_max: u64,
    /// Most look-ups of keys in the directory at once; one past it is told to come back (1009).
    pub lookups_concurrent_max: usize,
    /// How often an address may show a bad key.
    pub address: AddressLimit,
    /// How often a tenant may call, by class of operation.
    pub rates: RateLimits,
    /// How many calls may be at work at once.
    pub concurrency: ConcurrencyLimits,
    /// What is audited beyond the catalogue, and what happens without the log.
    pub audit: AuditSettings,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            credential_cache_ms: limits::CREDENTIAL_CACHE_MS_MAX,
            refused_cache_ms: 500,
            credential_cache_keys_max: 16_384,
            lookups_concurrent_max: 64,
            address: AddressLimit::default(),
            rates: RateLimits::default(),
            concurrency: ConcurrencyLimits::default(),
            audit: AuditSettings::default(),
        }
    }
}

/// How often an address may show a bad key before it is refused unheard. Good keys cost nothing, and one that was good
/// before is heard even from a refused address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AddressLimit {
    /// Bad keys in a second.
    pub per_second: u32,
    /// Bad keys at once.
    pub burst: u32,
    /// Most addresses that are counted; where more come, those that come often are.
    pub addresses_max: u64,
}

impl Default for AddressLimit {
    fn default() -> Self {
        Self {
            per_second: 20,
            burst: 200,
            addresses_max: 65_536,
        }
    }
}

/// How often a tenant may call, on each instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Operations that only read.
    pub read: RateLimit,
    /// Operations of the data plane that change something.
    pub write: RateLimit,
    /// Administration, and whatever else is always audited.
    pub administration: RateLimit,
    /// Most tenants that are counted.
    pub tenants_max: u64,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            read: RateLimit::new(500_000, 500_000),
            write: RateLimit::new(500_000, 500_000),
            administration: RateLimit::new(500, 2_000),
            tenants_max: 65_536,
        }
    }
}

/// How many calls may be at work at once, on this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConcurrencyLimits {
    /// Calls at work in each block; one past it waits for a place, then is told to come back (1009).
    pub calls_per_block_max: usize,
    /// How long a call waits for a place, in milliseconds.
    pub place_wait_ms: u64,
    /// Long polls that wait for something to happen, in all blocks together. They take no place of the calls at work.
    pub waiters_max: usize,
}

impl Default for ConcurrencyLimits {
    fn default() -> Self {
        Self {
            calls_per_block_max: 2_048,
            place_wait_ms: 200,
            waiters_max: 16_384,
        }
    }
}

/// What happens to an audited operation when its intent cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditFailure {
    /// No record, no operation (1012).
    #[default]
    Block,
    /// The operation goes on; the gap is logged as an error and counted.
    Continue,
}

/// What is audited beyond the catalogue, and what happens without the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// Patterns of operations that are audited although the catalogue does not say so: `cache.*`, `queue.publish`. The
    /// audit writes themselves (`audit.log_operation`, `audit.log_batch`) are not taken: each would record itself again.
    pub also: Vec<String>,
    /// What happens to an audited operation when its intent cannot be recorded.
    pub on_failure: AuditFailure,
}

impl GateSettings {
    /// Checks what the types do not. Errors: 1001 naming the setting.
    pub fn validate(&self) -> Result<()> {
        let cache_times = [
            ("gate.credential_cache_ms", self.credential_cache_ms),
            ("gate.refused_cache_ms", self.refused_cache_ms),
        ];
        if let Some((name, _)) = cache_times
            .iter()
            .find(|(_, value_ms)| *value_ms > limits::CREDENTIAL_CACHE_MS_MAX)
        {
            return Err(Error::invalid(
                *name,
                format!("must be at most {}", limits::CREDENTIAL_CACHE_MS_MAX),
            ));
        }
        self.validate_counts()?;
        self.validate_rates()?;
        self.audit_patterns().map(|_| ())
    }

    fn validate_counts(&self) -> Result<()> {
        let counts = [
            (
                "gate.credential_cache_keys_max",
                self.credential_cache_keys_max,
            ),
            (
                "gate.lookups_concurrent_max",
                self.lookups_concurrent_max as u64,
            ),
            ("gate.address.addresses_max", self.address.addresses_max),
            ("gate.rates.tenants_max", self.rates.tenants_max),
            (
                "gate.concurrency.calls_per_block_max",
                self.concurrency.calls_per_block_max as u64,
            ),
            (
                "gate.concurrency.waiters_max",
                self.concurrency.waiters_max as u64,
            ),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(Error::invalid(*name, "must be at least 1")),
            None => Ok(()),
        }
    }

    fn validate_rates(&self) -> Result<()> {
        let address = RateLimit::new(self.address.per_second, self.address.burst);
        let rates = [
            ("gate.address", address),
            ("gate.rates.read", self.rates.read),
            ("gate.rates.write", self.rates.write),
            ("gate.rates.administration", self.rates.administration),
        ];
        for (name, rate) in rates {
            if !(1..=RATE_PER_SECOND_MAX).contains(&rate.per_second) {
                return Err(Error::invalid(
                    format!("{name}.per_second"),
                    format!("must lie in 1..={RATE_PER_SECOND_MAX}"),
                ));
            }
            if rate.burst == 0 {
                return Err(Error::invalid(
                    format!("{name}.burst"),
                    "must be at least 1",
                ));
            }
        }
        Ok(())
    }

    /// The patterns of operations that are audited beyond the catalogue. Errors: 1001 naming the setting.
    pub(crate) fn audit_patterns(&self) -> Result<Vec<Pattern>> {
        if self.audit.also.len() > AUDIT_PATTERNS_MAX {
            return Err(Error::invalid(
                "gate.audit.also",
                format!("may hold at most {AUDIT_PATTERNS_MAX} patterns"),
            ));
        }
        let parse = |(index, text): (usize, &String)| {
            Pattern::parse(text).map_err(|error| {
                Error::invalid(format!("gate.audit.also[{index}]"), error.message())
            })
        };
        self.audit.also.iter().enumerate().map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_bad_value_is_named() {
        assert!(GateSettings::default().validate().is_ok());
        type Spoil = fn(&mut GateSettings);
        let cases: [(&str, Spoil); 7] = [
            ("gate.credential_cache_ms", |s| {
                s.credential_cache_ms = limits::CREDENTIAL_CACHE_MS_MAX + 1;
            }),
            ("gate.refused_cache_ms", |s| {
                s.refused_cache_ms = limits::CREDENTIAL_CACHE_MS_MAX + 1;
            }),
            ("gate.lookups_concurrent_max", |s| {
                s.lookups_concurrent_max = 0
            }),
            ("gate.address.burst", |s| s.address.burst = 0),
            ("gate.rates.read.per_second", |s| {
                s.rates.read.per_second = 0
            }),
            ("gate.audit.also[0]", |s| {
                s.audit.also = vec!["a b".to_owned()]
            }),
            ("gate.audit.also", |s| {
                s.audit.also = vec!["*".to_owned(); AUDIT_PATTERNS_MAX + 1];
            }),
        ];
        for (field, spoil) in cases {
            let mut settings = GateSettings::default();
            spoil(&mut settings);
            let error = settings.validate().expect_err(field);
            assert_eq!(error.violations()[0].field, field);
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(serde_json::from_str::<GateSettings>("{}").is_ok());
        assert!(serde_json::from_str::<GateSettings>(r#"{"adress":{}}"#).is_err());
    }
}
