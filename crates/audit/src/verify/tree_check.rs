//! One walk over the tree of a checkpoint.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Counts, Discrepancy, DiscrepancyKind};
use crate::error::AuditError;
use crate::log::files::LogFiles;
use crate::log::sequencer::KeptCheckpoint;
use crate::tree::bundle::{self, BUNDLE_BYTES_MAX};
use crate::tree::merkle::{Frontier, Hash, leaf_hash};
use crate::tree::tile::{
    PARTIAL_SUFFIX, TILE_BYTES_MAX, TILE_WIDTH, TileAt, decode_hashes, encode_hashes, hashes_at,
};
use crate::tree::{Checkpoint, NoteError, NoteVerifier, merkle};

/// Why a walk ends early.
#[derive(Debug)]
pub enum Halt {
    /// Something does not hold.
    Found(Discrepancy),
    /// It cannot be told: a file cannot be read.
    Failed(AuditError),
}

impl From<Discrepancy> for Halt {
    fn from(found: Discrepancy) -> Self {
        Self::Found(found)
    }
}

/// Walks the tree of one checkpoint, bundle by bundle.
pub struct TreeCheck {
    files: Arc<dyn LogFiles>,
    verifier: NoteVerifier,
    checkpoint: Checkpoint,
    pinned: Option<Checkpoint>,
    frontier: Frontier,
    /// Hashes of the rightmost tile of each level, recomputed from the entries.
    levels: Vec<Vec<Hash>>,
    /// Largest size at which an earlier checkpoint gave the same root.
    good_size: u64,
    last_bundle: Vec<u8>,
    counts: Counts,
}

impl TreeCheck {
    /// Begins at a signed checkpoint and, where the caller has one, a checkpoint that was seen earlier.
    pub fn begin(
        files: Arc<dyn LogFiles>,
        verifier: NoteVerifier,
        checkpoint: Checkpoint,
        pinned: Option<&str>,
    ) -> Result<Self, Halt> {
        let pinned = match pinned {
            Some(note) => Some(open_pinned(note, &verifier, &checkpoint)?),
            None => None,
        };
        let mut check = Self {
            files,
            verifier,
            checkpoint,
            pinned,
            frontier: Frontier::default(),
            levels: Vec::new(),
            good_size: 0,
            last_bundle: Vec::new(),
            counts: Counts::default(),
        };
        check.compare_pinned()?;
        Ok(check)
    }

    /// The leaves that the next step takes, from the first to before the second; `None` at the end.
    #[must_use]
    pub fn next_range(&self) -> Option<(u64, u64)> {
        let (first, size) = (self.frontier.size(), self.checkpoint.size);
        (first < size).then(|| (first, size.min(first + TILE_WIDTH)))
    }

    /// How much was looked at.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the next bundle and the checkpoints that were kept of sizes inside it, and returns its entries.
    pub fn step(&mut self, kept: &[KeptCheckpoint]) -> Result<Vec<Bytes>, Halt> {
        let first = self.frontier.size();
        let Some(at) = TileAt::holding(0, first, self.checkpoint.size) else {
            return Ok(Vec::new());
        };
        let entries = self.read_entries(at, first)?;
        let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        self.compare_leaf_tile(at, first, &hashes)?;
        let mut kept = kept.iter().peekable();
        self.compare_kept(&mut kept)?;
        for hash in &hashes {
            self.frontier.push(*hash);
            self.counts.entries += 1;
            self.compare_pinned()?;
            self.compare_kept(&mut kept)?;
        }
        self.last_bundle.clear();
        if at.is_full() {
            self.fill(0, at.index, hashes)?;
        } else {
            for entry in &entries {
                let _fits = bundle::append(&mut self.last_bundle, entry);
            }
            self.push_level(0, hashes);
        }
        Ok(entries)
    }

    /// Compares the right edge and the root. Returns how much was looked at in all.
    pub fn finish(&mut self) -> Result<Counts, Halt> {
        let root = self.frontier.root();
        if root != self.checkpoint.root {
            return Err(Discrepancy::new(
                DiscrepancyKind::Root,
                "log/checkpoint",
                Some(self.good_size),
                format!(
                    "the entries give the root {}, the checkpoint at size {} signs {}",
                    STANDARD.encode(root),
                    self.checkpoint.size,
                    STANDARD.encode(self.checkpoint.root)
                ),
            )
            .into());
        }
        for (slot, hashes) in std::mem::take(&mut self.levels).into_iter().enumerate() {
            let level = u8::try_from(slot).unwrap_or(u8::MAX);
            if !hashes.is_empty() {
                self.compare_edge(level, &hashes)?;
            }
        }
        Ok(self.counts)
    }

    fn read_entries(&self, at: TileAt, first: u64) -> Result<Vec<Bytes>, Halt> {
        let fault = |path: &str, message: String| {
            Discrepancy::new(DiscrepancyKind::Entry, log_path(path), Some(first), message)
        };
        let (path, bytes) = self
            .read(at, TileAt::entries_path, BUNDLE_BYTES_MAX)?
            .ok_or_else(|| fault(&at.entries_path(), "is missing".to_owned()))?;
        let mut entries = bundle::decode(&bytes)
            .ok_or_else(|| fault(&path, "is not a sequence of entries".to_owned()))?;
        let (count, exact) = (entries.len() as u64, path == at.entries_path());
        if count < at.width || (exact && count > at.width) {
            let message = format!("has {count} entries, must have {}", at.width);
            return Err(fault(&path, message).into());
        }
        entries.truncate(usize::try_from(at.width).unwrap_or(usize::MAX));
        Ok(entries)
    }

    /// Compares the hashes of a bundle's entries with their tile, and tells which of the two was changed.
    fn compare_leaf_tile(&mut self, at: TileAt, first: u64, hashes: &[Hash]) -> Result<(), Halt> {
        let stored = self.read_tile(at, Some(first))?;
        self.counts.tiles += 1;
        let differing = hashes
            .iter()
            .zip(&stored)
            .zip(first..)
            .find(|((own, stored), _)| own != stored);
        let Some(((own, found), leaf)) = differing else {
            return Ok(());
        };
        if self.tile_is_genuine(at, &stored)? {
            let elsewhere = stored.iter().zip(first..).find(|(hash, _)| *hash == own);
            let hint = elsewhere.map_or_else(String::new, |(_, other)| {
                format!("; it is the entry of leaf {other}")
            });
            let message = format!(
                "the entry of leaf {leaf} hashes to {}, must hash to {}{hint}",
                STANDARD.encode(own),
                STANDARD.encode(found)
            );
            let path = log_path(&at.entries_path());
            return Err(Discrepancy::new(DiscrepancyKind::Entry, path, Some(leaf), message).into());
        }
        let message = format!(
            "has {} for leaf {leaf}, whose entry hashes to {}",
            STANDARD.encode(found),
            STANDARD.encode(own)
        );
        let path = log_path(&at.path());
        Err(Discrepancy::new(DiscrepancyKind::Tile, path, Some(leaf), message).into())
    }

    /// Whether a leaf tile agrees with what stands above it: the tile of the next level, or for a partial one the root
    /// that is signed.
    fn tile_is_genuine(&self, at: TileAt, stored: &[Hash]) -> Result<bool, Halt> {
        let root = Frontier::over(stored);
        let size = self.checkpoint.size;
        if at.is_full() {
            let Some(parent) = TileAt::holding(1, at.index, size) else {
                return Ok(false);
            };
            let Ok(parents) = self.read_tile(parent, None) else {
                return Ok(false);
            };
            let place = usize::try_from(at.index % TILE_WIDTH).unwrap_or(usize::MAX);
            return Ok(parents.get(place) == Some(&root.root()));
        }
        let mut right = root.root_before(None);
        let mut level = 1;
        while hashes_at(level, size) > 0 {
            let edge = TileAt::holding(level, hashes_at(level, size) - 1, size);
            if let Some(edge) = edge.filter(|edge| !edge.is_full()) {
                let Ok(hashes) = self.read_tile(edge, None) else {
                    return Ok(false);
                };
                right = Frontier::over(&hashes).root_before(right);
            }
            level += 1;
        }
        Ok(right == Some(self.checkpoint.root))
    }

    fn read_tile(&self, at: TileAt, leaf: Option<u64>) -> Result<Vec<Hash>, Halt> {
        let fault = |path: &str, message: String| {
            Discrepancy::new(DiscrepancyKind::Tile, log_path(path), leaf, message)
        };
        let (path, bytes) = self
            .read(at, TileAt::path, TILE_BYTES_MAX)?
            .ok_or_else(|| fault(&at.path(), "is missing".to_owned()))?;
        let width = usize::try_from(at.width).unwrap_or(usize::MAX);
        let exact = path == at.path();
        match decode_hashes(&bytes) {
            Some(mut hashes) if hashes.len() == width || (!exact && hashes.len() > width) => {
                hashes.truncate(width);
                Ok(hashes)
            }
            _ => {
                let message = format!("has {} bytes, must have {}", bytes.len(), width * 32);
                Err(fault(&path, message).into())
            }
        }
    }

    /// The file of a tile or bundle: the partial one, or the full one that took its place as the tree grew on.
    fn read(
        &self,
        at: TileAt,
        path_of: impl Fn(TileAt) -> String,
        bytes_max: usize,
    ) -> Result<Option<(String, Bytes)>, Halt> {
        for path in [path_of(at), path_of(at.filled())] {
            match self.files.read(&path, bytes_max) {
                Ok(Some(bytes)) => return Ok(Some((path, bytes))),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let message = format!("has more than {bytes_max} bytes");
                    let kind = DiscrepancyKind::Tile;
                    return Err(Discrepancy::new(kind, log_path(&path), None, message).into());
                }
                Err(source) => return Err(Halt::Failed(AuditError::file(&path, source))),
            }
        }
        Ok(None)
    }

    /// Takes the recomputed hashes of a full tile: its root goes one level up, and a level that becomes full there is
    /// compared with its file.
    fn fill(&mut self, level: u8, index: u64, hashes: Vec<Hash>) -> Result<(), Halt> {
        let root = Frontier::over(&hashes).root();
        let above = level + 1;
        self.push_level(above, vec![root]);
        let slot = usize::from(above);
        let full = match self.levels.get_mut(slot) {
            Some(hashes) if hashes.len() as u64 == TILE_WIDTH => std::mem::take(hashes),
            _ => return Ok(()),
        };
        let at = TileAt {
            level: above,
            index: index / TILE_WIDTH,
            width: TILE_WIDTH,
        };
        self.compare_tile(at, &full)?;
        self.fill(above, at.index, full)
    }

    fn push_level(&mut self, level: u8, hashes: Vec<Hash>) {
        let slot = usize::from(level);
        if self.levels.len() <= slot {
            self.levels.resize_with(slot + 1, Vec::new);
        }
        if let Some(to) = self.levels.get_mut(slot) {
            to.extend(hashes);
        }
    }

    fn compare_tile(&mut self, at: TileAt, expected: &[Hash]) -> Result<(), Halt> {
        let span = 1_u64
            .checked_shl(8 * u32::from(at.level))
            .unwrap_or(u64::MAX);
        let first = (at.index * TILE_WIDTH).saturating_mul(span);
        let stored = self.read_tile(at, Some(first))?;
        self.counts.tiles += 1;
        let differing = stored
            .iter()
            .zip(expected)
            .position(|(stored, expected)| stored != expected);
        let Some(place) = differing else {
            return Ok(());
        };
        let leaf = first.saturating_add((place as u64).saturating_mul(span));
        let message = format!("hash {place} is not the root of the tile below it");
        Err(Discrepancy::new(
            DiscrepancyKind::Tile,
            log_path(&at.path()),
            Some(leaf),
            message,
        )
        .into())
    }

    /// Compares the partial tile of a level, and the narrower ones of earlier checkpoints beside it.
    fn compare_edge(&mut self, level: u8, hashes: &[Hash]) -> Result<(), Halt> {
        let at = TileAt {
            level,
            index: hashes_at(level, self.checkpoint.size) / TILE_WIDTH,
            width: hashes.len() as u64,
        };
        // The leaf tile was compared with its entries already.
        if level > 0 {
            self.compare_tile(at, hashes)?;
        }
        self.compare_narrower(
            &at.filled().path(),
            at.width,
            &encode_hashes(hashes),
            |width| usize::try_from(width).ok()?.checked_mul(32),
        )?;
        if level == 0 {
            let bundle = std::mem::take(&mut self.last_bundle);
            let ends = entry_ends(&bundle);
            self.compare_narrower(&at.filled().entries_path(), at.width, &bundle, |width| {
                ends.get(usize::try_from(width).ok()?).copied()
            })?;
        }
        Ok(())
    }

    /// Earlier partial files must be what the present one begins with; wider ones belong to no checkpoint yet.
    fn compare_narrower(
        &mut self,
        full_path: &str,
        width: u64,
        content: &[u8],
        length_of: impl Fn(u64) -> Option<usize>,
    ) -> Result<(), Halt> {
        let directory = format!("{full_path}{PARTIAL_SUFFIX}");
        let failed = |source| Halt::Failed(AuditError::file(&directory, source));
        for name in self.files.list(&directory).map_err(failed)? {
            let Ok(narrower) = name.parse::<u64>() else {
                continue;
            };
            if narrower == 0 || narrower >= width {
                continue;
            }
            let path = format!("{directory}/{name}");
            let stored = self.files.read(&path, BUNDLE_BYTES_MAX).map_err(failed)?;
            let expected = length_of(narrower).and_then(|length| content.get(..length));
            self.counts.tiles += 1;
            if stored.as_deref() != expected {
                let message = "is not what the later files begin with";
                let kind = DiscrepancyKind::Tile;
                return Err(Discrepancy::new(kind, log_path(&path), None, message).into());
            }
        }
        Ok(())
    }

    fn compare_pinned(&mut self) -> Result<(), Halt> {
        let size = self.frontier.size();
        let Some(pinned) = self.pinned.take_if(|pinned| pinned.size == size) else {
            return Ok(());
        };
        if pinned.root != self.frontier.root() {
            let message = format!(
                "the first {size} entries give another root than the pinned checkpoint signs: the log was forked or rewritten"
            );
            let leaf = Some(self.good_size);
            return Err(Discrepancy::new(
                DiscrepancyKind::Pinned,
                "pinned checkpoint",
                leaf,
                message,
            )
            .into());
        }
        self.good_size = size;
        self.counts.checkpoints += 1;
        Ok(())
    }

    fn compare_kept<'k>(
        &mut self,
        kept: &mut std::iter::Peekable<impl Iterator<Item = &'k KeptCheckpoint>>,
    ) -> Result<(), Halt> {
        let size = self.frontier.size();
        while let Some(next) = kept.next_if(|next| next.size <= size) {
            let location = format!("audit.db checkpoints size {}", next.size);
            let fault = |message: String| {
                Discrepancy::new(
                    DiscrepancyKind::History,
                    location.clone(),
                    Some(self.good_size),
                    message,
                )
            };
            let opened = Checkpoint::open(&next.note, &self.verifier)
                .map_err(|error| fault(format!("does not open: {error}")))?;
            if opened.size != next.size {
                return Err(fault(format!("signs the size {}", opened.size)).into());
            }
            if next.size != size {
                continue;
            }
            if opened.root != self.frontier.root() {
                let message = format!("the first {size} entries give another root than it signs");
                return Err(fault(message).into());
            }
            self.good_size = size;
            self.counts.checkpoints += 1;
        }
        Ok(())
    }
}

fn open_pinned(
    note: &str,
    verifier: &NoteVerifier,
    current: &Checkpoint,
) -> Result<Checkpoint, Discrepancy> {
    let fault = |leaf, message: String| {
        Discrepancy::new(DiscrepancyKind::Pinned, "pinned checkpoint", leaf, message)
    };
    let pinned = Checkpoint::open(note, verifier).map_err(|error| match error {
        NoteError::Unsigned => fault(None, "is not signed by the key of this log".to_owned()),
        error => fault(None, error.to_string()),
    })?;
    if pinned.size > current.size {
        let message = format!(
            "signs {} entries, but the log ends after {}: it was rolled back or cut off",
            pinned.size, current.size
        );
        return Err(fault(Some(current.size), message));
    }
    if pinned.size == 0 && pinned.root != merkle::empty_root() {
        return Err(fault(None, "signs no tree".to_owned()));
    }
    Ok(pinned)
}

/// Where each entry of a bundle ends; place `n` is the length of the first `n` entries.
fn entry_ends(bundle: &[u8]) -> Vec<usize> {
    let entries = bundle::decode(&Bytes::copy_from_slice(bundle)).unwrap_or_default();
    let mut end = 0;
    std::iter::once(0)
        .chain(entries.iter().map(|entry| {
            end += 2 + entry.len();
            end
        }))
        .collect()
}

/// A path of the log as it stands under the audit directory.
fn log_path(path: &str) -> String {
    format!("log/{path}")
}
