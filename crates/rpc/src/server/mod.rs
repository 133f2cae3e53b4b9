//! The accept loop of the Thrift edge.
//!
//! Volo's own server has no TLS, no connection limit and no idle time-out, installs signal handlers and ends when an
//! accept fails. So connections are accepted here and each is driven by Volo's public `pingpong::serve` over the checked
//! codec. Calls of one connection are answered one after the other, in their order: a multiplexed Kitex client, which
//! matches replies by sequence number, is served as well.

mod attended;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plinth_core::{Error, Result};
use plinth_security::tls::ServerTls;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use volo::net::Address;
use volo::service::Service;
use volo_thrift::ServerError;
use volo_thrift::codec::MakeCodec;
use volo_thrift::context::ServerContext;
use volo_thrift::tracing::DefaultProvider;
use volo_thrift::transport::pingpong;

use self::attended::Attended;
use self::stream::Connection;
use crate::codec::{CheckedThriftCodec, CodecLimits};
use crate::incoming::{Incoming, Outgoing};
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
    drain: CancellationToken,
    /// The drain is over: close at once.
    abort: CancellationToken,
}

/// Accepts and serves connections until `shutdown`, then drains. Returns when every connection has ended.
///
/// Errors: 1001 naming the setting or TLS file that cannot be used. Nothing that a client does ends the loop.
pub async fn serve_service<S>(
    listener: TcpListener,
    service: S,
    settings: &RpcSettings,
    shutdown: CancellationToken,
) -> Result<()>
where
    S: Service<ServerContext, Incoming, Response = Outgoing> + Send + Sync + 'static,
    S::Error: Into<ServerError> + Send,
{
    settings.validate()?;
    let tls = server_tls(settings).await?;
    let abort = CancellationToken::new();
    let edge = Arc::new(Edge {
        service,
        codec: CheckedThriftCodec::new(CodecLimits::new(settings)),
        tls,
        handshake_timeout: settings.handshake_timeout(),
        drain: shutdown.clone(),
        abort: abort.clone(),
    });
    let permits = Arc::new(Semaphore::new(
        settings.connections_max.min(Semaphore::MAX_PERMITS),
    ));
    let connections = TaskTracker::new();
    if let Some(tls) = &edge.tls {
        connections.spawn(Arc::clone(tls).watch(shutdown.clone()));
    }
    while let Some((stream, peer, permit)) = next(&listener, &permits, &shutdown).await {
        connections.spawn(connection(Arc::clone(&edge), stream, peer, permit));
    }
    drop(listener);
    connections.close();
    if timeout(settings.drain_timeout(), connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            rpc.connections = connections.len(),
            "connections did not end within the drain; closing them"
        );
        abort.cancel();
        connections.wait().await;
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

async fn connection<S>(
    edge: Arc<Edge<S>>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) where
    S: Service<ServerContext, Incoming, Response = Outgoing> + Send + Sync + 'static,
    S::Error: Into<ServerError> + Send,
{
    let abort = edge.abort.clone();
    let work = async {
        // Without it small replies wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "the connection broke before it was served");
            return;
        }
        if let Some(stream) = open(&edge, stream, peer).await {
            serve_calls(&edge, stream, peer).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = abort.cancelled() => {}
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

async fn serve_calls<S>(edge: &Edge<S>, connection: Connection, peer: SocketAddr)
where
    S: Service<ServerContext, Incoming, Response = Outgoing> + Send + Sync + 'static,
    S::Error: Into<ServerError> + Send,
{
    let (encoder, decoder) = edge
        .codec
        .make_codec(connection.clone(), connection.clone());
    let service = Attended {
        service: &edge.service,
        connection,
    };
    let (notify, closing) = (Notify::new(), Arc::new(AtomicBool::new(false)));
    let calls = pingpong::serve(
        encoder,
        decoder,
        notify.notified(),
        Arc::clone(&closing),
        &service,
        Arc::from([]),
        Some(Address::from(peer)),
        DefaultProvider,
    );
    let drain = async {
        edge.drain.cancelled().await;
        closing.store(true, Ordering::Relaxed);
        notify.notify_one();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = calls => {}
        () = drain => {}
    }
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
