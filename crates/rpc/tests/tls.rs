//! TLS and mTLS on the Thrift port, with certificates made for the test.

#![expect(
    clippy::expect_used,
    reason = "the helpers of a test fail by panicking, as the test does"
)]

#[cfg(test)]
mod support;

use std::sync::Arc;
use std::time::Duration;

use plinth_idl::contract::method;
use plinth_rpc::RpcSettings;
use plinth_rpc::codec::WireProtocol;
use plinth_security::tls::TlsFiles;
use plinth_testkit::log_tap::LogTap;
use plinth_testkit::papers::{Papers, SERVER_NAME, Shows};
use rustls::pki_types::ServerName;
use support::frames::{Transport, call, wrap};
use support::server::{Running, start};
use support::values::smallest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

fn settings(papers: &Papers, client_ca: bool) -> RpcSettings {
    RpcSettings {
        tls: Some(TlsFiles {
            cert: papers.path("server.pem"),
            key: papers.path("server.key"),
            client_ca: client_ca.then(|| papers.path("ca.pem")),
        }),
        handshake_timeout_ms: 2_000,
        ..RpcSettings::default()
    }
}

/// One call over TLS on a connection of its own; the answer's bytes, or why there is none.
async fn ask(server: &Running, papers: &Papers, shows: Shows) -> std::io::Result<Vec<u8>> {
    let config = papers.client_config(shows).expect("good papers");
    let mut stream = shake(server, config).await?;
    exchange(&mut stream).await
}

async fn shake(
    server: &Running,
    config: Arc<rustls::ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    TlsConnector::from(config).connect(name, stream).await
}

async fn exchange(stream: &mut TlsStream<TcpStream>) -> std::io::Result<Vec<u8>> {
    let health = method("Health").expect("declared");
    let request = call(health, &smallest(health.request), WireProtocol::Binary);
    stream
        .write_all(&wrap(&request, Transport::Framed, &[]))
        .await?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn served(answer: &[u8]) -> bool {
    answer.windows(13).any(|part| part == b"called Health")
}

#[tokio::test]
async fn calls_are_served_over_tls() {
    let papers = Papers::issue().expect("papers");
    let server = start(settings(&papers, false)).await;
    assert!(served(
        &ask(&server, &papers, Shows::Nothing).await.expect("served")
    ));
}

#[tokio::test]
async fn with_client_authorities_only_their_clients_are_served() {
    let (papers, foreign) = (
        Papers::issue().expect("papers"),
        Papers::issue().expect("papers"),
    );
    let server = start(settings(&papers, true)).await;
    assert!(served(
        &ask(&server, &papers, Shows::Certificate)
            .await
            .expect("served")
    ));
    assert!(
        ask(&server, &papers, Shows::Nothing).await.is_err(),
        "shows nothing"
    );
    assert!(
        ask(&server, &foreign, Shows::Certificate).await.is_err(),
        "is a stranger"
    );
    assert!(served(
        &ask(&server, &papers, Shows::Certificate)
            .await
            .expect("still served")
    ));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_holds_nobody_up_and_ends() {
    let papers = Papers::issue().expect("papers");
    let server = start(settings(&papers, false)).await;
    let mut silent = TcpStream::connect(server.address).await.expect("accepted");
    assert!(served(
        &ask(&server, &papers, Shows::Nothing)
            .await
            .expect("served meanwhile")
    ));
    let mut byte = [0];
    let end = timeout(SOON, silent.read(&mut byte))
        .await
        .expect("closed in time");
    assert!(matches!(end, Ok(0) | Err(_)), "closed without a word");
}

#[tokio::test]
async fn papers_that_cannot_be_used_are_refused_by_name() {
    let papers = Papers::issue().expect("papers");
    let good = settings(&papers, false).tls.expect("TLS");
    let cases = [
        (
            TlsFiles {
                cert: papers.path("none"),
                ..good.clone()
            },
            "thrift.tls.cert",
        ),
        (
            TlsFiles {
                key: papers.path("ca.pem"),
                ..good.clone()
            },
            "thrift.tls.key",
        ),
        (
            TlsFiles {
                client_ca: Some(papers.path("server.key")),
                ..good
            },
            "thrift.tls.client_ca",
        ),
    ];
    for (tls, field) in cases {
        let server = start(RpcSettings {
            tls: Some(tls),
            ..RpcSettings::default()
        })
        .await;
        let error = server.ended.await.expect("no panic").expect_err(field);
        assert_eq!(error.violations()[0].field, field);
    }
}

#[tokio::test]
async fn new_files_are_taken_while_connections_go_on() {
    let mut log = LogTap::start();
    let (papers, next) = (
        Papers::issue().expect("papers"),
        Papers::issue().expect("papers"),
    );
    let old = papers
        .client_config(Shows::Certificate)
        .expect("good papers");
    let server = start(settings(&papers, true)).await;
    let mut under_way = shake(&server, Arc::clone(&old)).await.expect("a handshake");
    assert!(served(&exchange(&mut under_way).await.expect("served")));

    papers.replace_by(&next).expect("replaced");
    log.line_with("new handshakes use them").await;
    let answer = ask(&server, &next, Shows::Certificate).await;
    assert!(served(&answer.expect("a client of the new authority")));
    assert!(
        shake(&server, old).await.is_err(),
        "the old authority did not sign the new certificate"
    );
    let answer = exchange(&mut under_way).await;
    assert!(served(&answer.expect("it keeps what it began with")));
}

#[tokio::test]
async fn broken_files_are_logged_and_the_old_ones_serve_on() {
    let mut log = LogTap::start();
    let papers = Papers::issue().expect("papers");
    let server = start(settings(&papers, false)).await;
    let answer = ask(&server, &papers, Shows::Nothing).await;
    assert!(served(&answer.expect("its files are read")));
    std::fs::write(papers.path("server.pem"), "no certificate").expect("written");
    let line = log.line_with("what was in force stays").await;
    assert!(
        line.contains("thrift.tls.cert: holds no certificate"),
        "{line}"
    );
    let answer = ask(&server, &papers, Shows::Nothing).await;
    assert!(served(
        &answer.expect("a handshake with the old certificate")
    ));
    server.shutdown.cancel();
    timeout(SOON, server.ended)
        .await
        .expect("the watch ends with the server")
        .expect("no panic")
        .expect("a good end");
}
