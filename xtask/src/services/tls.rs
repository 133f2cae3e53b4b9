//! A private authority and what it signed, so that the tests reach their services over TLS.
//!
//! The certificate is for `localhost` alone: a test that goes to `127.0.0.1` meets a wrong name.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

use super::host::{self, Place};

/// The variable by which tests find the authority's certificate.
const VARIABLE: &str = "PLINTH_TEST_SERVICES_CA";
/// A user whom both servers let in over TLS alone, with the password of the other one.
pub(super) const TLS_USER: &str = "plinth_tls";

/// The files that a server is started with, readable by its user.
pub(super) struct ServerFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ServerFiles {
    /// Puts the files where a product's user may read them, and makes them first where there are none.
    pub(super) fn at(place: &Place) -> Result<Self> {
        let folder = folder();
        if !folder.join(CA).exists() {
            issue().context("making certificates")?;
        }
        let copy = |name: &str| -> Result<PathBuf> {
            let (from, to) = (folder.join(name), place.sockets.join(name));
            let bytes = fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
            host::write_for(place, &to, &bytes)?;
            Ok(to)
        };
        Ok(Self {
            ca: copy(CA)?,
            certificate: copy(CERTIFICATE)?,
            key: copy(KEY)?,
        })
    }
}

const CA: &str = "ca.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

fn folder() -> PathBuf {
    super::folder().join("tls")
}

/// The authority signs once and its key is forgotten. Its certificate is written last: with it the files are whole.
fn issue() -> Result<()> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A name of its own: a foreign authority of the same name would be refused for its signature, not as unknown.
    authority
        .distinguished_name
        .push(DnType::CommonName, "Plinth test services");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut server = CertificateParams::new(vec!["localhost".to_owned()])?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &authority)?;
    host::write_private(&folder.join(KEY), key.serialize_pem().as_bytes())?;
    fs::write(folder.join(CERTIFICATE), certificate.pem())?;
    fs::write(folder.join(CA), authority.pem())?;
    Ok(())
}

/// The `export` line of the authority; empty before the first start.
pub(super) fn environment() -> String {
    let path = folder().join(CA);
    if path.exists() {
        format!("export {VARIABLE}='{}'\n", path.display())
    } else {
        String::new()
    }
}
