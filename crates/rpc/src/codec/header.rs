//! TTHeader, read within its bounds and written: <https://www.cloudwego.io/docs/kitex/reference/transport_protocol_ttheader/>.
//!
//! After the four bytes of the length: magic (2), flags (2), sequence number (4), size of the header in units of four
//! bytes (2), then the header itself: protocol id (1), transforms (1 + n), blocks of key-value pairs, padding.

use std::collections::BTreeMap;

use bytes::{BufMut as _, BytesMut};
use pilota::thrift::TMessageType;
use plinth_core::{Error, SecretString};
use volo_thrift::codec::default::ttheader::{IntMetaKey, ProtocolId};

use super::fault::Fault;

/// The magic number of a TTHeader, behind its length.
pub(crate) const TTHEADER_MAGIC: [u8; 2] = [0x10, 0x00];
/// Bytes of the length itself.
const LENGTH_BYTES: usize = 4;
/// Bytes between the length and the header proper.
const FIXED_BYTES: usize = 10;
/// The size of the header counts these.
const UNIT_BYTES: usize = 4;
/// Flag of a streaming frame (TTHeader Streaming); Plinth's methods are unary.
const FLAG_STREAMING: u16 = 0x0002;

const BLOCK_PADDING: u8 = 0x00;
const BLOCK_TEXT: u8 = 0x01;
const BLOCK_NUMBERED: u8 = 0x10;
const BLOCK_ACL_TOKEN: u8 = 0x11;

/// Prefixes under which Kitex and Volo send what a caller put into its metainfo.
const METAINFO_PREFIXES: [&str; 2] = ["rpc-persist-", "rpc-transit-"];

/// What a caller says beside its request. Values of a TTHeader win over `base.extra` of the same name.
#[derive(Clone, Default)]
pub struct CallHeaders {
    /// The API key, without its scheme.
    pub credential: Option<SecretString>,
    /// The W3C trace context.
    pub traceparent: Option<String>,
    /// The idempotency key.
    pub idempotency_key: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// How long the caller waits, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl CallHeaders {
    /// Takes over what another source says about anything that is still open. Errors: 1001 for a time-out that is no
    /// number.
    pub fn fill(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let known = bare(name);
        let says = |header| is_named(known, header);
        if self.credential.is_none() && says("authorization") {
            self.credential = Some(SecretString::new(credential(value).to_owned()));
        } else if self.traceparent.is_none() && says("traceparent") {
            self.traceparent = Some(value.to_owned());
        } else if self.idempotency_key.is_none() && says("idempotency-key") {
            self.idempotency_key = Some(value.to_owned());
        } else if self.user_agent.is_none() && says("user-agent") {
            self.user_agent = Some(value.to_owned());
        } else if self.timeout_ms.is_none() && says("x-request-timeout-ms") {
            let parsed = value
                .parse()
                .map_err(|_| Error::invalid(name, "must be a whole number of milliseconds"))?;
            self.timeout_ms = Some(parsed);
        }
        Ok(())
    }
}

/// A name without the prefix under which it came.
fn bare(name: &str) -> &str {
    METAINFO_PREFIXES
        .iter()
        .filter_map(|prefix| name.split_at_checked(prefix.len()).zip(Some(prefix)))
        .find_map(|((head, tail), prefix)| is_named(head, prefix).then_some(tail))
        .unwrap_or(name)
}

/// Names compare without case and with one kind of hyphen: frameworks rewrite them as they like.
fn is_named(name: &str, header: &str) -> bool {
    let plain = |byte: u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    name.len() == header.len() && name.bytes().map(plain).eq(header.bytes())
}

/// The key behind an optional `Bearer`.
fn credential(value: &str) -> &str {
    let value = value.trim();
    match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
        _ => value,
    }
}

/// A TTHeader that was read.
pub(crate) struct Header {
    pub(crate) headers: CallHeaders,
    pub(crate) protocol: ProtocolId,
    /// Where the payload begins, counted from behind the length.
    pub(crate) payload_at: usize,
    /// What could not be used although the header itself is sound.
    pub(crate) fault: Option<Error>,
}

/// How many bytes the header takes, counted from behind the length; `None` while they are not there.
pub(crate) fn header_bytes(behind_length: &[u8]) -> Option<usize> {
    let size: [u8; 2] = behind_length.get(8..FIXED_BYTES)?.try_into().ok()?;
    Some(FIXED_BYTES + UNIT_BYTES * usize::from(u16::from_be_bytes(size)))
}

/// Reads the header of a frame whose length is `frame` bytes.
pub(crate) fn parse(frame: &[u8], header_bytes_max: usize) -> Result<Header, Fault> {
    let payload_at = header_bytes(frame).ok_or_else(short)?;
    if payload_at > header_bytes_max {
        return Err(Fault::framing(format!(
            "a TTHeader of {payload_at} bytes, at most {header_bytes_max} are allowed"
        )));
    }
    let mut rest = Rest(frame.get(2..payload_at).ok_or_else(short)?);
    if rest.number()? & FLAG_STREAMING != 0 {
        return Err(Fault::framing(
            "streaming is not offered; every method is unary",
        ));
    }
    rest.take(6)?;
    let protocol = ProtocolId::try_from(rest.byte()?)
        .ok()
        .filter(|id| matches!(id, ProtocolId::Binary | ProtocolId::Compact))
        .ok_or_else(|| Fault::framing("a payload protocol other than Binary and Compact"))?;
    let transforms = usize::from(rest.byte()?);
    if transforms > 0 {
        return Err(Fault::framing("transforms of the payload are not offered"));
    }
    let (text, numbered) = blocks(&mut rest)?;
    let (headers, fault) = call_headers(&text, &numbered);
    Ok(Header {
        headers,
        protocol,
        payload_at,
        fault,
    })
}

type Pairs<'a, K> = BTreeMap<K, &'a str>;

fn blocks<'a>(rest: &mut Rest<'a>) -> Result<(Pairs<'a, &'a str>, Pairs<'a, u16>), Fault> {
    let (mut text, mut numbered) = (BTreeMap::new(), BTreeMap::new());
    while let Ok(block) = rest.byte() {
        match block {
            BLOCK_PADDING => {}
            BLOCK_TEXT => {
                for _ in 0..rest.number()? {
                    let name = rest.text()?;
                    text.insert(name, rest.text()?);
                }
            }
            BLOCK_NUMBERED => {
                for _ in 0..rest.number()? {
                    let key = rest.number()?;
                    let value = rest.bytes()?;
                    // Numbered values are Kitex's own; those that are no text are none that Plinth reads.
                    if let Ok(value) = std::str::from_utf8(value) {
                        numbered.insert(key, value);
                    }
                }
            }
            BLOCK_ACL_TOKEN => {
                rest.bytes()?;
            }
            other => return Err(Fault::framing(format!("an unknown TTHeader block {other}"))),
        }
    }
    Ok((text, numbered))
}

fn call_headers(text: &Pairs<'_, &str>, numbered: &Pairs<'_, u16>) -> (CallHeaders, Option<Error>) {
    let mut headers = CallHeaders::default();
    let mut fault = None;
    for (name, value) in text {
        fault = fault.or(headers.fill(name, value).err());
    }
    let number = |key: IntMetaKey| numbered.get(&(key as u16)).copied();
    if let Some(timeout) = number(IntMetaKey::RPCTimeout) {
        // Kitex writes a number of milliseconds; 0 stands for none.
        headers.timeout_ms = timeout.parse().ok().filter(|timeout| *timeout > 0);
    }
    if headers.user_agent.is_none() {
        headers.user_agent = number(IntMetaKey::FromService)
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
    }
    (headers, fault)
}

/// What the header of an answer says.
pub(crate) struct Said {
    pub(crate) protocol: ProtocolId,
    pub(crate) sequence: i32,
    pub(crate) kind: TMessageType,
    /// The connection closes behind the answer.
    pub(crate) closes: bool,
}

/// The block that says so: one pair of texts.
const CLOSES: &[u8] = b"\x01\x00\x01\x00\x05crrst\x00\x011";
/// The block of the kind of message, without the byte of the kind: one numbered pair.
const KIND: &[u8] = &[BLOCK_NUMBERED, 0, 1, 0, IntMetaKey::MsgType as u8, 0, 1];

/// Bytes of the header of an answer, its length included.
pub(crate) const fn said_bytes(closes: bool) -> usize {
    LENGTH_BYTES + FIXED_BYTES + said_units(closes) * UNIT_BYTES
}

const fn said_units(closes: bool) -> usize {
    let closing = if closes { CLOSES.len() } else { 0 };
    (2 + closing + KIND.len() + 1).div_ceil(UNIT_BYTES)
}

impl Said {
    /// Writes the header of an answer whose payload has so many bytes.
    pub(crate) fn write(&self, bytes: &mut BytesMut, payload: usize) {
        let from = bytes.len();
        let units = said_units(self.closes);
        let length = FIXED_BYTES + units * UNIT_BYTES + payload;
        bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        bytes.put_slice(&TTHEADER_MAGIC);
        bytes.put_u16(0);
        bytes.put_i32(self.sequence);
        bytes.put_u16(u16::try_from(units).unwrap_or(u16::MAX));
        bytes.put_slice(&[self.protocol as u8, 0]);
        if self.closes {
            bytes.put_slice(CLOSES);
        }
        bytes.put_slice(KIND);
        bytes.put_u8(self.kind.into());
        bytes.resize(from + said_bytes(self.closes), BLOCK_PADDING);
    }
}

fn short() -> Fault {
    Fault::framing("a TTHeader that ends before its size")
}

/// What is left of a header.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.take(1)?.first().copied().ok_or_else(short)
    }

    fn number(&mut self) -> Result<u16, Fault> {
        let bytes = self.take(2)?.try_into().map_err(|_| short())?;
        Ok(u16::from_be_bytes(bytes))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::from(self.number()?);
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| Fault::framing("a TTHeader that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_written_is_as_long_as_it_says_and_is_read() {
        for (closes, bytes) in [(false, 26), (true, 38)] {
            let said = Said {
                protocol: ProtocolId::Compact,
                sequence: -7,
                kind: TMessageType::Reply,
                closes,
            };
            let mut written = BytesMut::new();
            said.write(&mut written, 5);
            assert_eq!((written.len(), said_bytes(closes)), (bytes, bytes));
            written.extend_from_slice(b"12345");
            let length = u32::from_be_bytes(*written.first_chunk().expect("a length"));
            assert_eq!(usize::try_from(length), Ok(written.len() - LENGTH_BYTES));
            let behind = written.get(LENGTH_BYTES..).expect("more");
            let header = parse(behind, bytes).expect("a sound header");
            assert_eq!(behind.get(header.payload_at..), Some(&b"12345"[..]));
            assert!(matches!(header.protocol, ProtocolId::Compact));
            assert!(header.fault.is_none());
            let mut rest = Rest(
                behind
                    .get(FIXED_BYTES + 2..header.payload_at)
                    .expect("blocks"),
            );
            let (text, numbered) = blocks(&mut rest).expect("sound blocks");
            assert_eq!(text.get("crrst").copied(), closes.then_some("1"));
            assert_eq!(numbered.get(&(IntMetaKey::MsgType as u16)), Some(&"\x02"));
        }
    }
}
