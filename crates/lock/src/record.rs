//! What is kept of one lock: who holds it, who waits for it, and counters.

use serde::{Deserialize, Serialize};

use crate::error::LockError;

/// The version of the stored form. A record of a newer one is refused.
pub const RECORD_VERSION: u32 = 1;

/// How much of a lock one grant takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All of it.
    Exclusive,
    /// Together with other shared ones.
    Shared,
    /// Some permits of a semaphore.
    Permits {
        /// How many.
        count: i32,
        /// Of how many.
        of: i32,
    },
}

impl Mode {
    /// The size of the semaphore; `None` for a lock that is exclusive or shared.
    #[must_use]
    pub const fn size(self) -> Option<i32> {
        match self {
            Self::Permits { of, .. } => Some(of),
            Self::Exclusive | Self::Shared => None,
        }
    }

    /// The permits; 0 for a lock that is exclusive or shared.
    #[must_use]
    pub const fn permits(self) -> i32 {
        match self {
            Self::Permits { count, .. } => count,
            Self::Exclusive | Self::Shared => 0,
        }
    }

    /// Whether two grants of these modes exclude each other whatever else is held; never said of permits.
    #[must_use]
    pub const fn excludes(self, other: Self) -> bool {
        matches!((self, other), (Self::Exclusive, _) | (_, Self::Exclusive))
    }
}

/// Who holds or waits: an owner is a name that its principal gives, and another principal's owner of that name is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who<'record> {
    /// The authenticated caller.
    pub principal: &'record str,
    /// The name.
    pub owner: &'record str,
}

/// One living lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who holds.
    pub owner: String,
    /// The authenticated caller that acquired.
    pub principal: String,
    /// The attempts that made it: one, and one more for each re-entrance.
    pub attempts: Vec<String>,
    /// How much.
    pub mode: Mode,
    /// The fencing token.
    pub token: i64,
    /// The full lease, in milliseconds.
    pub lease_ms: i64,
    /// When it was granted, on the backend's clock.
    pub since: i64,
    /// When the lease ends, on the backend's clock.
    pub expires_at: i64,
}

impl Holder {
    /// Who holds.
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        Who {
            principal: &self.principal,
            owner: &self.owner,
        }
    }
}

/// One place in the queue of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Who waits.
    pub owner: String,
    /// The authenticated caller.
    pub principal: String,
    /// The attempt that waits; names the place.
    pub attempt: String,
    /// How much it waits for.
    pub mode: Mode,
    /// Since when, on the backend's clock.
    pub since: i64,
    /// How long the place lasts without being renewed, in milliseconds.
    pub place_ms: i64,
    /// When it ends, on the backend's clock.
    pub expires_at: i64,
}

impl Place {
    /// Who waits.
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        Who {
            principal: &self.principal,
            owner: &self.owner,
        }
    }
}

/// What happened to a lock since its record was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Grants.
    pub granted: i64,
    /// Attempts that found it taken.
    pub contended: i64,
    /// Time that granted attempts had waited, in milliseconds.
    pub waited_ms: i64,
    /// Waits that ended without a grant.
    pub timed_out: i64,
    /// Waiters that vanished and were skipped.
    pub vanished: i64,
    /// Leases that ended without a release.
    pub expired: i64,
    /// Leases that an operator ended.
    pub forced: i64,
    /// Waits that were refused because they closed a circle.
    pub deadlocks: i64,
}

/// One lock. An absent record is a free lock that nobody waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the stored form.
    pub version: u32,
    /// The size of the semaphore that it is now; `None` for a lock that is exclusive or shared.
    pub size: Option<i32>,
    /// Who holds it, the earliest grant first.
    pub holders: Vec<Holder>,
    /// Who waits for it, in the order of coming.
    pub places: Vec<Place>,
    /// What happened.
    pub counters: Counters,
    /// The highest token that was granted.
    pub last_token: i64,
    /// When it became free, on the backend's clock.
    pub free_since: Option<i64>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            version: RECORD_VERSION,
            size: None,
            holders: Vec::new(),
            places: Vec::new(),
            counters: Counters::default(),
            last_token: 0,
            free_since: None,
        }
    }
}

impl Record {
    /// Reads a stored record. Errors: it is of a newer release, or no record.
    pub(crate) fn parse(text: &str) -> Result<Self, LockError> {
        let record: Self = serde_json::from_str(text).map_err(LockError::Corrupt)?;
        if record.version > RECORD_VERSION {
            return Err(LockError::Newer {
                found: record.version,
                known: RECORD_VERSION,
            });
        }
        Ok(record)
    }

    /// Whether somebody holds it or waits for it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.holders.is_empty() || !self.places.is_empty()
    }

    /// The permits that are held.
    #[must_use]
    pub fn permits_held(&self) -> i32 {
        self.holders
            .iter()
            .map(|holder| holder.mode.permits())
            .sum()
    }

    /// Whether a grant of a mode fits beside the holders and beside everybody who came earlier.
    #[must_use]
    pub fn lets_in(&self, mode: Mode, earlier: &[Place]) -> bool {
        if self.holders.len() + earlier.len() >= crate::model::limits::HOLDERS_MAX {
            return false;
        }
        let mut taken = self
            .holders
            .iter()
            .map(|holder| holder.mode)
            .chain(earlier.iter().map(|place| place.mode));
        match mode {
            Mode::Permits { count, of } => {
                let used: i32 = taken.map(Mode::permits).fold(0, i32::saturating_add);
                used.saturating_add(count) <= of
            }
            Mode::Exclusive | Mode::Shared => !taken.any(|other| mode.excludes(other)),
        }
    }

    /// The attempts that would be granted if they came back now, in the order of coming.
    #[must_use]
    pub fn candidates(&self) -> Vec<String> {
        let mut candidates = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            let (earlier, _) = self.places.split_at(index);
            if !self.lets_in(place.mode, earlier) {
                break;
            }
            candidates.push(place.attempt.clone());
        }
        candidates
    }
}
