//! Verification: hashes every entry again and compares tiles, checkpoints and index with what comes out.
//!
//! [`TreeCheck`] walks the tree of one checkpoint, bundle by bundle, over any [`LogFiles`](crate::log::files::LogFiles);
//! the service and the offline tool drive it. [`offline`] needs no server: tiles, the public key and, where one was
//! kept, a checkpoint that was seen earlier.
//!
//! What it cannot see without an earlier checkpoint is a whole data directory that was put back to an older state: that
//! state was true once. So keep checkpoints elsewhere.

pub mod offline;
mod tree_check;

pub use tree_check::{Halt, TreeCheck};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plinth_core::WideInt;

use crate::backend::IndexFault;
use crate::log::sequencer::to_sql;
use crate::model::{AuditDiscrepancy, VerifyReply};
use crate::tree::{Checkpoint, NoteVerifier};

/// What kind of thing does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscrepancyKind {
    /// The checkpoint is missing or no signed note.
    Checkpoint,
    /// The checkpoint is not signed by the key.
    Signature,
    /// An entry is missing, superfluous or another one.
    Entry,
    /// A tile is missing or has another hash.
    Tile,
    /// Entries and tiles agree with each other, but not with the checkpoint.
    Root,
    /// An earlier checkpoint that was kept signs another tree.
    History,
    /// The checkpoint that the caller saw earlier does not lead to the one of today.
    Pinned,
    /// The index does not follow from the log.
    Index,
}

impl DiscrepancyKind {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Signature => "signature",
            Self::Entry => "entry",
            Self::Tile => "tile",
            Self::Root => "root",
            Self::History => "history",
            Self::Pinned => "pinned",
            Self::Index => "index",
        }
    }
}

/// The first thing found that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    /// What kind of thing.
    pub kind: DiscrepancyKind,
    /// File, or table and row, under the audit directory.
    pub location: String,
    /// First leaf that is concerned.
    pub leaf_index: Option<u64>,
    /// What was found and what had to be there; never the content of a record.
    pub message: String,
}

impl Discrepancy {
    pub(crate) fn new(
        kind: DiscrepancyKind,
        location: impl Into<String>,
        leaf_index: Option<u64>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            location: location.into(),
            leaf_index,
            message: message.into(),
        }
    }
}

impl From<IndexFault> for Discrepancy {
    fn from(fault: IndexFault) -> Self {
        Self::new(
            DiscrepancyKind::Index,
            fault.location,
            fault.leaf_index,
            fault.message,
        )
    }
}

impl From<Discrepancy> for AuditDiscrepancy {
    fn from(found: Discrepancy) -> Self {
        Self {
            kind: found.kind.as_str().to_owned(),
            location: found.location,
            leaf_index: found.leaf_index.map(|index| WideInt(to_sql(index))),
            message: found.message,
        }
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that were hashed.
    pub entries: u64,
    /// Tiles that were compared.
    pub tiles: u64,
    /// Earlier checkpoints whose roots were recomputed, a pinned one among them.
    pub checkpoints: u64,
    /// Rows of the index that were compared.
    pub index_rows: u64,
}

/// The answer of a verification.
#[must_use]
pub fn reply(
    verifier: &NoteVerifier,
    current: Option<(&Checkpoint, &str)>,
    counts: Counts,
    discrepancy: Option<Discrepancy>,
) -> VerifyReply {
    let wide = |count: u64| WideInt(to_sql(count));
    VerifyReply {
        valid: discrepancy.is_none(),
        discrepancy: discrepancy.map(AuditDiscrepancy::from),
        tree_size: wide(current.map_or(0, |(checkpoint, _)| checkpoint.size)),
        root: current.map_or_else(String::new, |(checkpoint, _)| {
            STANDARD.encode(checkpoint.root)
        }),
        checkpoint: current.map_or_else(String::new, |(_, note)| note.to_owned()),
        public_key: verifier.text(),
        entries_checked: wide(counts.entries),
        tiles_checked: wide(counts.tiles),
        checkpoints_checked: wide(counts.checkpoints),
        index_rows_checked: wide(counts.index_rows),
    }
}
