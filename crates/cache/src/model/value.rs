//! What is stored under a key.

use std::sync::Arc;

use bytes::Bytes;
use plinth_core::{Error, Result};

/// Largest value, in bytes, before compression.
pub const VALUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 128;
/// The content type of a value that names none.
pub const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";
/// The content type of a counter that an increment created.
pub const CONTENT_TYPE_COUNTER: &str = "text/plain";

/// What a put stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A value.
    Value(Value),
    /// The knowledge that there is none: a negative entry. For conditions it counts as absent.
    KnownAbsent,
}

/// A value with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The bytes; at most [`VALUE_BYTES_MAX`]. They may be a slice of a whole request: a backend that keeps them copies
    /// them.
    pub bytes: Bytes,
    /// Their media type.
    pub content_type: ContentType,
    /// What the caller wants to remember beside them; Plinth does not read it.
    pub flags: u32,
    /// How the bytes are encoded. Callers see the plain ones only; backends keep the encoding beside the bytes.
    pub encoding: Encoding,
}

impl Value {
    /// Checks a caller's value. Errors: 1007 naming `value`, 1001 naming `content_type` or `flags`.
    pub fn parse(bytes: Bytes, content_type: Option<&str>, flags: Option<i64>) -> Result<Self> {
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(Error::too_large(
                "value",
                format!(
                    "has {} bytes, at most {VALUE_BYTES_MAX} are allowed",
                    bytes.len()
                ),
            ));
        }
        let flags = u32::try_from(flags.unwrap_or(0))
            .map_err(|_| Error::invalid("flags", format!("must lie in 0..={}", u32::MAX)))?;
        Ok(Self {
            bytes,
            content_type: ContentType::parse(content_type)?,
            flags,
            encoding: Encoding::Plain,
        })
    }
}

/// How stored bytes are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As the caller wrote them.
    #[default]
    Plain,
    /// One zstd frame (RFC 8878).
    Zstd,
}

/// A media type: 1 to [`CONTENT_TYPE_BYTES_MAX`] visible ASCII characters and spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContentType(Option<Arc<str>>);

impl serde::Serialize for ContentType {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl ContentType {
    /// Parses a media type; `None` is [`CONTENT_TYPE_DEFAULT`]. Errors: 1001 naming `content_type`.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else {
            return Ok(Self(None));
        };
        let good_length = (1..=CONTENT_TYPE_BYTES_MAX).contains(&text.len());
        if !good_length
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            return Err(Error::invalid(
                "content_type",
                format!("must be 1 to {CONTENT_TYPE_BYTES_MAX} visible ASCII characters"),
            ));
        }
        Ok(Self((text != CONTENT_TYPE_DEFAULT).then(|| text.into())))
    }

    /// The media type of counters.
    #[must_use]
    pub fn counter() -> Self {
        Self(Some(CONTENT_TYPE_COUNTER.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(CONTENT_TYPE_DEFAULT)
    }

    /// Whether it is [`CONTENT_TYPE_DEFAULT`], which needs no storing.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.0.is_none()
    }
}
