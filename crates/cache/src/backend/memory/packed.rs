//! The bytes of one entry in one allocation: its numbers, its key and, up to [`INLINE_BYTES_MAX`], its value.
//!
//! ```text
//! version 8 │ created 6 │ expires 6 │ namespace 4 │ key length 2 │ type 1 │ bits 1 │ [flags 4] │ [type text 1+n] │ key │ [value]
//! ```
//! Numbers are little-endian; times are milliseconds of the monotonic clock in 48 bits, which last 8,900 years.

use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::model::{CONTENT_TYPE_COUNTER, ContentType, Encoding, Value};

/// Largest value that stands beside its key, in bytes. Copying it costs a reader less than sharing would cost memory.
pub(super) const INLINE_BYTES_MAX: usize = 4_096;

const VERSION: usize = 0;
const CREATED: usize = 8;
const EXPIRES: usize = 14;
const NAMESPACE: usize = 20;
const KEY_LENGTH: usize = 24;
const TYPE: usize = 26;
const BITS: usize = 27;
/// Bytes of the part that every entry has.
const HEAD: usize = 28;

/// The expiry of an entry that has none.
const NEVER: u64 = (1 << 48) - 1;

/// It is a negative entry.
const NEGATIVE: u8 = 1;
/// Its value is a zstd frame.
const ZSTD: u8 = 2;
/// It has flags.
const FLAGS: u8 = 4;

/// The type's text stands in the entry.
const TYPE_TEXT: u8 = u8::MAX;
/// Types that one byte stands for, by their place; the first is the default. Only in memory: the list may change.
static KNOWN_TYPES: LazyLock<Vec<ContentType>> = LazyLock::new(|| {
    let known = [
        CONTENT_TYPE_COUNTER,
        "application/json",
        "text/plain; charset=utf-8",
        "application/json; charset=utf-8",
        "application/x-protobuf",
        "application/protobuf",
        "application/msgpack",
        "application/cbor",
        "application/xml",
        "text/html",
        "text/html; charset=utf-8",
        "image/png",
        "image/jpeg",
        "image/webp",
    ];
    let known = known.into_iter().map(Some);
    std::iter::once(None)
        .chain(known)
        .filter_map(|text| ContentType::parse(text).ok())
        .collect()
});

/// The packed bytes.
#[derive(Default)]
pub(super) struct Packed(Box<[u8]>);

/// The numbers of an entry.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub(super) version: i64,
    pub(super) created_ms: u64,
    pub(super) expires_ms: Option<u64>,
    pub(super) namespace: u32,
}

impl Packed {
    /// Packs an entry. A value past [`INLINE_BYTES_MAX`] is kept elsewhere; `None` is a negative entry.
    pub(super) fn new(numbers: Numbers, key: &[u8], value: Option<&Value>) -> Self {
        let kind = value.map_or(0, |value| code(&value.content_type));
        let text = match (kind, value) {
            (TYPE_TEXT, Some(value)) => value.content_type.as_str().as_bytes(),
            _ => &[],
        };
        let flags = value.map_or(0, |value| value.flags);
        let inline = value
            .map(|value| &value.bytes[..])
            .filter(|bytes| bytes.len() <= INLINE_BYTES_MAX)
            .unwrap_or_default();
        let encoded = value.is_some_and(|value| value.encoding == Encoding::Zstd);
        let bits = [
            (value.is_none(), NEGATIVE),
            (encoded, ZSTD),
            (flags != 0, FLAGS),
        ];
        let bits = bits
            .into_iter()
            .filter(|(set, _)| *set)
            .fold(0, |bits, (_, bit)| bits | bit);
        // Exactly: an allocation that is made larger and shrunk afterwards keeps its size.
        let flags_len = if flags == 0 { 0 } else { 4 };
        let text_len = if kind == TYPE_TEXT { 1 + text.len() } else { 0 };
        let mut bytes = Vec::with_capacity(HEAD + flags_len + text_len + key.len() + inline.len());
        bytes.extend_from_slice(&numbers.version.to_le_bytes());
        bytes.extend_from_slice(&time(Some(numbers.created_ms)));
        bytes.extend_from_slice(&time(numbers.expires_ms));
        bytes.extend_from_slice(&numbers.namespace.to_le_bytes());
        // Keys have 1 KiB at most, types 128 bytes.
        bytes.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&[kind, bits]);
        if flags != 0 {
            bytes.extend_from_slice(&flags.to_le_bytes());
        }
        if kind == TYPE_TEXT {
            bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(text);
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(inline);
        Self(bytes.into_boxed_slice())
    }

    fn at<const N: usize>(&self, from: usize) -> [u8; N] {
        let bytes = self.0.get(from..from + N);
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or([0; N])
    }

    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        if let Some(place) = self.0.get_mut(at..at + N) {
            place.copy_from_slice(&bytes);
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    pub(super) fn numbers(&self) -> Numbers {
        Numbers {
            version: self.version(),
            created_ms: self.created_ms(),
            expires_ms: self.expires_ms(),
            namespace: self.namespace(),
        }
    }

    pub(super) fn version(&self) -> i64 {
        i64::from_le_bytes(self.at(VERSION))
    }

    pub(super) fn set_version(&mut self, version: i64) {
        self.put(VERSION, version.to_le_bytes());
    }

    pub(super) fn created_ms(&self) -> u64 {
        instant(self.at(CREATED))
    }

    pub(super) fn expires_ms(&self) -> Option<u64> {
        Some(instant(self.at(EXPIRES))).filter(|at_ms| *at_ms != NEVER)
    }

    pub(super) fn set_expires_ms(&mut self, at_ms: Option<u64>) {
        self.put(EXPIRES, time(at_ms));
    }

    pub(super) fn namespace(&self) -> u32 {
        u32::from_le_bytes(self.at(NAMESPACE))
    }

    pub(super) fn is_negative(&self) -> bool {
        self.byte(BITS) & NEGATIVE != 0
    }

    pub(super) fn encoding(&self) -> Encoding {
        if self.byte(BITS) & ZSTD != 0 {
            Encoding::Zstd
        } else {
            Encoding::Plain
        }
    }

    fn flags_len(&self) -> usize {
        if self.byte(BITS) & FLAGS != 0 { 4 } else { 0 }
    }

    fn flags(&self) -> u32 {
        if self.flags_len() == 0 {
            return 0;
        }
        u32::from_le_bytes(self.at(HEAD))
    }

    /// Where the type's text stands; empty where one byte stands for it.
    fn type_text(&self) -> Range<usize> {
        let from = HEAD + self.flags_len();
        if self.byte(TYPE) == TYPE_TEXT {
            let from = from + 1;
            return from..from + usize::from(self.byte(from - 1));
        }
        from..from
    }

    fn content_type(&self) -> ContentType {
        let known = KNOWN_TYPES.get(usize::from(self.byte(TYPE)));
        let text = || std::str::from_utf8(self.0.get(self.type_text())?).ok();
        known
            .cloned()
            .or_else(|| ContentType::parse(text()).ok())
            .unwrap_or_default()
    }

    fn key_range(&self) -> Range<usize> {
        let from = self.type_text().end;
        from..from + usize::from(u16::from_le_bytes(self.at(KEY_LENGTH)))
    }

    pub(super) fn key(&self) -> &[u8] {
        self.0.get(self.key_range()).unwrap_or_default()
    }

    /// The value that stands here; empty for a negative entry, and where the value is kept elsewhere.
    pub(super) fn inline(&self) -> &[u8] {
        self.0.get(self.key_range().end..).unwrap_or_default()
    }

    /// All bytes but those of the value.
    pub(super) fn rest_len(&self) -> usize {
        self.key_range().end
    }

    /// The value, of which `large` are the bytes where they are kept elsewhere; those that stand here are handed to `copy`.
    /// `None` for a negative entry.
    pub(super) fn value(
        &self,
        large: Option<&Bytes>,
        copy: impl FnOnce(&[u8]) -> Bytes,
    ) -> Option<Value> {
        (!self.is_negative()).then(|| Value {
            bytes: large.map_or_else(|| copy(self.inline()), Bytes::clone),
            content_type: self.content_type(),
            flags: self.flags(),
            encoding: self.encoding(),
        })
    }
}

fn code(content_type: &ContentType) -> u8 {
    let place = KNOWN_TYPES.iter().position(|known| known == content_type);
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(TYPE_TEXT)
}

fn time(at_ms: Option<u64>) -> [u8; 6] {
    let at_ms = at_ms.map_or(NEVER, |at_ms| at_ms.min(NEVER - 1));
    let [a, b, c, d, e, f, _, _] = at_ms.to_le_bytes();
    [a, b, c, d, e, f]
}

fn instant(bytes: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = bytes;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_known_types_are_types_and_different() {
        assert_eq!(KNOWN_TYPES.len(), 15);
        for (place, known) in KNOWN_TYPES.iter().enumerate() {
            assert_eq!(usize::from(code(known)), place);
        }
    }

    fn values() -> impl Strategy<Value = Option<Value>> {
        let types = prop_oneof![
            Just(None),
            Just(Some("application/json".to_owned())),
            "[!-~]{1,128}".prop_map(Some),
        ];
        let lengths = prop_oneof![0..200_usize, INLINE_BYTES_MAX - 1..INLINE_BYTES_MAX + 2];
        let value = (types, lengths, any::<u32>(), any::<bool>()).prop_map(
            |(kind, length, flags, zstd)| {
                let flags = if flags % 2 == 0 { 0 } else { flags };
                Value {
                    bytes: Bytes::from(vec![7; length]),
                    content_type: ContentType::parse(kind.as_deref()).expect("a type"),
                    flags,
                    encoding: if zstd {
                        Encoding::Zstd
                    } else {
                        Encoding::Plain
                    },
                }
            },
        );
        proptest::option::weighted(0.9, value)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(
            key in ".{1,300}",
            value in values(),
            version in any::<i64>(),
            namespace in any::<u32>(),
            created_ms in 0..NEVER,
            expires_ms in proptest::option::of(0..NEVER),
        ) {
            let numbers = Numbers { version: 0, created_ms, expires_ms: None, namespace };
            let mut packed = Packed::new(numbers, key.as_bytes(), value.as_ref());
            packed.set_version(version);
            packed.set_expires_ms(expires_ms);
            prop_assert_eq!(packed.version(), version);
            prop_assert_eq!(packed.created_ms(), created_ms);
            prop_assert_eq!(packed.expires_ms(), expires_ms);
            prop_assert_eq!(packed.namespace(), namespace);
            prop_assert_eq!(packed.key(), key.as_bytes());
            let large = value
                .as_ref()
                .map(|value| value.bytes.clone())
                .filter(|bytes| bytes.len() > INLINE_BYTES_MAX);
            prop_assert_eq!(packed.inline().is_empty(), large.is_some() || value.as_ref().is_none_or(|value| value.bytes.is_empty()));
            prop_assert_eq!(packed.value(large.as_ref(), Bytes::copy_from_slice), value);
            prop_assert_eq!(packed.rest_len() + packed.inline().len(), packed.0.len());
        }
    }
}
