//! The server side of TLS for both edges: PEM text in, a rustls configuration out, and the files that the text comes from,
//! which are read again when they change.
//!
//! TLS 1.2 and 1.3 by rustls on aws-lc-rs, the provider named explicitly. With client authorities a client must show a
//! certificate that one of them signed (mTLS).

mod files;

use std::sync::Arc;

use plinth_core::{Error, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

pub use files::{RELOAD_EVERY_MS, Reload, ServerTls, TLS_FILE_BYTES_MAX, TlsFiles};

/// What a TLS server needs, each part as PEM text.
#[derive(Clone, Copy)]
pub struct TlsPem<'a> {
    /// Certificate chain, the server's own certificate first.
    pub certificates: &'a [u8],
    /// Private key of the server's certificate.
    pub key: &'a [u8],
    /// Authorities that sign client certificates; with them every client must show one.
    pub client_authorities: Option<&'a [u8]>,
}

/// Builds the configuration of a TLS server that offers `alpn` in this order.
///
/// Errors: 1001 naming `cert`, `key` or `client_ca`.
pub fn server_config(pem: TlsPem<'_>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = certificates("cert", pem.certificates)?;
    let key = PrivateKeyDer::from_pem_slice(pem.key)
        .map_err(|_| Error::invalid("key", "holds no private key in PEM"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?;
    let builder = match pem.client_authorities {
        None => builder.with_no_client_auth(),
        Some(text) => builder.with_client_cert_verifier(client_verifier(text, provider)?),
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| {
            Error::invalid(
                "cert",
                "does not belong to the key, or is not a usable certificate",
            )
            .with_source(error)
        })?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

fn client_verifier(
    text: &[u8],
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>> {
    let roots = authorities("client_ca", text)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::invalid("client_ca", "cannot be used").with_source(error))?;
    Ok(verifier)
}

fn authorities(field: &str, text: &[u8]) -> Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in certificates(field, text)? {
        roots.add(authority).map_err(|error| {
            Error::invalid(field, "holds a certificate that is no authority").with_source(error)
        })?;
    }
    Ok(roots)
}

/// Checks that a text can be trusted by: at least one certificate in PEM, each of them usable as an authority.
///
/// Errors: 1001 naming `field`.
pub fn check_authorities(field: &str, text: &str) -> Result<()> {
    authorities(field, text.as_bytes()).map(|_roots| ())
}

/// Why a TLS handshake failed, where that is why a connection broke: `invalid peer certificate: UnknownIssuer`.
#[must_use]
pub fn handshake_fault(error: &std::io::Error) -> Option<String> {
    let fault = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(fault.to_string())
}

fn certificates(field: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::invalid(field, "holds no certificate in PEM")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_pem_is_named() {
        let empty = TlsPem {
            certificates: b"",
            key: b"",
            client_authorities: None,
        };
        let error = server_config(empty, &[]).expect_err("no certificate");
        assert_eq!(error.violations()[0].field, "cert");
    }
}
