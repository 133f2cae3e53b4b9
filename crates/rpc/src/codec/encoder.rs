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
    tt_header: usize,
    /// The length before the message.
    frame: usize,
    message: usize,
    /// What of the message must be copied.
    copied: usize,
}

impl Lengths {
    fn of(way: &Way, answer: &Answered) -> Self {
        let (message, copied) = output::size(way, answer);
        Self {
            tt_header: way.tt_header.map_or(0, |_| header::said_bytes(way.closes)),
            frame: if way.framed { LENGTH_BYTES } else { 0 },
            message,
            copied,
        }
    }

    /// What stands behind the TTHeader.
    const fn payload(&self) -> usize {
        self.frame + self.message
    }
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
        let lengths = Lengths::of(way, &answer);
        let (real, most) = (lengths.tt_header + lengths.payload(), self.frame_bytes_max);
        if real <= most {
            return (answer, lengths);
        }
        let answer = Err(ApplicationException::new(
            ApplicationExceptionKind::INTERNAL_ERROR,
            format!("the reply has {real} bytes, at most {most} are allowed; ask for less at once"),
        ));
        let lengths = Lengths::of(way, &answer);
        (answer, lengths)
    }

    /// Writes an answer. Errors: the connection broke, or the client read for too long.
    pub async fn send(&mut self, way: &Way, answer: Answered) -> Result<(), ThriftException> {
        let (answer, lengths) = self.fit(way, answer);
        // Of this answer alone: an idle connection keeps no memory, and payloads that are shared with the answer are let go
        // with it.
        let copied = lengths.tt_header + lengths.frame + lengths.copied;
        let mut buffer = LinkedBytes::with_capacity(copied);
        if let Some(protocol) = way.tt_header {
            let said = header::Said {
                protocol,
                sequence: way.sequence,
                kind: kind(&answer),
                closes: way.closes,
            };
            said.write(buffer.bytes_mut(), lengths.payload());
        }
        if way.framed {
            // What is longer than a length can say was refused.
            let length = u32::try_from(lengths.message).unwrap_or(u32::MAX);
            buffer.bytes_mut().put_u32(length);
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
