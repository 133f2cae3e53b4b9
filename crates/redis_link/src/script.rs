//! Scripts: one step each, known to the server by their hash.

use redis::{Cmd, Value};

use crate::error::LinkError;

/// Leads every script: a server that is full, read-only or cannot save refuses it whole, before its first write.
const SHEBANG: &str = "#!lua";

/// A script in Lua.
#[derive(Clone, Debug)]
pub struct Script {
    code: String,
    hash: String,
}

impl Script {
    /// Joins the parts of a script, which are several where scripts share some; the line `#!lua` is put before them.
    #[must_use]
    pub fn new(parts: &[&str]) -> Self {
        Self::led_by(SHEBANG, parts)
    }

    /// The same for a script that writes nothing: a server that takes no writes runs it too.
    #[must_use]
    pub fn reading(parts: &[&str]) -> Self {
        Self::led_by(&format!("{SHEBANG} flags=no-writes"), parts)
    }

    /// The same for a script that a server runs although its memory is full: what it writes is small, or frees more.
    #[must_use]
    pub fn frugal(parts: &[&str]) -> Self {
        Self::led_by(&format!("{SHEBANG} flags=allow-oom"), parts)
    }

    fn led_by(first_line: &str, parts: &[&str]) -> Self {
        let code = format!("{first_line}\n{}", parts.join("\n"));
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }

    /// The command that runs it by its hash.
    pub(crate) fn by_hash(&self, run_id: &str, keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
        command("EVALSHA", &self.hash, run_id, keys, args)
    }

    /// The command that runs it by its text, after which the server knows its hash.
    pub(crate) fn by_text(&self, run_id: &str, keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
        command("EVAL", &self.code, run_id, keys, args)
    }
}

fn command(name: &str, script: &str, run_id: &str, keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(*key);
    }
    command.arg(run_id);
    for argument in args {
        command.arg(*argument);
    }
    command
}

/// Takes the answer of a script or a command apart.
pub struct Answer(std::vec::IntoIter<Value>);

impl Answer {
    /// Of an array. Errors: it is none.
    pub fn of(value: Value) -> Result<Self, LinkError> {
        match value {
            Value::Array(values) => Ok(Self(values.into_iter())),
            other => Err(unexpected(&other)),
        }
    }

    /// The next value.
    pub fn value(&mut self) -> Result<Value, LinkError> {
        self.0.next().ok_or_else(|| LinkError::Unexpected {
            text: "it ends too early".to_owned(),
        })
    }

    /// The next value, as bytes; `None` for nil.
    pub fn bytes(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        bytes_of(self.value()?)
    }

    /// The next value, as text; nil is empty.
    pub fn text(&mut self) -> Result<String, LinkError> {
        let bytes = self.bytes()?.unwrap_or_default();
        String::from_utf8(bytes).map_err(|_| LinkError::Unexpected {
            text: "no UTF-8".to_owned(),
        })
    }

    /// The next value, as a 64-bit integer: an integer of the protocol or its decimal text.
    pub fn integer(&mut self) -> Result<i64, LinkError> {
        integer_of(self.value()?)
    }

    /// The next value, as an array.
    pub fn array(&mut self) -> Result<Self, LinkError> {
        Self::of(self.value()?)
    }

    /// How many values are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

/// Bytes of an answer; `None` for nil.
pub(crate) fn bytes_of(value: Value) -> Result<Option<Vec<u8>>, LinkError> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) => Ok(Some(text.into_bytes())),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
        Value::Okay => Ok(Some(b"OK".to_vec())),
        other => Err(unexpected(&other)),
    }
}

/// An integer of an answer.
pub(crate) fn integer_of(value: Value) -> Result<i64, LinkError> {
    if let Value::Int(number) = value {
        return Ok(number);
    }
    let bytes = bytes_of(value)?.unwrap_or_default();
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    text.parse().map_err(|_| LinkError::Unexpected {
        text: "no integer".to_owned(),
    })
}

/// Names the kind of an answer, not its content, which may be a caller's.
fn unexpected(value: &Value) -> LinkError {
    let kind = match value {
        Value::Nil => "nil",
        Value::Array(_) | Value::Set(_) => "an array",
        Value::Map(_) => "a map",
        Value::Int(_) => "an integer",
        _ => "something else",
    };
    LinkError::Unexpected {
        text: kind.to_owned(),
    }
}
