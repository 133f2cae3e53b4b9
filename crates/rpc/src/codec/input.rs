//! The protocol that generated code decodes from: the same bounded reads as the walk before it.
//!
//! It is safe on its own (no read past the bytes, no count past them, text only where it is UTF-8), but only bytes that
//! an [`super::Inspector`] found good may come here: generated code that fails in a list leaks what it read before.

use bytes::{Buf, Bytes};
use faststr::FastStr;
use pilota::thrift::{
    ProtocolExceptionKind, TFieldIdentifier, TInputProtocol, TLengthProtocol, TListIdentifier,
    TMapIdentifier, TMessageIdentifier, TSetIdentifier, TStructIdentifier, TType, ThriftException,
    new_protocol_exception,
};
use plinth_core::limits;

use super::SMALL_FRAME_BYTES_MAX;
use super::wire::{Cursor, Read, Short, WireProtocol, WireType};

/// A value of a large frame is handed out as a slice of it where it is at least this part of it. A slice keeps the
/// memory of its whole frame: so never more than four times its own length, as that memory may be half empty.
const SLICE_PART_MIN: usize = 2;

/// Reads a message for generated code.
pub struct CheckedInput {
    bytes: Bytes,
    frame_bytes: usize,
    protocol: WireProtocol,
    /// Number of the last field in each open struct; Compact counts from it.
    last_ids: Vec<i16>,
    /// The value of a boolean field of Compact, which came with its type.
    pending_bool: Option<bool>,
}

impl CheckedInput {
    /// Reads from the first byte of a message.
    #[must_use]
    pub fn new(bytes: Bytes, protocol: WireProtocol) -> Self {
        Self {
            frame_bytes: bytes.len(),
            bytes,
            protocol,
            last_ids: Vec::with_capacity(8),
            pending_bool: None,
        }
    }

    /// Bytes that were not read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn read<T>(
        &mut self,
        read: impl FnOnce(&mut Cursor<'_>) -> Read<T>,
    ) -> Result<T, ThriftException> {
        let mut cursor = Cursor::new(&self.bytes, self.protocol);
        let value = read(&mut cursor).map_err(exception)?;
        let count = cursor.position();
        self.bytes.advance(count);
        Ok(value)
    }

    /// Takes text or a payload: a slice where it is most of a large frame, a copy otherwise.
    fn take(&mut self) -> Result<Bytes, ThriftException> {
        let length = self.read(|cursor| cursor.length())?;
        if length > self.bytes.len() {
            return Err(exception(Short::More));
        }
        let slice = self.bytes.split_to(length);
        let large = self.frame_bytes > SMALL_FRAME_BYTES_MAX;
        if large && length.saturating_mul(SLICE_PART_MIN) >= self.frame_bytes {
            Ok(slice)
        } else {
            Ok(Bytes::copy_from_slice(&slice))
        }
    }

    /// A count is good where that many of the smallest elements fit into what is left.
    fn count(&self, size: usize, element_bytes_min: usize) -> Result<usize, ThriftException> {
        if size.saturating_mul(element_bytes_min) > self.bytes.len() || size > limits::ELEMENTS_MAX
        {
            return Err(new_protocol_exception(
                ProtocolExceptionKind::SizeLimit,
                format!("{size} elements do not fit"),
            ));
        }
        Ok(size)
    }

    fn elements(&mut self) -> Result<TListIdentifier, ThriftException> {
        let Some((element, size)) = self.read(|cursor| cursor.list())? else {
            return Ok(TListIdentifier::new(TType::Stop, 0));
        };
        let size = self.count(size, element.bytes_min(self.protocol))?;
        Ok(TListIdentifier::new(element.ttype(), size))
    }

    /// Steps over the elements of an unknown container.
    fn skip_elements(
        &mut self,
        types: &[TType],
        size: usize,
        depth: i8,
    ) -> Result<(), ThriftException> {
        for _ in 0..size {
            for element in types {
                self.skip_till_depth(*element, depth)?;
            }
        }
        Ok(())
    }

    fn skip_struct(&mut self, depth: i8) -> Result<(), ThriftException> {
        self.read_struct_begin()?;
        loop {
            let field = self.read_field_begin()?;
            if field.field_type == TType::Stop {
                return self.read_struct_end();
            }
            self.skip_till_depth(field.field_type, depth)?;
        }
    }

    /// Steps over an unknown list or map. Its count may be past the limit of known ones: nothing is kept of it.
    fn skip_container(&mut self, wire: TType, depth: i8) -> Result<(), ThriftException> {
        if wire == TType::Map {
            return match self.read(|cursor| cursor.map())? {
                Some((key, value, size)) => {
                    self.skip_elements(&[key.ttype(), value.ttype()], size, depth)
                }
                None => Ok(()),
            };
        }
        match self.read(|cursor| cursor.list())? {
            Some((element, size)) => self.skip_elements(&[element.ttype()], size, depth),
            None => Ok(()),
        }
    }
}

fn exception(short: Short) -> ThriftException {
    let what = match short {
        Short::More => "the bytes end before the value does",
        Short::Broken(what) => what,
    };
    new_protocol_exception(ProtocolExceptionKind::InvalidData, what)
}

impl TInputProtocol for CheckedInput {
    type Buf = Bytes;

    fn read_message_begin(&mut self) -> Result<TMessageIdentifier, ThriftException> {
        self.read(|cursor| {
            let head = cursor.message()?;
            let name = FastStr::new(String::from_utf8_lossy(head.name));
            Ok(TMessageIdentifier::new(
                name,
                head.message_type,
                head.sequence,
            ))
        })
    }

    fn read_message_end(&mut self) -> Result<(), ThriftException> {
        Ok(())
    }

    fn read_struct_begin(&mut self) -> Result<Option<TStructIdentifier>, ThriftException> {
        if self.last_ids.len() >= limits::NESTING_DEPTH_MAX {
            return Err(new_protocol_exception(
                ProtocolExceptionKind::DepthLimit,
                "nested too deep",
            ));
        }
        self.last_ids.push(0);
        Ok(None)
    }

    fn read_struct_end(&mut self) -> Result<(), ThriftException> {
        self.last_ids.pop();
        Ok(())
    }

    fn read_field_begin(&mut self) -> Result<TFieldIdentifier, ThriftException> {
        let last = self.last_ids.last().copied().unwrap_or(0);
        let Some((id, wire)) = self.read(|cursor| cursor.field(last))? else {
            return Ok(TFieldIdentifier::new(None, TType::Stop, None));
        };
        if let Some(last) = self.last_ids.last_mut() {
            *last = id;
        }
        self.pending_bool = match wire {
            WireType::BoolIs(value) => Some(value),
            _ => None,
        };
        Ok(TFieldIdentifier::new(None, wire.ttype(), id))
    }

    fn read_field_end(&mut self) -> Result<(), ThriftException> {
        Ok(())
    }

    fn read_bool(&mut self) -> Result<bool, ThriftException> {
        match self.pending_bool.take() {
            Some(value) => Ok(value),
            None => self.read(|cursor| cursor.bool()),
        }
    }

    fn read_bytes(&mut self) -> Result<Bytes, ThriftException> {
        self.take()
    }

    fn read_uuid(&mut self) -> Result<[u8; 16], ThriftException> {
        self.read(|cursor| cursor.array())
    }

    fn read_i8(&mut self) -> Result<i8, ThriftException> {
        self.read(|cursor| cursor.byte()).map(u8::cast_signed)
    }

    fn read_i16(&mut self) -> Result<i16, ThriftException> {
        self.read(|cursor| cursor.i16())
    }

    fn read_i32(&mut self) -> Result<i32, ThriftException> {
        self.read(|cursor| cursor.i32())
    }

    fn read_i64(&mut self) -> Result<i64, ThriftException> {
        self.read(|cursor| cursor.i64())
    }

    fn read_double(&mut self) -> Result<f64, ThriftException> {
        self.read(|cursor| cursor.double())
    }

    fn read_string(&mut self) -> Result<String, ThriftException> {
        self.read_faststr().map(|text| text.to_string())
    }

    fn read_faststr(&mut self) -> Result<FastStr, ThriftException> {
        FastStr::from_bytes(self.take()?).map_err(|error| {
            new_protocol_exception(ProtocolExceptionKind::InvalidData, error.to_string())
        })
    }

    fn read_list_begin(&mut self) -> Result<TListIdentifier, ThriftException> {
        self.elements()
    }

    fn read_list_end(&mut self) -> Result<(), ThriftException> {
        Ok(())
    }

    fn read_set_begin(&mut self) -> Result<TSetIdentifier, ThriftException> {
        let list = self.elements()?;
        Ok(TSetIdentifier {
            element_type: list.element_type,
            size: list.size,
        })
    }

    fn read_set_end(&mut self) -> Result<(), ThriftException> {
        Ok(())
    }

    fn read_map_begin(&mut self) -> Result<TMapIdentifier, ThriftException> {
        let Some((key, value, size)) = self.read(|cursor| cursor.map())? else {
            return Ok(TMapIdentifier::new(TType::Stop, TType::Stop, 0));
        };
        let entry = key.bytes_min(self.protocol) + value.bytes_min(self.protocol);
        let size = self.count(size, entry)?;
        Ok(TMapIdentifier::new(key.ttype(), value.ttype(), size))
    }

    fn read_map_end(&mut self) -> Result<(), ThriftException> {
        Ok(())
    }

    /// Steps over a value of any type in both protocols. What it returns is not used by generated code.
    fn skip_till_depth(&mut self, field_type: TType, depth: i8) -> Result<usize, ThriftException> {
        if depth <= 0 {
            return Err(new_protocol_exception(
                ProtocolExceptionKind::DepthLimit,
                "nested too deep",
            ));
        }
        match field_type {
            TType::Bool => self.read_bool().map(drop)?,
            TType::I8 => self.read_i8().map(drop)?,
            TType::I16 => self.read_i16().map(drop)?,
            TType::I32 => self.read_i32().map(drop)?,
            TType::I64 => self.read_i64().map(drop)?,
            TType::Double => self.read_double().map(drop)?,
            TType::Uuid => self.read_uuid().map(drop)?,
            TType::Binary => {
                let length = self.read(|cursor| cursor.length())?;
                self.read(|cursor| cursor.take(length).map(drop))?;
            }
            TType::Struct => self.skip_struct(depth - 1)?,
            TType::List | TType::Set | TType::Map => self.skip_container(field_type, depth - 1)?,
            TType::Stop | TType::Void => {
                return Err(exception(Short::Broken("no value has this type")));
            }
        }
        Ok(0)
    }

    fn read_byte(&mut self) -> Result<u8, ThriftException> {
        self.read(|cursor| cursor.byte())
    }

    fn read_bytes_vec(&mut self) -> Result<Vec<u8>, ThriftException> {
        self.take().map(|bytes| bytes.to_vec())
    }

    fn get_bytes(
        &mut self,
        _from: Option<*const u8>,
        _length: usize,
    ) -> Result<Bytes, ThriftException> {
        // Only code that is generated to keep unknown fields asks for this; ours is not.
        Err(new_protocol_exception(
            ProtocolExceptionKind::NotImplemented,
            "unknown fields are not kept",
        ))
    }

    fn buf(&mut self) -> &mut Bytes {
        &mut self.bytes
    }
}

/// Lengths matter to writers. Generated readers ask for some and throw them away.
macro_rules! no_lengths {
    ($($name:ident($($kind:ty),*);)*) => {
        impl TLengthProtocol for CheckedInput {
            $( #[inline] fn $name(&mut self, $(_: $kind),*) -> usize { 0 } )*
        }
    };
}

no_lengths! {
    message_begin_len(&TMessageIdentifier); message_end_len(); struct_begin_len(&TStructIdentifier); struct_end_len();
    field_begin_len(TType, Option<i16>); field_end_len(); field_stop_len(); bool_len(bool); bytes_len(&[u8]);
    bytes_vec_len(&[u8]); byte_len(u8); uuid_len([u8; 16]); i8_len(i8); i16_len(i16); i32_len(i32); i64_len(i64);
    double_len(f64); string_len(&str); faststr_len(&FastStr); list_begin_len(TListIdentifier); list_end_len();
    set_begin_len(TSetIdentifier); set_end_len(); map_begin_len(TMapIdentifier); map_end_len();
}
