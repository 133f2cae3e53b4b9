//! Bounded reads of the two Thrift protocols, Binary and Compact, over bytes that may not be complete yet.
//!
//! Specifications: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md> and
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

use pilota::thrift::{TMessageType, TType};

/// First byte of a Compact message.
pub(crate) const COMPACT_ID: u8 = 0x82;
/// First two bytes of a strict Binary message.
pub(crate) const BINARY_ID: [u8; 2] = [0x80, 0x01];
const COMPACT_VERSION: u8 = 1;
/// Longest method name, in bytes.
pub(crate) const METHOD_BYTES_MAX: usize = 128;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireProtocol {
    /// Thrift Binary, strict.
    Binary,
    /// Apache Thrift Compact.
    Compact,
}

impl WireProtocol {
    /// Tells the protocol from the first two bytes of a message.
    #[must_use]
    pub fn detect(first: u8, second: u8) -> Option<Self> {
        if [first, second] == BINARY_ID {
            Some(Self::Binary)
        } else if first == COMPACT_ID && second & 0x1f == COMPACT_VERSION {
            Some(Self::Compact)
        } else {
            None
        }
    }
}

/// Why a read did not happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Short {
    /// The bytes end before the value does.
    More,
    /// No value can look like this.
    Broken(&'static str),
}

pub(crate) type Read<T> = Result<T, Short>;

/// The beginning of a message.
pub(crate) struct MessageHead<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) message_type: TMessageType,
    pub(crate) sequence: i32,
}

/// A field's number and type; `None` is the end of the struct.
pub(crate) type FieldHead = Option<(i16, WireType)>;

/// A type on the wire. Compact writes a boolean field's value into its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    /// A boolean that takes a byte of its own.
    Bool,
    /// A boolean field of Compact, whose value came with its type.
    BoolIs(bool),
    I8,
    I16,
    I32,
    I64,
    Double,
    Binary,
    Struct,
    Map,
    Set,
    List,
    Uuid,
}

impl WireType {
    /// The word in messages to people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bool | Self::BoolIs(_) => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::Double => "double",
            Self::Binary => "string or binary",
            Self::Struct => "struct",
            Self::Map => "map",
            Self::Set => "set",
            Self::List => "list",
            Self::Uuid => "uuid",
        }
    }

    /// The type as pilota's.
    pub(crate) const fn ttype(self) -> TType {
        match self {
            Self::Bool | Self::BoolIs(_) => TType::Bool,
            Self::I8 => TType::I8,
            Self::I16 => TType::I16,
            Self::I32 => TType::I32,
            Self::I64 => TType::I64,
            Self::Double => TType::Double,
            Self::Binary => TType::Binary,
            Self::Struct => TType::Struct,
            Self::Map => TType::Map,
            Self::Set => TType::Set,
            Self::List => TType::List,
            Self::Uuid => TType::Uuid,
        }
    }

    fn binary(byte: u8) -> Read<Self> {
        Ok(match byte {
            2 => Self::Bool,
            3 => Self::I8,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::Binary,
            12 => Self::Struct,
            13 => Self::Map,
            14 => Self::Set,
            15 => Self::List,
            16 => Self::Uuid,
            _ => return Err(Short::Broken("unknown type of a field or element")),
        })
    }

    /// The type of an element; a field's two kinds of boolean are one there.
    fn compact(nibble: u8) -> Read<Self> {
        Ok(match nibble {
            1 | 2 => Self::Bool,
            3 => Self::I8,
            4 => Self::I16,
            5 => Self::I32,
            6 => Self::I64,
            7 => Self::Double,
            8 => Self::Binary,
            9 => Self::List,
            10 => Self::Set,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return Err(Short::Broken("unknown type of a field or element")),
        })
    }

    /// Fewest bytes that an element of this type takes.
    pub(crate) const fn bytes_min(self, protocol: WireProtocol) -> usize {
        match (protocol, self) {
            (_, Self::Bool | Self::BoolIs(_) | Self::I8 | Self::Struct) => 1,
            (_, Self::Double) => 8,
            (_, Self::Uuid) => 16,
            (WireProtocol::Compact, _) => 1,
            (WireProtocol::Binary, Self::I16) => 2,
            (WireProtocol::Binary, Self::I32 | Self::Binary) => 4,
            (WireProtocol::Binary, Self::Set | Self::List) => 5,
            (WireProtocol::Binary, Self::Map) => 6,
            (WireProtocol::Binary, Self::I64) => 8,
        }
    }
}

/// Reads values off the front of some bytes.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    protocol: WireProtocol,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8], protocol: WireProtocol) -> Self {
        Self {
            bytes,
            position: 0,
            protocol,
        }
    }

    /// How many bytes were read.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let end = self
            .position
            .checked_add(count)
            .ok_or(Short::Broken("a length past every limit"))?;
        let taken = self.bytes.get(self.position..end).ok_or(Short::More)?;
        self.position = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Short::More)
    }

    pub(crate) fn byte(&mut self) -> Read<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// An unsigned LEB128 number of at most `bits` bits.
    fn varint(&mut self, bits: u32) -> Read<u64> {
        let mut value = 0_u64;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            let left = bits.saturating_sub(shift);
            if left < 7 && part >> left != 0 {
                return Err(Short::Broken("a number past the range of its type"));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
            if shift >= bits {
                return Err(Short::Broken("a number past the range of its type"));
            }
        }
    }

    fn zigzag(&mut self, bits: u32) -> Read<i64> {
        let raw = self.varint(bits)?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    pub(crate) fn i16(&mut self) -> Read<i16> {
        match self.protocol {
            WireProtocol::Binary => Ok(i16::from_be_bytes(self.array()?)),
            WireProtocol::Compact => narrow(self.zigzag(16)?),
        }
    }

    pub(crate) fn i32(&mut self) -> Read<i32> {
        match self.protocol {
            WireProtocol::Binary => Ok(i32::from_be_bytes(self.array()?)),
            WireProtocol::Compact => narrow(self.zigzag(32)?),
        }
    }

    pub(crate) fn i64(&mut self) -> Read<i64> {
        match self.protocol {
            WireProtocol::Binary => Ok(i64::from_be_bytes(self.array()?)),
            WireProtocol::Compact => self.zigzag(64),
        }
    }

    pub(crate) fn double(&mut self) -> Read<f64> {
        let bytes = self.array()?;
        Ok(match self.protocol {
            WireProtocol::Binary => f64::from_be_bytes(bytes),
            WireProtocol::Compact => f64::from_le_bytes(bytes),
        })
    }

    pub(crate) fn bool(&mut self) -> Read<bool> {
        let byte = self.byte()?;
        Ok(match self.protocol {
            WireProtocol::Binary => byte != 0,
            WireProtocol::Compact => byte == 1,
        })
    }

    /// Steps over a value of fixed size or a number.
    pub(crate) fn scalar(&mut self, wire: WireType) -> Read<()> {
        match wire {
            WireType::Bool | WireType::I8 => self.byte().map(drop),
            WireType::I16 => self.i16().map(drop),
            WireType::I32 => self.i32().map(drop),
            WireType::I64 => self.i64().map(drop),
            WireType::Double => self.take(8).map(drop),
            WireType::Uuid => self.take(16).map(drop),
            // The value came with the type; the others are no scalars.
            _ => Ok(()),
        }
    }

    /// The length of text or a payload.
    pub(crate) fn length(&mut self) -> Read<usize> {
        let length = match self.protocol {
            WireProtocol::Binary => i64::from(i32::from_be_bytes(self.array()?)),
            WireProtocol::Compact => self.varint(32)?.cast_signed(),
        };
        count(length)
    }

    /// Element type and count of a list or set; `None` when it is empty, whatever type it then claims.
    pub(crate) fn list(&mut self) -> Read<Option<(WireType, usize)>> {
        let head = self.byte()?;
        let (element, size): (fn(u8) -> Read<WireType>, usize) = match self.protocol {
            WireProtocol::Binary => (WireType::binary, self.length()?),
            WireProtocol::Compact if head >> 4 == 15 => (WireType::compact, self.length()?),
            WireProtocol::Compact => (WireType::compact, usize::from(head >> 4)),
        };
        if size == 0 {
            return Ok(None);
        }
        let code = match self.protocol {
            WireProtocol::Binary => head,
            WireProtocol::Compact => head & 0x0f,
        };
        Ok(Some((element(code)?, size)))
    }

    /// Types and count of a map; `None` when it is empty, whatever types it then claims.
    pub(crate) fn map(&mut self) -> Read<Option<(WireType, WireType, usize)>> {
        if self.protocol == WireProtocol::Binary {
            let [key, value] = self.array()?;
            let size = self.length()?;
            if size == 0 {
                return Ok(None);
            }
            return Ok(Some((
                WireType::binary(key)?,
                WireType::binary(value)?,
                size,
            )));
        }
        let size = self.length()?;
        if size == 0 {
            return Ok(None);
        }
        let types = self.byte()?;
        let (key, value) = (types >> 4, types & 0x0f);
        Ok(Some((
            WireType::compact(key)?,
            WireType::compact(value)?,
            size,
        )))
    }

    /// The head of a field; `last` is the number of the field before it in the same struct.
    pub(crate) fn field(&mut self, last: i16) -> Read<FieldHead> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        if self.protocol == WireProtocol::Binary {
            let wire = WireType::binary(head)?;
            return Ok(Some((self.i16()?, wire)));
        }
        let wire = match head & 0x0f {
            1 => WireType::BoolIs(true),
            2 => WireType::BoolIs(false),
            nibble => WireType::compact(nibble)?,
        };
        let id = match head >> 4 {
            0 => self.i16()?,
            delta => last
                .checked_add(i16::from(delta))
                .ok_or(Short::Broken("a field number past its range"))?,
        };
        Ok(Some((id, wire)))
    }

    /// The head of a message.
    pub(crate) fn message(&mut self) -> Read<MessageHead<'a>> {
        let (kind, sequence, name) = match self.protocol {
            WireProtocol::Binary => {
                let [first, second, _unused, kind] = self.array()?;
                if [first, second] != BINARY_ID {
                    return Err(Short::Broken("not a strict Binary message"));
                }
                let name = self.name()?;
                (kind, self.i32()?, name)
            }
            WireProtocol::Compact => {
                let [id, version] = self.array()?;
                if id != COMPACT_ID || version & 0x1f != COMPACT_VERSION {
                    return Err(Short::Broken("not a Compact message of version 1"));
                }
                let sequence = sequence(self.varint(32)?);
                (version >> 5, sequence, self.name()?)
            }
        };
        let message_type =
            TMessageType::try_from(kind).map_err(|_| Short::Broken("unknown type of message"))?;
        Ok(MessageHead {
            name,
            message_type,
            sequence,
        })
    }

    fn name(&mut self) -> Read<&'a [u8]> {
        let length = self.length()?;
        if length > METHOD_BYTES_MAX {
            return Err(Short::Broken("a method name past its limit"));
        }
        self.take(length)
    }
}

/// Compact carries the sequence number's 32 bits as an unsigned varint.
fn sequence(raw: u64) -> i32 {
    let [_, _, _, _, a, b, c, d] = raw.to_be_bytes();
    i32::from_be_bytes([a, b, c, d])
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Read<T> {
    T::try_from(value).map_err(|_| Short::Broken("a number past the range of its type"))
}

fn count(length: i64) -> Read<usize> {
    // Both protocols count in 31 bits.
    i32::try_from(length)
        .ok()
        .and_then(|length| usize::try_from(length).ok())
        .ok_or(Short::Broken("a negative length"))
}
