//! The embedded engine and the control-plane data model.
//!
//! Two rooms:
//!
//! - [`Engine`] owns **one SQLite file**. One thread writes: it takes the operations that wait, runs each in a savepoint
//!   of its own, and commits them as one group with `synchronous=FULL`. An operation is answered only after the commit
//!   that holds it has been synced, so "done" means durable. Reads run on a small pool of read-only connections, off the
//!   runtime. [`idempotency`] keeps the first answer to a caller's key in the same commit as its effect.
//! - [`ControlStore`] holds the **control plane** (tenants, principals, API keys, roles, bindings, definitions, audit
//!   policies, idempotency records) on SQLite, PostgreSQL or MariaDB.
//!
//! On failure: a full queue refuses with 1009 after a bounded wait; an operation that fails rolls back alone; a commit
//! that fails says `unknown` to everyone in its group; a file of a newer release is refused, not guessed at.

pub mod control;
pub mod definitions;
pub mod engine;
pub mod epochs;
pub mod error;
pub mod idempotency;
pub mod locks;
pub mod memory;

pub use control::ControlStore;
pub use definitions::{Definition, DefinitionKind, Definitions, Expected};
pub use engine::{Engine, EngineLimits, EngineLocation, EngineOptions, Migration, WriteCondition};
pub use epochs::Epochs;
pub use error::StoreError;
pub use locks::LockRecords;
