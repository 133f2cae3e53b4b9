//! Values in MariaDB's binary protocol.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::mysql::{MySql, MySqlRow, MySqlTypeInfo, MySqlValueRef};
use sqlx::{Decode, Row as _, Type, TypeInfo as _, ValueRef as _};

use crate::model::{Value, calendar};

/// A parameter, encoded with the type that keeps it exact.
pub(super) enum Param<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Sent as DECIMAL: compared as a string, it would become a double.
    Decimal(&'a str),
    Text(&'a str),
    Bytes(&'a [u8]),
    Date(Vec<u8>),
    Time(Vec<u8>),
    Datetime(Vec<u8>),
}

impl<'a> Param<'a> {
    /// Takes a checked value. Errors: what MariaDB cannot hold.
    pub(super) fn of(value: &'a Value) -> Result<Self, &'static str> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Int(number) => Self::Int(*number),
            Value::Float(number) if number.is_finite() => Self::Float(*number),
            Value::Float(_) => return Err("MariaDB has no NaN and no infinity"),
            Value::Decimal(text) => Self::Decimal(text),
            Value::Text(text) | Value::Json(text) | Value::Uuid(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Date(text) => {
                let days = calendar::parse_date(text).ok_or("must be a date")?;
                let mut bytes = vec![4];
                push_date(&mut bytes, days);
                Self::Date(bytes)
            }
            Value::Time(text) => Self::Time(time_bytes(
                calendar::parse_time(text).ok_or("must be a time")?,
            )),
            Value::Timestamp(text) => {
                let (micros, _) =
                    calendar::parse_timestamp(text).ok_or("must be a date and time")?;
                let mut bytes = vec![11];
                push_date(&mut bytes, micros.div_euclid(calendar::MICROS_PER_DAY));
                push_clock(&mut bytes, micros.rem_euclid(calendar::MICROS_PER_DAY));
                Self::Datetime(bytes)
            }
        })
    }
}

fn byte(number: i64) -> u8 {
    u8::try_from(number).unwrap_or(0)
}

fn push_date(bytes: &mut Vec<u8>, days: i64) {
    let (year, month, day) = calendar::civil_from_days(days);
    bytes.extend(u16::try_from(year).unwrap_or(0).to_le_bytes());
    bytes.extend([byte(month), byte(day)]);
}

fn push_clock(bytes: &mut Vec<u8>, micros_of_day: i64) {
    let seconds = micros_of_day / calendar::MICROS_PER_SECOND;
    let micros = micros_of_day % calendar::MICROS_PER_SECOND;
    bytes.extend([
        byte(seconds / 3_600),
        byte(seconds / 60 % 60),
        byte(seconds % 60),
    ]);
    bytes.extend(u32::try_from(micros).unwrap_or(0).to_le_bytes());
}

fn time_bytes(micros: i64) -> Vec<u8> {
    let magnitude = i64::try_from(micros.unsigned_abs()).unwrap_or(0);
    let days = magnitude / calendar::MICROS_PER_DAY;
    let mut bytes = vec![12, u8::from(micros < 0)];
    bytes.extend(u32::try_from(days).unwrap_or(0).to_le_bytes());
    push_clock(&mut bytes, magnitude % calendar::MICROS_PER_DAY);
    bytes
}

impl Type<MySql> for Param<'_> {
    fn type_info() -> MySqlTypeInfo {
        <str as Type<MySql>>::type_info()
    }
}

impl<'q> Encode<'q, MySql> for Param<'_> {
    fn encode_by_ref(&self, buffer: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Bool(flag) => return <bool as Encode<MySql>>::encode_by_ref(flag, buffer),
            Self::Int(number) => return <i64 as Encode<MySql>>::encode_by_ref(number, buffer),
            Self::Float(number) => return <f64 as Encode<MySql>>::encode_by_ref(number, buffer),
            Self::Decimal(text) | Self::Text(text) => {
                return <&str as Encode<MySql>>::encode_by_ref(text, buffer);
            }
            Self::Bytes(bytes) => return <&[u8] as Encode<MySql>>::encode_by_ref(bytes, buffer),
            Self::Date(bytes) | Self::Time(bytes) | Self::Datetime(bytes) => buffer.extend(bytes),
        }
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<MySqlTypeInfo> {
        Some(match self {
            Self::Null | Self::Text(_) => <str as Type<MySql>>::type_info(),
            Self::Bool(_) => <bool as Type<MySql>>::type_info(),
            Self::Int(_) => <i64 as Type<MySql>>::type_info(),
            Self::Float(_) => <f64 as Type<MySql>>::type_info(),
            Self::Decimal(_) => <sqlx::types::Decimal as Type<MySql>>::type_info(),
            Self::Bytes(_) => <[u8] as Type<MySql>>::type_info(),
            Self::Date(_) => <sqlx::types::time::Date as Type<MySql>>::type_info(),
            Self::Time(_) => <sqlx::types::time::Time as Type<MySql>>::type_info(),
            Self::Datetime(_) => <sqlx::types::time::PrimitiveDateTime as Type<MySql>>::type_info(),
        })
    }
}

/// Reads a row without loss.
pub(super) fn read_row(row: &MySqlRow) -> Result<Vec<Value>, sqlx::Error> {
    (0..row.len())
        .map(|at| read(row.try_get_raw(at)?).map_err(sqlx::Error::Decode))
        .collect()
}

fn read(raw: MySqlValueRef<'_>) -> Result<Value, BoxDynError> {
    let name = raw.type_info().name().to_owned();
    // `is_null` is also true of the zero date, which is a value.
    let Ok(bytes) = <&[u8] as Decode<MySql>>::decode(raw.clone()) else {
        return Ok(Value::Null);
    };
    Ok(match name.as_str() {
        "BOOLEAN" => match <i64 as Decode<MySql>>::decode(raw)? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            number => Value::Int(number),
        },
        "YEAR" => Value::Int(little_endian(bytes)),
        "BIT" => {
            let bits = bytes
                .iter()
                .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            unsigned(bits)
        }
        "FLOAT" | "DOUBLE" => Value::Float(<f64 as Decode<MySql>>::decode(raw)?),
        "DECIMAL" => Value::Decimal(text(bytes)?),
        "DATE" => Value::Date(date(bytes)),
        "TIME" => Value::Time(time(bytes)),
        "DATETIME" => Value::Timestamp(datetime(bytes, "")),
        "TIMESTAMP" => Value::Timestamp(datetime(bytes, "Z")),
        "JSON" => Value::Json(text(bytes)?),
        "GEOMETRY" => Value::Bytes(bytes.to_vec()),
        _ if is_binary(&name) && !is_text(&raw.type_info()) => Value::Bytes(bytes.to_vec()),
        integer if integer.ends_with("UNSIGNED") => unsigned(<u64 as Decode<MySql>>::decode(raw)?),
        integer if integer.ends_with("INT") => Value::Int(<i64 as Decode<MySql>>::decode(raw)?),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
    })
}

fn is_binary(name: &str) -> bool {
    matches!(
        name,
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB"
    )
}

/// Text of a `_bin` collation carries the flag of bytes; only the collation `binary` means them.
fn is_text(type_info: &MySqlTypeInfo) -> bool {
    <str as Type<MySql>>::compatible(type_info)
}

/// The engine's word for a type, lower case.
pub(super) fn type_word(type_info: &MySqlTypeInfo) -> String {
    let name = type_info.name();
    let word = match name {
        _ if !is_text(type_info) => name,
        "BINARY" => "CHAR",
        "VARBINARY" => "VARCHAR",
        "TINYBLOB" => "TINYTEXT",
        "BLOB" => "TEXT",
        "MEDIUMBLOB" => "MEDIUMTEXT",
        "LONGBLOB" => "LONGTEXT",
        _ => name,
    };
    word.to_ascii_lowercase()
}

fn unsigned(number: u64) -> Value {
    i64::try_from(number).map_or_else(|_| Value::Decimal(number.to_string()), Value::Int)
}

fn text(bytes: &[u8]) -> Result<String, BoxDynError> {
    Ok(std::str::from_utf8(bytes)?.to_owned())
}

fn little_endian(bytes: &[u8]) -> i64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | i64::from(*byte))
}

fn part(bytes: &[u8], from: usize, length: usize) -> i64 {
    bytes.get(from..from + length).map_or(0, little_endian)
}

/// The first byte is the length of the rest: 0 or 4.
fn date(bytes: &[u8]) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        part(bytes, 1, 2),
        part(bytes, 3, 1),
        part(bytes, 4, 1)
    )
}

/// The first byte is the length of the rest: 0, 4, 7 or 11.
fn datetime(bytes: &[u8], zone: &str) -> String {
    let clock = ((part(bytes, 5, 1) * 60 + part(bytes, 6, 1)) * 60 + part(bytes, 7, 1))
        * calendar::MICROS_PER_SECOND
        + part(bytes, 8, 4);
    format!("{}T{}{zone}", date(bytes), calendar::format_time(clock))
}

/// The first byte is the length of the rest: 0, 8 or 12.
fn time(bytes: &[u8]) -> String {
    let days = part(bytes, 2, 4);
    let seconds = (part(bytes, 6, 1) * 60 + part(bytes, 7, 1)) * 60 + part(bytes, 8, 1);
    let micros =
        days * calendar::MICROS_PER_DAY + seconds * calendar::MICROS_PER_SECOND + part(bytes, 9, 4);
    calendar::format_time(if part(bytes, 1, 1) == 1 {
        -micros
    } else {
        micros
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms_of_dates_and_times_invert() {
        let Ok(Param::Date(bytes)) = Param::of(&Value::Date("2026-11-23".to_owned())) else {
            panic!("is a date");
        };
        assert_eq!(date(&bytes), "2026-11-23");
        for text in ["-838:59:59", "00:00:00.000001", "25:00:00"] {
            let value = Value::Time(text.to_owned());
            let Ok(Param::Time(bytes)) = Param::of(&value) else {
                panic!("is a time");
            };
            assert_eq!(time(&bytes), text);
        }
        let value = Value::Timestamp("2026-11-23T19:30:00.5+08:00".to_owned());
        let Ok(Param::Datetime(bytes)) = Param::of(&value) else {
            panic!("is a date and time");
        };
        assert_eq!(datetime(&bytes, "Z"), "2026-11-23T11:30:00.5Z");
        assert_eq!(date(&[0]), "0000-00-00");
    }
}
