//! Writes replies the way their requests came in.

use std::io;

use linkedbytes::LinkedBytes;
use pilota::thrift::{
    ApplicationException, ApplicationExceptionKind, TMessageType, ThriftException,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use volo_thrift::codec::Encoder;
use volo_thrift::codec::default::framed::{FramedEncoder, MakeFramedCodec};
use volo_thrift::codec::default::thrift::{MakeThriftCodec, ThriftCodec};
use volo_thrift::codec::default::ttheader::{MakeTTHeaderCodec, TTHeaderEncoder};
use volo_thrift::codec::default::{MakeZeroCopyCodec, ZeroCopyEncoder};
use volo_thrift::context::ThriftContext;
use volo_thrift::{EntryMessage, ThriftMessage};

use super::CodecLimits;

/// Volo's encoders: they look into the context for what the decoder found.
type Layers = TTHeaderEncoder<FramedEncoder<ThriftCodec>>;

/// Writes the replies of one connection.
pub struct CheckedEncoder<W> {
    writer: W,
    layers: Layers,
    buffer: LinkedBytes,
    frame_bytes_max: usize,
    write_timeout: std::time::Duration,
}

impl<W: AsyncWrite + Unpin + Send + Sync + 'static> CheckedEncoder<W> {
    pub(crate) fn new(writer: W, limits: &CodecLimits) -> Self {
        let codec = MakeFramedCodec::new(MakeThriftCodec::new()).with_max_frame_size(i32::MAX);
        let (layers, _decoder) = MakeTTHeaderCodec::new(codec).make_codec();
        Self {
            writer,
            layers,
            buffer: LinkedBytes::new(),
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
        self.buffer.reset();
        let (reserve, message) = self.fit(cx, message)?;
        self.buffer.reserve(reserve);
        self.layers.encode(cx, &mut self.buffer, message)?;
        let written = timeout(self.write_timeout, async {
            self.buffer.write_all_vectored(&mut self.writer).await?;
            self.writer.flush().await
        })
        .await;
        // Payloads are shared with the reply: let go of them now, not with the next one. Nor keep the memory of a
        // large reply on an idle connection.
        self.buffer = LinkedBytes::new();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}
