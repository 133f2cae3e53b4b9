//! The two kinds of connection, as one type that the two halves of the codec and the watch over the peer share.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// How often the end of a connection is looked for behind a request that already waits there.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A connection. Its calls are read, served and answered by one task, one after the other: the lock is never waited for.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Mutex<Stream>>);

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(Stream::Tcp(stream))))
    }

    /// A connection whose handshake is over.
    pub(crate) fn encrypted(stream: TlsStream<TcpStream>) -> Self {
        Self(Arc::new(Mutex::new(Stream::Tls(Box::new(stream)))))
    }

    /// Returns when the peer has ended its side: nobody waits for the answer any more. As with HTTP/1.1, a client that ends
    /// its side and still reads counts as gone.
    pub(crate) async fn left(&self) {
        while !poll_fn(|context| self.poll_left(context)).await {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Pending while nothing came. `false` where something did, behind which an end may follow that wakes nobody.
    fn poll_left(&self, context: &mut Context<'_>) -> Poll<bool> {
        let stream = self.0.lock();
        let socket = match &*stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        let mut byte = [0];
        let Ok(peeked) = ready!(socket.poll_peek(context, &mut ReadBuf::new(&mut byte))) else {
            return Poll::Ready(true);
        };
        let ended = || {
            let ready = socket.ready(Interest::READABLE).now_or_never();
            ready.is_some_and(|ready| ready.map_or(true, |ready| ready.is_read_closed()))
        };
        Poll::Ready(peeked == 0 || ended())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self.0.lock() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.0.lock() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.0.lock() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &*self.0.lock() {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.lock() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.lock() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
