//! Certificates for the services that speak TLS: an authority of this machine's tests and what it signed, by `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::host::{self, Place, output_of};

/// How long a certificate holds, in days; an older one is made anew with the folder.
const VALID_DAYS: &str = "3650";
/// The names that the server's certificate is for.
const SERVER_NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

/// The authority's certificate, and the server's with its key, as PEM files.
pub(super) struct Papers {
    folder: PathBuf,
}

impl Papers {
    /// The papers of a folder, made where they are missing.
    pub(super) fn issue(folder: &Path) -> Result<Self> {
        let papers = Self {
            folder: folder.to_owned(),
        };
        if papers.path("server.pem").exists() {
            return Ok(papers);
        }
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        papers.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            VALID_DAYS,
            "-subj",
            "/CN=plinth test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ])?;
        papers.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ])?;
        host::write_private(&papers.path("server.ext"), SERVER_NAMES.as_bytes())?;
        // Written under another name first: a cut leaves no half-made papers that look whole.
        papers.openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            VALID_DAYS,
            "-extfile",
            "server.ext",
            "-out",
            "server.pem.new",
        ])?;
        fs::rename(papers.path("server.pem.new"), papers.path("server.pem"))?;
        Ok(papers)
    }

    fn openssl(&self, arguments: &[&str]) -> Result<()> {
        output_of(
            Command::new("openssl")
                .args(arguments)
                .current_dir(&self.folder),
        )
        .context("making certificates for the tests")?;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Copies all that a server needs into the data of a product, readable by its user: `ca.pem`, `server.pem`,
    /// `server.key`.
    pub(super) fn copy_to(&self, place: &Place) -> Result<()> {
        for name in ["ca.pem", "server.pem", "server.key"] {
            let bytes = fs::read(self.path(name)).with_context(|| format!("reading {name}"))?;
            host::write_for(place, &place.data.join(name), &bytes)?;
        }
        Ok(())
    }
}
