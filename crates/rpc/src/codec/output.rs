//! Writes answers. pilota's Compact writes doubles the wrong way round.

use bytes::Bytes;
use faststr::FastStr;
use linkedbytes::LinkedBytes;
use pilota::thrift::binary::TBinaryProtocol;
use pilota::thrift::compact::TCompactOutputProtocol;
use pilota::thrift::{
    Message, TLengthProtocol, TListIdentifier, TMapIdentifier, TMessageIdentifier, TOutputProtocol,
    TSetIdentifier, TStructIdentifier, TType, ThriftException,
};
use volo_thrift::EntryMessage as _;

use super::message::Way;
use super::wire::WireProtocol;
use crate::incoming::Answered;

/// Writes an answer in the protocol that its call came in.
pub(crate) fn write(
    way: &Way,
    bytes: &mut LinkedBytes,
    answer: &Answered,
) -> Result<(), ThriftException> {
    match way.protocol {
        WireProtocol::Binary => write_to(&mut TBinaryProtocol::new(bytes, true), way, answer),
        WireProtocol::Compact => {
            let output = TCompactOutputProtocol::new(bytes, true);
            write_to(&mut CompactOutput(output), way, answer)
        }
    }
}

/// What an answer takes, and what of it must be copied; in bytes.
pub(crate) fn size(way: &Way, answer: &Answered) -> (usize, usize) {
    match way.protocol {
        WireProtocol::Binary => size_of(&mut TBinaryProtocol::new((), true), way, answer),
        WireProtocol::Compact => size_of(&mut TCompactOutputProtocol::new((), true), way, answer),
    }
}

fn write_to<P: TOutputProtocol>(
    output: &mut P,
    way: &Way,
    answer: &Answered,
) -> Result<(), ThriftException> {
    output.write_message_begin(&way.identifier(answer))?;
    match answer {
        Ok(answer) => answer.encode(output)?,
        Err(exception) => exception.encode(output)?,
    }
    output.write_message_end()
}

fn size_of<P: TLengthProtocol>(output: &mut P, way: &Way, answer: &Answered) -> (usize, usize) {
    let identifier = way.identifier(answer);
    let body = match answer {
        Ok(answer) => answer.size(output),
        Err(exception) => exception.size(output),
    };
    let size = output.message_begin_len(&identifier) + body + output.message_end_len();
    (size, size.saturating_sub(output.zero_copy_len()))
}

/// Compact as Apache Thrift writes it: pilota 0.13 writes doubles with the highest byte first, although the protocol,
/// every other implementation and its own reader have the lowest first.
pub struct CompactOutput<P>(pub P);

/// Hands everything but doubles on.
macro_rules! delegate {
    (writes { $($write:ident($($name:ident: $kind:ty),*);)* } lengths { $($length:ident($($part:ident: $of:ty),*);)* }) => {
        impl<P: TOutputProtocol> TOutputProtocol for CompactOutput<P> {
            type BufMut = P::BufMut;

            $( #[inline] fn $write(&mut self, $($name: $kind),*) -> Result<(), ThriftException> {
                self.0.$write($($name),*)
            } )*

            #[inline]
            fn write_double(&mut self, value: f64) -> Result<(), ThriftException> {
                self.0.write_double(f64::from_bits(value.to_bits().swap_bytes()))
            }

            #[inline]
            fn buf_mut(&mut self) -> &mut P::BufMut {
                self.0.buf_mut()
            }
        }

        impl<P: TLengthProtocol> TLengthProtocol for CompactOutput<P> {
            $( #[inline] fn $length(&mut self, $($part: $of),*) -> usize { self.0.$length($($part),*) } )*
        }
    };
}

delegate! {
    writes {
    write_message_begin(identifier: &TMessageIdentifier);
    write_message_end();
    write_struct_begin(identifier: &TStructIdentifier);
    write_struct_end();
    write_field_begin(kind: TType, id: i16);
    write_field_end();
    write_field_stop();
    write_bool(value: bool);
    write_bytes(value: Bytes);
    write_bytes_without_len(value: Bytes);
    write_uuid(value: [u8; 16]);
    write_bytes_vec(value: &[u8]);
    write_byte(value: u8);
    write_i8(value: i8);
    write_i16(value: i16);
    write_i32(value: i32);
    write_i64(value: i64);
    write_string(value: &str);
    write_faststr(value: FastStr);
    write_list_begin(identifier: TListIdentifier);
    write_list_end();
    write_set_begin(identifier: TSetIdentifier);
    write_set_end();
    write_map_begin(identifier: TMapIdentifier);
    write_map_end();
    flush();
    }
    lengths {
    message_begin_len(identifier: &TMessageIdentifier);
    message_end_len();
    struct_begin_len(identifier: &TStructIdentifier);
    struct_end_len();
    field_begin_len(kind: TType, id: Option<i16>);
    field_end_len();
    field_stop_len();
    bool_len(value: bool);
    bytes_len(value: &[u8]);
    bytes_vec_len(value: &[u8]);
    byte_len(value: u8);
    uuid_len(value: [u8; 16]);
    i8_len(value: i8);
    i16_len(value: i16);
    i32_len(value: i32);
    i64_len(value: i64);
    double_len(value: f64);
    string_len(value: &str);
    faststr_len(value: &FastStr);
    list_begin_len(identifier: TListIdentifier);
    list_end_len();
    set_begin_len(identifier: TSetIdentifier);
    set_end_len();
    map_begin_len(identifier: TMapIdentifier);
    map_end_len();
    zero_copy_len();
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use pilota::thrift::TInputProtocol;

    use super::*;
    use crate::codec::{CheckedInput, WireProtocol};

    /// The specification: "Doubles are first converted to an i64 […] and then encoded in little endian."
    #[test]
    fn compact_doubles_have_their_lowest_byte_first() {
        let expected = [0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
        let mut bytes = BytesMut::new();
        let mut output = CompactOutput(TCompactOutputProtocol::new(&mut bytes, false));
        output.write_double(1.0).expect("writes");
        assert_eq!(bytes[..], expected);
        let mut input = CheckedInput::new(bytes.freeze(), WireProtocol::Compact);
        assert!((input.read_double().expect("reads") - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn binary_doubles_have_their_highest_byte_first() {
        let mut bytes = BytesMut::new();
        let mut output = TBinaryProtocol::new(&mut bytes, false);
        output.write_double(1.0).expect("writes");
        assert_eq!(bytes[..], [0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
        let mut input = CheckedInput::new(bytes.freeze(), WireProtocol::Binary);
        assert!((input.read_double().expect("reads") - 1.0).abs() < f64::EPSILON);
    }
}
