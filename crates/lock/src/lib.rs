//! The lock block: leases with fencing tokens, waiting in order, shared locks, semaphores, several locks at once.
//!
//! **Promises.** At most one living lease of an exclusive lock, or as many as a shared lock or a semaphore lets in. Every
//! grant has a token, and the tokens of one lock only grow: over a restart, a restore and a change of the backend, because
//! their high bits are an epoch of the control database. Who waits is served in the order of coming, over all instances that
//! share a backend. A lease starts when the grant is made and is decided by the clock of the backend, which no jump shortens
//! by more than 20 ms; what was held before a start of this process lasts one full time more before this process takes it. Several locks of one request are taken in the order of their names, so such
//! requests cannot block each other for ever; a wait that closes a circle of owners is refused (2604).
//!
//! **On failure.** A holder that went silent loses the lock when its lease ends, and is told so by renew, release and
//! verify (2602). It may not know that yet: what the lock guards must refuse its writes by the token
//! ([`plinth_core::fence`]). A waiter that vanished is skipped when its place ends. Where the backend is away, calls are
//! refused (2601) and nothing is assumed to be held.
//!
//! **Limits.** All of them stand in [`model::limits`] and [`LockSettings`].
//!
//! The rules are one pure function, [`machine::apply`], over the record of one lock; a backend only keeps records and
//! applies it in a transaction.

pub mod backend;
mod changes;
mod error;
pub mod graph;
pub mod machine;
pub mod model;
pub mod record;
mod service;
mod settings;
pub mod token;
mod trust;
mod wakes;

pub use changes::Changes;
pub use error::LockError;
pub use service::{LockService, LockServiceParts};
pub use settings::{LockBackend, LockSettings};
pub use wakes::Wakes;
