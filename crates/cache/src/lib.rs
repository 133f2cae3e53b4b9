//! The cache block: values with a hard expiry, versions and conditions, batches that are all or nothing.
//!
//! **Promises.** A read returns the live value or "absent": never an expired one, from the millisecond of its expiry on, and
//! never a half-written one. Versions of a key only grow, also over a delete and over a restart, so an old
//! compare-and-set never succeeds by accident. An atomic batch changes everything or nothing, and no reader sees a part.
//!
//! **On failure.** A refused request changes nothing (`outcome = not_applied`). The embedded backend holds its values in
//! memory: a restart begins empty, and under memory pressure the least frequently used entries go first. A cache answer may
//! therefore be absent at any time, but it never differs from what was stored last. The Redis backend ([`RedisCache`]) fails
//! fast while Redis is away; a write whose answer was cut is `outcome = unknown`.
//!
//! **Limits.** See [`model`]: key, value, batch and expiry limits; [`CacheSettings`] bounds memory and namespaces.

pub mod backend;
mod error;
pub mod model;
mod service;
mod settings;

pub use backend::memory::MemoryCache;
pub use backend::redis::near::{NearCache, NearNumbers};
pub use backend::redis::{EngineClock, LeaseLooks, RedisCache};
pub use error::{CacheError, EngineFault, Refusal};
pub use service::{CacheService, ItemResults};
pub use settings::{CacheBackendKind, CacheSettings, NearSettings, WhenAway};
