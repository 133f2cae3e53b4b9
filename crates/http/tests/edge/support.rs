//! A server with routes of its own behind the real layers and the real accept loop, and a client that writes bytes as the
//! test says, not as HTTP says.
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use plinth_core::Result;
use plinth_http::HttpSettings;
use plinth_http::extract::{ApiBytes, ApiJson, ApiPath, ApiQuery, Conditions};
use plinth_http::layers;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<()>>,
}

/// The body of `POST /json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    pub(crate) note: Option<String>,
    pub(crate) free: Option<serde_json::Value>,
}

/// One item of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) ttl_ms: Option<i64>,
}

/// The query of `GET /query`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listing {
    pub(crate) limit: Option<i64>,
    pub(crate) cursor: Option<String>,
}

/// Routes that use each extractor once.
pub(crate) fn routes() -> Router {
    Router::new()
        .route(
            "/json",
            post(async |ApiJson(batch): ApiJson<Batch>| ApiJson(batch)),
        )
        .route("/bytes", post(async |value: ApiBytes| value.bytes))
        .route(
            "/query",
            get(async |ApiQuery(listing): ApiQuery<Listing>| ApiJson(listing)),
        )
        .route(
            "/number/{count}",
            get(async |ApiPath(count): ApiPath<i64>| count.to_string()),
        )
        .route(
            "/name/{name}",
            get(async |ApiPath(name): ApiPath<String>| name),
        )
        .route(
            "/conditions",
            get(async |conditions: Conditions| format!("{conditions:?}")),
        )
        .route(
            "/panic",
            get(async || -> &'static str { panic!("on purpose") }),
        )
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
}

/// Serves routes behind the layers, with changed settings.
pub(crate) async fn start(routes: Router, change: impl FnOnce(&mut HttpSettings)) -> TestServer {
    let mut settings = HttpSettings::default();
    change(&mut settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let shutdown = CancellationToken::new();
    let surrounded = layers::surround(routes, &settings);
    let task = tokio::spawn(plinth_http::server::serve_router(
        listener,
        surrounded,
        settings,
        shutdown.clone(),
    ));
    TestServer {
        address,
        shutdown,
        task,
    }
}

impl TestServer {
    /// Opens a connection.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Sends one request on a connection of its own and reads the answer.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        exchange(&mut stream, request.as_ref())
            .await
            .expect("an answer")
    }
}

/// An answer, decoded only as far as the tests look at it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// Writes a request and reads one answer; `None` where the connection closes without one.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
) -> Option<Answer> {
    // A server that refuses early may close before everything is written.
    let _written = stream.write_all(request).await;
    read_answer(stream).await
}

/// Reads one answer; `None` where the connection closes without a whole one.
pub(crate) async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Answer> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer {
        status,
        head,
        body: Vec::new(),
    };
    let length: usize = answer
        .header("content-length")
        .unwrap_or("0")
        .parse()
        .ok()?;
    while bytes.len() < head_end + length {
        read_more(stream, &mut bytes).await?;
    }
    answer.body = bytes[head_end..head_end + length].to_vec();
    Some(answer)
}

async fn read_more<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> Option<()> {
    let read = tokio::time::timeout(PATIENCE, stream.read_buf(bytes))
        .await
        .expect("an answer in time");
    matches!(read, Ok(count) if count > 0).then_some(())
}

/// Waits for the server to close the connection, within the patience of the tests.
pub(crate) async fn closed<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut rest = Vec::new();
    // A reset is as closed as an end.
    let _end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("it closes in time");
}

/// A `POST` of JSON.
pub(crate) fn post_json(body: impl AsRef<[u8]>) -> Vec<u8> {
    post_as("/json", "application/json", body.as_ref())
}

/// A `POST` of anything.
pub(crate) fn post_as(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A `GET`.
pub(crate) fn get_of(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}
