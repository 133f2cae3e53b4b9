//! Any value of the contract as a tree: generated from the IDL's types, written and read without generated code.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use pilota::thrift::binary::TBinaryProtocol;
use pilota::thrift::compact::TCompactOutputProtocol;
use pilota::thrift::{
    TInputProtocol, TListIdentifier, TMapIdentifier, TOutputProtocol, TSetIdentifier,
    TStructIdentifier, TType, ThriftException,
};
use plinth_idl::contract::{FieldSchema, StructSchema, TypeSchema};
use plinth_rpc::codec::{CheckedInput, CompactOutput, WireProtocol};
use proptest::prelude::*;

/// Levels below which generated values of a type that holds itself end.
const GENERATED_DEPTH_MAX: usize = 5;

/// A value of the contract.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// True or false.
    Bool(bool),
    /// Any of the integers.
    Integer(i64),
    /// The bits of a double, so that all of them compare.
    Double(u64),
    /// Text.
    Text(String),
    /// A payload.
    Bytes(Vec<u8>),
    /// Fields by number.
    Struct(BTreeMap<i16, Value>),
    /// Elements in their order.
    List(Vec<Value>),
    /// Entries, ordered by how their keys print: maps have no order.
    Map(BTreeMap<String, (Value, Value)>),
}

/// Values of a struct with every required field and any choice of the optional ones.
pub(crate) fn any_struct(schema: &'static StructSchema, depth: usize) -> BoxedStrategy<Value> {
    schema
        .fields
        .iter()
        .map(|field| any_field(field, depth))
        .collect::<Vec<_>>()
        .prop_map(|fields| Value::Struct(fields.into_iter().flatten().collect()))
        .boxed()
}

fn any_field(field: &'static FieldSchema, depth: usize) -> BoxedStrategy<Option<(i16, Value)>> {
    let id = field.id;
    if !field.required && depth > GENERATED_DEPTH_MAX {
        return Just(None).boxed();
    }
    let value = any_value(&field.kind, depth).prop_map(move |value| (id, value));
    if field.required {
        value.prop_map(Some).boxed()
    } else {
        prop::option::weighted(0.75, value).boxed()
    }
}

fn any_value(kind: &'static TypeSchema, depth: usize) -> BoxedStrategy<Value> {
    if depth > GENERATED_DEPTH_MAX {
        return Just(empty(kind)).boxed();
    }
    match kind {
        TypeSchema::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        TypeSchema::I8 => any::<i8>()
            .prop_map(|value| Value::Integer(value.into()))
            .boxed(),
        TypeSchema::I16 => any::<i16>()
            .prop_map(|value| Value::Integer(value.into()))
            .boxed(),
        TypeSchema::I32 => any::<i32>()
            .prop_map(|value| Value::Integer(value.into()))
            .boxed(),
        TypeSchema::I64 => any::<i64>().prop_map(Value::Integer).boxed(),
        TypeSchema::Double => any::<u64>().prop_map(Value::Double).boxed(),
        TypeSchema::String => ".{0,12}".prop_map(Value::Text).boxed(),
        TypeSchema::Binary => prop::collection::vec(any::<u8>(), 0..24)
            .prop_map(Value::Bytes)
            .boxed(),
        TypeSchema::Struct(schema) => any_struct(schema, depth + 1),
        TypeSchema::List(element) | TypeSchema::Set(element) => {
            prop::collection::vec(any_value(element, depth + 1), 0..=3)
                .prop_map(Value::List)
                .boxed()
        }
        TypeSchema::Map(key, value) => prop::collection::vec(
            (any_value(key, depth + 1), any_value(value, depth + 1)),
            0..=3,
        )
        .prop_map(|entries| Value::Map(by_key(entries)))
        .boxed(),
    }
}

fn by_key(entries: Vec<(Value, Value)>) -> BTreeMap<String, (Value, Value)> {
    entries
        .into_iter()
        .map(|(key, value)| (format!("{key:?}"), (key, value)))
        .collect()
}

/// The smallest value of a struct: the required fields alone, each empty.
pub(crate) fn smallest(schema: &'static StructSchema) -> Value {
    let required = schema.fields.iter().filter(|field| field.required);
    Value::Struct(
        required
            .map(|field| (field.id, empty(&field.kind)))
            .collect(),
    )
}

fn empty(kind: &'static TypeSchema) -> Value {
    match kind {
        TypeSchema::Bool => Value::Bool(false),
        TypeSchema::I8 | TypeSchema::I16 | TypeSchema::I32 | TypeSchema::I64 => Value::Integer(0),
        TypeSchema::Double => Value::Double(0),
        TypeSchema::String => Value::Text(String::new()),
        TypeSchema::Binary => Value::Bytes(Vec::new()),
        TypeSchema::Struct(schema) => smallest(schema),
        TypeSchema::List(_) | TypeSchema::Set(_) => Value::List(Vec::new()),
        TypeSchema::Map(..) => Value::Map(BTreeMap::new()),
    }
}

/// The type on the wire.
pub(crate) fn ttype(kind: &TypeSchema) -> TType {
    match kind {
        TypeSchema::Bool => TType::Bool,
        TypeSchema::I8 => TType::I8,
        TypeSchema::I16 => TType::I16,
        TypeSchema::I32 => TType::I32,
        TypeSchema::I64 => TType::I64,
        TypeSchema::Double => TType::Double,
        TypeSchema::String | TypeSchema::Binary => TType::Binary,
        TypeSchema::Struct(_) => TType::Struct,
        TypeSchema::List(_) => TType::List,
        TypeSchema::Set(_) => TType::Set,
        TypeSchema::Map(..) => TType::Map,
    }
}

/// Writes a struct in a protocol.
pub(crate) fn encode(
    schema: &'static StructSchema,
    value: &Value,
    protocol: WireProtocol,
) -> Bytes {
    let mut bytes = BytesMut::new();
    let kind = TypeSchema::Struct(schema);
    match protocol {
        WireProtocol::Binary => write(&mut TBinaryProtocol::new(&mut bytes, false), &kind, value),
        WireProtocol::Compact => write(
            &mut CompactOutput(TCompactOutputProtocol::new(&mut bytes, false)),
            &kind,
            value,
        ),
    }
    .expect("a generated value can be written");
    bytes.freeze()
}

/// Writes a value through any output protocol.
pub(crate) fn write<P: TOutputProtocol>(
    protocol: &mut P,
    kind: &TypeSchema,
    value: &Value,
) -> Result<(), ThriftException> {
    match (kind, value) {
        (TypeSchema::Bool, Value::Bool(value)) => protocol.write_bool(*value),
        (TypeSchema::I8, Value::Integer(value)) => protocol.write_i8(narrow(*value)),
        (TypeSchema::I16, Value::Integer(value)) => protocol.write_i16(narrow(*value)),
        (TypeSchema::I32, Value::Integer(value)) => protocol.write_i32(narrow(*value)),
        (TypeSchema::I64, Value::Integer(value)) => protocol.write_i64(*value),
        (TypeSchema::Double, Value::Double(bits)) => protocol.write_double(f64::from_bits(*bits)),
        (TypeSchema::String, Value::Text(text)) => protocol.write_string(text),
        (TypeSchema::Binary, Value::Bytes(bytes)) => {
            protocol.write_bytes(Bytes::copy_from_slice(bytes))
        }
        (TypeSchema::Struct(schema), Value::Struct(fields)) => {
            protocol.write_struct_begin(&TStructIdentifier { name: schema.name })?;
            for (id, value) in fields {
                let field = schema
                    .fields
                    .iter()
                    .find(|field| field.id == *id)
                    .expect("a field of the schema");
                protocol.write_field_begin(ttype(&field.kind), *id)?;
                write(protocol, &field.kind, value)?;
                protocol.write_field_end()?;
            }
            protocol.write_field_stop()?;
            protocol.write_struct_end()
        }
        (TypeSchema::List(element), Value::List(values)) => {
            let head = TListIdentifier::new(ttype(element), values.len());
            protocol.write_list_begin(head)?;
            values
                .iter()
                .try_for_each(|value| write(protocol, element, value))?;
            protocol.write_list_end()
        }
        (TypeSchema::Set(element), Value::List(values)) => {
            protocol.write_set_begin(TSetIdentifier {
                element_type: ttype(element),
                size: values.len(),
            })?;
            values
                .iter()
                .try_for_each(|value| write(protocol, element, value))?;
            protocol.write_set_end()
        }
        (TypeSchema::Map(key_kind, value_kind), Value::Map(entries)) => {
            let head = TMapIdentifier::new(ttype(key_kind), ttype(value_kind), entries.len());
            protocol.write_map_begin(head)?;
            for (key, value) in entries.values() {
                write(protocol, key_kind, key)?;
                write(protocol, value_kind, value)?;
            }
            protocol.write_map_end()
        }
        (kind, value) => panic!("{value:?} is no {kind:?}"),
    }
}

fn narrow<T: TryFrom<i64, Error: std::fmt::Debug>>(value: i64) -> T {
    T::try_from(value).expect("generated in range")
}

/// Reads a struct back. The bytes are ones that generated code wrote.
pub(crate) fn decode(schema: &'static StructSchema, bytes: Bytes, protocol: WireProtocol) -> Value {
    let mut input = CheckedInput::new(bytes, protocol);
    let value = read(&mut input, &TypeSchema::Struct(schema)).expect("written by generated code");
    assert_eq!(
        input.remaining(),
        0,
        "{} has bytes after its end",
        schema.name
    );
    value
}

fn read(input: &mut CheckedInput, kind: &TypeSchema) -> Result<Value, ThriftException> {
    Ok(match kind {
        TypeSchema::Bool => Value::Bool(input.read_bool()?),
        TypeSchema::I8 => Value::Integer(input.read_i8()?.into()),
        TypeSchema::I16 => Value::Integer(input.read_i16()?.into()),
        TypeSchema::I32 => Value::Integer(input.read_i32()?.into()),
        TypeSchema::I64 => Value::Integer(input.read_i64()?),
        TypeSchema::Double => Value::Double(input.read_double()?.to_bits()),
        TypeSchema::String => Value::Text(input.read_string()?),
        TypeSchema::Binary => Value::Bytes(input.read_bytes()?.to_vec()),
        TypeSchema::Struct(schema) => read_struct(input, schema)?,
        TypeSchema::List(element) | TypeSchema::Set(element) => {
            let size = input.read_list_begin()?.size;
            let values = (0..size).map(|_| read(input, element));
            Value::List(values.collect::<Result<_, _>>()?)
        }
        TypeSchema::Map(key, value) => {
            let size = input.read_map_begin()?.size;
            let entries = (0..size).map(|_| Ok((read(input, key)?, read(input, value)?)));
            Value::Map(by_key(entries.collect::<Result<_, ThriftException>>()?))
        }
    })
}

fn read_struct(
    input: &mut CheckedInput,
    schema: &'static StructSchema,
) -> Result<Value, ThriftException> {
    let mut fields = BTreeMap::new();
    input.read_struct_begin()?;
    loop {
        let head = input.read_field_begin()?;
        let Some(id) = head.id else {
            input.read_struct_end()?;
            return Ok(Value::Struct(fields));
        };
        let field = schema.fields.iter().find(|field| field.id == id);
        let field = field.unwrap_or_else(|| panic!("{} wrote field {id}", schema.name));
        assert_eq!(
            head.field_type,
            ttype(&field.kind),
            "{}.{}",
            schema.name,
            field.name
        );
        fields.insert(id, read(input, &field.kind)?);
    }
}
