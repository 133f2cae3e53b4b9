//! The one way to reach Redis (7.0 or later) or Valkey.
//!
//! [`RedisLink`] finds the servers (one, the primary that sentinels name, or the primaries of a cluster), keeps one to four
//! connections to each, and pipelines the commands of all callers over them. Connections are made again with backoff, by
//! themselves; starting needs no server.
//!
//! **Promises.** Every failure says what is known of the effect ([`LinkError::outcome`]): a command that was not sent or was
//! refused did nothing; one whose answer was cut or late is unknown. No command is sent twice, except where the server said
//! that it did nothing (`MOVED`, `ASK`, `TRYAGAIN`, `NOSCRIPT`). A script is one step, and `ARGV[1]` of every script is the
//! `run_id` of the server that runs it: another one says that another process answers, which may have lost the last writes.
//!
//! **Limits.** See [`RedisSettings`], [`CONNECTIONS_MAX`], [`IN_FLIGHT_MAX`], [`QUEUED_MAX`], [`REDIRECTS_MAX`].

mod cluster;
mod error;
mod gather;
mod gauges;
mod lane;
mod link;
mod listen;
mod script;
mod sentinel;
mod server;
mod settings;
mod slot;
mod supervise;
mod topology;
mod wire;

pub use error::{LinkError, Refusal};
pub use gauges::{LATENCY_BOUNDS_US, LinkNumbers};
pub use link::{LinkHealth, QUEUED_MAX, REDIRECTS_MAX, RedisLink};
pub use listen::{Heard, Heed, Listener};
pub use redis::{Cmd, PushKind, Value, cmd};
pub use script::{Answer, Script};
pub use settings::{
    Address, CONNECTIONS_MAX, IN_FLIGHT_MAX, KEY_PREFIX_BYTES_MAX, RedisSettings, RedisUrl,
    TIMEOUT_MS_MAX, check_key_prefix,
};
pub use slot::{Slot, slot_of};
pub use wire::ServerInfo;
