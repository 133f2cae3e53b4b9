//! The audit block: complete records in a log that nobody can change unnoticed.
//!
//! **Promises.** A record that was acknowledged is durable and has its place in the log for good: indices are contiguous
//! from 0 over all tenants of the instance and never reused. Within a second it stands in tiles under a signed checkpoint
//! (RFC 6962 hashing; C2SP tlog-tiles, tlog-checkpoint and signed-note), and whoever holds the public key and an earlier
//! checkpoint can prove that nothing before it was changed, removed or reordered, without this program. A query finds
//! exactly the matching records of the caller's own tenant; its pages show one snapshot, so they neither lose nor repeat
//! one while others write.
//!
//! **The log is the record, the index a view.** Order of a write: canonical envelope ([`log::leaf`]) → group commit
//! with sync of `audit.db` → leaf index returned → bundles and tiles → signed checkpoint, kept and then published. The
//! query index follows on its own and can be deleted and built again; a query first waits until everything that was
//! acknowledged before it began can be found.
//!
//! **On failure.** A refused write changes nothing. Where the disk refuses a commit the answer is 2301 with outcome
//! `unknown`. Where tiles or checkpoints cannot be written, records are still taken and the integrator tries again; where
//! the index is away, the log goes on and queries say that it is behind. A log that is not what was written does not
//! open: the message names what differs.
//!
//! **Departures.** Two SQLite files instead of one: `audit.db` is the durable sequencing step and small (leaves leave it
//! once a checkpoint over their tiles is kept), `index.db` is a view that may be deleted; with one writer each, indexing
//! never delays an acknowledgement. Partial tiles and bundles of earlier checkpoints stay until their full one is in
//! place, as tlog-tiles asks, so at most 255 partial bundles (of one bundle's size each) stand beside the log's right
//! edge.
//!
//! **Limits.** In [`model`]; a leaf has at most 65,535 bytes, what an entry bundle can say ([`log::leaf::BODY_BYTES_MAX`]
//! for the part that a caller fills).

pub mod backend;
mod error;
pub mod log;
pub mod model;
mod service;
pub mod tree;
pub mod verify;

pub use error::AuditError;
pub use service::{
    AuditHandles, AuditLocation, AuditParts, AuditService, AuditSettings, CATCH_UP_MS_MAX,
    INTEGRATION_INTERVAL_MS_MAX, INTEGRATION_WAIT_MS_MAX,
};
