//! What can go wrong on the way out.

use std::net::IpAddr;

/// A URL that may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL.
    #[error("is no absolute URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// It has another scheme.
    #[error("has the scheme {scheme:?}, must be http or https")]
    Scheme {
        /// Which one.
        scheme: String,
    },
    /// It has no host.
    #[error("must name a host")]
    NoHost,
    /// It holds a user name or a password, which would end in logs.
    #[error("must not hold a user name or a password")]
    Credentials,
}

/// A call that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The URL may not be called.
    #[error("the URL {0}")]
    Target(#[from] TargetError),
    /// The host's address may not be called.
    #[error("{host} is at {address}, which may not be called: {reason}")]
    Forbidden {
        /// The host as the URL names it.
        host: String,
        /// Its address.
        address: IpAddr,
        /// What the address is.
        reason: &'static str,
    },
    /// No connection came about; nothing was sent.
    #[error("could not connect")]
    Connect(#[source] reqwest::Error),
    /// The time was over; the request may have arrived.
    #[error("no complete answer within {after_ms} ms")]
    TimedOut {
        /// The limit, in milliseconds.
        after_ms: u64,
    },
    /// The connection broke; the request may have arrived.
    #[error("the connection broke before the answer")]
    Broken(#[source] reqwest::Error),
    /// The client could not be built.
    #[error("the client could not be built")]
    Build(#[source] reqwest::Error),
}

impl OutboundError {
    /// Whether the request surely did not arrive, so that a repeat cannot do its work twice.
    #[must_use]
    pub const fn surely_not_sent(&self) -> bool {
        matches!(self, Self::Connect(_))
    }
}
