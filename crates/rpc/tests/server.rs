//! The accept loop: what a connection is answered, how many there may be, when they end.

#![expect(
    clippy::expect_used,
    reason = "the helpers of a test fail by panicking, as the test does"
)]

#[cfg(test)]
mod support;

use std::time::Duration;

use bytes::Bytes;
use plinth_idl::contract::method;
use plinth_rpc::RpcSettings;
use plinth_rpc::codec::WireProtocol;
use support::frames::{PROTOCOLS, TRANSPORTS, Transport, call, wrap};
use support::server::{Hanging, Running, start, start_service};
use support::values::smallest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);
/// Short enough to wait for what must not happen.
const MOMENT: Duration = Duration::from_millis(100);

fn health(protocol: WireProtocol) -> Bytes {
    let method = method("Health").expect("declared");
    call(method, &smallest(method.request), protocol)
}

async fn connect(server: &Running) -> TcpStream {
    TcpStream::connect(server.address)
        .await
        .expect("the server listens")
}

/// Reads one answer, which must say this.
async fn answer(stream: &mut TcpStream, part: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(SOON, async {
        while !bytes
            .windows(part.len())
            .any(|window| window == part.as_bytes())
        {
            let read = stream.read_buf(&mut bytes).await.expect("open");
            assert!(
                read > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    })
    .await
    .expect("an answer in time");
    bytes
}

async fn closed(stream: &mut TcpStream) {
    // The end of the last answer may still be on its way.
    let mut rest = Vec::new();
    let end = timeout(SOON, stream.read_to_end(&mut rest)).await;
    let _reset = end.expect("closed in time");
}

async fn end(server: Running) {
    server.shutdown.cancel();
    let ended = timeout(SOON, server.ended).await.expect("ends in time");
    ended.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn every_transport_and_protocol_is_answered_its_own_way() {
    let server = start(RpcSettings::default()).await;
    for protocol in PROTOCOLS {
        for transport in TRANSPORTS {
            let mut stream = connect(&server).await;
            let request = wrap(&health(protocol), transport, &[]);
            stream.write_all(&request).await.expect("open");
            let reply = answer(&mut stream, "called Health").await;
            let first: &[u8] = match protocol {
                WireProtocol::Binary => &[0x80, 0x01],
                WireProtocol::Compact => &[0x82],
            };
            let (at, begin) = match transport {
                Transport::Buffered => (0, first),
                Transport::Framed => (4, first),
                Transport::TtHeader | Transport::TtHeaderFramed => (4, &[0x10, 0x00][..]),
            };
            assert!(reply[at..].starts_with(begin), "{transport:?} {protocol:?}");
        }
    }
    end(server).await;
}

#[tokio::test]
async fn calls_that_come_at_once_are_answered_in_their_order() {
    let server = start(RpcSettings::default()).await;
    let mut stream = connect(&server).await;
    let frame = wrap(&health(WireProtocol::Binary), Transport::TtHeader, &[]);
    stream.write_all(&frame.repeat(50)).await.expect("open");
    let mut bytes = Vec::new();
    let calls = |bytes: &[u8]| {
        bytes
            .windows(13)
            .filter(|part| part == b"called Health")
            .count()
    };
    timeout(SOON, async {
        while calls(&bytes) < 50 {
            assert!(stream.read_buf(&mut bytes).await.expect("open") > 0);
        }
    })
    .await
    .expect("all answers");
    end(server).await;
}

#[tokio::test]
async fn broken_framing_is_answered_once_and_closed() {
    let server = start(RpcSettings::default()).await;
    let mut stream = connect(&server).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("open");
    answer(&mut stream, "not a Thrift message").await;
    closed(&mut stream).await;
    end(server).await;
}

#[tokio::test]
async fn a_connection_past_the_limit_waits_for_another_to_end() {
    let server = start(RpcSettings {
        connections_max: 2,
        ..RpcSettings::default()
    })
    .await;
    let request = health(WireProtocol::Binary);
    let mut held = [connect(&server).await, connect(&server).await];
    for stream in &mut held {
        stream.write_all(&request).await.expect("open");
        answer(stream, "called Health").await;
    }
    let mut third = connect(&server).await;
    third.write_all(&request).await.expect("in the backlog");
    let mut byte = [0];
    assert!(
        timeout(MOMENT, third.read(&mut byte)).await.is_err(),
        "not served yet"
    );
    drop(held);
    answer(&mut third, "called Health").await;
    end(server).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(RpcSettings {
        idle_timeout_ms: 50,
        ..RpcSettings::default()
    })
    .await;
    let mut stream = connect(&server).await;
    stream
        .write_all(&health(WireProtocol::Binary))
        .await
        .expect("open");
    answer(&mut stream, "called Health").await;
    closed(&mut stream).await;
    end(server).await;
}

#[tokio::test]
async fn the_drain_closes_idle_connections_and_refuses_new_ones() {
    let server = start(RpcSettings::default()).await;
    let mut idle = connect(&server).await;
    idle.write_all(&health(WireProtocol::Binary))
        .await
        .expect("open");
    answer(&mut idle, "called Health").await;
    server.shutdown.cancel();
    closed(&mut idle).await;
    let address = server.address;
    timeout(SOON, server.ended)
        .await
        .expect("ends")
        .expect("no panic")
        .expect("clean");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_connection_that_does_not_end_is_cut_after_the_drain() {
    let server = start(RpcSettings {
        drain_timeout_ms: 50,
        ..RpcSettings::default()
    })
    .await;
    // It never reads its answers, so writing them never ends.
    let mut deaf = connect(&server).await;
    let many = health(WireProtocol::Binary).repeat(200_000);
    let (_unread, mut write) = deaf.split();
    let _stuck = timeout(MOMENT * 5, write.write_all(&many)).await;
    end(server).await;
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_by_name() {
    let cases = [
        (
            RpcSettings {
                frame_bytes_max: 1,
                ..RpcSettings::default()
            },
            "thrift.frame_bytes_max",
        ),
        (
            RpcSettings {
                header_bytes_max: 1,
                ..RpcSettings::default()
            },
            "thrift.header_bytes_max",
        ),
        (
            RpcSettings {
                decoded_bytes_max: 1,
                ..RpcSettings::default()
            },
            "thrift.decoded_bytes_max",
        ),
        (
            RpcSettings {
                receiving_bytes_max: 1,
                ..RpcSettings::default()
            },
            "thrift.receiving_bytes_max",
        ),
        (
            RpcSettings {
                connections_max: 0,
                ..RpcSettings::default()
            },
            "thrift.connections_max",
        ),
        (
            RpcSettings {
                idle_timeout_ms: 0,
                ..RpcSettings::default()
            },
            "thrift.idle_timeout_ms",
        ),
    ];
    for (settings, field) in cases {
        let error = start(settings)
            .await
            .ended
            .await
            .expect("no panic")
            .expect_err(field);
        assert_eq!(error.violations()[0].field, field);
    }
}

#[tokio::test]
async fn a_call_ends_with_its_client() {
    let (told, mut tells) = tokio::sync::mpsc::channel(8);
    let server = start_service(RpcSettings::default(), Hanging { told }).await;
    let request = wrap(&health(WireProtocol::Binary), Transport::Framed, &[]);
    // Alone, and with a second request that waits behind the first and hides the end.
    for requests in [1, 2] {
        let mut stream = connect(&server).await;
        let bytes = request.repeat(requests);
        stream.write_all(&bytes).await.expect("open");
        let next = timeout(SOON, tells.recv()).await;
        assert_eq!(next.expect("in time"), Some("begun"));
        let still = timeout(MOMENT, tells.recv()).await;
        assert!(still.is_err(), "the client is there: {still:?}");
        drop(stream);
        let next = timeout(SOON, tells.recv()).await;
        assert_eq!(next.expect("in time"), Some("dropped"));
    }
    end(server).await;
}
