//! Walking the keys of a namespace.

use plinth_core::{Error, Result};

use super::name::{KEY_BYTES_MAX, Key, KeyPrefix};

/// Keys of a page where the caller names no number.
pub const SCAN_PAGE_DEFAULT: u32 = 100;
/// Longest place of a walk, in bytes: a key and what a backend puts before it.
const PLACE_BYTES_MAX: usize = KEY_BYTES_MAX + 16;
/// Most keys of one page.
pub const SCAN_PAGE_MAX: u32 = 1_000;

/// How many keys a page holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimit(u32);

impl ScanLimit {
    /// Parses a caller's number; `None` is [`SCAN_PAGE_DEFAULT`]. Errors: 1001 naming `limit`.
    pub fn parse(limit: Option<i64>) -> Result<Self> {
        match limit.map(u32::try_from) {
            None => Ok(Self(SCAN_PAGE_DEFAULT)),
            Some(Ok(limit @ 1..=SCAN_PAGE_MAX)) => Ok(Self(limit)),
            Some(_) => Err(Error::invalid(
                "limit",
                format!("must lie in 1..={SCAN_PAGE_MAX}"),
            )),
        }
    }

    /// The number of keys.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Where a walk stands: the backend's own, opaque to everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPlace(pub String);

impl ScanPlace {
    /// Takes a caller's cursor. Errors: 1001 naming `cursor`.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > PLACE_BYTES_MAX {
            return Err(Error::invalid(
                "cursor",
                "is not one that this scan returned",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// One page of a walk.
///
/// A key that is present from the first page to the last is seen at least once; one that comes or goes meanwhile may be; a
/// key may be seen twice. A page may hold fewer keys than the limit, even none, and still have a next one.
#[derive(Clone, Debug)]
pub struct Scan {
    /// What the keys begin with.
    pub prefix: KeyPrefix,
    /// Where the walk stands; `None` at its beginning.
    pub place: Option<ScanPlace>,
    /// How many keys at most.
    pub limit: ScanLimit,
}

/// A page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Live values only, no negative entries.
    pub items: Vec<ScanItem>,
    /// Where the next page begins; `None` at the end of the walk.
    pub next: Option<ScanPlace>,
}

/// One key of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanItem {
    /// The key.
    pub key: Key,
    /// Its version.
    pub version: i64,
    /// Milliseconds left; `None` does not expire.
    pub ttl_ms: Option<u64>,
    /// Bytes of its value as it is stored.
    pub value_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_on_after_the_longest_key() {
        let longest = format!("p63:{}", "k".repeat(KEY_BYTES_MAX));
        assert!(ScanPlace::parse(&longest).is_ok());
        assert!(ScanPlace::parse(&"k".repeat(PLACE_BYTES_MAX + 1)).is_err());
        assert!(ScanPlace::parse("").is_err());
    }
}
