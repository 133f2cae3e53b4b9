//! The accept loop: connections in, requests to the router, limits on their number and their time, drain.

mod activity;
mod connection;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use plinth_core::Result;
use plinth_security::tls::ServerTls;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::layers::Surrounded;
use crate::services::Services;
use crate::settings::HttpSettings;

/// How long accepting rests after an error that is not one connection's own, such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How often a dead HTTP/2 peer is looked for, and how long it has to answer.
const H2_PING: Duration = Duration::from_secs(30);
/// Bytes of answer that one HTTP/2 stream may hold back for a slow reader.
const H2_SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Bytes that a peer may send ahead on one HTTP/2 stream, and on one connection.
const H2_WINDOW_BYTES: u32 = 256 * 1024;
/// What a connection past the limit is told. Plain HTTP only: before a handshake there is no way to say it.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// Serves HTTP on a listener until `shutdown`, then drains: accepting stops, requests in flight end, and what has not
/// ended after the drain time is cut off.
///
/// Errors: 1001 naming a setting, before anything is accepted. Errors of accepting are logged and do not end the loop.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    settings: HttpSettings,
    shutdown: CancellationToken,
) -> Result<()> {
    settings.validate()?;
    let surrounded = crate::routes::router(services, &settings);
    serve_router(listener, surrounded, settings, shutdown).await
}

/// Serves any routes by the rules of [`serve`]; see [`crate::layers::surround`].
///
/// Errors: 1001 naming a setting, before anything is accepted.
pub async fn serve_router(
    listener: TcpListener,
    surrounded: Surrounded,
    settings: HttpSettings,
    shutdown: CancellationToken,
) -> Result<()> {
    let drain_timeout = Duration::from_millis(settings.drain_timeout_ms);
    let edge = Arc::new(Edge::new(surrounded, settings)?);
    let connections = TaskTracker::new();
    if let Some(tls) = &edge.tls {
        connections.spawn(Arc::clone(tls).watch(shutdown.clone()));
    }
    accept_until(&listener, &edge, &connections, &shutdown).await;
    // Closing the listener first makes new connections fail at once instead of waiting in its backlog.
    drop(listener);
    edge.drain.cancel();
    connections.close();
    if tokio::time::timeout(drain_timeout, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            open = connections.len(),
            "the drain time ended before the requests did"
        );
        edge.abort.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// What all connections share.
struct Edge {
    surrounded: Arc<Surrounded>,
    protocol: auto::Builder<TokioExecutor>,
    tls: Option<Arc<ServerTls>>,
    permits: Arc<Semaphore>,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// Requests in flight may end, idle connections close.
    drain: CancellationToken,
    /// Everything ends now.
    abort: CancellationToken,
}

impl Edge {
    fn new(surrounded: Surrounded, settings: HttpSettings) -> Result<Self> {
        let load = |files| ServerTls::load("http.tls", files, &[b"h2", b"http/1.1"]);
        let tls = settings.tls.as_ref().map(load).transpose()?;
        Ok(Self {
            surrounded: Arc::new(surrounded),
            protocol: protocol(&settings),
            tls: tls.map(Arc::new),
            permits: Arc::new(Semaphore::new(
                settings.connections_max.min(Semaphore::MAX_PERMITS),
            )),
            header_timeout: Duration::from_millis(settings.header_timeout_ms),
            idle_timeout: Duration::from_millis(settings.idle_timeout_ms),
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
        })
    }
}

fn protocol(settings: &HttpSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let header_bytes_max = settings
        .header_bytes_max
        .max(crate::settings::HEADER_BYTES_MIN);
    builder
        .http1()
        .timer(TokioTimer::new())
        // Our own watch covers the header, the idle time and the silence before the first byte alike.
        .header_read_timeout(None)
        .max_buf_size(header_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(settings.streams_max)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES_MAX)
        .initial_stream_window_size(H2_WINDOW_BYTES)
        .initial_connection_window_size(H2_WINDOW_BYTES)
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    builder
}

async fn accept_until(
    listener: &TcpListener,
    edge: &Arc<Edge>,
    connections: &TaskTracker,
    shutdown: &CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, edge, connections),
            Err(error) if belongs_to_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

fn belongs_to_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// Gives a connection its permit and its task. Handshake and protocol run there, off the accept path.
fn admit(stream: TcpStream, peer: SocketAddr, edge: &Arc<Edge>, connections: &TaskTracker) {
    let Ok(permit) = Arc::clone(&edge.permits).try_acquire_owned() else {
        refuse(&stream, edge);
        return;
    };
    // Answers are written whole; waiting for more of them only costs time. Failing to set it costs nothing else.
    let _unset = stream.set_nodelay(true);
    let edge = Arc::clone(edge);
    connections.spawn(async move {
        connection::run(stream, peer, &edge).await;
        drop(permit);
    });
}

fn refuse(stream: &TcpStream, edge: &Edge) {
    if edge.tls.is_none() {
        // One attempt into the empty send buffer; a peer that cannot take it finds the connection closed.
        let _refused = stream.try_write(REFUSAL);
    }
}
