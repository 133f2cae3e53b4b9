//! Values to and from SQLite.

use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement, types};

use super::failure;
use crate::error::BackendError;
use crate::model::{Column, Value, calendar};

/// A column as it was declared.
pub(super) struct Declared {
    name: String,
    /// What its declared type means here; `NULL` where there is none, or SQLite gives it no meaning.
    word: &'static str,
}

pub(super) fn declared(statement: &Statement<'_>) -> Vec<Declared> {
    statement
        .columns()
        .iter()
        .map(|column| Declared {
            name: column.name().to_owned(),
            word: column.decl_type().map_or("NULL", word_of),
        })
        .collect()
}

/// The rules of SQLite's type affinity, and the words that have a value of their own.
fn word_of(declared: &str) -> &'static str {
    let declared = declared.to_ascii_lowercase();
    let holds = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    match declared.as_str() {
        "boolean" | "bool" => "BOOLEAN",
        "date" => "DATE",
        "time" => "TIME",
        "datetime" | "timestamp" => "DATETIME",
        _ if holds(&["int"]) => "INTEGER",
        _ if holds(&["char", "clob", "text"]) => "TEXT",
        _ if holds(&["blob"]) => "BLOB",
        _ if holds(&["real", "floa", "doub"]) => "REAL",
        _ => "NULL",
    }
}

pub(super) fn describe(declared: Vec<Declared>, rows: &[Vec<Value>]) -> Vec<Column> {
    declared
        .into_iter()
        .enumerate()
        .map(|(at, column)| {
            let type_name = if column.word == "NULL" {
                // The values say more.
                rows.iter()
                    .filter_map(|row| row.get(at))
                    .find(|value| **value != Value::Null)
                    .map_or("any", storage_word)
                    .to_owned()
            } else {
                column.word.to_ascii_lowercase()
            };
            Column {
                name: column.name,
                type_name,
            }
        })
        .collect()
}

const fn storage_word(value: &Value) -> &'static str {
    match value {
        Value::Int(_) | Value::Bool(_) => "integer",
        Value::Float(_) => "real",
        Value::Bytes(_) => "blob",
        _ => "text",
    }
}

pub(super) fn bind(param: &Value) -> types::Value {
    match param {
        Value::Null => types::Value::Null,
        Value::Bool(flag) => types::Value::Integer(i64::from(*flag)),
        Value::Int(number) => types::Value::Integer(*number),
        Value::Float(number) => types::Value::Real(*number),
        Value::Bytes(bytes) => types::Value::Blob(bytes.clone()),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::Json(text)
        | Value::Uuid(text) => types::Value::Text(text.clone()),
    }
}

/// Reads a row; one that alone is larger than the answer may be is not copied. Errors: that.
pub(super) fn read_row(
    row: &Row<'_>,
    declared: &[Declared],
    bytes_max: usize,
) -> Result<Vec<Value>, BackendError> {
    let mut values = Vec::with_capacity(declared.len());
    let mut bytes = 0_usize;
    for (at, column) in declared.iter().enumerate() {
        let value = row.get_ref(at).map_err(failure)?;
        if let ValueRef::Text(text) | ValueRef::Blob(text) = value {
            bytes = bytes.saturating_add(text.len());
            if bytes > bytes_max {
                return Err(BackendError::RowTooLarge { bytes_max });
            }
        }
        values.push(read(value, column.word));
    }
    Ok(values)
}

/// Reads by the storage class of the value. A declared type gives it a better one only where nothing is lost.
fn read(value: ValueRef<'_>, declared: &str) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => match (declared, number) {
            ("BOOLEAN", 0 | 1) => Value::Bool(number == 1),
            _ => Value::Int(number),
        },
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => refine(text.to_owned(), declared),
            // Text that is not UTF-8 is kept byte for byte.
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
    }
}

fn refine(text: String, declared: &str) -> Value {
    let canonical = |formatted: Option<String>| formatted.as_deref() == Some(text.as_str());
    match declared {
        "DATE" if canonical(calendar::parse_date(&text).map(calendar::format_date)) => {
            Value::Date(text)
        }
        "TIME" if canonical(calendar::parse_time(&text).map(calendar::format_time)) => {
            Value::Time(text)
        }
        "DATETIME"
            if canonical(
                calendar::parse_timestamp(&text)
                    .map(|(micros, zoned)| calendar::format_timestamp(micros, zoned)),
            ) =>
        {
            Value::Timestamp(text)
        }
        _ => Value::Text(text),
    }
}
