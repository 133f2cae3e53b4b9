//! Requests and replies, parsed at the edge and valid by construction.

pub mod limits;
mod names;
mod parse;
mod wire;

pub use names::{LockName, Owner, lock_resource};
pub(crate) use parse::{Acquire, AcquireOne, Claims, Verify, lease, token};
pub use wire::*;
