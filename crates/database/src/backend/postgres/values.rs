//! Values in PostgreSQL's binary format.

use sqlx::Type;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};

use super::numeric;
use crate::model::{Value, calendar, format_uuid, parse_uuid};

/// Object ids of the types that have a field in `Value` (pg_type.dat; they never change).
pub(super) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const BPCHAR: u32 = 1_042;
    pub(crate) const VARCHAR: u32 = 1_043;
    pub(crate) const DATE: u32 = 1_082;
    pub(crate) const TIME: u32 = 1_083;
    pub(crate) const TIMESTAMP: u32 = 1_114;
    pub(crate) const TIMESTAMPTZ: u32 = 1_184;
    pub(crate) const NUMERIC: u32 = 1_700;
    pub(crate) const VOID: u32 = 2_278;
    pub(crate) const UUID: u32 = 2_950;
    pub(crate) const JSONB: u32 = 3_802;
}

/// Days from 1970-01-01 to PostgreSQL's first day, 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS * calendar::MICROS_PER_DAY;

/// Whether values of a type are read as they are; others are cast to text by the server.
pub(super) const fn is_native(type_oid: u32) -> bool {
    use oid::{
        BOOL, BPCHAR, BYTEA, DATE, FLOAT4, FLOAT8, INT2, INT4, INT8, JSON, JSONB, NAME, NUMERIC,
        OID, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ, UNKNOWN, UUID, VARCHAR, VOID,
    };
    matches!(
        type_oid,
        BOOL | BYTEA
            | NAME
            | INT8
            | INT2
            | INT4
            | TEXT
            | OID
            | JSON
            | FLOAT4
            | FLOAT8
            | UNKNOWN
            | BPCHAR
            | VARCHAR
            | DATE
            | TIME
            | TIMESTAMP
            | TIMESTAMPTZ
            | NUMERIC
            | VOID
            | UUID
            | JSONB
    )
}

/// Reads one value that is not NULL. Errors: bytes that are not of the type.
pub(super) fn read(type_oid: u32, bytes: &[u8]) -> Result<Value, BoxDynError> {
    Ok(match type_oid {
        oid::BOOL => Value::Bool(bytes.first() == Some(&1)),
        oid::INT2 => Value::Int(i64::from(i16::from_be_bytes(fixed(bytes)?))),
        oid::INT4 => Value::Int(i64::from(i32::from_be_bytes(fixed(bytes)?))),
        oid::INT8 => Value::Int(i64::from_be_bytes(fixed(bytes)?)),
        oid::OID => Value::Int(i64::from(u32::from_be_bytes(fixed(bytes)?))),
        oid::FLOAT4 => Value::Float(f64::from(f32::from_be_bytes(fixed(bytes)?))),
        oid::FLOAT8 => Value::Float(f64::from_be_bytes(fixed(bytes)?)),
        oid::NUMERIC => Value::Decimal(numeric::read(bytes).ok_or("bad numeric")?),
        oid::BYTEA => Value::Bytes(bytes.to_vec()),
        oid::DATE => Value::Date(match i32::from_be_bytes(fixed(bytes)?) {
            i32::MAX => "infinity".to_owned(),
            i32::MIN => "-infinity".to_owned(),
            days => calendar::format_date(i64::from(days) + EPOCH_DAYS),
        }),
        oid::TIME => Value::Time(calendar::format_time(i64::from_be_bytes(fixed(bytes)?))),
        oid::TIMESTAMP => Value::Timestamp(timestamp(bytes, false)?),
        oid::TIMESTAMPTZ => Value::Timestamp(timestamp(bytes, true)?),
        oid::UUID => Value::Uuid(format_uuid(fixed(bytes)?)),
        oid::JSON => Value::Json(text(bytes)?),
        oid::JSONB => Value::Json(text(bytes.get(1..).unwrap_or_default())?),
        oid::VOID => Value::Null,
        _ => Value::Text(text(bytes)?),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BoxDynError> {
    Ok(bytes.try_into()?)
}

fn text(bytes: &[u8]) -> Result<String, BoxDynError> {
    Ok(std::str::from_utf8(bytes)?.to_owned())
}

fn timestamp(bytes: &[u8], zoned: bool) -> Result<String, BoxDynError> {
    Ok(match i64::from_be_bytes(fixed(bytes)?) {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        micros => calendar::format_timestamp(micros.saturating_add(EPOCH_MICROS), zoned),
    })
}

/// How a parameter is sent to a place of an inferred type.
pub(super) enum Fit {
    /// In the type's own binary format.
    Direct(Vec<u8>),
    /// As text that the server casts to the type.
    CastFromText,
    /// As its own natural type; the place does not take it.
    Natural,
    /// NULL fits everywhere.
    Null,
}

/// Finds how a value goes into a place. Errors: a number past the range of the place.
pub(super) fn fit(value: &Value, type_oid: u32) -> Result<Fit, String> {
    let direct = |bytes: &[u8]| Ok(Fit::Direct(bytes.to_vec()));
    match (value, type_oid) {
        (Value::Null, _) => Ok(Fit::Null),
        (Value::Bool(flag), oid::BOOL) => direct(&[u8::from(*flag)]),
        (Value::Int(number), oid::INT8) => direct(&number.to_be_bytes()),
        (Value::Int(number), oid::INT4) => {
            direct(&narrow::<i32>(*number, "integer")?.to_be_bytes())
        }
        (Value::Int(number), oid::INT2) => {
            direct(&narrow::<i16>(*number, "smallint")?.to_be_bytes())
        }
        (Value::Int(number), oid::OID) => direct(&narrow::<u32>(*number, "oid")?.to_be_bytes()),
        (Value::Int(number), oid::NUMERIC) => numeric_bytes(&number.to_string()),
        #[expect(
            clippy::cast_precision_loss,
            reason = "checked: the integer is exact as a double"
        )]
        (Value::Int(number), oid::FLOAT8) if number.unsigned_abs() <= 1 << 53 => {
            direct(&(*number as f64).to_be_bytes())
        }
        (Value::Float(number), oid::FLOAT8) => direct(&number.to_be_bytes()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the column holds single precision"
        )]
        (Value::Float(number), oid::FLOAT4) => direct(&(*number as f32).to_be_bytes()),
        (Value::Decimal(text), oid::NUMERIC) => numeric_bytes(text),
        (
            Value::Text(text),
            oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UNKNOWN | oid::JSON,
        )
        | (Value::Json(text), oid::JSON) => direct(text.as_bytes()),
        (Value::Json(text) | Value::Text(text), oid::JSONB) => {
            let mut bytes = vec![1];
            bytes.extend(text.as_bytes());
            Ok(Fit::Direct(bytes))
        }
        (Value::Bytes(bytes), oid::BYTEA) => direct(bytes),
        (Value::Uuid(text), oid::UUID) => {
            direct(&parse_uuid(text).ok_or_else(|| "must be a UUID".to_owned())?)
        }
        (Value::Date(text), oid::DATE) => {
            let days = calendar::parse_date(text).ok_or_else(|| "must be a date".to_owned())?;
            direct(&narrow::<i32>(days - EPOCH_DAYS, "date")?.to_be_bytes())
        }
        (Value::Time(text), oid::TIME) => match calendar::parse_time(text) {
            Some(micros) if (0..=calendar::MICROS_PER_DAY).contains(&micros) => {
                direct(&micros.to_be_bytes())
            }
            _ => Err("must be a time of day below 24:00:00".to_owned()),
        },
        (Value::Timestamp(text), oid::TIMESTAMP | oid::TIMESTAMPTZ) => {
            let (micros, _) = calendar::parse_timestamp(text)
                .ok_or_else(|| "must be a date and time".to_owned())?;
            direct(&(micros - EPOCH_MICROS).to_be_bytes())
        }
        // Enumerations, networks, intervals, arrays …: the server reads their text form. Nothing is cast out of its own
        // type behind the caller's back, so other combinations keep the value's type and the server judges.
        (Value::Text(_), _) => Ok(Fit::CastFromText),
        _ => Ok(Fit::Natural),
    }
}

fn narrow<N: TryFrom<i64>>(number: i64, word: &str) -> Result<N, String> {
    N::try_from(number).map_err(|_| format!("{number} is out of the range of {word}"))
}

fn numeric_bytes(text: &str) -> Result<Fit, String> {
    numeric::write(text)
        .map(Fit::Direct)
        .ok_or_else(|| "must be a decimal".to_owned())
}

/// The type that a value has by itself, as a cast, and its object id.
pub(super) const fn natural(value: &Value) -> (&'static str, u32) {
    match value {
        Value::Null | Value::Text(_) => ("text", oid::TEXT),
        Value::Bool(_) => ("boolean", oid::BOOL),
        Value::Int(_) => ("bigint", oid::INT8),
        Value::Float(_) => ("double precision", oid::FLOAT8),
        Value::Decimal(_) => ("numeric", oid::NUMERIC),
        Value::Bytes(_) => ("bytea", oid::BYTEA),
        Value::Date(_) => ("date", oid::DATE),
        Value::Time(_) => ("time", oid::TIME),
        Value::Timestamp(text) => {
            // Every zone ends in Z, z or ±hh:mm; a time without one ends in seconds.
            let zoned = matches!(
                text.as_bytes(),
                [.., b'Z' | b'z'] | [.., b'+' | b'-', _, _, b':', _, _]
            );
            if zoned {
                ("timestamptz", oid::TIMESTAMPTZ)
            } else {
                ("timestamp", oid::TIMESTAMP)
            }
        }
        Value::Json(_) => ("jsonb", oid::JSONB),
        Value::Uuid(_) => ("uuid", oid::UUID),
    }
}

/// A parameter in the binary format of the type that its place has.
pub(super) struct Param {
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) type_info: PgTypeInfo,
}

impl Type<Postgres> for Param {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Param {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.bytes {
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.type_info.clone())
    }

    fn size_hint(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::len)
    }
}
