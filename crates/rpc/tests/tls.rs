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
use plinth_rpc::codec::WireProtocol;
use plinth_rpc::{RpcSettings, RpcTls};
use plinth_testkit::papers::{Papers, SERVER_NAME, Shows};
use rustls::pki_types::ServerName;
use support::frames::{Transport, call, wrap};
use support::server::{Running, start};
use support::values::smallest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

fn settings(papers: &Papers, client_ca: bool) -> RpcSettings {
    RpcSettings {
        tls: Some(RpcTls {
            cert: papers.path("server.pem"),
            key: papers.path("server.key"),
            client_ca: client_ca.then(|| papers.path("ca.pem")),
        }),
        handshake_timeout_ms: 2_000,
        ..RpcSettings::default()
    }
}

/// One call over TLS; the answer's bytes, or why there is none.
async fn ask(server: &Running, papers: &Papers, shows: Shows) -> std::io::Result<Vec<u8>> {
    let config = papers.client_config(shows).expect("good papers");
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    let mut stream = TlsConnector::from(Arc::clone(&config))
        .connect(name, stream)
        .await?;
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
            RpcTls {
                cert: papers.path("none"),
                ..good.clone()
            },
            "thrift.tls.cert",
        ),
        (
            RpcTls {
                key: papers.path("ca.pem"),
                ..good.clone()
            },
            "thrift.tls.key",
        ),
        (
            RpcTls {
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
