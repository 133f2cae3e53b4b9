//! The limits of connections: headers, slow senders, idle ones, how many, and how they end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use plinth_core::limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::{PATIENCE, closed, exchange, get_of, read_answer, routes, start};

#[tokio::test]
async fn headers_are_taken_below_the_limit_and_refused_past_it() {
    let server = start(routes(), |_| {}).await;
    let with_header = |bytes: usize| {
        format!(
            "GET /query HTTP/1.1\r\nhost: x\r\nx-padding: {}\r\n\r\n",
            "a".repeat(bytes)
        )
    };
    // The request line, the other headers and their ends take less than a hundred bytes.
    let below = server
        .ask(with_header(limits::HEADER_BYTES_MAX - 100))
        .await;
    assert_eq!(below.status, 200, "{below:?}");
    assert_eq!(
        server
            .ask(with_header(limits::HEADER_BYTES_MAX))
            .await
            .status,
        431
    );
    let many = format!(
        "GET /query HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "a: b\r\n".repeat(200)
    );
    assert_eq!(server.ask(many).await.status, 431);
}

#[tokio::test]
async fn broken_http_is_answered_with_400_or_closed() {
    let server = start(routes(), |_| {}).await;
    for broken in [
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nhost x\r\n\r\n",
        "POST /bytes HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST /bytes HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST /bytes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut stream = server.connect().await;
        if let Some(answer) = exchange(&mut stream, broken.as_bytes()).await {
            assert_eq!(answer.status, 400, "{broken}");
        }
        drop(stream);
    }
    assert_eq!(server.ask(get_of("/query")).await.status, 200);
}

#[tokio::test]
async fn silence_and_slow_headers_end_at_the_header_time() {
    let header_ms = 150;
    let server = start(routes(), |settings| settings.header_timeout_ms = header_ms).await;
    let began = Instant::now();
    let mut silent = server.connect().await;
    closed(&mut silent).await;
    assert!(
        began.elapsed() >= Duration::from_millis(header_ms),
        "not at once"
    );

    let began = Instant::now();
    let (mut reader, mut writer) = server.connect().await.into_split();
    let drip = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for byte in get_of(&format!("/query?cursor={}", "a".repeat(100_000))) {
            ticks.tick().await;
            if writer.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    closed(&mut reader).await;
    assert!(began.elapsed() < PATIENCE / 2, "more bytes gain no time");
    drip.abort();
}

#[tokio::test]
async fn an_idle_connection_ends_at_the_idle_time_and_not_before() {
    let idle_ms = 300;
    let server = start(routes(), |settings| {
        settings.header_timeout_ms = 50;
        settings.idle_timeout_ms = idle_ms;
    })
    .await;
    let mut stream = server.connect().await;
    assert_eq!(
        exchange(&mut stream, &get_of("/query"))
            .await
            .expect("served")
            .status,
        200
    );
    let began = Instant::now();
    closed(&mut stream).await;
    // Between requests the header time does not count: the connection lives longer than that.
    assert!(
        began.elapsed() >= Duration::from_millis(idle_ms - 100),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn one_connection_past_the_limit_is_refused() {
    let server = start(routes(), |settings| settings.connections_max = 2).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for stream in [&mut first, &mut second] {
        assert_eq!(
            exchange(stream, &get_of("/query"))
                .await
                .expect("served")
                .status,
            200
        );
    }
    let mut third = server.connect().await;
    let refused = read_answer(&mut third).await.expect("told why");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    first.shutdown().await.expect("closed");
    closed(&mut first).await;
    // The place is free once the server has noticed; ask until it has.
    let freed = async {
        loop {
            let mut again = server.connect().await;
            if exchange(&mut again, &get_of("/query"))
                .await
                .is_some_and(|answer| answer.status == 200)
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, freed)
        .await
        .expect("the place is free again");
}

/// A route that answers when it is told to.
fn held(entered: &Arc<Notify>, release: &Arc<Notify>) -> Router {
    let (entered, release) = (Arc::clone(entered), Arc::clone(release));
    routes().route(
        "/held",
        get(async move || {
            entered.notify_one();
            release.notified().await;
            "done"
        }),
    )
}

#[tokio::test]
async fn the_drain_lets_requests_in_flight_end_and_takes_no_new_ones() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start(held(&entered, &release), |_| {}).await;
    let mut idle = server.connect().await;
    assert_eq!(
        exchange(&mut idle, &get_of("/query"))
            .await
            .expect("served")
            .status,
        200
    );
    let mut busy = server.connect().await;
    busy.write_all(&get_of("/held")).await.expect("sent");
    entered.notified().await;
    server.shutdown.cancel();
    closed(&mut idle).await;
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("the port is closed");
    assert!(!server.task.is_finished(), "one request is in flight");
    release.notify_one();
    let answer = read_answer(&mut busy).await.expect("answered");
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, b"done".as_slice())
    );
    closed(&mut busy).await;
    let end = tokio::time::timeout(PATIENCE, server.task)
        .await
        .expect("it ends");
    assert!(end.expect("no panic").is_ok());
}

#[tokio::test]
async fn the_drain_cuts_off_what_does_not_end() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start(held(&entered, &release), |settings| {
        settings.drain_timeout_ms = 50
    })
    .await;
    let mut busy = server.connect().await;
    busy.write_all(&get_of("/held")).await.expect("sent");
    entered.notified().await;
    server.shutdown.cancel();
    closed(&mut busy).await;
    let end = tokio::time::timeout(PATIENCE, server.task)
        .await
        .expect("it ends");
    assert!(end.expect("no panic").is_ok());
}

#[tokio::test]
async fn http2_without_tls_is_served_by_prior_knowledge() {
    let server = start(routes(), |_| {}).await;
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let url = format!("http://{}/query?limit=7", server.address);
    let answers = futures::future::join_all((0..50).map(|_| client.get(&url).send())).await;
    for answer in answers {
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, reqwest::Version::HTTP_2)
        );
    }
    let missing = client
        .get(format!("http://{}/nowhere", server.address))
        .send()
        .await
        .expect("an answer");
    assert_eq!(missing.status().as_u16(), 404);
}
