//! Commands of many callers in one write.
//!
//! The library writes as soon as it has something to write: with callers on several threads that is mostly one command,
//! and each write is a system call here, one in the server, and a turn of its loop. Here the first write of a turn is put off
//! until every other task that can run has had its turn; what those ask for goes out with it. Where nobody else runs, that
//! is at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose writes wait for the others' turn.
pub(crate) struct Gathering<S> {
    stream: S,
    /// Whether what is to be written has waited for the others already.
    has_waited: bool,
}

impl<S> Gathering<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self {
            stream,
            has_waited: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.has_waited {
            self.has_waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.has_waited = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Counts what is written to it.
    #[derive(Clone, Default)]
    struct Counted(Arc<AtomicUsize>);

    impl AsyncWrite for Counted {
        fn poll_write(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn the_first_write_after_a_flush_lets_others_go_first() {
        let counted = Counted::default();
        let mut stream = Gathering::new(counted.clone());
        for flushed in 0..3 {
            let others = counted.clone();
            // Put on the queue before the write: it runs while the write waits.
            let seen = tokio::spawn(async move { others.0.load(Ordering::Relaxed) });
            stream.write_all(b"one").await.expect("writes");
            assert_eq!(seen.await.expect("ran"), 2 * flushed);
            stream.write_all(b"two").await.expect("writes");
            stream.flush().await.expect("flushes");
            assert_eq!(counted.0.load(Ordering::Relaxed), 2 * (flushed + 1));
        }
    }
}
