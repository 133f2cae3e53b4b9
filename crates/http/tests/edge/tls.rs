//! TLS and mTLS, with certificates made for the test.

use std::path::PathBuf;
use std::time::Duration;

use plinth_security::tls::TlsFiles;
use plinth_testkit::log_tap::LogTap;
use plinth_testkit::papers::{Papers, SERVER_NAME, Shows};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{TestServer, closed, exchange, get_of, routes, start};

fn issue() -> Papers {
    Papers::issue().expect("papers")
}

async fn serve(papers: &Papers, client_ca: Option<PathBuf>) -> TestServer {
    let tls = TlsFiles {
        cert: papers.path("server.pem"),
        key: papers.path("server.key"),
        client_ca,
    };
    start(routes(), |settings| {
        settings.tls = Some(tls);
        settings.header_timeout_ms = 2_000;
    })
    .await
}

fn connector(papers: &Papers, shows: Shows) -> TlsConnector {
    TlsConnector::from(papers.client_config(shows).expect("good papers"))
}

async fn shake(
    connector: &TlsConnector,
    server: &TestServer,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    connector.connect(name, server.connect().await).await
}

#[tokio::test]
async fn tls_serves_and_says_so() {
    let papers = issue();
    let server = serve(&papers, None).await;
    let mut stream = shake(&connector(&papers, Shows::Nothing), &server)
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
    let papers = issue();
    let foreign = issue();
    let server = serve(&papers, Some(papers.path("ca.pem"))).await;
    let mut stream = shake(&connector(&papers, Shows::Certificate), &server)
        .await
        .expect("a handshake");
    let answer = exchange(&mut stream, &get_of("/query"))
        .await
        .expect("served");
    assert_eq!(answer.status, 200);
    // In TLS 1.3 the client learns of its refusal with the first read.
    let shows_nothing = connector(&papers, Shows::Nothing);
    let foreigner = connector(&foreign, Shows::Certificate);
    for connector in [shows_nothing, foreigner] {
        if let Ok(mut stream) = shake(&connector, &server).await {
            assert!(
                exchange(&mut stream, &get_of("/query")).await.is_none(),
                "not served"
            );
        }
    }
    assert_eq!(
        shake(&connector(&papers, Shows::Certificate), &server)
            .await
            .map(|_| ())
            .ok(),
        Some(())
    );
}

#[tokio::test]
async fn a_stalled_or_broken_handshake_ends_and_others_go_on() {
    let papers = issue();
    let server = serve(&papers, None).await;
    let mut stalled = server.connect().await;
    let mut plain = server.connect().await;
    assert!(
        exchange(&mut plain, &get_of("/query")).await.is_none(),
        "plain HTTP is no handshake"
    );
    let mut stream = shake(&connector(&papers, Shows::Nothing), &server)
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
    let papers = issue();
    let foreign = issue();
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
        let tls = TlsFiles {
            cert,
            key,
            client_ca,
        };
        let server = start(routes(), |settings| settings.tls = Some(tls)).await;
        let error = server.task.await.expect("no panic").expect_err(field);
        assert_eq!(error.violations()[0].field, field, "{error}");
    }
}

/// Answers on an open connection.
async fn served(stream: &mut TlsStream<TcpStream>) -> bool {
    let answer = exchange(stream, &get_of("/query")).await;
    answer.is_some_and(|answer| answer.status == 200)
}

#[tokio::test]
async fn new_files_are_taken_while_connections_go_on() {
    let mut log = LogTap::start();
    let (papers, next) = (issue(), issue());
    let old_client = connector(&papers, Shows::Certificate);
    let server = serve(&papers, Some(papers.path("ca.pem"))).await;
    let mut under_way = shake(&old_client, &server).await.expect("a handshake");
    assert!(served(&mut under_way).await);

    papers.replace_by(&next).expect("replaced");
    log.line_with("new handshakes use them").await;
    let mut new = shake(&connector(&next, Shows::Certificate), &server)
        .await
        .expect("the new certificate, for a client of the new authority");
    assert!(served(&mut new).await);
    assert!(
        shake(&old_client, &server).await.is_err(),
        "the old authority did not sign the new certificate"
    );
    assert!(served(&mut under_way).await, "it keeps what it began with");
}

#[tokio::test]
async fn broken_files_are_logged_and_the_old_ones_serve_on() {
    let mut log = LogTap::start();
    let papers = issue();
    let server = serve(&papers, None).await;
    // Its files are read once it answers.
    drop(shake(&connector(&papers, Shows::Nothing), &server).await);
    std::fs::write(papers.path("server.key"), "no key").expect("written");
    let line = log.line_with("what was in force stays").await;
    assert!(
        line.contains("http.tls.key: holds no private key"),
        "{line}"
    );
    let mut stream = shake(&connector(&papers, Shows::Nothing), &server)
        .await
        .expect("a handshake with the old key");
    assert!(served(&mut stream).await);
    server.shutdown.cancel();
    drop(stream);
    tokio::time::timeout(Duration::from_secs(20), server.task)
        .await
        .expect("the watch ends with the server")
        .expect("no panic")
        .expect("a good end");
}
