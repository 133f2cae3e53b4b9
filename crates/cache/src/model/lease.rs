//! Leases: on a miss one caller is asked to fill the key, the others wait for it.
//!
//! Source: R. Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1.

use plinth_core::{Error, Result};

use super::read::Read;

/// How long a lease is open where the caller names no time, in milliseconds.
pub const LEASE_MS_DEFAULT: u64 = 5_000;
/// Shortest time that a lease is open, in milliseconds.
pub const LEASE_MS_MIN: u64 = 10;
/// Longest time that a lease is open, in milliseconds.
pub const LEASE_MS_MAX: u64 = 60_000;
/// Longest wait for somebody else's lease, in milliseconds.
pub const LEASE_WAIT_MS_MAX: u64 = 30_000;

/// The right to fill a key: a version of the same counter as entries and tag stamps, so that what was changed after the
/// lease was given is known by comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseToken(i64);

impl LeaseToken {
    /// Takes a caller's number, or a backend's version.
    #[must_use]
    pub const fn new(token: i64) -> Self {
        Self(token)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// How long a lease is open: [`LEASE_MS_MIN`] to [`LEASE_MS_MAX`] milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseMs(u64);

impl LeaseMs {
    /// Parses a caller's number; `None` is [`LEASE_MS_DEFAULT`]. Errors: 1001 naming `lease_ms`.
    pub fn parse(lease_ms: Option<i64>) -> Result<Self> {
        match lease_ms.map(u64::try_from) {
            None => Ok(Self(LEASE_MS_DEFAULT)),
            Some(Ok(lease_ms @ LEASE_MS_MIN..=LEASE_MS_MAX)) => Ok(Self(lease_ms)),
            Some(_) => Err(Error::invalid(
                "lease_ms",
                format!("must lie in {LEASE_MS_MIN}..={LEASE_MS_MAX}"),
            )),
        }
    }

    /// So many milliseconds, brought into the allowed range.
    #[must_use]
    pub fn clamped(lease_ms: u64) -> Self {
        Self(lease_ms.clamp(LEASE_MS_MIN, LEASE_MS_MAX))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// How long a caller waits for somebody else's lease: 0 to [`LEASE_WAIT_MS_MAX`] milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseWait(u64);

impl LeaseWait {
    /// Parses a caller's number; `None` does not wait. Errors: 1001 naming `wait_ms`.
    pub fn parse(wait_ms: Option<i64>) -> Result<Self> {
        match wait_ms.map(u64::try_from) {
            None => Ok(Self(0)),
            Some(Ok(wait_ms @ 0..=LEASE_WAIT_MS_MAX)) => Ok(Self(wait_ms)),
            Some(_) => Err(Error::invalid(
                "wait_ms",
                format!("must lie in 0..={LEASE_WAIT_MS_MAX}"),
            )),
        }
    }

    /// Milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Over what a lease is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseWhen {
    /// Where there is neither a fresh value nor the knowledge of its absence.
    Needed,
    /// Over those as well: the key is to be filled anew, whatever stands there.
    Always,
}

/// What a read finds that is ready to fill the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedRead {
    /// What stands under the key.
    pub read: Read,
    /// Who fills it.
    pub lease: LeaseState,
}

/// Who fills a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Nobody need: a fresh value, or the knowledge that there is none.
    NotNeeded,
    /// The caller: the put that carries this token fills it.
    Granted {
        /// Its right to do so.
        token: LeaseToken,
    },
    /// Somebody else.
    Held {
        /// Which lease it is, to wait for its end.
        token: LeaseToken,
        /// Milliseconds until it ends by itself.
        left_ms: u64,
    },
}
