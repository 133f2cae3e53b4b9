//! One connection from its first byte to its last.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Edge;
use super::activity::Activity;
use crate::extract::PeerAddress;
use crate::layers::Surrounded;
use crate::streams::Lifetime;

/// Serves one connection until it ends by itself, by its limits, or by the drain.
pub(super) async fn run(stream: TcpStream, peer: SocketAddr, edge: &Edge) {
    let Some(tls) = &edge.tls else {
        return speak(stream, peer, false, edge).await;
    };
    let acceptor = TlsAcceptor::from(tls.config());
    let handshake = tokio::time::timeout(edge.header_timeout, acceptor.accept(stream));
    tokio::select! {
        () = edge.drain.cancelled() => {}
        shaken = handshake => match shaken {
            Ok(Ok(stream)) => speak(stream, peer, true, edge).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_elapsed) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }
}

async fn speak<S>(stream: S, peer: SocketAddr, over_tls: bool, edge: &Edge)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let activity = Activity::new(edge.header_timeout, edge.idle_timeout);
    let io = TokioIo::new(WatchedStream {
        stream,
        activity: activity.clone(),
    });
    let service = EdgeService {
        surrounded: edge.surrounded.clone(),
        activity: activity.clone(),
        peer: PeerAddress(peer),
        lifetime: Lifetime::new(edge.drain.clone(), edge.idle_timeout),
        over_tls,
    };
    let mut connection = pin!(edge.protocol.serve_connection(io, service));
    tokio::select! {
        () = edge.drain.cancelled() => {}
        () = until_done(connection.as_mut(), &activity) => return,
    }
    // HTTP/1.1 closes after the answer in flight, HTTP/2 says goodbye and ends its open streams.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        () = edge.abort.cancelled() => {}
        () = until_done(connection, &activity) => {}
    }
}

/// Drives a connection until it ends or its time is up. Every change of its activity happens while it is polled or wakes
/// it, so the deadline is asked for after each poll.
async fn until_done<C, E>(mut connection: Pin<&mut C>, activity: &Activity)
where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut alarm = pin!(tokio::time::sleep(std::time::Duration::ZERO));
    poll_fn(|context| {
        if let Poll::Ready(end) = connection.as_mut().poll(context) {
            if let Err(error) = end {
                tracing::debug!(%error, "a connection broke off");
            }
            return Poll::Ready(());
        }
        let Some(deadline) = activity.deadline() else {
            return Poll::Pending;
        };
        // A later deadline is noticed when the alarm rings; only an earlier one must move it.
        if alarm.is_elapsed() || deadline < alarm.deadline() {
            alarm.as_mut().reset(deadline);
        }
        while alarm.as_mut().poll(context).is_ready() {
            match activity.deadline() {
                Some(deadline) if deadline > tokio::time::Instant::now() => {
                    alarm.as_mut().reset(deadline)
                }
                Some(_) => return Poll::Ready(()),
                None => return Poll::Pending,
            }
        }
        Poll::Pending
    })
    .await;
}

/// Hands requests of one connection to the router.
#[derive(Clone)]
struct EdgeService {
    surrounded: Arc<Surrounded>,
    activity: Activity,
    peer: PeerAddress,
    lifetime: Lifetime,
    over_tls: bool,
}

impl hyper::service::Service<Request<Incoming>> for EdgeService {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = self.activity.begin(request.version() == Version::HTTP_2);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        self.lifetime.mark(&mut request);
        let (surrounded, over_tls) = (Arc::clone(&self.surrounded), self.over_tls);
        Box::pin(async move {
            let response = surrounded.answer(request, over_tls).await;
            drop(in_flight);
            Ok(response)
        })
    }
}

/// A stream that reports its bytes.
struct WatchedStream<S> {
    stream: S,
    activity: Activity,
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            self.activity.sent();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        if polled.is_ready() {
            self.activity.sent();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
