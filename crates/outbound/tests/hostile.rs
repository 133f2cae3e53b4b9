//! Hostile receivers and hostile names, over real sockets on loopback.

#![expect(
    clippy::expect_used,
    reason = "what the tests share stands outside #[test] functions"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use plinth_core::{SecretString, SystemClock};
use plinth_outbound::{
    Delivery, OutboundClient, OutboundError, OutboundResponse, OutboundSettings, Target,
};
use plinth_security::sign::verify_webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn settings() -> OutboundSettings {
    OutboundSettings {
        allow_private: true,
        connect_ms_max: 1_000,
        attempt_ms_max: 300,
        response_bytes_max: 1_000,
        connect_attempts_max: 1,
    }
}

async fn deliver(settings: OutboundSettings, url: &str) -> Result<OutboundResponse, OutboundError> {
    let client = OutboundClient::new(settings, SystemClock::shared()).expect("builds");
    let target = Target::parse(url).expect("a target");
    client
        .deliver(&Delivery {
            target: &target,
            secret: &SecretString::new("0123456789abcdef".to_owned()),
            id: "msg_1",
            content_type: "application/json",
            body: Bytes::from_static(b"{}"),
            traceparent: None,
        })
        .await
}

/// Reads one request up to its end.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 1_024];
    while !text.ends_with(b"{}") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend(piece.iter().take(count)),
        }
    }
    String::from_utf8(text).expect("text")
}

/// A receiver that answers each connection by `answer`, and counts them.
async fn receiver<F, Fut>(answer: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("binds");
    let address = listener.local_addr().expect("has one");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let request = read_request(&mut stream).await;
            answer(stream, request).await;
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_delivery_is_signed_over_id_time_and_body() {
    let (sender, mut requests) = tokio::sync::mpsc::channel(1);
    let (address, _) = receiver(move |mut stream, request| {
        let sender = sender.clone();
        async move {
            sender.send(request).await.expect("is read");
            let _sent = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let response = deliver(settings(), &format!("http://{address}/hook"))
        .await
        .expect("an answer");
    assert_eq!(response.status, 204);
    let request = requests.recv().await.expect("one request").to_lowercase();
    let field = |name: &str| {
        request
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
            .expect("present")
            .to_owned()
    };
    assert_eq!(field("webhook-id"), "msg_1");
    let timestamp: i64 = field("webhook-timestamp").parse().expect("seconds");
    // The request text was lowered to find its fields, so the signature is made again instead of being read.
    let secret = SecretString::new("0123456789abcdef".to_owned());
    let expected = plinth_security::sign::sign_webhook(&secret, "msg_1", timestamp, b"{}");
    assert_eq!(field("webhook-signature"), expected.to_lowercase());
    assert!(verify_webhook(
        &secret, "msg_1", timestamp, b"{}", &expected
    ));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (inner, reached) = receiver(|_, _| async {}).await;
    let (address, _) = receiver(move |mut stream, _| async move {
        let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{inner}/\r\ncontent-length: 0\r\n\r\n");
        let _sent = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let response = deliver(settings(), &format!("http://{address}/"))
        .await
        .expect("an answer");
    assert_eq!(response.status, 307);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn private_addresses_are_refused_before_a_connection_in_every_notation() {
    let (address, reached) = receiver(|_, _| async {}).await;
    let port = address.port();
    let closed = OutboundSettings {
        allow_private: false,
        ..settings()
    };
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        let outcome = deliver(closed.clone(), &format!("http://{host}:{port}/")).await;
        assert!(
            matches!(outcome, Err(OutboundError::Forbidden { .. })),
            "{host}: {outcome:?}"
        );
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_an_allowed_address_is_called() {
    let (address, reached) = receiver(|mut stream, _| async move {
        let _sent = stream
            .write_all(
                b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            )
            .await;
    })
    .await;
    let response = deliver(settings(), &format!("http://localhost:{}/", address.port()))
        .await
        .expect("an answer");
    assert_eq!(
        (response.status, response.retry_after_ms),
        (429, Some(7_000))
    );
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_huge_body_is_cut_at_the_limit() {
    let (address, _) = receiver(|mut stream, _| async move {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        if stream.write_all(head).await.is_err() {
            return;
        }
        let chunk = [b"400\r\n".as_slice(), &[b'x'; 1_024], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;
    let response = deliver(settings(), &format!("http://{address}/"))
        .await
        .expect("an answer");
    assert_eq!(
        (response.status, response.body.len(), response.is_cut),
        (200, 1_000, true)
    );
}

#[tokio::test]
async fn a_body_at_the_limit_is_whole_and_one_past_it_is_cut() {
    for (length, is_cut) in [(1_000, false), (1_001, true)] {
        let (address, _) = receiver(move |mut stream, _| async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _sent = stream.write_all(head.as_bytes()).await;
            let _sent = stream.write_all(&vec![b'x'; length]).await;
        })
        .await;
        let response = deliver(settings(), &format!("http://{address}/"))
            .await
            .expect("an answer");
        assert_eq!((response.body.len(), response.is_cut), (1_000, is_cut));
    }
}

#[tokio::test]
async fn a_dripping_body_ends_at_the_time_limit() {
    let (address, _) = receiver(|mut stream, _| async move {
        let _sent = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
            .await;
        let mut drip = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            drip.tick().await;
            if stream.write_all(b"x").await.is_err() {
                return;
            }
        }
    })
    .await;
    let outcome = deliver(settings(), &format!("http://{address}/")).await;
    assert!(
        matches!(outcome, Err(OutboundError::TimedOut { after_ms: 300 })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_receiver_that_never_answers_ends_at_the_time_limit() {
    let (address, _) = receiver(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let outcome = deliver(settings(), &format!("http://{address}/")).await;
    assert!(
        matches!(outcome, Err(OutboundError::TimedOut { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn only_a_connection_that_did_not_come_about_is_tried_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("binds");
    let free = listener.local_addr().expect("has one");
    drop(listener);
    let outcome = deliver(settings(), &format!("http://{free}/")).await;
    assert!(
        outcome.as_ref().is_err_and(OutboundError::surely_not_sent),
        "{outcome:?}"
    );

    let (address, reached) = receiver(|stream, _| async move { drop(stream) }).await;
    let many = OutboundSettings {
        connect_attempts_max: 3,
        ..settings()
    };
    let outcome = deliver(many, &format!("http://{address}/")).await;
    assert!(
        matches!(outcome, Err(OutboundError::Broken(_))),
        "{outcome:?}"
    );
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}
