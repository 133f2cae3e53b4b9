//! An entry as it is stored: a head of text, then the value.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | format: `1` |
//! | 19 | version |
//! | 14 each | expires, end that no read moves, idle, created, stale from; milliseconds, 0 is none |
//! | 10 | flags |
//! | 1, 1 | `v` value or `n` known absence; `p` plain or `z` zstd |
//! | 3, 2, 5 | length of the content type, number of tags, length of the head |
//! | … | content type; for each tag its length (3) and text |

use bytes::Bytes;
use plinth_redis_link::LinkError;

use super::fault::unread;
use crate::error::CacheError;
use crate::model::{
    CONTENT_TYPE_BYTES_MAX, Content, ContentType, Encoding, Expiring, Found, KnownAbsent, Read,
    TAG_BYTES_MAX, TAGS_MAX, Tag, Tags, Value,
};

/// Bytes of the fields that every head has.
const FIXED_BYTES: usize = 112;
/// Most bytes of a head.
pub(super) const HEAD_BYTES_MAX: usize =
    FIXED_BYTES + CONTENT_TYPE_BYTES_MAX + TAGS_MAX * (3 + TAG_BYTES_MAX);

/// The six fields of a new entry's head that its caller decides.
pub(super) struct HeadFields {
    pub(super) flags: String,
    pub(super) kind: &'static str,
    pub(super) encoding: &'static str,
    pub(super) content_type_len: String,
    pub(super) tags: String,
    pub(super) tail: String,
}

impl HeadFields {
    pub(super) fn of(content: &Content, tags: &Tags) -> Self {
        match content {
            Content::Value(value) => Self::new("v", value, tags),
            Content::KnownAbsent => Self {
                kind: "n",
                ..Self::new("n", &empty(), tags)
            },
        }
    }

    /// Of a plain value that a counter or an append creates.
    pub(super) fn created(content_type: ContentType) -> Self {
        let value = Value {
            content_type,
            ..empty()
        };
        Self::new("v", &value, &Tags::default())
    }

    fn new(kind: &'static str, value: &Value, tags: &Tags) -> Self {
        let content_type = match value.content_type.is_default() {
            true => "",
            false => value.content_type.as_str(),
        };
        let mut tail = content_type.to_owned();
        for tag in tags.as_slice() {
            tail.push_str(&format!("{:03}{}", tag.as_str().len(), tag.as_str()));
        }
        Self {
            flags: format!("{:010}", value.flags),
            kind,
            encoding: match value.encoding {
                Encoding::Plain => "p",
                Encoding::Zstd => "z",
            },
            content_type_len: format!("{:03}", content_type.len()),
            tags: format!("{:02}", tags.as_slice().len()),
            tail,
        }
    }

    pub(super) fn args(&self) -> [&[u8]; 6] {
        [
            self.flags.as_bytes(),
            self.kind.as_bytes(),
            self.encoding.as_bytes(),
            self.content_type_len.as_bytes(),
            self.tags.as_bytes(),
            self.tail.as_bytes(),
        ]
    }
}

fn empty() -> Value {
    Value {
        bytes: Bytes::new(),
        content_type: ContentType::default(),
        flags: 0,
        encoding: Encoding::Plain,
    }
}

/// A stored entry, read.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) version: i64,
    expires_ms: i64,
    idle_ms: i64,
    created_ms: i64,
    stale_ms: i64,
    tags: Tags,
    value: Option<Value>,
}

impl Stored {
    /// Reads an entry. Errors: it is none that this release wrote.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, CacheError> {
        parse(Bytes::from(bytes)).ok_or_else(|| {
            unread(LinkError::Unexpected {
                text: "an entry that this release cannot read".to_owned(),
            })
        })
    }

    /// Whether it is gone at a time, or was cleared.
    pub(super) const fn is_over(&self, now_ms: i64, cleared: i64) -> bool {
        self.version <= cleared || (self.expires_ms > 0 && self.expires_ms <= now_ms)
    }

    /// Whether only a script can judge it: it has tags, or a read moves its end.
    pub(super) const fn needs_script(&self) -> bool {
        self.idle_ms > 0 || !self.tags.is_empty()
    }

    /// Whether a read moves its end.
    pub(super) const fn slides(&self) -> bool {
        self.idle_ms > 0
    }

    /// Whether it is certainly neither gone nor stale before a time.
    pub(super) const fn is_fresh_at(&self, now_ms: i64) -> bool {
        self.is_there_at(now_ms) && (self.stale_ms == 0 || now_ms < self.stale_ms)
    }

    /// Whether it is certainly not gone before a time.
    pub(super) const fn is_there_at(&self, now_ms: i64) -> bool {
        self.expires_ms == 0 || now_ms < self.expires_ms
    }

    /// Its tags.
    pub(super) fn tags(&self) -> &[Tag] {
        self.tags.as_slice()
    }

    /// Bytes of its value as it is stored; 0 where it is known that there is none.
    pub(super) fn value_bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.bytes.len())
    }

    /// What a caller is told at a time.
    pub(super) fn read(self, now_ms: i64) -> Read {
        let left = |until: i64| u64::try_from(until.saturating_sub(now_ms)).unwrap_or(0);
        let ttl_ms = (self.expires_ms > 0).then(|| left(self.expires_ms));
        let Some(value) = self.value else {
            return Read::KnownAbsent(KnownAbsent { ttl_ms });
        };
        Read::Found(Found {
            value,
            version: self.version,
            ttl_ms,
            fresh_ms: (self.stale_ms > 0).then(|| left(self.stale_ms)),
            age_ms: u64::try_from(now_ms.saturating_sub(self.created_ms)).unwrap_or(0),
            expiring: if self.idle_ms > 0 {
                Expiring::Sliding
            } else {
                Expiring::Fixed
            },
            tags: self.tags,
        })
    }
}

fn parse(bytes: Bytes) -> Option<Stored> {
    let head = std::str::from_utf8(bytes.get(..FIXED_BYTES)?).ok()?;
    let field = |from: usize, len: usize| head.get(from..from + len);
    if field(0, 1)? != "1" {
        return None;
    }
    let number = |from| field(from, 14)?.parse().ok();
    let content_type_len: usize = field(102, 3)?.parse().ok()?;
    let tag_count: usize = field(105, 2)?.parse().ok()?;
    let head_len: usize = field(107, 5)?.parse().ok()?;
    let tail = std::str::from_utf8(bytes.get(FIXED_BYTES..head_len)?).ok()?;
    let (content_type, mut rest) = tail.split_at_checked(content_type_len)?;
    let mut tags = Vec::with_capacity(tag_count);
    for _ in 0..tag_count {
        let (len, after) = rest.split_at_checked(3)?;
        let (tag, after) = after.split_at_checked(len.parse().ok()?)?;
        tags.push(tag);
        rest = after;
    }
    let value = (field(100, 1)? == "v").then(|| {
        Some(Value {
            bytes: bytes.slice(head_len..),
            content_type: ContentType::parse((content_type_len > 0).then_some(content_type))
                .ok()?,
            flags: field(90, 10)?.parse().ok()?,
            encoding: match field(101, 1)? {
                "p" => Encoding::Plain,
                "z" => Encoding::Zstd,
                _ => return None,
            },
        })
    });
    Some(Stored {
        version: field(1, 19)?.parse().ok()?,
        expires_ms: number(20)?,
        idle_ms: number(48)?,
        created_ms: number(62)?,
        stale_ms: number(76)?,
        tags: Tags::parse(&tags).ok()?,
        value: match value {
            Some(value) => Some(value?),
            None => None,
        },
    })
}

#[cfg(test)]
impl Stored {
    /// An entry of a version with tags that lasts.
    pub(super) fn of_tests(version: i64, tags: &[&str]) -> Self {
        Self {
            version,
            expires_ms: 0,
            idle_ms: 0,
            created_ms: 0,
            stale_ms: 0,
            tags: Tags::parse(tags).unwrap_or_default(),
            value: Some(empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(tail: &str, kind: char) -> Vec<u8> {
        let head_len = FIXED_BYTES + tail.len();
        let times = "00000000000100".repeat(5);
        let text = format!(
            "1{:019}{times}{:010}{kind}p01002{head_len:05}{tail}body",
            7, 9
        );
        text.into_bytes()
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let tail = "text/plain003a b002é";
        let entry = Stored::parse(stored(tail, 'v')).expect("parses");
        assert!(entry.needs_script());
        assert!(entry.is_over(100, 0) && !entry.is_over(99, 6) && entry.is_over(99, 7));
        let found = entry.read(40).found().expect("is a value");
        assert_eq!(
            (found.version, found.ttl_ms, found.fresh_ms),
            (7, Some(60), Some(60))
        );
        assert_eq!(found.value.bytes.as_ref(), b"body");
        assert_eq!(
            (found.value.content_type.as_str(), found.value.flags),
            ("text/plain", 9)
        );
        assert_eq!(found.tags, Tags::parse(&["a b", "é"]).expect("tags"));
        let known = Stored::parse(stored(tail, 'n')).expect("parses").read(0);
        assert!(matches!(
            known,
            Read::KnownAbsent(KnownAbsent { ttl_ms: Some(100) })
        ));
    }

    #[test]
    fn what_is_no_entry_is_refused_whole() {
        let good = stored("text/plain003a b002é", 'v');
        for cut in 0..good.len() - 4 {
            assert!(Stored::parse(good[..cut].to_vec()).is_err(), "{cut}");
        }
        for (at, byte) in [(0, b'2'), (5, b'x'), (101, b'q'), (102, b'9'), (105, b'9')] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(Stored::parse(bad).is_err(), "{at}");
        }
    }
}
