//! Settings of the client.

use serde::{Deserialize, Serialize};

/// How the client behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundSettings {
    /// Whether loopback and private networks may be called. Link-local, multicast and metadata addresses never may.
    pub allow_private: bool,
    /// Longest time to a connection, name resolution and TLS included, in milliseconds.
    pub connect_ms_max: u64,
    /// Longest time of one attempt, to the last byte of the answer, in milliseconds.
    pub attempt_ms_max: u64,
    /// Bytes of an answer's body that are kept.
    pub response_bytes_max: usize,
    /// Attempts at a connection, the first included. What may have arrived is never repeated.
    pub connect_attempts_max: u32,
}

impl Default for OutboundSettings {
    fn default() -> Self {
        Self {
            allow_private: false,
            connect_ms_max: 3_000,
            attempt_ms_max: 10_000,
            response_bytes_max: 64 * 1024,
            connect_attempts_max: 2,
        }
    }
}
