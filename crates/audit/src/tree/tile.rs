//! Where tiles stand: C2SP tlog-tiles (<https://c2sp.org/tlog-tiles>), height 8.

use super::merkle::{HASH_BYTES, Hash};

/// Hashes of a full tile, and entries of a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Bits of an index that one tile level takes.
pub const TILE_HEIGHT: u32 = 8;
/// Levels that a tree of 2⁶⁴ leaves could have.
pub const LEVELS_MAX: u8 = 8;
/// Bytes of a full tile.
pub const TILE_BYTES_MAX: usize = 256 * HASH_BYTES;

/// One tile, or one entry bundle, of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileAt {
    /// Level: 0 holds leaf hashes, each next one the roots of full tiles of the level below.
    pub level: u8,
    /// Place in the level.
    pub index: u64,
    /// Hashes that it holds: 1 to [`TILE_WIDTH`].
    pub width: u64,
}

impl TileAt {
    /// The tile of a level that holds the hash of a place, in a tree of some size; `None` where the tree has no such
    /// hash.
    #[must_use]
    pub fn holding(level: u8, place: u64, tree_size: u64) -> Option<Self> {
        let count = hashes_at(level, tree_size);
        if place >= count {
            return None;
        }
        let index = place / TILE_WIDTH;
        Some(Self {
            level,
            index,
            width: (count - index * TILE_WIDTH).min(TILE_WIDTH),
        })
    }

    /// Whether it is full, and so immutable.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// Path of the hashes: `tile/<L>/<N>[.p/<W>]`.
    #[must_use]
    pub fn path(self) -> String {
        self.path_under(&format!("tile/{}", self.level))
    }

    /// Path of the entry bundle: `tile/entries/<N>[.p/<W>]`.
    #[must_use]
    pub fn entries_path(self) -> String {
        self.path_under("tile/entries")
    }

    /// The same place when it is full.
    #[must_use]
    pub const fn filled(self) -> Self {
        Self {
            width: TILE_WIDTH,
            ..self
        }
    }

    fn path_under(self, prefix: &str) -> String {
        let mut path = format!("{prefix}/{}", index_path(self.index));
        if !self.is_full() {
            path.push_str(&format!("{PARTIAL_SUFFIX}/{}", self.width));
        }
        path
    }
}

/// What the name of the directory of partial tiles ends with.
pub const PARTIAL_SUFFIX: &str = ".p";

/// Index as zero-padded path elements of three digits, all but the last marked by `x`: `x001/x234/067`.
fn index_path(index: u64) -> String {
    let mut path = format!("{:03}", index % 1_000);
    let mut rest = index / 1_000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1_000);
        rest /= 1_000;
    }
    path
}

/// Number of hashes of a level in a tree of some size.
#[must_use]
pub const fn hashes_at(level: u8, tree_size: u64) -> u64 {
    match tree_size.checked_shr(TILE_HEIGHT * level as u32) {
        Some(count) => count,
        None => 0,
    }
}

/// Hashes as the bytes of a tile.
#[must_use]
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// The hashes of a tile's bytes; `None` where these are not whole hashes.
#[must_use]
pub fn decode_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    rest.is_empty().then(|| hashes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_specification() {
        let tile = |level, index, width| TileAt {
            level,
            index,
            width,
        };
        assert_eq!(tile(0, 1_234_067, 256).path(), "tile/0/x001/x234/067");
        assert_eq!(tile(1, 0, 17).path(), "tile/1/000.p/17");
        assert_eq!(tile(0, 273, 112).entries_path(), "tile/entries/273.p/112");
        assert_eq!(tile(2, 1_000, 256).path(), "tile/2/x001/000");
    }

    #[test]
    fn the_example_of_the_specification_has_its_tiles() {
        // 70,000 leaves: 273 full and one of 112; one full and one of 17; one of 1.
        assert_eq!(
            TileAt::holding(0, 69_999, 70_000).map(|at| (at.index, at.width)),
            Some((273, 112))
        );
        assert_eq!(
            TileAt::holding(1, 272, 70_000).map(|at| (at.index, at.width)),
            Some((1, 17))
        );
        assert_eq!(
            TileAt::holding(2, 0, 70_000).map(|at| (at.index, at.width)),
            Some((0, 1))
        );
        assert_eq!(TileAt::holding(2, 1, 70_000), None);
        assert_eq!(
            TileAt::holding(1, 0, 256).map(|at| (at.index, at.width)),
            Some((0, 1))
        );
        assert_eq!(hashes_at(8, u64::MAX), 0);
    }
}
