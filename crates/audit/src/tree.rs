//! The tree: RFC 6962 hashing and proofs, C2SP tiles, signed notes and checkpoints. Pure: no files, no clock.

pub mod bundle;
pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod tile;

pub use checkpoint::Checkpoint;
pub use merkle::{Frontier, Hash};
pub use note::{NoteError, NoteSigner, NoteVerifier};
pub use tile::{TILE_WIDTH, TileAt};
