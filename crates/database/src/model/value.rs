//! One SQL value, without loss over three engines.

use base64::Engine as _;
use plinth_core::{Error, Result, WideInt};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::calendar;

/// Most digits of a decimal.
pub const DECIMAL_DIGITS_MAX: usize = 1_000;

/// One SQL value: a parameter, or one cell of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ValueWire", into = "ValueWire")]
pub enum Value {
    /// NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A double-precision number.
    Float(f64),
    /// An exact decimal as text.
    Decimal(String),
    /// Text.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
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

impl Value {
    /// The word for its type in messages.
    #[must_use]
    pub const fn type_word(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Decimal(_) => "decimal",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::Timestamp(_) => "timestamp",
            Self::Json(_) => "json",
            Self::Uuid(_) => "uuid",
        }
    }

    /// Bytes that the value counts for in the limit of an answer: its content and 8 for its frame.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        8 + match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
            Self::Decimal(text)
            | Self::Text(text)
            | Self::Date(text)
            | Self::Time(text)
            | Self::Timestamp(text)
            | Self::Json(text)
            | Self::Uuid(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Checks a parameter's text against the grammar of its type. Errors: 1001 naming `field`.
    pub fn check(&self, field: &str) -> Result<()> {
        let (good, rule) = match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Bytes(_) => {
                return Ok(());
            }
            Self::Text(text) => (
                !text.contains('\0'),
                "must not hold a NUL character; send bytes",
            ),
            Self::Decimal(text) => (
                is_decimal(text),
                "must be a decimal of at most 1,000 digits: -12.340",
            ),
            Self::Date(text) => (
                calendar::parse_date(text).is_some(),
                "must be a date: 2026-11-23",
            ),
            Self::Time(text) => (
                calendar::parse_time(text).is_some(),
                "must be a time: 19:30:00.5",
            ),
            Self::Timestamp(text) => (
                calendar::parse_timestamp(text).is_some(),
                "must be a date and time: 2026-11-23T19:30:00.5Z, or without a zone",
            ),
            Self::Json(text) => (
                serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
                "must be a JSON document",
            ),
            Self::Uuid(text) => (
                parse_uuid(text).is_some(),
                "must be a UUID in its hyphenated form",
            ),
        };
        if good {
            Ok(())
        } else {
            Err(Error::invalid(field, rule))
        }
    }
}

fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= DECIMAL_DIGITS_MAX + 2 && all_digits(whole) && all_digits(fraction)
}

/// Parses the hyphenated form of a UUID.
pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let well_formed = text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23));
    if !well_formed {
        return None;
    }
    let hex: String = text.chars().filter(|letter| *letter != '-').collect();
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let pair = hex.get(at * 2..at * 2 + 2)?;
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

/// Formats a UUID in its hyphenated form.
pub(crate) fn format_uuid(bytes: [u8; 16]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// The JSON form of a value: an object with at most one field; `{}` is NULL.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DbValue)]
pub struct ValueWire {
    /// A truth value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bool_value: Option<bool>,
    /// A 64-bit integer as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub int_value: Option<WideInt>,
    /// A double-precision number; `NaN`, `Infinity` and `-Infinity` as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float_value: Option<FloatWire>,
    /// An exact decimal as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_value: Option<String>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_value: Option<String>,
    /// Raw bytes, standard base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_value_base64: Option<String>,
    /// `2026-11-23`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_value: Option<String>,
    /// `19:30:00.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_value: Option<String>,
    /// `2026-11-23T19:30:00.5Z`, or without a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_value: Option<String>,
    /// A JSON document as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_value: Option<String>,
    /// A UUID in its hyphenated form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid_value: Option<String>,
}

/// A double in JSON, which has no numbers that are not finite.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum FloatWire {
    /// A finite number.
    Number(f64),
    /// `NaN`, `Infinity` or `-Infinity`.
    Word(String),
}

impl TryFrom<ValueWire> for Value {
    type Error = Error;

    fn try_from(wire: ValueWire) -> Result<Self> {
        let float = wire.float_value.map(parse_float).transpose()?;
        let bytes = wire
            .bytes_value_base64
            .map(|text| {
                base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .map_err(|_| Error::invalid("bytes_value_base64", "must be standard base64"))
            })
            .transpose()?;
        let fields = [
            wire.bool_value.map(Self::Bool),
            wire.int_value.map(|wide| Self::Int(wide.0)),
            float.map(Self::Float),
            wire.decimal_value.map(Self::Decimal),
            wire.text_value.map(Self::Text),
            bytes.map(Self::Bytes),
            wire.date_value.map(Self::Date),
            wire.time_value.map(Self::Time),
            wire.timestamp_value.map(Self::Timestamp),
            wire.json_value.map(Self::Json),
            wire.uuid_value.map(Self::Uuid),
        ];
        Self::one_of(fields)
    }
}

impl Value {
    /// The one value that is set among the fields of a wire form; none is NULL. Errors: 1001 where several are set.
    pub fn one_of(fields: impl IntoIterator<Item = Option<Self>>) -> Result<Self> {
        let mut set = fields.into_iter().flatten();
        let value = set.next().unwrap_or(Self::Null);
        if set.next().is_some() {
            return Err(Error::invalid(
                "value",
                "holds more than one field; a value has one, NULL has none",
            ));
        }
        Ok(value)
    }
}

fn parse_float(wire: FloatWire) -> Result<f64> {
    match wire {
        FloatWire::Number(number) => Ok(number),
        FloatWire::Word(word) => match word.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(Error::invalid(
                "float_value",
                "must be a number, or NaN, Infinity or -Infinity as text",
            )),
        },
    }
}

impl From<Value> for ValueWire {
    fn from(value: Value) -> Self {
        let mut wire = Self::default();
        match value {
            Value::Null => {}
            Value::Bool(flag) => wire.bool_value = Some(flag),
            Value::Int(number) => wire.int_value = Some(WideInt(number)),
            Value::Float(number) => {
                wire.float_value = Some(if number.is_finite() {
                    FloatWire::Number(number)
                } else if number.is_nan() {
                    FloatWire::Word("NaN".to_owned())
                } else if number > 0.0 {
                    FloatWire::Word("Infinity".to_owned())
                } else {
                    FloatWire::Word("-Infinity".to_owned())
                });
            }
            Value::Decimal(text) => wire.decimal_value = Some(text),
            Value::Text(text) => wire.text_value = Some(text),
            Value::Bytes(bytes) => {
                wire.bytes_value_base64 =
                    Some(base64::engine::general_purpose::STANDARD.encode(bytes));
            }
            Value::Date(text) => wire.date_value = Some(text),
            Value::Time(text) => wire.time_value = Some(text),
            Value::Timestamp(text) => wire.timestamp_value = Some(text),
            Value::Json(text) => wire.json_value = Some(text),
            Value::Uuid(text) => wire.uuid_value = Some(text),
        }
        wire
    }
}

impl utoipa::PartialSchema for Value {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        ValueWire::schema()
    }
}

impl ToSchema for Value {
    fn name() -> std::borrow::Cow<'static, str> {
        "DbValue".into()
    }

    fn schemas(
        schemas: &mut Vec<(
            String,
            utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>,
        )>,
    ) {
        ValueWire::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_every_value_and_refuses_two_at_once() {
        let values = [
            Value::Null,
            Value::Bool(false),
            Value::Int(i64::MIN),
            Value::Float(0.1),
            Value::Float(f64::NEG_INFINITY),
            Value::Decimal("-12.3400".to_owned()),
            Value::Text("é\"".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Json("[1]".to_owned()),
            Value::Uuid("01935b6e-1c6f-7c4e-8f3a-0123456789ab".to_owned()),
        ];
        for value in values {
            let json = serde_json::to_string(&value).expect("serializes");
            let back: Value = serde_json::from_str(&json).expect("parses");
            assert_eq!(back, value, "{json}");
        }
        assert!(serde_json::from_str::<Value>(r#"{"bool_value":true,"int_value":"1"}"#).is_err());
        assert!(serde_json::from_str::<Value>(r#"{"integer":1}"#).is_err());
        assert_eq!(
            serde_json::from_str::<Value>("{}").expect("parses"),
            Value::Null
        );
    }

    #[test]
    fn grammars_are_checked() {
        let longest = "9".repeat(DECIMAL_DIGITS_MAX);
        for good in [
            Value::Decimal("0".to_owned()),
            Value::Decimal("-1.50".to_owned()),
            Value::Decimal(longest.clone()),
            Value::Date("2024-02-29".to_owned()),
            Value::Uuid("01935b6e-1c6f-7c4e-8f3a-0123456789AB".to_owned()),
        ] {
            assert!(good.check("params[0]").is_ok(), "{good:?}");
        }
        for bad in [
            Value::Decimal("1e5".to_owned()),
            Value::Decimal(String::new()),
            Value::Decimal(format!("{longest}999")),
            Value::Text("a\0b".to_owned()),
            Value::Date("2023-02-29".to_owned()),
            Value::Json("{".to_owned()),
            Value::Uuid("01935b6e1c6f7c4e8f3a0123456789ab".to_owned()),
        ] {
            let error = bad.check("params[0]").expect_err("is refused");
            assert_eq!(error.violations()[0].field, "params[0]");
        }
        let bytes = parse_uuid("01935b6e-1c6f-7c4e-8f3a-0123456789ab").expect("parses");
        assert_eq!(format_uuid(bytes), "01935b6e-1c6f-7c4e-8f3a-0123456789ab");
    }
}
