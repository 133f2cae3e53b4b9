//! What an operator may set.

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Settings of the monitor block: section `[monitor]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorSettings {
    /// Whether a sample of a new name registers it. Off: a new name is refused with 1004 until it is registered.
    pub auto_register: bool,
    /// How long samples are kept, in milliseconds. Older samples are refused when they come.
    pub retention_ms: i64,
    /// How much disk compressed samples may use, in bytes; the oldest are removed first. What was not compressed yet (at most
    /// 64 MiB), series and idempotency records come beside.
    pub retention_bytes: u64,
    /// Most series of one metric, where its registration names no lower number.
    pub series_per_metric_max: usize,
    /// Most series of one tenant.
    pub series_per_tenant_max: usize,
    /// Most series of the instance; each takes about 500 bytes of memory beside its labels.
    pub series_max: usize,
    /// Most bytes that the labels of one tenant's series may take, names and values.
    pub label_bytes_per_tenant_max: usize,
    /// Most bytes that the labels of all series of the instance may take.
    pub label_bytes_max: usize,
    /// How often ended series and old samples are looked for, in milliseconds.
    pub upkeep_interval_ms: u64,
}

impl Default for MonitorSettings {
    fn default() -> Self {
        Self {
            auto_register: true,
            retention_ms: 15 * 24 * 60 * 60 * 1_000,
            retention_bytes: 1 << 30,
            series_per_metric_max: 10_000,
            series_per_tenant_max: 100_000,
            series_max: 500_000,
            label_bytes_per_tenant_max: 64 * 1024 * 1024,
            label_bytes_max: 256 * 1024 * 1024,
            upkeep_interval_ms: 30_000,
        }
    }
}

/// Least disk for samples, in bytes.
const RETENTION_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Shortest and longest retention, in milliseconds: a minute and ten years.
const RETENTION_MS: std::ops::RangeInclusive<i64> = 60_000..=crate::model::limits::TTL_MS_MAX;
/// Shortest and longest distance of two upkeeps, in milliseconds.
const UPKEEP_INTERVAL_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;

impl MonitorSettings {
    /// Errors: 1001 naming the setting that is out of its range.
    pub fn validate(&self) -> Result<()> {
        if !RETENTION_MS.contains(&self.retention_ms) {
            return Err(refusal("retention_ms", &RETENTION_MS));
        }
        if self.retention_bytes < RETENTION_BYTES_MIN {
            return Err(Error::invalid(
                "monitor.retention_bytes",
                format!("must be at least {RETENTION_BYTES_MIN}"),
            ));
        }
        if !UPKEEP_INTERVAL_MS.contains(&self.upkeep_interval_ms) {
            return Err(refusal("upkeep_interval_ms", &UPKEEP_INTERVAL_MS));
        }
        let series = [
            ("series_per_metric_max", self.series_per_metric_max),
            ("series_per_tenant_max", self.series_per_tenant_max),
            ("series_max", self.series_max),
            (
                "label_bytes_per_tenant_max",
                self.label_bytes_per_tenant_max,
            ),
            ("label_bytes_max", self.label_bytes_max),
        ];
        for (name, value) in series {
            if value == 0 {
                return Err(Error::invalid(
                    format!("monitor.{name}"),
                    "must be at least 1",
                ));
            }
        }
        Ok(())
    }
}

fn refusal<T: std::fmt::Display>(name: &str, range: &std::ops::RangeInclusive<T>) -> Error {
    Error::invalid(
        format!("monitor.{name}"),
        format!("must lie in {}..={}", range.start(), range.end()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_bad_settings_are_named() {
        assert!(MonitorSettings::default().validate().is_ok());
        let error = MonitorSettings {
            series_max: 0,
            ..MonitorSettings::default()
        }
        .validate()
        .expect_err("is refused");
        assert_eq!(error.violations()[0].field, "monitor.series_max");
    }
}
