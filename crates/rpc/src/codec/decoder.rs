//! Finds the messages of a connection: which transport, which protocol, where one ends.

use std::io;
use std::pin::{Pin, pin};

use bytes::{Buf, Bytes, BytesMut};
use faststr::FastStr;
use pilota::thrift::{TInputProtocol as _, TMessageIdentifier, TMessageType, ThriftException};
use plinth_idl::coupon::CouponServiceRequestRecv;
use plinth_resilience::soon;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, Sleep, sleep_until};
use volo_thrift::EntryMessage as _;
use volo_thrift::codec::default::ttheader::ProtocolId;

use super::fault::Fault;
use super::header::{self, CallHeaders, TTHEADER_MAGIC};
use super::input::CheckedInput;
use super::inspect::{Inspection, Inspector};
use super::message::{Received, Way};
use super::receiving::Share;
use super::wire::WireProtocol;
use super::{CodecLimits, SMALL_FRAME_BYTES_MAX};
use crate::incoming::Call;

/// Least room for one read, in bytes: for most requests, and small enough to come from the allocator's shelf of small pieces.
const READ_BYTES_MIN: usize = 1_024;
/// Most room for one read, in bytes.
const READ_BYTES_MAX: usize = 8 * 1_024;
/// The four bytes of a frame's length.
const LENGTH_BYTES: usize = 4;
/// Bytes that tell a transport: a length and the first two bytes behind it.
const DETECT_BYTES: usize = LENGTH_BYTES + 2;

/// Reads the calls of one connection.
pub struct CheckedDecoder<R> {
    reader: R,
    buffer: BytesMut,
    /// Room for the next read: twice what the last one brought.
    read_bytes: usize,
    limits: CodecLimits,
    /// Its share of the receiving budget while a large frame is in memory: until its answer is out.
    share: Share,
    /// Wakes a silent connection. Set anew only when it has fired: a timer that was set for each call would cost every call a
    /// turn at the lock of the runtime's timers.
    silence: Option<Pin<Box<Sleep>>>,
}

/// A message as it was found.
#[derive(Default)]
struct Raw {
    tt_header: bool,
    framed: bool,
    protocol: Option<WireProtocol>,
    headers: CallHeaders,
    identifier: Option<TMessageIdentifier>,
    payload: Bytes,
    fault: Option<Fault>,
    header_fault: Option<plinth_core::Error>,
    protocol_id: Option<ProtocolId>,
}

impl<R: AsyncRead + Unpin + Send + Sync + 'static> CheckedDecoder<R> {
    pub(crate) fn new(reader: R, limits: CodecLimits) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            limits,
            share: Share::default(),
            silence: None,
        }
    }

    /// Reads once. `Ok(false)` is the end of the connection.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(self.read_bytes);
        let read = self.reader.read_buf(&mut self.buffer).await?;
        self.read_bytes = read.saturating_mul(2).clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        Ok(read > 0)
    }

    /// Reads once. `Ok(false)` is the end of the connection, or a silence of the idle time-out.
    async fn wait(&mut self) -> io::Result<bool> {
        let until = Instant::now() + self.limits.idle_timeout;
        let mut silence = self
            .silence
            .take()
            .unwrap_or_else(|| Box::pin(sleep_until(until)));
        let read = {
            let mut fill = pin!(self.fill());
            loop {
                tokio::select! {
                    biased;
                    read = &mut fill => break read,
                    // It was set after an earlier call.
                    () = &mut silence => {
                        if Instant::now() >= until {
                            break Ok(false);
                        }
                        silence.as_mut().reset(until);
                    }
                }
            }
        };
        self.silence = Some(silence);
        read
    }

    /// Reads until so many bytes are there.
    async fn need(&mut self, count: usize) -> io::Result<()> {
        while self.buffer.len() < count {
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Waits for room for `bytes` of a message in the receiving budget. Up to 64 KiB need none.
    async fn room(&mut self, bytes: usize) {
        if bytes > SMALL_FRAME_BYTES_MAX {
            self.limits.receiving.grow(&mut self.share, bytes).await;
        }
    }

    /// Takes `count` bytes off the connection, of which the first may be in the buffer. A large frame gets memory of its
    /// own, which grows with what has come and not with what was claimed.
    async fn take(&mut self, count: usize) -> io::Result<Bytes> {
        if count <= SMALL_FRAME_BYTES_MAX {
            self.need(count).await?;
            return Ok(self.buffer.split_to(count).freeze());
        }
        let here = self.buffer.len().min(count);
        let mut frame = BytesMut::with_capacity(here.max(SMALL_FRAME_BYTES_MAX));
        frame.extend_from_slice(&self.buffer.split_to(here));
        while frame.len() < count {
            let mut spare = frame.capacity() - frame.len();
            if spare == 0 {
                spare = frame.len().min(count - frame.len());
                self.room(frame.len() + spare).await;
                let mut grown = BytesMut::with_capacity(frame.len() + spare);
                grown.extend_from_slice(&frame);
                frame = grown;
            }
            let missing = u64::try_from(spare.min(count - frame.len())).unwrap_or(u64::MAX);
            if (&mut self.reader)
                .take(missing)
                .read_buf(&mut frame)
                .await?
                == 0
            {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(frame.freeze())
    }

    async fn receive(&mut self) -> io::Result<Raw> {
        self.need(2).await?;
        if let Some(protocol) = detect(&self.buffer, 0) {
            return self.unframed(protocol).await;
        }
        self.need(DETECT_BYTES).await?;
        let length = length(&self.buffer).unwrap_or(usize::MAX);
        if self.buffer.get(LENGTH_BYTES..DETECT_BYTES) == Some(&TTHEADER_MAGIC[..]) {
            return self.tt_header(length).await;
        }
        match detect(&self.buffer, LENGTH_BYTES) {
            Some(protocol) => self.framed(length, protocol).await,
            None => Ok(Raw::broken(
                "not a Thrift message: neither TTHeader nor Framed nor Buffered, or an old Binary without version",
            )),
        }
    }

    async fn framed(&mut self, length: usize, protocol: WireProtocol) -> io::Result<Raw> {
        let mut received = Raw {
            framed: true,
            protocol: Some(protocol),
            ..Raw::default()
        };
        if length > self.limits.frame_bytes_max {
            received.fault = Some(self.too_large(length));
            return Ok(received);
        }
        received.payload = self.take(LENGTH_BYTES + length).await?;
        received.payload.advance(LENGTH_BYTES);
        self.inspect(&mut received, protocol);
        Ok(received)
    }

    async fn tt_header(&mut self, length: usize) -> io::Result<Raw> {
        let mut received = Raw {
            tt_header: true,
            ..Raw::default()
        };
        let limits = &self.limits;
        if length > limits.frame_bytes_max + limits.header_bytes_max {
            received.fault = Some(self.too_large(length));
            return Ok(received);
        }
        let mut frame = self.take(LENGTH_BYTES + length).await?;
        frame.advance(LENGTH_BYTES);
        let header = match header::parse(&frame, self.limits.header_bytes_max) {
            Ok(header) => header,
            Err(fault) => {
                received.fault = Some(fault);
                return Ok(received);
            }
        };
        received.headers = header.headers;
        received.header_fault = header.fault;
        received.protocol_id = Some(header.protocol);
        received.payload = frame.split_off(header.payload_at.min(frame.len()));
        self.payload(&mut received);
        Ok(received)
    }

    /// The payload of a TTHeader: a message, or a frame with a message.
    fn payload(&self, received: &mut Raw) {
        let bytes = received.payload.len();
        if bytes > self.limits.frame_bytes_max {
            received.fault = Some(self.too_large(bytes));
            return;
        }
        let mut protocol = detect(&received.payload, 0);
        if protocol.is_none() && length(&received.payload) == Some(bytes.wrapping_sub(LENGTH_BYTES))
        {
            protocol = detect(&received.payload, LENGTH_BYTES);
            received.framed = protocol.is_some();
            received.payload.advance(LENGTH_BYTES);
        }
        match protocol {
            Some(protocol) => self.inspect(received, protocol),
            None => {
                received.fault = Some(Fault::framing(
                    "the payload of the TTHeader is no Thrift message, or not as long as it says",
                ));
            }
        }
    }

    /// Inspects a whole message.
    fn inspect(&self, received: &mut Raw, protocol: WireProtocol) {
        let mut inspector = self.inspector(protocol);
        let result = inspector.advance(&received.payload, true);
        received.conclude(&inspector, result.err());
    }

    /// A message without a frame ends where the walk over it ends.
    async fn unframed(&mut self, protocol: WireProtocol) -> io::Result<Raw> {
        let mut received = Raw::default();
        let mut inspector = self.inspector(protocol);
        loop {
            match inspector.advance(&self.buffer, false) {
                Ok(Inspection::Incomplete) => {
                    self.room(self.buffer.len() + READ_BYTES_MAX).await;
                    if !self.fill().await? {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Ok(Inspection::Complete(end)) => {
                    received.payload = self.buffer.split_to(end).freeze();
                    received.conclude(&inspector, None);
                    break;
                }
                Err(fault) => {
                    received.conclude(&inspector, Some(fault));
                    break;
                }
            }
        }
        received.protocol = Some(protocol);
        Ok(received)
    }

    fn inspector(&self, protocol: WireProtocol) -> Inspector {
        let limits = &self.limits;
        Inspector::new(protocol, limits.frame_bytes_max, limits.decoded_bytes_max)
    }

    fn too_large(&self, bytes: usize) -> Fault {
        let most = self.limits.frame_bytes_max;
        Fault::framing(format!(
            "a frame of {bytes} bytes, at most {most} are allowed"
        ))
    }

    /// Hands the memory of past frames back: an idle connection keeps none, and no frame keeps its neighbours.
    fn release(&mut self) {
        self.share = Share::default();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        } else if self.buffer.capacity() > SMALL_FRAME_BYTES_MAX {
            self.buffer = BytesMut::from(self.buffer.as_ref());
        }
    }

    /// Reads the next call; one that is refused is a call as well. `None` is the end of the connection.
    ///
    /// Errors: the connection broke within a message.
    pub async fn next(&mut self) -> Result<Option<Received>, ThriftException> {
        self.release();
        if self.buffer.is_empty() && !self.wait().await? {
            // A client that leaves, and one that is silent for too long, both end quietly.
            return Ok(None);
        }
        let frame_timeout = self.limits.frame_timeout;
        let raw = {
            let receive = pin!(self.receive());
            // Most frames are there whole by now.
            soon(frame_timeout, receive).await
        };
        let raw = match raw {
            Some(raw) => raw?,
            None => {
                let most = frame_timeout.as_millis();
                Raw::broken(&format!("the frame took longer than {most} ms"))
            }
        };
        raw.decode().map(Some)
    }
}

impl Raw {
    fn broken(message: &str) -> Self {
        Self {
            fault: Some(Fault::framing(message)),
            ..Self::default()
        }
    }

    fn conclude(&mut self, inspector: &Inspector, broken: Option<Fault>) {
        self.protocol = Some(inspector.protocol());
        self.identifier = inspector.identifier().cloned();
        self.fault = broken.or_else(|| inspector.fault().cloned());
    }

    /// Decodes what was inspected.
    fn decode(self) -> Result<Received, ThriftException> {
        let identifier = self
            .identifier
            .unwrap_or_else(|| TMessageIdentifier::new(FastStr::empty(), TMessageType::Call, 0));
        let protocol = self.protocol.unwrap_or(WireProtocol::Binary);
        let way = Way {
            tt_header: self
                .tt_header
                .then(|| self.protocol_id.unwrap_or(ProtocolId::Binary)),
            framed: self.framed,
            protocol,
            method: identifier.name.clone(),
            sequence: identifier.sequence_number,
            is_oneway: identifier.message_type == TMessageType::OneWay,
            closes: matches!(self.fault, Some(Fault::Framing(_))),
        };
        let request = match self.fault {
            Some(fault) => Err(fault),
            None => {
                let mut input = CheckedInput::new(self.payload, protocol);
                input.read_message_begin()?;
                let request = CouponServiceRequestRecv::decode(&mut input, &identifier)?;
                Ok(Box::new(request))
            }
        };
        let call = Call {
            method: identifier.name,
            peer: None,
            headers: self.headers,
            header_fault: self.header_fault,
            request,
        };
        Ok(Received { call, way })
    }
}

fn detect(bytes: &[u8], at: usize) -> Option<WireProtocol> {
    WireProtocol::detect(*bytes.get(at)?, *bytes.get(at + 1)?)
}

fn length(bytes: &[u8]) -> Option<usize> {
    let length: [u8; LENGTH_BYTES] = bytes.get(..LENGTH_BYTES)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}
