//! Certificates made for a test: an authority, and what it signed, as PEM files in a folder that goes with the test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The name that the server's certificate is for.
pub const SERVER_NAME: &str = "localhost";

/// `ca.pem`, `server.pem` with `server.key`, `client.pem` with `client.key`.
pub struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    /// Makes an authority of its own and lets it sign.
    pub fn issue() -> Result<Self> {
        let papers = Self {
            folder: tempfile::tempdir()?,
        };
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        papers.write("ca.pem", &authority.pem())?;
        for (name, purpose) in [
            ("server", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
            params.extended_key_usages = vec![purpose];
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &authority)?;
            papers.write(&format!("{name}.pem"), &certificate.pem())?;
            papers.write(&format!("{name}.key"), &key.serialize_pem())?;
        }
        Ok(papers)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.path(name), text).with_context(|| format!("{name} cannot be written"))
    }

    /// Puts the files of other papers in the place of these, one after the other. The server's key comes last: until then
    /// it does not belong to its certificate, and whoever looks in between takes nothing.
    pub fn replace_by(&self, other: &Self) -> Result<()> {
        for name in [
            "client.pem",
            "client.key",
            "server.pem",
            "ca.pem",
            "server.key",
        ] {
            std::fs::copy(other.path(name), self.path(name))
                .with_context(|| format!("{name} cannot be replaced"))?;
        }
        Ok(())
    }

    /// Where a file lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client's configuration that trusts the authority and shows the client's certificate where it is asked to.
    pub fn client_config(&self, shows: Shows) -> Result<Arc<rustls::ClientConfig>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(&self.path("ca.pem"))?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        Ok(Arc::new(match shows {
            Shows::Nothing => builder.with_no_client_auth(),
            Shows::Certificate => {
                let key = PrivateKeyDer::from_pem_file(self.path("client.key"))?;
                let chain = vec![certificate(&self.path("client.pem"))?];
                builder.with_client_auth_cert(chain, key)?
            }
        }))
    }
}

/// What a client shows in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// No certificate.
    Nothing,
    /// The client's certificate.
    Certificate,
}

fn certificate(path: &Path) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_file(path)?)
}
