//! The levels of a walk: what a struct, list, set or map on the way remembers, and what the contract says of it.

use plinth_idl::contract::{FieldSchema, StructSchema, TypeSchema};

use crate::codec::wire::{Cursor, Read, WireProtocol, WireType};

/// A struct, list, set or map that is being walked.
pub(super) enum Level {
    Struct {
        schema: Option<&'static StructSchema>,
        /// Bit n: field n of the schema was seen.
        seen: u64,
        last_id: i16,
        field: Option<FieldAt>,
    },
    Elements {
        schema: Option<&'static TypeSchema>,
        wire: WireType,
        total: usize,
        left: usize,
    },
    Entries {
        schema: Option<(&'static TypeSchema, &'static TypeSchema)>,
        wire: (WireType, WireType),
        total: usize,
        left: usize,
        at_value: bool,
    },
}

/// The field of a struct that is being walked.
pub(super) struct FieldAt {
    pub(super) id: i16,
    pub(super) schema: Option<&'static FieldSchema>,
    pub(super) wire: WireType,
    /// Whether its value is still to be walked.
    pub(super) pending: bool,
}

impl Level {
    pub(super) const fn structure(schema: Option<&'static StructSchema>) -> Self {
        Self::Struct {
            schema,
            seen: 0,
            last_id: 0,
            field: None,
        }
    }
}

impl FieldAt {
    pub(super) fn kind(&self) -> Option<&'static TypeSchema> {
        self.schema.map(|schema| &schema.kind)
    }
}

/// What the head of a container says.
pub(super) struct Entered {
    pub(super) level: Level,
    /// How many bytes the head takes.
    pub(super) head: usize,
    /// How many elements or entries follow.
    pub(super) total: usize,
    /// Fewest bytes that they take.
    pub(super) bytes_min: usize,
    /// The type of the elements, where it is not the one of the contract.
    pub(super) disagrees: Option<&'static str>,
}

pub(super) fn enter(
    mut cursor: Cursor<'_>,
    wire: WireType,
    protocol: WireProtocol,
    schema: Option<&'static TypeSchema>,
) -> Read<Entered> {
    let (level, total, bytes_min, disagrees) = match wire {
        WireType::List | WireType::Set => {
            let element = match schema {
                Some(TypeSchema::List(element) | TypeSchema::Set(element)) => Some(*element),
                _ => None,
            };
            let (wire, total) = cursor.list()?.unwrap_or((WireType::Bool, 0));
            let good = element.filter(|element| total == 0 || accepts(element, wire));
            let level = Level::Elements {
                schema: good,
                wire,
                total,
                left: total,
            };
            let disagrees = (good.is_none() && element.is_some()).then_some(wire.name());
            (level, total, wire.bytes_min(protocol), disagrees)
        }
        WireType::Map => {
            let types = match schema {
                Some(TypeSchema::Map(key, value)) => Some((*key, *value)),
                _ => None,
            };
            let empty = (WireType::Bool, WireType::Bool, 0);
            let (key, value, total) = cursor.map()?.unwrap_or(empty);
            let good = types.filter(|(key_type, value_type)| {
                total == 0 || (accepts(key_type, key) && accepts(value_type, value))
            });
            let level = Level::Entries {
                schema: good,
                wire: (key, value),
                total,
                left: total,
                at_value: false,
            };
            let disagrees = (good.is_none() && types.is_some()).then_some("other types");
            let bytes_min = key.bytes_min(protocol) + value.bytes_min(protocol);
            (level, total, bytes_min, disagrees)
        }
        _ => {
            let schema = match schema {
                Some(TypeSchema::Struct(schema)) => Some(*schema),
                _ => None,
            };
            (Level::structure(schema), 0, 0, None)
        }
    };
    Ok(Entered {
        level,
        head: cursor.position(),
        total,
        bytes_min: total.saturating_mul(bytes_min),
        disagrees,
    })
}

/// Whether a value of this type on the wire is one of the contract's type.
pub(super) fn accepts(kind: &TypeSchema, wire: WireType) -> bool {
    matches!(
        (kind, wire),
        (TypeSchema::Bool, WireType::Bool | WireType::BoolIs(_))
            | (TypeSchema::I8, WireType::I8)
            | (TypeSchema::I16, WireType::I16)
            | (TypeSchema::I32, WireType::I32)
            | (TypeSchema::I64, WireType::I64)
            | (TypeSchema::Double, WireType::Double)
            | (TypeSchema::String | TypeSchema::Binary, WireType::Binary)
            | (TypeSchema::Struct(_), WireType::Struct)
            | (TypeSchema::List(_), WireType::List)
            | (TypeSchema::Set(_), WireType::Set)
            | (TypeSchema::Map(..), WireType::Map)
    )
}

/// The word for a type in messages to people, as the IDL writes it.
pub(super) fn word(kind: &TypeSchema) -> String {
    match kind {
        TypeSchema::Bool => "bool".into(),
        TypeSchema::I8 => "i8".into(),
        TypeSchema::I16 => "i16".into(),
        TypeSchema::I32 => "i32".into(),
        TypeSchema::I64 => "i64".into(),
        TypeSchema::Double => "double".into(),
        TypeSchema::String => "string".into(),
        TypeSchema::Binary => "binary".into(),
        TypeSchema::Struct(schema) => schema.name.into(),
        TypeSchema::List(element) => format!("list<{}>", word(element)),
        TypeSchema::Set(element) => format!("set<{}>", word(element)),
        TypeSchema::Map(key, value) => format!("map<{}, {}>", word(key), word(value)),
    }
}

/// What the generated code reserves for a container of the contract, in bytes. Hash tables are at most half empty.
pub(super) fn heap_bytes(schema: &TypeSchema, total: usize) -> usize {
    let slot = match schema {
        TypeSchema::List(element) => element.size_bytes(),
        TypeSchema::Set(element) => 2 * element.size_bytes(),
        TypeSchema::Map(key, value) => 2 * (key.size_bytes() + value.size_bytes()),
        // A struct that holds itself is boxed.
        TypeSchema::Struct(schema) => return schema.size_bytes,
        _ => 0,
    };
    total.saturating_mul(slot)
}

pub(super) fn bit(index: usize) -> u64 {
    u32::try_from(index)
        .ok()
        .and_then(|index| 1_u64.checked_shl(index))
        .unwrap_or(0)
}

pub(super) fn first_missing(schema: &StructSchema, seen: u64) -> Option<&'static str> {
    schema
        .fields
        .iter()
        .enumerate()
        .find(|(index, field)| field.required && seen & bit(*index) == 0)
        .map(|(_, field)| field.name)
}

pub(super) fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// Callers know the fields of the request, not the name of the method's one argument.
pub(super) fn strip_argument(path: String) -> String {
    path.strip_prefix("request.")
        .map(str::to_owned)
        .unwrap_or(path)
}
