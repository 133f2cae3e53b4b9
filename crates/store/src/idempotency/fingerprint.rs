//! A digest of a request: the same for the same fields, whatever the order in which a map hands out its entries.
//!
//! A JSON text would have to be built as a tree before its keys could be sorted, which multiplies a large payload in
//! memory. So this serializer feeds SHA-256 directly: each value as a tag, its length where it has one, and its bytes;
//! each entry of a map as a digest of its own, sorted before they are fed.

use aws_lc_rs::digest::{Context, SHA256};
use serde::ser::{self, Serialize};

/// How many bytes are gathered before they are hashed.
const BUFFER_BYTES_MAX: usize = 4 * 1024;

/// The digest of a request.
pub(super) fn of(request: &impl Serialize) -> [u8; 32] {
    let mut hasher = Hasher::new();
    if request.serialize(&mut hasher).is_err() {
        // Models derive `Serialize`, which cannot fail. Should one fail, what came before the failure still counts.
        hasher.tag(Tag::Failure);
    }
    hasher.finish()
}

/// What kind of value follows, so that values of different kinds never hash alike.
#[derive(Clone, Copy)]
enum Tag {
    Null = 0,
    Bool,
    Signed,
    Unsigned,
    Float,
    Text,
    Bytes,
    Some,
    Sequence,
    Map,
    Struct,
    Variant,
    End,
    Failure,
}

struct Hasher {
    context: Context,
    buffer: Vec<u8>,
}

impl Hasher {
    fn new() -> Self {
        Self {
            context: Context::new(&SHA256),
            buffer: Vec::with_capacity(BUFFER_BYTES_MAX),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES_MAX {
            self.context.update(&self.buffer);
            self.buffer.clear();
        }
        if bytes.len() > BUFFER_BYTES_MAX {
            self.context.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn tag(&mut self, tag: Tag) {
        self.feed(&[tag as u8]);
    }

    fn sized(&mut self, tag: Tag, bytes: &[u8]) {
        self.tag(tag);
        self.feed(&(bytes.len() as u64).to_le_bytes());
        self.feed(bytes);
    }

    fn finish(mut self) -> [u8; 32] {
        self.context.update(&self.buffer);
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(self.context.finish().as_ref()) {
            *to = *from;
        }
        digest
    }
}

/// A serializer's failure; only hand-written `Serialize` implementations can raise it.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be serialized: {0}")]
struct Failure(String);

impl ser::Error for Failure {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// The entries of a map, each as a digest.
struct Entries<'a> {
    hasher: &'a mut Hasher,
    key: Option<Hasher>,
    digests: Vec<[u8; 32]>,
}

macro_rules! integers {
    ($tag:ident as $wide:ty: $($method:ident($type:ty))*) => {
        $(fn $method(self, value: $type) -> Result<(), Failure> {
            self.tag(Tag::$tag);
            self.feed(&<$wide>::from(value).to_le_bytes());
            Ok(())
        })*
    };
}

impl<'a> ser::Serializer for &'a mut Hasher {
    type Ok = ();
    type Error = Failure;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    integers!(Signed as i128: serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128));
    integers!(Unsigned as u128: serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128));

    fn serialize_bool(self, value: bool) -> Result<(), Failure> {
        self.tag(Tag::Bool);
        self.feed(&[u8::from(value)]);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Failure> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Failure> {
        self.tag(Tag::Float);
        self.feed(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Failure> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Failure> {
        self.sized(Tag::Text, value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Failure> {
        self.sized(Tag::Bytes, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Failure> {
        self.tag(Tag::Null);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Failure> {
        self.tag(Tag::Some);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Failure> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Failure> {
        self.serialize_none()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Failure> {
        self.sized(Tag::Variant, variant.as_bytes());
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Failure> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Failure> {
        self.sized(Tag::Variant, variant.as_bytes());
        value.serialize(self)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Self, Failure> {
        self.tag(Tag::Sequence);
        Ok(self)
    }

    fn serialize_tuple(self, _length: usize) -> Result<Self, Failure> {
        self.tag(Tag::Sequence);
        Ok(self)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Self, Failure> {
        self.tag(Tag::Sequence);
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Self, Failure> {
        self.sized(Tag::Variant, variant.as_bytes());
        self.tag(Tag::Sequence);
        Ok(self)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Entries<'a>, Failure> {
        self.tag(Tag::Map);
        Ok(Entries {
            hasher: self,
            key: None,
            digests: Vec::new(),
        })
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Self, Failure> {
        self.tag(Tag::Struct);
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Self, Failure> {
        self.sized(Tag::Variant, variant.as_bytes());
        self.tag(Tag::Struct);
        Ok(self)
    }
}

/// Sequences and tuples: the elements in their order, then the end.
macro_rules! elements {
    ($($trait:ident::$method:ident)*) => {
        $(impl ser::$trait for &mut Hasher {
            type Ok = ();
            type Error = Failure;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Failure> {
                self.tag(Tag::End);
                Ok(())
            }
        })*
    };
}

elements! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

/// Structs: the fields with their names in the order of declaration, then the end.
macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl ser::$trait for &mut Hasher {
            type Ok = ();
            type Error = Failure;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Failure> {
                self.sized(Tag::Text, name.as_bytes());
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Failure> {
                self.tag(Tag::End);
                Ok(())
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Failure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failure> {
        let mut entry = Hasher::new();
        key.serialize(&mut entry)?;
        self.key = Some(entry);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let mut entry = self.key.take().unwrap_or_else(Hasher::new);
        value.serialize(&mut entry)?;
        self.digests.push(entry.finish());
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        self.digests.sort_unstable();
        for digest in &self.digests {
            self.hasher.feed(digest);
        }
        self.hasher.tag(Tag::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Request {
        name: &'static str,
        labels: HashMap<String, String>,
        items: Vec<Option<i64>>,
    }

    fn request(name: &'static str, labels: &[(&str, &str)], items: &[Option<i64>]) -> [u8; 32] {
        of(&Request {
            name,
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            items: items.to_vec(),
        })
    }

    #[test]
    fn the_order_of_a_map_does_not_count_and_everything_else_does() {
        let labels = [("a", "1"), ("b", "2"), ("c", "3")];
        let turned = [("c", "3"), ("b", "2"), ("a", "1")];
        let base = request("n", &labels, &[Some(1), None]);
        assert_eq!(base, request("n", &turned, &[Some(1), None]));
        let others = [
            request("m", &labels, &[Some(1), None]),
            request("n", &[("a", "1"), ("b", "2"), ("c", "4")], &[Some(1), None]),
            request("n", &[("a", "1"), ("b", "2")], &[Some(1), None]),
            request("n", &labels, &[None, Some(1)]),
            request("n", &labels, &[Some(1)]),
            request("n", &labels, &[Some(0), None]),
        ];
        for other in others {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn large_and_split_texts_differ() {
        let large = "x".repeat(BUFFER_BYTES_MAX + 1);
        assert_eq!(of(&large), of(&large.clone()));
        assert_ne!(of(&large), of(&"x".repeat(BUFFER_BYTES_MAX)));
        assert_ne!(of(&("ab", "c")), of(&("a", "bc")));
        assert_ne!(of(&1_i64), of(&1_u64));
    }
}
