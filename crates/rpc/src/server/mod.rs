//! The accept loop of the Thrift edge.
//!
//! Volo's own server has no TLS, no connection limit and no idle time-out, installs signal handlers and ends when an
//! accept fails; its loop over the calls of a connection keeps times, spans and a context for each that nobody here reads.
//! So connections are accepted and served here, over the checked codec. Calls of one connection are answered one after the
//! other, in their order: a multiplexed Kitex client, which matches replies by sequence number, is served as well.

mod stream;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use pilota::thrift::ThriftException;
use plinth_core::{Error, Result};
use plinth_security::tls::ServerTls;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::stream::Connection;
use crate::codec::{CheckedEncoder, CheckedThriftCodec, CodecLimits, Received};
use crate::incoming::Answers;
use crate::settings::RpcSettings;

/// How long the loop rests after an accept failed: what fails is mostly a lack of file descriptors, which needs a
/// connection to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection needs.
struct Edge<S> {
    service: S,
    codec: CheckedThriftCodec,
    tls: Option<Arc<ServerTls>>,
    handshake_timeout: Duration,
    /// The drain began: answer what is in flight, then close.
    drain: Drain,
}

/// The beginning of the drain, as connections look at it: millions of times before it comes.
#[derive(Default)]
struct Drain {
    /// Set before the token wakes anybody.
    begun: AtomicBool,
    token: CancellationToken,
}

impl Drain {
    fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Completes when the drain begins. To be awaited by one task, which asks the token, and takes its lock, once and not at
    /// every turn.
    async fn wait(&self) {
        let mut cancelled = pin!(self.token.cancelled());
        let mut is_registered = false;
        poll_fn(move |context| {
            if is_registered && !self.has_begun() {
                return Poll::Pending;
            }
            is_registered = true;
            cancelled.as_mut().poll(context)
        })
        .await;
    }
}

/// Accepts and serves connections until `shutdown`, then drains. Returns when every connection has ended.
///
/// Errors: 1001 naming the setting or TLS file that cannot be used. Nothing that a client does ends the loop.
pub async fn serve_answers<S: Answers>(
    listener: TcpListener,
    service: S,
    settings: &RpcSettings,
    shutdown: CancellationToken,
) -> Result<()> {
    settings.validate()?;
    let tls = server_tls(settings).await?;
    let edge = Arc::new(Edge {
        service,
        codec: CheckedThriftCodec::new(CodecLimits::new(settings)),
        tls,
        handshake_timeout: settings.handshake_timeout(),
        drain: Drain::default(),
    });
    let permits = Arc::new(Semaphore::new(
        settings.connections_max.min(Semaphore::MAX_PERMITS),
    ));
    let mut connections = JoinSet::new();
    if let Some(tls) = &edge.tls {
        connections.spawn(Arc::clone(tls).watch(shutdown.clone()));
    }
    while let Some((stream, peer, permit)) = next(&listener, &permits, &shutdown).await {
        connections.spawn(connection(Arc::clone(&edge), stream, peer, permit));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    edge.drain.begin();
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(settings.drain_timeout(), all_ended).await.is_err() {
        tracing::warn!(
            rpc.connections = connections.len(),
            "connections did not end within the drain; closing them"
        );
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection, once one of the permits is free; `None` when the drain began.
async fn next(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = tokio::select! {
        biased;
        () = shutdown.cancelled() => return None,
        permit = Arc::clone(permits).acquire_owned() => permit.ok()?,
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => return Some((stream, peer, permit)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<S: Answers>(
    edge: Arc<Edge<S>>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    // Without it small replies wait for the client's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "the connection broke before it was served");
        return;
    }
    if let Some(stream) = open(&edge, stream, peer).await {
        serve_calls(&edge, stream, peer).await;
    }
    drop(permit);
}

async fn open<S>(edge: &Edge<S>, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
    let Some(tls) = &edge.tls else {
        return Some(Connection::plain(stream));
    };
    let acceptor = TlsAcceptor::from(tls.config());
    match timeout(edge.handshake_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Connection::encrypted(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%error, %peer, "the TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "the TLS handshake took too long");
            None
        }
    }
}

async fn serve_calls<S: Answers>(edge: &Edge<S>, connection: Connection, peer: SocketAddr) {
    let (mut encoder, mut decoder) = edge.codec.halves(connection.clone(), connection.clone());
    let mut drain = pin!(edge.drain.wait());
    loop {
        let received = tokio::select! {
            biased;
            received = decoder.next() => received,
            () = &mut drain => return,
        };
        let served = match received {
            Ok(Some(received)) => serve_call(edge, &connection, peer, &mut encoder, received).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match served {
            Ok(After::GoOn) => {}
            Ok(After::Close) => return,
            Err(error) => {
                tracing::debug!(%error, %peer, "the connection broke");
                return;
            }
        }
    }
}

/// What becomes of a connection behind an answer.
enum After {
    GoOn,
    Close,
}

async fn serve_call<S: Answers>(
    edge: &Edge<S>,
    connection: &Connection,
    peer: SocketAddr,
    encoder: &mut CheckedEncoder<Connection>,
    received: Received,
) -> std::result::Result<After, ThriftException> {
    let Received { mut call, mut way } = received;
    call.peer = Some(peer.ip());
    // A call whose client has gone is dropped where it waits: a message that came in for it stays for others.
    let answer = tokio::select! {
        biased;
        answer = edge.service.answer(call) => answer,
        () = connection.left() => return Ok(After::Close),
    };
    way.closes |= edge.drain.has_begun();
    if !way.is_oneway {
        encoder.send(&way, answer).await?;
    }
    Ok(if way.closes {
        After::Close
    } else {
        After::GoOn
    })
}

async fn server_tls(settings: &RpcSettings) -> Result<Option<Arc<ServerTls>>> {
    let Some(files) = settings.tls.clone() else {
        return Ok(None);
    };
    let load = move || ServerTls::load("thrift.tls", &files, &[]);
    let tls = tokio::task::spawn_blocking(load)
        .await
        .map_err(Error::internal)??;
    Ok(Some(Arc::new(tls)))
}
