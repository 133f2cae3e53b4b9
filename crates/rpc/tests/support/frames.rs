//! Messages as bytes, in every transport and protocol.

use bytes::{BufMut, Bytes, BytesMut};
use faststr::FastStr;
use pilota::thrift::binary::TBinaryProtocol;
use pilota::thrift::compact::TCompactOutputProtocol;
use pilota::thrift::{TMessageIdentifier, TMessageType, TOutputProtocol, ThriftException};
use plinth_idl::contract::{MethodSchema, TypeSchema};
use plinth_rpc::codec::{CompactOutput, WireProtocol};

use super::values::{Value, write};

/// Both protocols.
pub(crate) const PROTOCOLS: [WireProtocol; 2] = [WireProtocol::Binary, WireProtocol::Compact];

/// How a message is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TTHeader with the message as payload.
    TtHeader,
    /// TTHeader with a frame as payload.
    TtHeaderFramed,
    /// A length and the message.
    Framed,
    /// The message alone.
    Buffered,
}

/// Every transport.
pub(crate) const TRANSPORTS: [Transport; 4] = [
    Transport::TtHeader,
    Transport::TtHeaderFramed,
    Transport::Framed,
    Transport::Buffered,
];

/// A call of a method with a request.
pub(crate) fn call(method: &MethodSchema, request: &Value, protocol: WireProtocol) -> Bytes {
    let arguments = Value::Struct([(1, request.clone())].into());
    message(method.name, TMessageType::Call, protocol, |output| {
        write_arguments(output, method, &arguments)
    })
}

/// Writes through either protocol without naming it.
pub(crate) trait Output {
    /// Writes a value of a type.
    fn value(&mut self, kind: &TypeSchema, value: &Value) -> Result<(), ThriftException>;
}

impl<P: TOutputProtocol> Output for P {
    fn value(&mut self, kind: &TypeSchema, value: &Value) -> Result<(), ThriftException> {
        write(self, kind, value)
    }
}

fn write_arguments(
    output: &mut dyn Output,
    method: &MethodSchema,
    arguments: &Value,
) -> Result<(), ThriftException> {
    output.value(&TypeSchema::Struct(method.arguments), arguments)
}

/// A message of any kind with any body.
pub(crate) fn message(
    name: &str,
    kind: TMessageType,
    protocol: WireProtocol,
    body: impl FnOnce(&mut dyn Output) -> Result<(), ThriftException>,
) -> Bytes {
    let identifier = TMessageIdentifier::new(FastStr::new(name), kind, 7);
    let mut bytes = BytesMut::new();
    match protocol {
        WireProtocol::Binary => {
            let mut output = TBinaryProtocol::new(&mut bytes, false);
            output.write_message_begin(&identifier).expect("writes");
            body(&mut output).expect("writes");
        }
        WireProtocol::Compact => {
            let mut output = CompactOutput(TCompactOutputProtocol::new(&mut bytes, false));
            output.write_message_begin(&identifier).expect("writes");
            body(&mut output).expect("writes");
        }
    }
    bytes.freeze()
}

/// Wraps a message for a transport; TTHeader carries these headers.
pub(crate) fn wrap(message: &[u8], transport: Transport, headers: &[(&str, &str)]) -> Bytes {
    match transport {
        Transport::Buffered => Bytes::copy_from_slice(message),
        Transport::Framed => framed(message),
        Transport::TtHeader => tt_header(message, headers),
        Transport::TtHeaderFramed => tt_header(&framed(message), headers),
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u32(u32::try_from(message.len()).expect("small"));
    bytes.put_slice(message);
    bytes.freeze()
}

/// A TTHeader frame, as Kitex writes it.
pub(crate) fn tt_header(payload: &[u8], headers: &[(&str, &str)]) -> Bytes {
    let mut header = BytesMut::new();
    // Protocol id Binary, no transforms.
    header.put_slice(&[0, 0]);
    if !headers.is_empty() {
        header.put_u8(0x01);
        header.put_u16(u16::try_from(headers.len()).expect("small"));
        for (name, value) in headers {
            for text in [name, value] {
                header.put_u16(u16::try_from(text.len()).expect("small"));
                header.put_slice(text.as_bytes());
            }
        }
    }
    while !header.len().is_multiple_of(4) {
        header.put_u8(0);
    }
    let mut frame = BytesMut::new();
    frame.put_u32(u32::try_from(10 + header.len() + payload.len()).expect("small"));
    frame.put_slice(&[0x10, 0x00, 0, 0]);
    frame.put_u32(7);
    frame.put_u16(u16::try_from(header.len() / 4).expect("small"));
    frame.put_slice(&header);
    frame.put_slice(payload);
    frame.freeze()
}
