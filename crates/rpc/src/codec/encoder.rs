//! Writes answers the way their calls came in.

use std::io;
use std::pin::pin;

use bytes::BufMut as _;
use linkedbytes::LinkedBytes;
use pilota::thrift::{ApplicationException, ApplicationExceptionKind, ThriftException};
use plinth_resilience::soon;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::CodecLimits;
use super::header;
use super::message::{Way, kind};
use super::output;
use crate::incoming::Answered;

/// The four bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// Writes the answers of one connection.
pub struct CheckedEncoder<W> {
    writer: W,
    frame_bytes_max: usize,
    write_timeout: std::time::Duration,
}

/// The lengths of an answer, in bytes.
struct Lengths {
    /// What stands before the message: TTHeader, length of the frame.
    header: usize,
    message: usize,
    /// What of the message must be copied.
    copied: usize,
}

impl<W: AsyncWrite + Unpin + Send + Sync + 'static> CheckedEncoder<W> {
    pub(crate) fn new(writer: W, limits: &CodecLimits) -> Self {
        Self {
            writer,
            frame_bytes_max: limits.frame_bytes_max,
            write_timeout: limits.write_timeout,
        }
    }

    /// An answer past the frame limit would be refused by the client's transport and cost it the connection: it gets an
    /// exception in its place.
    fn fit(&self, way: &Way, answer: Answered) -> (Answered, Lengths) {
        let lengths = lengths(way, &answer);
        let (real, most) = (lengths.header + lengths.message, self.frame_bytes_max);
        if real <= most {
            return (answer, lengths);
        }
        let answer = Err(ApplicationException::new(
            ApplicationExceptionKind::INTERNAL_ERROR,
            format!("the reply has {real} bytes, at most {most} are allowed; ask for less at once"),
        ));
        let lengths = self::lengths(way, &answer);
        (answer, lengths)
    }

    /// Writes an answer. Errors: the connection broke, or the client read for too long.
    pub async fn send(&mut self, way: &Way, answer: Answered) -> Result<(), ThriftException> {
        let (answer, lengths) = self.fit(way, answer);
        // Of this answer alone: an idle connection keeps no memory, and payloads that are shared with the answer are let go
        // with it.
        let mut buffer = LinkedBytes::with_capacity(lengths.header + lengths.copied);
        let mut framed = lengths.message;
        if way.framed {
            framed += LENGTH_BYTES;
        }
        if let Some(protocol) = way.tt_header {
            let said = header::Said {
                protocol,
                sequence: way.sequence,
                kind: kind(&answer),
                closes: way.closes,
            };
            said.write(buffer.bytes_mut(), framed);
        }
        if way.framed {
            buffer.bytes_mut().put_u32(length(lengths.message));
        }
        output::write(way, &mut buffer, &answer)?;
        drop(answer);
        let writer = &mut self.writer;
        let write = pin!(async move {
            let lies_in_one_piece = buffer.iter_list().next().is_none();
            if lies_in_one_piece {
                writer.write_all(buffer.bytes()).await?;
            } else {
                buffer.write_all_vectored(&mut *writer).await?;
            }
            writer.flush().await
        });
        // Most answers fit into the socket's buffer.
        match soon(self.write_timeout, write).await {
            Some(written) => Ok(written?),
            None => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}

fn lengths(way: &Way, answer: &Answered) -> Lengths {
    let (message, copied) = output::size(way, answer);
    let mut header = if way.tt_header.is_some() {
        header::said_bytes(way.closes)
    } else {
        0
    };
    if way.framed {
        header += LENGTH_BYTES;
    }
    Lengths {
        header,
        message,
        copied,
    }
}

/// A length on the wire; what is longer was refused before.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
