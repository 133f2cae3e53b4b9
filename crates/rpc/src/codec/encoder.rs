//! Writes replies the way their requests came in.

use std::io;
use std::pin::pin;
use std::task::Poll;

use linkedbytes::LinkedBytes;
use pilota::thrift::{
    ApplicationException, ApplicationExceptionKind, TMessageType, ThriftException,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use volo_thrift::codec::Encoder;
use volo_thrift::codec::default::ZeroCopyEncoder;
use volo_thrift::codec::default::framed::FramedEncoder;
use volo_thrift::codec::default::ttheader::TTHeaderEncoder;
use volo_thrift::context::ThriftContext;
use volo_thrift::{EntryMessage, ThriftMessage};

use super::CodecLimits;
use super::output::MessageEncoder;

/// Volo's encoders of headers and frames look into the context for what the decoder found.
type Layers = TTHeaderEncoder<FramedEncoder<MessageEncoder>>;

/// Writes the replies of one connection.
pub struct CheckedEncoder<W> {
    writer: W,
    layers: Layers,
    frame_bytes_max: usize,
    write_timeout: std::time::Duration,
}

impl<W: AsyncWrite + Unpin + Send + Sync + 'static> CheckedEncoder<W> {
    pub(crate) fn new(writer: W, limits: &CodecLimits) -> Self {
        // The frame's limit is checked here, for every transport.
        let framed = FramedEncoder::new(MessageEncoder, i32::MAX);
        Self {
            writer,
            layers: TTHeaderEncoder::new(framed),
            frame_bytes_max: limits.frame_bytes_max,
            write_timeout: limits.write_timeout,
        }
    }

    /// A reply past the frame limit would be refused by the client's transport and cost it the connection: it gets an
    /// exception in its place.
    fn fit<M: Send + EntryMessage, C: ThriftContext>(
        &mut self,
        cx: &mut C,
        message: ThriftMessage<M>,
    ) -> Result<(usize, ThriftMessage<M>), ThriftException> {
        let (real, reserve) = self.layers.size(cx, &message)?;
        if real <= self.frame_bytes_max {
            return Ok((reserve, message));
        }
        let most = self.frame_bytes_max;
        let exception = ApplicationException::new(
            ApplicationExceptionKind::INTERNAL_ERROR,
            format!("the reply has {real} bytes, at most {most} are allowed; ask for less at once"),
        );
        let mut meta = message.meta;
        meta.msg_type = TMessageType::Exception;
        let message = ThriftMessage {
            data: Err(exception),
            meta,
        };
        let (_, reserve) = self.layers.size(cx, &message)?;
        Ok((reserve, message))
    }
}

impl<W: AsyncWrite + Unpin + Send + Sync + 'static> Encoder for CheckedEncoder<W> {
    async fn encode<M: Send + EntryMessage, C: ThriftContext>(
        &mut self,
        cx: &mut C,
        message: ThriftMessage<M>,
    ) -> Result<(), ThriftException> {
        let (reserve, message) = self.fit(cx, message)?;
        // Of this reply alone: an idle connection keeps no memory, and payloads that are shared with the reply are let go
        // with it.
        let mut buffer = LinkedBytes::with_capacity(reserve);
        self.layers.encode(cx, &mut buffer, message)?;
        let writer = &mut self.writer;
        let mut write = pin!(async move {
            let lies_in_one_piece = buffer.iter_list().next().is_none();
            if lies_in_one_piece {
                writer.write_all(buffer.bytes()).await?;
            } else {
                buffer.write_all_vectored(&mut *writer).await?;
            }
            writer.flush().await
        });
        let written = match futures::poll!(&mut write) {
            // Most replies fit into the socket's buffer, and need no timer.
            Poll::Ready(written) => Ok(written),
            Poll::Pending => timeout(self.write_timeout, write).await,
        };
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}
