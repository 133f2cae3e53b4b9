//! The contract as data, generated from the IDL beside the types: what the checked codec, the round-trip test and the
//! coverage test walk.

use pilota::thrift::Message;

use crate::{access, audit, base, cache, common, coupon, db, health, lock, monitor, queue};

/// The type of a field or an element.
#[derive(Clone, Copy, Debug)]
pub enum TypeSchema {
    /// True or false.
    Bool,
    /// 8 bits, signed.
    I8,
    /// 16 bits, signed.
    I16,
    /// 32 bits, signed.
    I32,
    /// 64 bits, signed.
    I64,
    /// IEEE 754, 64 bits.
    Double,
    /// UTF-8 text.
    String,
    /// Bytes.
    Binary,
    /// A struct of the IDL.
    Struct(&'static StructSchema),
    /// A list of one element type.
    List(&'static TypeSchema),
    /// A set of one element type.
    Set(&'static TypeSchema),
    /// A map from one type to another.
    Map(&'static TypeSchema, &'static TypeSchema),
}

impl TypeSchema {
    /// What a value takes in memory without what it points to, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Bool | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 => 4,
            Self::I64 | Self::Double => 8,
            Self::String => size_of::<pilota::FastStr>(),
            Self::Binary => size_of::<pilota::Bytes>(),
            Self::Struct(schema) => schema.size_bytes,
            Self::List(_) => size_of::<Vec<u8>>(),
            Self::Set(_) | Self::Map(..) => size_of::<pilota::AHashMap<u8, u8>>(),
        }
    }
}

/// A field of a struct.
#[derive(Clone, Copy, Debug)]
pub struct FieldSchema {
    /// Its number on the wire.
    pub id: i16,
    /// Its name in the IDL.
    pub name: &'static str,
    /// Whether a message without it is refused.
    pub required: bool,
    /// Its type.
    pub kind: TypeSchema,
}

/// A struct or exception of the IDL.
#[derive(Debug)]
pub struct StructSchema {
    /// The file that declares it, without folder and ending: `cache`.
    pub file: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What the generated type takes in memory without what it points to, in bytes.
    pub size_bytes: usize,
    /// Its fields by number.
    pub fields: &'static [FieldSchema],
}

impl StructSchema {
    /// Finds the index of a field by its number. A struct has at most 64 fields.
    #[must_use]
    pub fn position(&self, id: i16) -> Option<usize> {
        self.fields.binary_search_by_key(&id, |field| field.id).ok()
    }
}

/// A method of the service. Each takes one struct and throws `SupportError` alone.
#[derive(Debug)]
pub struct MethodSchema {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its one argument, `request`, as a struct.
    pub arguments: &'static StructSchema,
    /// What it takes.
    pub request: &'static StructSchema,
    /// What it answers.
    pub reply: &'static StructSchema,
}

/// Finds a method by its name.
#[must_use]
pub fn method(name: &str) -> Option<&'static MethodSchema> {
    METHODS.iter().find(|method| method.name == name)
}

/// What every request of the IDL can tell.
pub trait Request {
    /// What answers it.
    type Reply: Reply;
    /// The method that takes it.
    const METHOD: &'static str;
    /// Field 255.
    fn base(&self) -> Option<&base::Base>;
    /// Field 254 of the requests that take an idempotency key.
    fn request_id(&self) -> Option<&str>;
}

/// What every reply of the IDL can be told.
pub trait Reply {
    /// Sets field 255.
    fn set_base_resp(&mut self, base_resp: base::BaseResp);
}

/// The result of a method: its reply or the declared exception.
pub trait MethodResult {
    /// What the method answers.
    type Reply;
    /// A result that holds the reply.
    fn succeeded(reply: Self::Reply) -> Self;
    /// A result that holds the exception.
    fn failed(error: common::SupportError) -> Self;
}

/// Something that is done with the generated type of a struct.
pub trait StructVisitor {
    /// What it yields.
    type Output;
    /// Does it.
    fn visit<T: Message + Clone + PartialEq + std::fmt::Debug>(self) -> Self::Output;
}

include!(concat!(env!("OUT_DIR"), "/contract.rs"));
