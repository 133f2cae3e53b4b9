//! How the client reaches Plinth.

use plinth_core::SecretString;

use crate::retry::RetryPolicy;

/// The way to Plinth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// Thrift RPC: TTHeader over Framed, binary protocol.
    Thrift,
    /// HTTP/1.1 and JSON.
    Http,
}

/// Where Plinth is, and how to call it.
#[derive(Clone)]
pub struct ClientSettings {
    /// The way.
    pub transport: TransportKind,
    /// `host:port` for Thrift; `http://host:port` or `https://…` for HTTP.
    pub address: String,
    /// The API key.
    pub key: SecretString,
    /// How long one attempt may take, in milliseconds; a long poll's wait comes on top.
    pub timeout_ms: u64,
    /// How long a connection may take to open, in milliseconds.
    pub connect_timeout_ms: u64,
    /// When a call is made again.
    pub retry: RetryPolicy,
}

impl ClientSettings {
    /// Over Thrift, with defaults.
    #[must_use]
    pub fn thrift(address: impl Into<String>, key: impl Into<String>) -> Self {
        Self::new(TransportKind::Thrift, address.into(), key.into())
    }

    /// Over HTTP, with defaults.
    #[must_use]
    pub fn http(address: impl Into<String>, key: impl Into<String>) -> Self {
        Self::new(TransportKind::Http, address.into(), key.into())
    }

    fn new(transport: TransportKind, address: String, key: String) -> Self {
        Self {
            transport,
            address,
            key: SecretString::new(key),
            timeout_ms: 10_000,
            connect_timeout_ms: 3_000,
            retry: RetryPolicy::default(),
        }
    }
}
