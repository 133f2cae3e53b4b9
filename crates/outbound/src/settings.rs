//! Settings of the client.

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Longest time-out that can be set, in milliseconds.
pub(crate) const TIMEOUT_MS_MAX: u64 = 120_000;
/// Most bytes of an answer that can be kept.
pub(crate) const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most attempts at a connection that can be set.
pub(crate) const CONNECT_ATTEMPTS_MAX: u32 = 10;

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

impl OutboundSettings {
    /// Errors: 1001 naming the setting that is out of its range.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("connect_ms_max", self.connect_ms_max, TIMEOUT_MS_MAX),
            ("attempt_ms_max", self.attempt_ms_max, TIMEOUT_MS_MAX),
            (
                "response_bytes_max",
                self.response_bytes_max as u64,
                RESPONSE_BYTES_MAX as u64,
            ),
            (
                "connect_attempts_max",
                u64::from(self.connect_attempts_max),
                u64::from(CONNECT_ATTEMPTS_MAX),
            ),
        ];
        match ranges
            .iter()
            .find(|(_, value, most)| !(1..=*most).contains(value))
        {
            Some((name, _, most)) => Err(Error::invalid(
                format!("outbound.{name}"),
                format!("must be 1 to {most}"),
            )),
            None => Ok(()),
        }
    }
}
