//! Writing tiles and bundles: the tree as it grows on disk.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::files::LogFiles;
use super::reader::TileReader;
use crate::error::AuditError;
use crate::tree::merkle::{Frontier, Hash, leaf_hash};
use crate::tree::tile::{PARTIAL_SUFFIX, TILE_WIDTH, TileAt, encode_hashes, hashes_at};
use crate::tree::{bundle, merkle};

/// The growing tree: its right edge in memory (the partial tile of each level and the partial bundle), everything left
/// of it in files.
pub struct TileWriter {
    files: Arc<dyn LogFiles>,
    size: u64,
    /// Partial tiles, level by level. A full one moves to its file and leaves its root to the next level.
    levels: Vec<Vec<Hash>>,
    bundle: Vec<u8>,
    /// Levels whose partial tile changed since it was last written.
    unwritten: Vec<bool>,
}

impl TileWriter {
    /// Resumes at a size that a checkpoint signs: reads the right edge. Errors: a tile is missing or malformed, or the
    /// root differs from the checkpoint's.
    pub fn resume(files: Arc<dyn LogFiles>, size: u64, root: &Hash) -> Result<Self, AuditError> {
        let mut levels = Vec::new();
        let mut edge = Vec::new();
        let reader = TileReader::new(Arc::clone(&files), size);
        let mut level = 0;
        while hashes_at(level, size) > 0 {
            let count = hashes_at(level, size);
            let hashes = match TileAt::holding(level, count - 1, size) {
                Some(at) if !at.is_full() => reader.hashes(at)?,
                _ => Vec::new(),
            };
            levels.push(hashes);
            level += 1;
        }
        if let Some(at) = size
            .checked_sub(1)
            .and_then(|last| TileAt::holding(0, last, size))
            && !at.is_full()
        {
            for entry in reader.entries(at)? {
                let _fits = bundle::append(&mut edge, &entry);
            }
        }
        let unwritten = vec![false; levels.len()];
        let writer = Self {
            files,
            size,
            levels,
            bundle: edge,
            unwritten,
        };
        if writer.root() == *root {
            Ok(writer)
        } else {
            Err(AuditError::tampered(
                "tile",
                format!("the tiles at size {size} do not give the root that the checkpoint signs"),
            ))
        }
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Root over them.
    pub fn root(&self) -> Hash {
        self.levels
            .iter()
            .fold(None, |right, level| {
                Frontier::over(level).root_before(right)
            })
            .unwrap_or_else(merkle::empty_root)
    }

    /// Appends leaves; what becomes full is durable in its file when this returns. Errors: a file cannot be written;
    /// this writer is then of no more use and has to be resumed from the last checkpoint.
    pub fn append(&mut self, leaves: &[Bytes]) -> Result<(), AuditError> {
        for leaf in leaves {
            if !bundle::append(&mut self.bundle, leaf) {
                return Err(AuditError::malformed(
                    self.size,
                    "is longer than an entry may be",
                ));
            }
            self.push(0, self.size, leaf_hash(leaf))?;
            self.size += 1;
        }
        Ok(())
    }

    /// Takes the hash of place `place` at a level; a full tile is written and its root goes one level up.
    fn push(&mut self, level: u8, place: u64, hash: Hash) -> Result<(), AuditError> {
        let slot = usize::from(level);
        if slot == self.levels.len() {
            self.levels.push(Vec::new());
            self.unwritten.push(false);
        }
        let (Some(hashes), Some(unwritten)) =
            (self.levels.get_mut(slot), self.unwritten.get_mut(slot))
        else {
            return Ok(());
        };
        hashes.push(hash);
        *unwritten = true;
        if (hashes.len() as u64) < TILE_WIDTH {
            return Ok(());
        }
        *unwritten = false;
        let full = std::mem::take(hashes);
        let at = TileAt {
            level,
            index: place / TILE_WIDTH,
            width: TILE_WIDTH,
        };
        if level == 0 {
            let entries = std::mem::take(&mut self.bundle);
            self.put(&at.entries_path(), &entries)?;
        }
        self.put(&at.path(), &encode_hashes(&full))?;
        self.remove_partials(at)?;
        self.push(level + 1, at.index, Frontier::over(&full).root())
    }

    /// Makes the right edge durable as partial tiles: the tree of this size is then whole on disk.
    pub fn write_edge(&mut self) -> Result<(), AuditError> {
        for (slot, hashes) in self.levels.iter().enumerate() {
            let changed = self.unwritten.get(slot).copied().unwrap_or_default();
            let level = u8::try_from(slot).unwrap_or(u8::MAX);
            if !changed || hashes.is_empty() {
                continue;
            }
            let at = TileAt {
                level,
                index: hashes_at(level, self.size) / TILE_WIDTH,
                width: hashes.len() as u64,
            };
            if level == 0 {
                self.put(&at.entries_path(), &self.bundle)?;
            }
            self.put(&at.path(), &encode_hashes(hashes))?;
        }
        self.unwritten.fill(false);
        Ok(())
    }

    /// Removes the partial tiles, and at level 0 the partial bundles, of a full tile. Readers of an earlier checkpoint
    /// find what they need at the beginning of the full one.
    fn remove_partials(&self, at: TileAt) -> Result<(), AuditError> {
        let entries = (at.level == 0).then(|| at.entries_path());
        for path in std::iter::once(at.path()).chain(entries) {
            let directory = format!("{path}{PARTIAL_SUFFIX}");
            self.files
                .remove_directory(&directory)
                .map_err(|source| AuditError::file(&directory, source))?;
        }
        Ok(())
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), AuditError> {
        self.files
            .write(path, bytes)
            .map_err(|source: io::Error| AuditError::file(path, source))
    }
}
