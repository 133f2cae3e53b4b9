//! Reading tiles and bundles, and making proofs of them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::files::LogFiles;
use crate::error::AuditError;
use crate::tree::bundle::{self, BUNDLE_BYTES_MAX};
use crate::tree::merkle::{Frontier, Hash};
use crate::tree::proof::Subtrees;
use crate::tree::tile::{TILE_BYTES_MAX, TILE_HEIGHT, TILE_WIDTH, TileAt, decode_hashes};

/// Reads the tree of one size.
pub struct TileReader {
    files: Arc<dyn LogFiles>,
    size: u64,
    tiles: HashMap<TileAt, Vec<Hash>>,
}

impl TileReader {
    /// Reads the tree of a size whose tiles are in place.
    pub fn new(files: Arc<dyn LogFiles>, size: u64) -> Self {
        Self {
            files,
            size,
            tiles: HashMap::new(),
        }
    }

    /// The hashes of a tile. Where a partial one has made room for the full one, its first hashes. Errors: missing or
    /// malformed, which is a sign of tampering under a checkpoint.
    pub fn hashes(&self, at: TileAt) -> Result<Vec<Hash>, AuditError> {
        let (path, bytes) = self.read(at, TileAt::path, TILE_BYTES_MAX)?;
        let mut hashes = decode_hashes(&bytes)
            .filter(|hashes| hashes.len() as u64 >= at.width)
            .ok_or_else(|| AuditError::tampered(&path, "is not a tile of its width"))?;
        hashes.truncate(usize::try_from(at.width).unwrap_or(usize::MAX));
        Ok(hashes)
    }

    /// The entries of a bundle, as [`TileReader::hashes`].
    pub fn entries(&self, at: TileAt) -> Result<Vec<Bytes>, AuditError> {
        let (path, bytes) = self.read(at, TileAt::entries_path, BUNDLE_BYTES_MAX)?;
        let mut entries = bundle::decode(&bytes)
            .filter(|entries| entries.len() as u64 >= at.width)
            .ok_or_else(|| AuditError::tampered(&path, "is not a bundle of its width"))?;
        entries.truncate(usize::try_from(at.width).unwrap_or(usize::MAX));
        Ok(entries)
    }

    fn read(
        &self,
        at: TileAt,
        path_of: impl Fn(TileAt) -> String,
        bytes_max: usize,
    ) -> Result<(String, Bytes), AuditError> {
        let full = path_of(at.filled());
        for path in [path_of(at), full] {
            let found = self
                .files
                .read(&path, bytes_max)
                .map_err(|source| AuditError::file(&path, source))?;
            if let Some(bytes) = found {
                return Ok((path, bytes));
            }
        }
        Err(AuditError::tampered(path_of(at), "is missing"))
    }

    /// One entry. Errors: as [`TileReader::entries`], or the tree has no such leaf.
    pub fn entry(&self, leaf: u64) -> Result<Bytes, AuditError> {
        let at = self.holding(0, leaf)?;
        let place = usize::try_from(leaf % TILE_WIDTH).unwrap_or(usize::MAX);
        let entry = self.entries(at)?.get(place).cloned();
        entry.ok_or_else(|| AuditError::tampered(at.entries_path(), "is short of an entry"))
    }

    fn holding(&self, level: u8, place: u64) -> Result<TileAt, AuditError> {
        TileAt::holding(level, place, self.size).ok_or_else(|| {
            AuditError::tampered(
                "checkpoint",
                format!("has no hash {place} at level {level}"),
            )
        })
    }
}

impl Subtrees for TileReader {
    type Error = AuditError;

    fn perfect(&mut self, height: u32, index: u64) -> Result<Hash, AuditError> {
        let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
        let inside = height % TILE_HEIGHT;
        let (first, count) = (index << inside, 1_u64 << inside);
        let at = self.holding(level, first + count - 1)?;
        if !self.tiles.contains_key(&at) {
            let hashes = self.hashes(at)?;
            self.tiles.insert(at, hashes);
        }
        let place = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX);
        let end = place.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
        let hashes = self
            .tiles
            .get(&at)
            .and_then(|hashes| hashes.get(place..end));
        hashes
            .map(|hashes| Frontier::over(hashes).root())
            .ok_or_else(|| AuditError::tampered(at.path(), "is short of a hash"))
    }
}
