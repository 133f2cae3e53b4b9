//! How long an entry lives: what a caller asks for, and what a backend is told.

use plinth_core::{Error, Result, TimestampMs};
use serde::Serialize;

/// Longest time to live, in milliseconds: ten years.
pub const TTL_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;
/// How long a negative entry lives where neither caller nor namespace says, in milliseconds.
pub const NEGATIVE_TTL_MS_DEFAULT: u64 = 5_000;
/// Longest life of a negative entry, in milliseconds.
pub const NEGATIVE_TTL_MS_MAX: u64 = 10 * 60 * 1_000;
/// Shortest idle time of a sliding expiry, in milliseconds.
pub const IDLE_MS_MIN: u64 = 10;
/// How long a sliding expiry lasts at most where neither caller nor namespace says, in milliseconds: one day.
pub const SLIDING_MAX_MS_DEFAULT: u64 = 24 * 60 * 60 * 1_000;

/// Milliseconds until an entry is gone: 1 to [`TTL_MS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Ttl(u64);

impl Ttl {
    /// Parses a caller's number. Errors: 1001 naming `ttl_ms`.
    pub fn parse(ttl_ms: i64) -> Result<Self> {
        Self::parse_as("ttl_ms", ttl_ms, 1)
    }

    /// Parses a number of another field, at least `min_ms`. Errors: 1001 naming `field`.
    pub fn parse_as(field: &str, ttl_ms: i64, min_ms: u64) -> Result<Self> {
        match u64::try_from(ttl_ms) {
            Ok(ttl) if (min_ms..=TTL_MS_MAX).contains(&ttl) => Ok(Self(ttl)),
            _ => Err(Error::invalid(
                field,
                format!("is {ttl_ms}, must lie in {min_ms}..={TTL_MS_MAX}"),
            )),
        }
    }

    /// A life of that many milliseconds, brought into the allowed range.
    #[must_use]
    pub fn clamped(ttl_ms: u64) -> Self {
        Self(ttl_ms.clamp(1, TTL_MS_MAX))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn get_ms(self) -> u64 {
        self.0
    }
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Expiry {
    /// What the namespace says.
    #[default]
    Default,
    /// None, whatever the namespace says.
    Never,
    /// So long from now.
    After(Ttl),
    /// At an instant of the wall clock.
    At(TimestampMs),
    /// So long after the last read or write, within a maximum.
    Sliding {
        /// How long it lives unread.
        idle: Ttl,
        /// How long it lives at most, however often it is read; `None` is what the namespace says.
        limit: Option<Ttl>,
    },
}

/// The fields by which a caller says it; none of them is the namespace's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpiryFields {
    /// Milliseconds to live. Beside `sliding_ms`: the maximum.
    pub ttl_ms: Option<i64>,
    /// The instant, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// Milliseconds to live after the last read or write.
    pub sliding_ms: Option<i64>,
    /// True: no expiry.
    pub persist: Option<bool>,
}

impl Expiry {
    /// Parses the fields of a change of expiry, where none of them means: no longer any. Errors: as [`Expiry::parse`].
    pub fn parse_change(fields: ExpiryFields) -> Result<Self> {
        match Self::parse(fields)? {
            Self::Default => Ok(Self::Never),
            expiry => Ok(expiry),
        }
    }

    /// Parses the fields. Errors: 1001 naming the field that is out of range or does not go with another.
    pub fn parse(fields: ExpiryFields) -> Result<Self> {
        let ttl = fields.ttl_ms.map(Ttl::parse).transpose()?;
        let idle = fields
            .sliding_ms
            .map(|idle| Ttl::parse_as("sliding_ms", idle, IDLE_MS_MIN))
            .transpose()?;
        let refuse = |field, other| {
            Err(Error::invalid(
                field,
                format!("does not go with `{other}`: an entry has one expiry"),
            ))
        };
        if fields.persist == Some(true) {
            return match (ttl, fields.expires_at_ms, idle) {
                (None, None, None) => Ok(Self::Never),
                (Some(_), ..) => refuse("ttl_ms", "persist"),
                (_, Some(_), _) => refuse("expires_at_ms", "persist"),
                (.., Some(_)) => refuse("sliding_ms", "persist"),
            };
        }
        match (ttl, fields.expires_at_ms, idle) {
            (None, None, None) => Ok(Self::Default),
            (Some(ttl), None, None) => Ok(Self::After(ttl)),
            (None, Some(at), None) => Ok(Self::At(TimestampMs(at))),
            (Some(limit), None, Some(idle)) if limit < idle => Err(Error::invalid(
                "sliding_ms",
                "must not be above `ttl_ms`, the maximum of a sliding expiry",
            )),
            (limit, None, Some(idle)) => Ok(Self::Sliding { idle, limit }),
            (Some(_), Some(_), _) => refuse("ttl_ms", "expires_at_ms"),
            (None, Some(_), Some(_)) => refuse("sliding_ms", "expires_at_ms"),
        }
    }
}

/// What a backend is told: the caller's wish after the namespace's defaults and jitter. All durations count from the
/// backend's own now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When the entry is gone, whatever happens.
    pub end: End,
    /// For a sliding expiry: how long after the last read or write the entry is gone, if `end` does not come first.
    pub idle: Option<Ttl>,
    /// Milliseconds until the entry is stale; `None` is fresh to its end.
    pub fresh_ms: Option<u64>,
}

impl Life {
    /// No end.
    pub const FOREVER: Self = Self {
        end: End::Never,
        idle: None,
        fresh_ms: None,
    };

    /// A fixed life from now, fresh to its end.
    #[must_use]
    pub const fn after(ttl: Ttl) -> Self {
        Self {
            end: End::After(ttl),
            ..Self::FOREVER
        }
    }
}

/// When an entry is gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It does not expire.
    Never,
    /// So long from now.
    After(Ttl),
    /// At an instant of the wall clock; one that has passed makes the entry gone at once.
    At(TimestampMs),
}
