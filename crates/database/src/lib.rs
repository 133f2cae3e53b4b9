//! The database service and index adviser block.
//!
//! Tenants register **named databases** on SQLite, PostgreSQL and MariaDB/MySQL and run **one statement per call** on
//! them, by parameters alone, or **transactions** of several steps, all or nothing and once for each idempotency key.
//! What is run is explained, judged and advised upon: plans of three engines in one form with findings, slow statements
//! by shape, index suggestions whose gain is measured.
//!
//! Promises:
//! - A value goes in and comes out without loss: decimals and types without a field of their own as text.
//! - A statement whose caller is gone is stopped at the server. A connection goes to the next caller only if it is clean:
//!   no open transaction, no changed session, nothing unread ([`service`], `pool`).
//! - A read-only database refuses writes twice: by the parsed statement, and by the engine's own read-only session.
//! - SQLite files lie below one directory for each tenant, and no path leaves it.
//!
//! On failure: a database that is away stops nothing else; after repeated failures its breaker answers 2401 at once. A
//! write whose end is not known says so (`outcome = unknown`): a repeat with the same key is safe.
//!
//! Limits are the constants of [`model`].

mod advise;
mod analyze;
mod backend;
pub mod error;
pub mod model;
mod pool;
mod running;
pub mod service;
mod slow;
mod sql;

pub use error::DatabaseError;
pub use service::{
    DatabaseService, DatabaseSettings, SQLITE_FILE_BYTES_DEFAULT, SQLITE_FILE_BYTES_MIN,
};
pub use sql::Access;
