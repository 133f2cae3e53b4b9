//! The settings of the HTTP edge.

use std::net::{Ipv4Addr, SocketAddr};

use plinth_core::{Error, Result, limits};
use plinth_security::tls::TlsFiles;
use serde::{Deserialize, Serialize};

/// Smallest header block that may be configured, in bytes: below it HTTP itself no longer works.
pub const HEADER_BYTES_MIN: usize = 8 * 1024;

/// How the HTTP edge listens and what it lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Most bytes of request bodies held at once over all connections; a request past it is told to come back (1009).
    pub bodies_bytes_max: usize,
    /// How long a request body may take to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// Largest request line and header block, in bytes.
    pub header_bytes_max: usize,
    /// How long a request's header may take to arrive once its first byte is there, in milliseconds. It also bounds the
    /// TLS handshake.
    pub header_timeout_ms: u64,
    /// How long a connection may stay open without a request, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Most open connections; one more is refused with status 503.
    pub connections_max: usize,
    /// Most concurrent requests of one HTTP/2 connection.
    pub streams_max: u32,
    /// How long requests in flight may go on after shutdown began, in milliseconds.
    pub drain_timeout_ms: u64,
    /// TLS; absent means plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Serves `/metrics` to callers from the loopback address without a key.
    pub metrics_open_to_loopback: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7400)),
            body_bytes_max: limits::REQUEST_BYTES_MAX,
            bodies_bytes_max: 16 * limits::REQUEST_BYTES_MAX,
            body_timeout_ms: 30_000,
            header_bytes_max: limits::HEADER_BYTES_MAX,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 120_000,
            connections_max: 4_096,
            streams_max: 128,
            drain_timeout_ms: 30_000,
            tls: None,
            metrics_open_to_loopback: false,
        }
    }
}

impl HttpSettings {
    /// Checks what the types do not. Errors: 1001 naming the setting.
    pub fn validate(&self) -> Result<()> {
        if self.header_bytes_max < HEADER_BYTES_MIN {
            return Err(Error::invalid(
                "http.header_bytes_max",
                format!("must be at least {HEADER_BYTES_MIN}"),
            ));
        }
        if self.body_bytes_max > limits::REQUEST_BYTES_MAX {
            return Err(Error::invalid(
                "http.body_bytes_max",
                format!("must be at most {}", limits::REQUEST_BYTES_MAX),
            ));
        }
        if self.bodies_bytes_max < self.body_bytes_max {
            return Err(Error::invalid(
                "http.bodies_bytes_max",
                "must be at least body_bytes_max",
            ));
        }
        let positive: [(&str, u64); 6] = [
            ("http.body_timeout_ms", self.body_timeout_ms),
            ("http.header_timeout_ms", self.header_timeout_ms),
            ("http.idle_timeout_ms", self.idle_timeout_ms),
            ("http.drain_timeout_ms", self.drain_timeout_ms),
            ("http.streams_max", u64::from(self.streams_max)),
            ("http.connections_max", self.connections_max as u64),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(Error::invalid(*name, "must be at least 1")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_bad_value_is_named() {
        assert!(HttpSettings::default().validate().is_ok());
        type Spoil = fn(&mut HttpSettings);
        let cases: [(&str, Spoil); 5] = [
            ("http.header_bytes_max", |s| {
                s.header_bytes_max = HEADER_BYTES_MIN - 1;
            }),
            ("http.body_bytes_max", |s| {
                s.body_bytes_max = limits::REQUEST_BYTES_MAX + 1;
            }),
            ("http.bodies_bytes_max", |s| {
                s.bodies_bytes_max = s.body_bytes_max - 1;
            }),
            ("http.idle_timeout_ms", |s| s.idle_timeout_ms = 0),
            ("http.connections_max", |s| s.connections_max = 0),
        ];
        for (field, spoil) in cases {
            let mut settings = HttpSettings::default();
            spoil(&mut settings);
            let error = settings.validate().expect_err(field);
            assert_eq!(error.violations()[0].field, field);
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(serde_json::from_str::<HttpSettings>("{}").is_ok());
        assert!(serde_json::from_str::<HttpSettings>(r#"{"lisen":"127.0.0.1:1"}"#).is_err());
    }
}
