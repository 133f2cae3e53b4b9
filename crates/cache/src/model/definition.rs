//! What an administrator says about a namespace.

use plinth_core::{Error, Result, WideInt};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::expiry::{IDLE_MS_MIN, NEGATIVE_TTL_MS_MAX, Ttl};
use super::loader::{LoaderSettings, LoaderSpec};
use super::space::{PARTITIONS, Placement, Quota};

/// Most hundredths by which a life is shortened by chance.
pub const JITTER_PERCENT_MAX: i64 = 50;
/// Most keys that a quota may allow: beyond is no quota.
pub const QUOTA_KEYS_MAX: i64 = 1_000_000_000_000;
/// Most bytes that a quota may allow: one pebibyte.
pub const QUOTA_BYTES_MAX: i64 = 1 << 50;
/// Fewest keys that the quota of a spread namespace may allow: the largest batch for each partition.
const SPREAD_KEYS_MAX_MIN: i64 = 64 * 1_000;
/// Fewest bytes that the quota of a spread namespace may allow: twice the largest batch for each partition.
const SPREAD_BYTES_MAX_MIN: i64 = 64 * 32 * 1024 * 1024;

/// How the values of a namespace live. What is not named is as in a namespace without a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CacheNamespaceSettings)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSettings {
    /// Milliseconds to live of a value whose caller names no expiry, 1 to 10 years. Beside `default_sliding_ms`: its
    /// maximum. Default: it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_ttl_ms: Option<i64>,
    /// Milliseconds after the last read or write until a value is gone whose caller names no expiry, at least 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_sliding_ms: Option<i64>,
    /// How long a sliding expiry lasts at most where its caller names no maximum, in milliseconds. Default: one day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_max_ms: Option<i64>,
    /// By how many hundredths a `ttl_ms` is shortened at most, by chance, so that what was stored together does not end
    /// together: 0 to 50. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_percent: Option<i64>,
    /// After how many hundredths of its fixed life a value is stale: 1 to 100. Default 100: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_percent: Option<i64>,
    /// Milliseconds to live of a negative entry whose caller names none, 1 to 600,000. Default 5,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_ttl_ms: Option<i64>,
    /// Most keys that it may hold. Default: no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_max: Option<i64>,
    /// Most bytes of keys, values and bookkeeping that it may hold. Default: no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<i64>,
    /// How values of at least 1,024 bytes are kept: `none` (default), or `zstd` where that makes them smaller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Where values come from that are not there. Default: from callers alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<LoaderSettings>,
    /// Where the keys lie: `together` (default), so that a batch can be all or nothing; or `spread` in 64 partitions over the
    /// nodes of a cluster, where it can be that only within one partition. Changes only while the namespace is empty (1006).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
}

/// How a namespace keeps long values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// As they came.
    #[default]
    None,
    /// As a zstd frame, where that is smaller.
    Zstd,
}

/// The settings, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedSettings {
    /// Life of a value whose caller names none.
    pub default_ttl: Option<Ttl>,
    /// Idle time of a value whose caller names no expiry.
    pub default_idle: Option<Ttl>,
    /// Maximum of a sliding expiry.
    pub sliding_max: Option<Ttl>,
    /// Hundredths of jitter.
    pub jitter_percent: u8,
    /// Hundredths of freshness.
    pub fresh_percent: u8,
    /// Life of a negative entry.
    pub negative_ttl: Option<Ttl>,
    /// How much it may hold.
    pub quota: Quota,
    /// How long values are kept.
    pub codec: Codec,
    /// Where the keys lie.
    pub placement: Placement,
}

impl NamespaceSettings {
    /// Checks every field. Errors: 1001 naming the one below `settings` that breaks its rule.
    pub fn check(&self) -> Result<CheckedSettings> {
        self.fields().map_err(|error| error.in_field("settings"))
    }

    /// Checks the loader. Errors: 1001 or 1007 naming the field below `settings` that breaks its rule.
    pub fn loader(&self) -> Result<Option<LoaderSpec>> {
        let loader = self.loader.as_ref();
        let checked = loader.map(|loader| loader.check(self)).transpose();
        checked.map_err(|error| error.in_field("settings"))
    }

    fn fields(&self) -> Result<CheckedSettings> {
        let ttl = |field: &str, value: Option<i64>, min_ms| {
            value
                .map(|value| Ttl::parse_as(field, value, min_ms))
                .transpose()
        };
        let default_ttl = ttl("default_ttl_ms", self.default_ttl_ms, 1)?;
        let default_idle = ttl("default_sliding_ms", self.default_sliding_ms, IDLE_MS_MIN)?;
        let sliding_max = ttl("sliding_max_ms", self.sliding_max_ms, IDLE_MS_MIN)?;
        let limit = default_ttl.or(sliding_max);
        if let (Some(idle), Some(limit)) = (default_idle, limit)
            && idle > limit
        {
            return Err(Error::invalid(
                "default_sliding_ms",
                format!("must not be above its maximum of {}", limit.get_ms()),
            ));
        }
        let negative_max = i64::try_from(NEGATIVE_TTL_MS_MAX).unwrap_or(i64::MAX);
        let within = |field: &str, value: Option<i64>, min: i64, max: i64| match value {
            Some(value) if !(min..=max).contains(&value) => Err(Error::invalid(
                field,
                format!("is {value}, must lie in {min}..={max}"),
            )),
            other => Ok(other),
        };
        let percent = |field: &str, value, min, max| {
            Ok::<_, Error>(
                within(field, value, min, max)?.and_then(|value| u8::try_from(value).ok()),
            )
        };
        let count = |field: &str, value, max| {
            Ok::<_, Error>(within(field, value, 1, max)?.map(i64::unsigned_abs))
        };
        let negative_ttl = within("negative_ttl_ms", self.negative_ttl_ms, 1, negative_max)?;
        let placement = self.placement()?;
        Ok(CheckedSettings {
            default_ttl,
            default_idle,
            sliding_max,
            jitter_percent: percent("jitter_percent", self.jitter_percent, 0, JITTER_PERCENT_MAX)?
                .unwrap_or(0),
            fresh_percent: percent("fresh_percent", self.fresh_percent, 1, 100)?.unwrap_or(100),
            negative_ttl: negative_ttl.map(|value| Ttl::clamped(value.unsigned_abs())),
            quota: Quota {
                keys_max: count("keys_max", self.keys_max, QUOTA_KEYS_MAX)?,
                bytes_max: count("bytes_max", self.bytes_max, QUOTA_BYTES_MAX)?,
            },
            codec: match self.codec.as_deref() {
                None | Some("none") => Codec::None,
                Some("zstd") => Codec::Zstd,
                Some(_) => return Err(Error::invalid("codec", "must be `none` or `zstd`")),
            },
            placement,
        })
    }

    /// Where the keys lie. A quota of a spread namespace leaves each part room for the largest batch.
    fn placement(&self) -> Result<Placement> {
        let placement = match self.placement.as_deref() {
            None | Some("together") => return Ok(Placement::Together),
            Some("spread") => Placement::Spread,
            Some(_) => {
                return Err(Error::invalid(
                    "placement",
                    "must be `together` or `spread`",
                ));
            }
        };
        for (field, most, least) in [
            ("keys_max", self.keys_max, SPREAD_KEYS_MAX_MIN),
            ("bytes_max", self.bytes_max, SPREAD_BYTES_MAX_MIN),
        ] {
            if most.is_some_and(|most| most < least) {
                let rule = format!(
                    "must be at least {least} where the namespace is spread: each of its {PARTITIONS} partitions holds its share"
                );
                return Err(Error::invalid(field, rule));
            }
        }
        Ok(placement)
    }
}

/// A namespace with its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CacheNamespace)]
pub struct NamespaceInfo {
    /// Its name.
    pub namespace_name: String,
    /// How its values live.
    pub settings: NamespaceSettings,
    /// 1 at first, one more with each change.
    #[schema(value_type = String)]
    pub version: WideInt,
    /// When it was defined, Unix milliseconds.
    pub created_at_ms: i64,
    /// When it was last changed, Unix milliseconds.
    pub updated_at_ms: i64,
}

/// A page of definitions, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CacheNamespacePage)]
pub struct NamespacePage {
    /// The namespaces that have a definition.
    pub namespaces: Vec<NamespaceInfo>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &serde_json::Value, field: &str) {
        let settings: NamespaceSettings = serde_json::from_value(json.clone()).expect("settings");
        let error = settings.check().expect_err("refused");
        assert_eq!(
            error.violations()[0].field,
            format!("settings.{field}"),
            "{json}"
        );
    }

    #[test]
    fn each_bad_setting_is_refused_by_its_name() {
        use serde_json::json;
        check(&json!({ "default_ttl_ms": 0 }), "default_ttl_ms");
        check(&json!({ "default_sliding_ms": 9 }), "default_sliding_ms");
        check(
            &json!({ "default_sliding_ms": 11, "default_ttl_ms": 10 }),
            "default_sliding_ms",
        );
        check(
            &json!({ "default_sliding_ms": 11, "sliding_max_ms": 10 }),
            "default_sliding_ms",
        );
        check(&json!({ "sliding_max_ms": 9 }), "sliding_max_ms");
        check(&json!({ "jitter_percent": -1 }), "jitter_percent");
        check(&json!({ "jitter_percent": 51 }), "jitter_percent");
        check(&json!({ "fresh_percent": 0 }), "fresh_percent");
        check(&json!({ "fresh_percent": 101 }), "fresh_percent");
        check(&json!({ "negative_ttl_ms": 600_001 }), "negative_ttl_ms");
        check(&json!({ "keys_max": 0 }), "keys_max");
        check(&json!({ "bytes_max": QUOTA_BYTES_MAX + 1 }), "bytes_max");
        check(&json!({ "codec": "gzip" }), "codec");
        check(&json!({ "placement": "SPREAD" }), "placement");
        check(
            &json!({ "placement": "spread", "keys_max": 63_999 }),
            "keys_max",
        );
        let bytes = SPREAD_BYTES_MAX_MIN - 1;
        check(
            &json!({ "placement": "spread", "bytes_max": bytes }),
            "bytes_max",
        );
    }

    #[test]
    fn the_quota_of_a_spread_namespace_leaves_each_part_room_for_the_largest_batch() {
        use crate::model::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX};
        let of_a_part = |most: i64| usize::try_from(most).expect("fits") / usize::from(PARTITIONS);
        assert_eq!(of_a_part(SPREAD_KEYS_MAX_MIN), BATCH_ITEMS_MAX);
        assert_eq!(of_a_part(SPREAD_BYTES_MAX_MIN), 2 * BATCH_BYTES_MAX);
    }

    #[test]
    fn settings_at_their_limits_hold() {
        let settings = NamespaceSettings {
            default_ttl_ms: Some(10),
            default_sliding_ms: Some(10),
            jitter_percent: Some(50),
            fresh_percent: Some(1),
            negative_ttl_ms: Some(600_000),
            keys_max: Some(QUOTA_KEYS_MAX),
            bytes_max: Some(QUOTA_BYTES_MAX),
            codec: Some("zstd".to_owned()),
            ..NamespaceSettings::default()
        };
        let checked = settings.check().expect("holds");
        assert_eq!((checked.jitter_percent, checked.fresh_percent), (50, 1));
        assert_eq!(checked.codec, Codec::Zstd);
        assert!(NamespaceSettings::default().check().is_ok());
        let spread = NamespaceSettings {
            placement: Some("spread".to_owned()),
            keys_max: Some(64_000),
            bytes_max: Some(SPREAD_BYTES_MAX_MIN),
            ..NamespaceSettings::default()
        };
        let spread = spread.check().expect("holds");
        assert_eq!(spread.placement, Placement::Spread);
    }
}
