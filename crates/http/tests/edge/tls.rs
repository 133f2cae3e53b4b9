//! TLS and mTLS, with certificates made for the test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plinth_http::HttpTlsSettings;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{TestServer, closed, exchange, get_of, routes, start};

/// An authority and what it signed, as files in a folder of the test.
struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    fn issue() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut authority = CertificateParams::new(Vec::<String>::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(authority, key).expect("signs itself");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("written")
        };
        write("ca.pem", authority.pem());
        for (name, purpose) in [
            ("server", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
            params.extended_key_usages = vec![purpose];
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &authority).expect("signed");
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn server(&self, client_ca: Option<PathBuf>) -> TestServer {
        let tls = HttpTlsSettings {
            cert: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca,
        };
        start(routes(), |settings| {
            settings.tls = Some(tls);
            settings.header_timeout_ms = 2_000;
        })
        .await
    }

    /// A client that trusts the authority, and shows a certificate where `shows` names one.
    fn connector(&self, shows: Option<&str>) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(certificate(&self.path("ca.pem")))
            .expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match shows {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key =
                    PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("a key");
                let chain = vec![certificate(&self.path(&format!("{name}.pem")))];
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("they belong together")
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

async fn shake(
    connector: &TlsConnector,
    server: &TestServer,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    connector.connect(name, server.connect().await).await
}

#[tokio::test]
async fn tls_serves_and_says_so() {
    let papers = Papers::issue();
    let server = papers.server(None).await;
    let mut stream = shake(&papers.connector(None), &server)
        .await
        .expect("a handshake");
    let answer = exchange(&mut stream, &get_of("/query?limit=1"))
        .await
        .expect("served");
    assert_eq!(answer.status, 200);
    assert!(answer.header("strict-transport-security").is_some());
}

#[tokio::test]
async fn mtls_takes_its_own_clients_only() {
    let papers = Papers::issue();
    let foreign = Papers::issue();
    let server = papers.server(Some(papers.path("ca.pem"))).await;
    let mut stream = shake(&papers.connector(Some("client")), &server)
        .await
        .expect("a handshake");
    let answer = exchange(&mut stream, &get_of("/query"))
        .await
        .expect("served");
    assert_eq!(answer.status, 200);
    // In TLS 1.3 the client learns of its refusal with the first read.
    let mut trusting_foreigner = foreign.connector(Some("client"));
    let config = papers.connector(None);
    for connector in [&config, &mut trusting_foreigner] {
        if let Ok(mut stream) = shake(connector, &server).await {
            assert!(
                exchange(&mut stream, &get_of("/query")).await.is_none(),
                "not served"
            );
        }
    }
    assert_eq!(
        shake(&papers.connector(Some("client")), &server)
            .await
            .map(|_| ())
            .ok(),
        Some(())
    );
}

#[tokio::test]
async fn a_stalled_or_broken_handshake_ends_and_others_go_on() {
    let papers = Papers::issue();
    let server = papers.server(None).await;
    let mut stalled = server.connect().await;
    let mut plain = server.connect().await;
    assert!(
        exchange(&mut plain, &get_of("/query")).await.is_none(),
        "plain HTTP is no handshake"
    );
    let mut stream = shake(&papers.connector(None), &server)
        .await
        .expect("a handshake beside them");
    assert_eq!(
        exchange(&mut stream, &get_of("/query"))
            .await
            .expect("served")
            .status,
        200
    );
    closed(&mut stalled).await;
}

#[tokio::test]
async fn files_that_do_not_fit_are_named() {
    let papers = Papers::issue();
    let foreign = Papers::issue();
    let cases = [
        (
            "http.tls.cert",
            papers.path("nowhere"),
            papers.path("server.key"),
            None,
        ),
        (
            "http.tls.key",
            papers.path("server.pem"),
            papers.path("server.pem"),
            None,
        ),
        (
            "http.tls.cert",
            papers.path("server.pem"),
            foreign.path("server.key"),
            None,
        ),
        (
            "http.tls.client_ca",
            papers.path("server.pem"),
            papers.path("server.key"),
            Some(papers.path("client.key")),
        ),
    ];
    for (field, cert, key, client_ca) in cases {
        let tls = HttpTlsSettings {
            cert,
            key,
            client_ca,
        };
        let server = start(routes(), |settings| settings.tls = Some(tls)).await;
        let error = server.task.await.expect("no panic").expect_err(field);
        assert_eq!(error.violations()[0].field, field, "{error}");
    }
}
