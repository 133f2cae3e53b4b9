//! The checked codec: what stands between the network and the generated code.
//!
//! Generated code trusts its input: it reserves what a count claims, takes text without looking at its UTF-8, and when
//! an element of a list is refused it leaks the elements before it. So nothing reaches it unchecked. A message goes
//! three steps:
//!
//! 1. [`decoder`] finds its bytes: TTHeader, Framed or Buffered, Binary or Compact, by detection on one port, within the
//!    limits of bytes and time.
//! 2. [`inspect`] walks the bytes once against the contract: lengths, counts, depth, memory, UTF-8, types and required
//!    fields. It works on bytes as they arrive, so that it also finds the end of an unframed message. What is wrong
//!    there is either *content* (the field's path is named, the connection stays) or *framing* (the connection closes).
//! 3. [`input`] hands the inspected bytes to the generated code through the same bounded reads.
//!
//! Replies go out the way the request came in ([`encoder`]).

mod decoder;
mod encoder;
pub(crate) mod fault;
pub(crate) mod header;
mod input;
mod inspect;
mod message;
mod output;
mod receiving;
mod wire;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::decoder::CheckedDecoder;
pub use self::encoder::CheckedEncoder;
pub use self::fault::Fault;
pub use self::header::CallHeaders;
pub use self::input::CheckedInput;
pub use self::inspect::{Inspection, Inspector};
pub use self::message::{Received, Way};
pub use self::output::CompactOutput;
pub use self::receiving::ReceivingBudget;
pub use self::wire::WireProtocol;

use crate::settings::RpcSettings;

/// Largest frame that is received without a share of [`CodecLimits::receiving`], in bytes.
pub(crate) const SMALL_FRAME_BYTES_MAX: usize = 64 * 1024;

/// What one message may cost.
#[derive(Clone)]
pub struct CodecLimits {
    /// Largest frame or unframed message, in bytes.
    pub frame_bytes_max: usize,
    /// Largest TTHeader, in bytes.
    pub header_bytes_max: usize,
    /// Most memory that the decoded message may take, in bytes.
    pub decoded_bytes_max: usize,
    /// How long the next message may be waited for.
    pub idle_timeout: Duration,
    /// How long a frame may take from its first byte to its last.
    pub frame_timeout: Duration,
    /// How long a reply may take to be read by the client.
    pub write_timeout: Duration,
    /// Memory for all frames above 64 KiB.
    pub receiving: ReceivingBudget,
}

impl CodecLimits {
    /// The limits that the settings name.
    #[must_use]
    pub fn new(settings: &RpcSettings) -> Self {
        Self {
            frame_bytes_max: settings.frame_bytes_max,
            header_bytes_max: settings.header_bytes_max,
            decoded_bytes_max: settings.decoded_bytes_max,
            idle_timeout: settings.idle_timeout(),
            frame_timeout: settings.frame_timeout(),
            write_timeout: settings.write_timeout(),
            receiving: ReceivingBudget::new(
                settings.receiving_bytes_max,
                settings.whole_bytes_max(),
            ),
        }
    }
}

/// Makes the checked codec of a connection.
#[derive(Clone)]
pub struct CheckedThriftCodec {
    limits: CodecLimits,
}

impl CheckedThriftCodec {
    /// A codec with these limits. Clones share the receiving budget.
    #[must_use]
    pub const fn new(limits: CodecLimits) -> Self {
        Self { limits }
    }

    /// The two halves of a connection's codec.
    pub fn halves<R, W>(&self, reader: R, writer: W) -> (CheckedEncoder<W>, CheckedDecoder<R>)
    where
        R: AsyncRead + Unpin + Send + Sync + 'static,
        W: AsyncWrite + Unpin + Send + Sync + 'static,
    {
        (
            CheckedEncoder::new(writer, &self.limits),
            CheckedDecoder::new(reader, self.limits.clone()),
        )
    }
}
