//! What the fuzz targets share: the checked codec over bytes in memory, and the heads of messages.
//!
//! A target may refuse whatever it is given; it must not panic, not run on, and not decode what it has not inspected: a
//! decoding that fails after the inspection found nothing is a finding.

use std::cell::OnceCell;
use std::io::Cursor;

use pilota::thrift::ThriftException;
use plinth_idl::contract::METHODS;
use plinth_rpc::codec::{CheckedThriftCodec, CodecLimits};
use plinth_rpc::RpcSettings;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

/// How a message is written.
#[derive(Clone, Copy)]
pub enum Protocol {
    /// Thrift Binary.
    Binary,
    /// Thrift Compact.
    Compact,
}

/// Decodes everything that a connection brings.
pub fn connection(bytes: &[u8]) {
    RUNTIME.with(|cell| {
        let runtime = cell.get_or_init(|| {
            Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime without drivers")
        });
        runtime.block_on(decode(bytes));
    });
}

async fn decode(bytes: &[u8]) {
    let codec = CheckedThriftCodec::new(CodecLimits::new(&RpcSettings::default()));
    let reader = Cursor::new(bytes.to_vec());
    let (_encoder, mut decoder) = codec.halves(reader, tokio::io::sink());
    loop {
        match decoder.next().await {
            Ok(Some(received)) if received.way.closes() => return,
            Ok(Some(_)) => {}
            Ok(None) | Err(ThriftException::Transport(_)) => return,
            Err(error) => panic!("an inspected message did not decode: {error:?}"),
        }
    }
}

/// A message whose method the first byte chooses and whose body is the rest.
#[must_use]
pub fn message(data: &[u8], protocol: Protocol) -> Vec<u8> {
    let (choice, body) = data
        .split_first()
        .map_or((0, data), |(first, rest)| (*first, rest));
    let name = METHODS[usize::from(choice) % METHODS.len()].name.as_bytes();
    let length = u8::try_from(name.len()).expect("names are short");
    let mut message = match protocol {
        Protocol::Binary => vec![0x80, 0x01, 0x00, 0x01, 0, 0, 0, length],
        Protocol::Compact => vec![0x82, 0x21, 0x07, length],
    };
    message.extend_from_slice(name);
    if matches!(protocol, Protocol::Binary) {
        message.extend_from_slice(&[0, 0, 0, 7]);
    }
    message.extend_from_slice(body);
    message
}

/// The bytes behind an honest length.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("inputs are small");
    [&length.to_be_bytes(), message].concat()
}

/// A TTHeader whose blocks are the first part of the data, as long as the first byte says, and whose payload is a message
/// made of the rest.
#[must_use]
pub fn tt_header(data: &[u8], protocol: Protocol) -> Vec<u8> {
    let (first, rest) = data
        .split_first()
        .map_or((0, data), |(first, rest)| (*first, rest));
    let (blocks, rest) = rest.split_at(rest.len().min(usize::from(first)));
    let mut header = [&[0, 0], blocks].concat();
    header.resize(header.len().next_multiple_of(4), 0);
    let units = u16::try_from(header.len() / 4).expect("at most 64");
    let head = [&[0x10, 0x00, 0, 0, 0, 0, 0, 7][..], &units.to_be_bytes()].concat();
    framed(&[head, header, message(rest, protocol)].concat())
}
