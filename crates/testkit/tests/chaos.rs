//! What the proxy does to a connection, shown with an echo server.

#![expect(clippy::expect_used, reason = "the helpers of a test fail as it does")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plinth_testkit::chaos::{Chaos, ChaosProxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must come for "nothing comes".
const SILENCE: Duration = Duration::from_millis(150);

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _closed = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn proxied() -> (ChaosProxy, TcpStream) {
    let proxy = ChaosProxy::start(echo().await).await.expect("starts");
    let client = TcpStream::connect(proxy.address()).await.expect("connects");
    (proxy, client)
}

async fn say(client: &mut TcpStream, text: &[u8]) {
    client.write_all(text).await.expect("writes");
}

async fn hear(client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut heard = vec![0; length];
    tokio::time::timeout(PATIENCE, client.read_exact(&mut heard))
        .await
        .expect("in time")
        .expect("is open");
    heard
}

async fn is_closed(client: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(PATIENCE, client.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

async fn is_silent(client: &mut TcpStream) -> bool {
    let mut byte = [0];
    tokio::time::timeout(SILENCE, client.read(&mut byte))
        .await
        .is_err()
}

#[tokio::test]
async fn calm_forwards_and_the_end_closes() {
    let (proxy, mut client) = proxied().await;
    say(&mut client, b"one").await;
    assert_eq!(hear(&mut client, 3).await, b"one");
    assert_eq!(proxy.accepted(), 1);
    let address = proxy.address();
    drop(proxy);
    assert!(is_closed(&mut client).await);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn latency_delays_both_ways_and_its_end_is_noticed_by_what_waits() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Chaos::Latency { ms: 60 });
    let began = Instant::now();
    say(&mut client, b"x").await;
    assert_eq!(hear(&mut client, 1).await, b"x");
    assert!(began.elapsed() >= Duration::from_millis(120));
    proxy.set(Chaos::Latency { ms: 600_000 });
    say(&mut client, b"y").await;
    assert!(is_silent(&mut client).await);
    proxy.set(Chaos::Calm);
    assert_eq!(hear(&mut client, 1).await, b"y");
}

#[tokio::test]
async fn a_drip_comes_byte_by_byte() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Chaos::Drip { every_ms: 20 });
    let began = Instant::now();
    say(&mut client, b"abcde").await;
    assert_eq!(hear(&mut client, 5).await, b"abcde");
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_black_hole_takes_and_gives_nothing_back() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Chaos::BlackHole);
    say(&mut client, b"lost").await;
    assert!(is_silent(&mut client).await);
    let mut second = TcpStream::connect(proxy.address()).await.expect("connects");
    say(&mut second, b"lost").await;
    assert!(is_silent(&mut second).await);
    proxy.set(Chaos::Calm);
    say(&mut client, b"kept").await;
    assert_eq!(hear(&mut client, 4).await, b"kept");
}

#[tokio::test]
async fn swallowed_answers_still_reach_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let server = listener.local_addr().expect("has an address");
    let proxy = ChaosProxy::start(server).await.expect("starts");
    let mut client = TcpStream::connect(proxy.address()).await.expect("connects");
    let (mut far, _) = listener.accept().await.expect("accepts");
    proxy.set(Chaos::SwallowAnswers);
    say(&mut client, b"write").await;
    assert_eq!(hear(&mut far, 5).await, b"write");
    say(&mut far, b"done").await;
    assert!(is_silent(&mut client).await);
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_a_refusal_also_what_comes() {
    let (proxy, mut client) = proxied().await;
    say(&mut client, b"x").await;
    hear(&mut client, 1).await;
    proxy.cut();
    assert!(is_closed(&mut client).await);
    let mut client = TcpStream::connect(proxy.address()).await.expect("connects");
    say(&mut client, b"x").await;
    assert_eq!(hear(&mut client, 1).await, b"x");
    proxy.set(Chaos::Refuse);
    assert!(is_closed(&mut client).await);
    let mut refused = TcpStream::connect(proxy.address()).await.expect("connects");
    assert!(is_closed(&mut refused).await);
    proxy.set(Chaos::Calm);
    let mut client = TcpStream::connect(proxy.address()).await.expect("connects");
    say(&mut client, b"x").await;
    assert_eq!(hear(&mut client, 1).await, b"x");
}
