//! One SQL value, and its forms on both wires.

use base64::Engine as _;
use bytes::Bytes;
use faststr::FastStr;
use plinth_core::WideInt;
use plinth_idl::db as idl;
use serde::{Deserialize, Serialize};

/// One SQL value: a parameter, or one cell of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub enum DbValue {
    /// NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A double-precision number.
    Float(f64),
    /// An exact decimal as text: `-12.340`.
    Decimal(String),
    /// Text.
    Text(String),
    /// Raw bytes.
    Bytes(Bytes),
    /// `2026-11-23`.
    Date(String),
    /// `19:30:00.5`.
    Time(String),
    /// `2026-11-23T19:30:00.5Z`, or without a zone.
    Timestamp(String),
    /// A JSON document as text.
    Json(String),
    /// A UUID in its hyphenated form.
    Uuid(String),
}

impl DbValue {
    /// The text of a text-like value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Decimal(text)
            | Self::Text(text)
            | Self::Date(text)
            | Self::Time(text)
            | Self::Timestamp(text)
            | Self::Json(text)
            | Self::Uuid(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }
}

impl From<&str> for DbValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for DbValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for DbValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for DbValue {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl std::fmt::Display for DbValue {
    /// Writes the value for people: NULL as such, bytes as hexadecimal.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => formatter.write_str("NULL"),
            Self::Bool(flag) => write!(formatter, "{flag}"),
            Self::Int(number) => write!(formatter, "{number}"),
            Self::Float(number) => write!(formatter, "{number}"),
            Self::Bytes(bytes) => {
                formatter.write_str("0x")?;
                bytes
                    .iter()
                    .try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
            other => formatter.write_str(other.as_text().unwrap_or_default()),
        }
    }
}

/// The JSON form: an object with at most one field; `{}` is NULL.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    bool_value: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    int_value: Option<WideInt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    float_value: Option<Float>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimal_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid_value: Option<String>,
}

/// A double in JSON, which has no numbers that are not finite.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Float {
    Number(f64),
    Word(String),
}

impl From<f64> for Float {
    fn from(number: f64) -> Self {
        if number.is_finite() {
            Self::Number(number)
        } else if number.is_nan() {
            Self::Word("NaN".to_owned())
        } else if number > 0.0 {
            Self::Word("Infinity".to_owned())
        } else {
            Self::Word("-Infinity".to_owned())
        }
    }
}

impl TryFrom<Float> for f64 {
    type Error = String;

    fn try_from(float: Float) -> Result<Self, String> {
        match float {
            Float::Number(number) => Ok(number),
            Float::Word(word) => match word.as_str() {
                "NaN" => Ok(Self::NAN),
                "Infinity" => Ok(Self::INFINITY),
                "-Infinity" => Ok(Self::NEG_INFINITY),
                _ => Err(format!("`{word}` is no number")),
            },
        }
    }
}

impl TryFrom<Wire> for DbValue {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        let float = wire.float_value.map(f64::try_from).transpose()?;
        let bytes = wire
            .bytes_value_base64
            .map(|text| base64::engine::general_purpose::STANDARD.decode(text))
            .transpose()
            .map_err(|error| error.to_string())?;
        let set = [
            wire.bool_value.map(Self::Bool),
            wire.int_value.map(|wide| Self::Int(wide.0)),
            float.map(Self::Float),
            wire.decimal_value.map(Self::Decimal),
            wire.text_value.map(Self::Text),
            bytes.map(|bytes| Self::Bytes(bytes.into())),
            wire.date_value.map(Self::Date),
            wire.time_value.map(Self::Time),
            wire.timestamp_value.map(Self::Timestamp),
            wire.json_value.map(Self::Json),
            wire.uuid_value.map(Self::Uuid),
        ];
        Ok(set.into_iter().flatten().next().unwrap_or(Self::Null))
    }
}

impl From<DbValue> for Wire {
    fn from(value: DbValue) -> Self {
        let mut wire = Self::default();
        match value {
            DbValue::Null => {}
            DbValue::Bool(flag) => wire.bool_value = Some(flag),
            DbValue::Int(number) => wire.int_value = Some(WideInt(number)),
            DbValue::Float(number) => wire.float_value = Some(number.into()),
            DbValue::Decimal(text) => wire.decimal_value = Some(text),
            DbValue::Text(text) => wire.text_value = Some(text),
            DbValue::Bytes(bytes) => {
                wire.bytes_value_base64 =
                    Some(base64::engine::general_purpose::STANDARD.encode(bytes));
            }
            DbValue::Date(text) => wire.date_value = Some(text),
            DbValue::Time(text) => wire.time_value = Some(text),
            DbValue::Timestamp(text) => wire.timestamp_value = Some(text),
            DbValue::Json(text) => wire.json_value = Some(text),
            DbValue::Uuid(text) => wire.uuid_value = Some(text),
        }
        wire
    }
}

impl From<&DbValue> for idl::DbValue {
    fn from(value: &DbValue) -> Self {
        let mut cell = Self::default();
        let text = |text: &String| Some(FastStr::new(text));
        match value {
            DbValue::Null => {}
            DbValue::Bool(flag) => cell.bool_value = Some(*flag),
            DbValue::Int(number) => cell.int_value = Some(*number),
            DbValue::Float(number) => cell.float_value = Some(*number),
            DbValue::Decimal(value) => cell.decimal_value = text(value),
            DbValue::Text(value) => cell.text_value = text(value),
            DbValue::Bytes(bytes) => cell.bytes_value = Some(bytes.clone()),
            DbValue::Date(value) => cell.date_value = text(value),
            DbValue::Time(value) => cell.time_value = text(value),
            DbValue::Timestamp(value) => cell.timestamp_value = text(value),
            DbValue::Json(value) => cell.json_value = text(value),
            DbValue::Uuid(value) => cell.uuid_value = text(value),
        }
        cell
    }
}

impl From<idl::DbValue> for DbValue {
    fn from(cell: idl::DbValue) -> Self {
        let text = |value: Option<FastStr>, make: fn(String) -> Self| {
            value.map(|text| make(text.to_string()))
        };
        let set = [
            cell.bool_value.map(Self::Bool),
            cell.int_value.map(Self::Int),
            cell.float_value.map(Self::Float),
            text(cell.decimal_value, Self::Decimal),
            text(cell.text_value, Self::Text),
            cell.bytes_value
                .map(|bytes| Self::Bytes(Bytes::copy_from_slice(&bytes))),
            text(cell.date_value, Self::Date),
            text(cell.time_value, Self::Time),
            text(cell.timestamp_value, Self::Timestamp),
            text(cell.json_value, Self::Json),
            text(cell.uuid_value, Self::Uuid),
        ];
        set.into_iter().flatten().next().unwrap_or(Self::Null)
    }
}
