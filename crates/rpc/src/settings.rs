//! The settings of the Thrift edge.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use plinth_core::{Error, Result, limits};
use plinth_security::tls::TlsFiles;
use serde::{Deserialize, Serialize};

/// Smallest frame limit that can be set, in bytes: a request of the control plane fits.
pub const FRAME_BYTES_MIN: usize = 64 * 1024;
/// Largest frame limit that can be set, in bytes: above it Thrift's own clients refuse.
pub const FRAME_BYTES_CEILING: usize = 256 * 1024 * 1024;

/// The bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// Settings of the Thrift edge, section `[thrift]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Largest frame in and out, in bytes; an unframed message counts the same.
    pub frame_bytes_max: usize,
    /// Largest TTHeader, in bytes.
    pub header_bytes_max: usize,
    /// Most memory that one decoded request may take, in bytes: its text, payloads and the slots of its lists and maps.
    pub decoded_bytes_max: usize,
    /// Most memory that all frames above 64 KiB may take together, in bytes, from their first byte until they are
    /// answered. A frame takes of it what has come of it, and waits where nothing is left.
    pub receiving_bytes_max: usize,
    /// Most open connections. Further ones wait in the backlog of the socket.
    pub connections_max: usize,
    /// After how long without a request a connection is closed, in milliseconds. Above the idle time of the clients'
    /// pools (Kitex: 60 s at most by default), so that the client closes first and no request meets a closing socket.
    pub idle_timeout_ms: u64,
    /// How long a frame may take from its first byte to its last, in milliseconds.
    pub frame_timeout_ms: u64,
    /// How long a client may take to read its reply, in milliseconds.
    pub write_timeout_ms: u64,
    /// How long a TLS handshake may take, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// How long requests in flight may take to end once the drain began, in milliseconds.
    pub drain_timeout_ms: u64,
    /// TLS; without it connections are plain TCP.
    pub tls: Option<TlsFiles>,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7401)),
            frame_bytes_max: limits::REQUEST_BYTES_MAX,
            header_bytes_max: limits::HEADER_BYTES_MAX,
            decoded_bytes_max: 4 * limits::REQUEST_BYTES_MAX,
            receiving_bytes_max: 256 * 1024 * 1024,
            connections_max: 4_096,
            idle_timeout_ms: 90_000,
            frame_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            handshake_timeout_ms: 10_000,
            drain_timeout_ms: 30_000,
            tls: None,
        }
    }
}

impl RpcSettings {
    /// Errors: 1001 naming the setting that is out of its range.
    pub fn validate(&self) -> Result<()> {
        let frame = FRAME_BYTES_MIN..=FRAME_BYTES_CEILING;
        if !frame.contains(&self.frame_bytes_max) {
            return Err(Error::invalid(
                "thrift.frame_bytes_max",
                format!("must be {FRAME_BYTES_MIN} to {FRAME_BYTES_CEILING}"),
            ));
        }
        if !(1_024..=256 * 1024).contains(&self.header_bytes_max) {
            return Err(Error::invalid(
                "thrift.header_bytes_max",
                "must be 1024 to 262144: the format ends there",
            ));
        }
        if self.decoded_bytes_max < self.frame_bytes_max {
            let rule = "must hold one frame at least";
            return Err(Error::invalid("thrift.decoded_bytes_max", rule));
        }
        let whole = self.whole_bytes_max();
        if self.receiving_bytes_max < whole {
            let rule = format!("must hold one frame with its header at least, {whole} bytes");
            return Err(Error::invalid("thrift.receiving_bytes_max", rule));
        }
        let positive = [
            ("thrift.idle_timeout_ms", self.idle_timeout_ms),
            ("thrift.frame_timeout_ms", self.frame_timeout_ms),
            ("thrift.write_timeout_ms", self.write_timeout_ms),
            ("thrift.handshake_timeout_ms", self.handshake_timeout_ms),
            ("thrift.connections_max", self.connections_max as u64),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(Error::invalid(field, "must be above zero"));
            }
        }
        Ok(())
    }

    /// Most bytes of one frame with its length and its TTHeader.
    pub(crate) const fn whole_bytes_max(&self) -> usize {
        LENGTH_BYTES + self.header_bytes_max + self.frame_bytes_max
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(crate) fn frame_timeout(&self) -> Duration {
        Duration::from_millis(self.frame_timeout_ms)
    }

    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}
