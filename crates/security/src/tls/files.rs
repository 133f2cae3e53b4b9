//! TLS from files that may change while the server runs.
//!
//! The contents are compared, not the times of change: an exchange within one tick of the file system's clock, a symbolic
//! link that moves, or a restored older file is seen like any other.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use plinth_core::{Error, Result};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{TlsPem, server_config};
use crate::digest::{SHA256_BYTES, sha256, sha256_of_parts};

/// How often the files are compared with what is in force, in milliseconds: a new certificate is used that fast.
pub const RELOAD_EVERY_MS: u64 = 1_000;
/// Largest of the files, in bytes.
pub const TLS_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The files that TLS needs, all in PEM. They are read again while the server runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificate chain, the server's own certificate first.
    pub cert: PathBuf,
    /// Private key of the certificate.
    pub key: PathBuf,
    /// Authorities whose client certificates are required (mTLS); absent means no client certificate is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

/// What a server does in its handshakes now, and the files that it comes from.
pub struct ServerTls {
    section: &'static str,
    alpn: &'static [&'static [u8]],
    files: TlsFiles,
    in_force: ArcSwap<ServerConfig>,
    /// The state of the files that was last looked at, good or bad: a broken file is reported once, not every second.
    seen: Mutex<Fingerprint>,
}

type Fingerprint = [u8; SHA256_BYTES];

/// What a look at the files came to.
#[derive(Debug)]
pub enum Reload {
    /// They are as they were at the last look.
    Unchanged,
    /// New handshakes use what they hold now.
    Taken,
    /// They cannot be used: what was in force stays. The error names the file by its setting.
    Refused(Error),
}

impl ServerTls {
    /// Reads the files for a server that offers `alpn`. `section` is the section of the settings that names them.
    ///
    /// Errors: 1001 naming the setting of the file that cannot be read or used.
    pub fn load(
        section: &'static str,
        files: &TlsFiles,
        alpn: &'static [&'static [u8]],
    ) -> Result<Self> {
        let contents = Contents::read(files).map_err(|error| error.in_field(section))?;
        let config = contents
            .config(alpn)
            .map_err(|error| error.in_field(section))?;
        Ok(Self {
            section,
            alpn,
            files: files.clone(),
            in_force: ArcSwap::new(config),
            seen: Mutex::new(contents.fingerprint()),
        })
    }

    /// The configuration for the next handshake. Connections under way keep the one they began with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.in_force.load_full()
    }

    /// Looks at the files once and takes what changed, whole or not at all. Blocks for as long as reading them takes.
    pub fn reload(&self) -> Reload {
        let read = Contents::read(&self.files);
        let fingerprint = match &read {
            Ok(contents) => contents.fingerprint(),
            Err(error) => sha256(error.message().as_bytes()),
        };
        if std::mem::replace(&mut *self.seen.lock(), fingerprint) == fingerprint {
            return Reload::Unchanged;
        }
        match read.and_then(|contents| contents.config(self.alpn)) {
            Ok(config) => {
                self.in_force.store(config);
                Reload::Taken
            }
            Err(error) => Reload::Refused(error.in_field(self.section)),
        }
    }

    /// Looks at the files every [`RELOAD_EVERY_MS`] until `stop`, and logs what came of each change.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_millis(RELOAD_EVERY_MS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.reload()).await {
                Ok(outcome) => self.tell(&outcome),
                Err(error) => tracing::error!(%error, "looking at the TLS files failed"),
            }
        }
    }

    fn tell(&self, outcome: &Reload) {
        match outcome {
            Reload::Unchanged => {}
            Reload::Taken => tracing::info!(
                tls.section = self.section,
                "the TLS files changed; new handshakes use them"
            ),
            Reload::Refused(error) => tracing::error!(
                tls.section = self.section,
                error = error.message(),
                cause = std::error::Error::source(error).map(tracing::field::display),
                "the TLS files changed and cannot be used; what was in force stays"
            ),
        }
    }
}

/// What the files hold.
struct Contents {
    certificates: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_authorities: Option<Vec<u8>>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self> {
        let client_ca = files.client_ca.as_deref();
        Ok(Self {
            certificates: read("cert", &files.cert)?,
            key: Zeroizing::new(read("key", &files.key)?),
            client_authorities: client_ca.map(|path| read("client_ca", path)).transpose()?,
        })
    }

    fn config(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>> {
        let pem = TlsPem {
            certificates: &self.certificates,
            key: &self.key,
            client_authorities: self.client_authorities.as_deref(),
        };
        server_config(pem, alpn)
    }

    fn fingerprint(&self) -> Fingerprint {
        let authorities = self.client_authorities.as_deref().unwrap_or_default();
        sha256_of_parts(&[
            &sha256(&self.certificates),
            &sha256(&self.key),
            &sha256(authorities),
        ])
    }
}

fn read(field: &str, path: &Path) -> Result<Vec<u8>> {
    let unreadable = |error: std::io::Error| {
        let message = format!("{} cannot be read: {error}", path.display());
        Error::invalid(field, message).with_source(error)
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut bounded = file.take(TLS_FILE_BYTES_MAX + 1);
    bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > TLS_FILE_BYTES_MAX {
        let message = format!(
            "{} is larger than {TLS_FILE_BYTES_MAX} bytes",
            path.display()
        );
        return Err(Error::invalid(field, message));
    }
    Ok(bytes)
}
