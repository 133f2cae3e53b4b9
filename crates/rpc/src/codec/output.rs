//! Writes messages: Volo's own message encoder is private to it, and pilota's Compact writes doubles the wrong way round.

use bytes::Bytes;
use faststr::FastStr;
use linkedbytes::LinkedBytes;
use pilota::thrift::binary::TBinaryProtocol;
use pilota::thrift::compact::TCompactOutputProtocol;
use pilota::thrift::{
    Message, TLengthProtocol, TListIdentifier, TMapIdentifier, TMessageIdentifier, TOutputProtocol,
    TSetIdentifier, TStructIdentifier, TType, ThriftException,
};
use volo_thrift::codec::default::ZeroCopyEncoder;
use volo_thrift::context::ThriftContext;
use volo_thrift::{EntryMessage, ProtocolApacheCompact, ThriftMessage};

/// Writes a message in the protocol that its request came in.
pub(crate) struct MessageEncoder;

impl ZeroCopyEncoder for MessageEncoder {
    fn encode<M: Send + EntryMessage, C: ThriftContext>(
        &mut self,
        cx: &mut C,
        bytes: &mut LinkedBytes,
        message: ThriftMessage<M>,
    ) -> Result<(), ThriftException> {
        let identifier = identifier(cx, &message);
        if is_compact(cx) {
            let output = TCompactOutputProtocol::new(bytes, true);
            write(&mut CompactOutput(output), &identifier, &message)
        } else {
            write(
                &mut TBinaryProtocol::new(bytes, true),
                &identifier,
                &message,
            )
        }
    }

    /// What the message takes, and what of it must be copied.
    fn size<M: Send + EntryMessage, C: ThriftContext>(
        &mut self,
        cx: &mut C,
        message: &ThriftMessage<M>,
    ) -> Result<(usize, usize), ThriftException> {
        let identifier = identifier(cx, message);
        if is_compact(cx) {
            let mut output = TCompactOutputProtocol::new((), true);
            let size = size(&mut output, &identifier, message);
            Ok((size, size.saturating_sub(output.zero_copy_len())))
        } else {
            let mut output = TBinaryProtocol::new((), true);
            let size = size(&mut output, &identifier, message);
            Ok((size, size.saturating_sub(output.zero_copy_len())))
        }
    }
}

fn is_compact<C: ThriftContext>(cx: &C) -> bool {
    cx.extensions().contains::<ProtocolApacheCompact>()
}

fn identifier<M, C: ThriftContext>(cx: &C, message: &ThriftMessage<M>) -> TMessageIdentifier {
    let method = cx.rpc_info().method().clone();
    TMessageIdentifier::new(method, message.meta.msg_type, cx.seq_id())
}

fn write<M: EntryMessage, P: TOutputProtocol>(
    output: &mut P,
    identifier: &TMessageIdentifier,
    message: &ThriftMessage<M>,
) -> Result<(), ThriftException> {
    output.write_message_begin(identifier)?;
    match &message.data {
        Ok(message) => message.encode(output)?,
        Err(exception) => exception.encode(output)?,
    }
    output.write_message_end()
}

fn size<M: EntryMessage, P: TLengthProtocol>(
    output: &mut P,
    identifier: &TMessageIdentifier,
    message: &ThriftMessage<M>,
) -> usize {
    let body = match &message.data {
        Ok(message) => message.size(output),
        Err(exception) => exception.size(output),
    };
    output.message_begin_len(identifier) + body + output.message_end_len()
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
