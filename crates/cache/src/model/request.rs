//! What both edges carry, field by field, and its way to and from the block's own types.

use bytes::Bytes;
use plinth_core::{Error, Result};

use super::change::{Change, ChangeKind, Changed, Condition, Put, Stored};
use super::expiry::{Expiry, ExpiryFields};
use super::lease::{LeaseState, LeaseToken, LeasedRead};
use super::name::{Key, Tags};
use super::read::{Read, Reply};
use super::value::{Content, ContentType, Value};
use crate::error::CacheError;

/// The fields of a put.
#[derive(Clone, Debug, Default)]
pub struct PutFields {
    /// The bytes.
    pub value: Bytes,
    /// Their media type.
    pub content_type: Option<String>,
    /// The caller's flags.
    pub flags: Option<i64>,
    /// The expiry.
    pub expiry: ExpiryFields,
    /// The word of the condition.
    pub condition: Option<String>,
    /// The version of the condition.
    pub version: Option<i64>,
    /// The tags.
    pub tags: Vec<String>,
    /// Whether there is no value.
    pub known_absent: Option<bool>,
    /// The lease that is filled.
    pub lease_token: Option<i64>,
}

impl PutFields {
    /// Parses the fields. Errors: 1001 or 1007 naming the one that breaks its rule.
    pub fn parse(self) -> Result<Put<Expiry>> {
        let condition = Condition::parse(self.condition.as_deref(), self.version)?;
        self.parse_with(condition)
    }

    /// Parses the fields beside a condition that the edge carries in its own way.
    pub fn parse_with(self, condition: Condition) -> Result<Put<Expiry>> {
        let content = if self.known_absent == Some(true) {
            if !self.value.is_empty() {
                return Err(Error::invalid("value", "must be empty with `known_absent`"));
            }
            Content::KnownAbsent
        } else {
            let content_type = self.content_type.as_deref();
            Content::Value(Value::parse(self.value, content_type, self.flags)?)
        };
        Ok(Put {
            content,
            life: Expiry::parse(self.expiry)?,
            condition,
            tags: Tags::parse(&self.tags)?,
            lease: self.lease_token.map(LeaseToken::new),
        })
    }

    /// Parses them as an item of a batch. Errors: as [`PutFields::parse`], or naming `key`.
    pub fn into_change(self, key: &str) -> Result<Change<Expiry>> {
        Ok(Change {
            key: Key::parse(key)?,
            kind: ChangeKind::Put(self.parse()?),
        })
    }
}

/// An item of a batch of deletes. Errors: 1001 or 1007 naming `key`.
pub fn delete_item(key: &str, version: Option<i64>) -> Result<Change<Expiry>> {
    Ok(Change {
        key: Key::parse(key)?,
        kind: ChangeKind::Delete { version },
    })
}

/// The expiry of something that is created, and of something that is there, where `renew` is true.
pub fn created_and_renewed(
    fields: ExpiryFields,
    renew: Option<bool>,
) -> Result<(Expiry, Option<Expiry>)> {
    let created = Expiry::parse(fields)?;
    Ok((created, (renew == Some(true)).then_some(created)))
}

/// What a read tells, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadFields {
    /// Whether there is a live value.
    pub found: bool,
    /// Its bytes.
    pub value: Option<Bytes>,
    /// Their media type.
    pub content_type: Option<ContentType>,
    /// Its version.
    pub version: Option<i64>,
    /// Milliseconds left.
    pub ttl_ms: Option<i64>,
    /// `fresh` or `stale`.
    pub freshness: Option<&'static str>,
    /// Milliseconds since it was stored.
    pub age_ms: Option<i64>,
    /// The caller's flags.
    pub flags: Option<i64>,
    /// Its tags; `None` where it has none.
    pub tags: Option<Vec<String>>,
    /// Said where it is known that there is none.
    pub known_absent: Option<bool>,
}

impl From<Read> for ReadFields {
    fn from(read: Read) -> Self {
        let found = match read {
            Read::Found(found) => found,
            Read::KnownAbsent(known) => {
                return Self {
                    known_absent: Some(true),
                    ttl_ms: known.ttl_ms.map(narrow),
                    ..Self::default()
                };
            }
            Read::Absent => return Self::default(),
        };
        let names = || {
            let tags = found.tags.as_slice().iter();
            tags.map(|tag| tag.as_str().to_owned()).collect()
        };
        let freshness = found.freshness();
        Self {
            found: true,
            content_type: Some(found.value.content_type),
            version: Some(found.version),
            ttl_ms: found.ttl_ms.map(narrow),
            freshness: Some(freshness.as_str()),
            age_ms: Some(narrow(found.age_ms)),
            flags: Some(found.value.flags.into()),
            tags: (!found.tags.is_empty()).then(names),
            known_absent: None,
            value: Some(found.value.bytes),
        }
    }
}

/// Says `degraded` only where it is so.
#[must_use]
pub fn degraded<T>(reply: &Reply<T>) -> Option<bool> {
    reply.degraded.then_some(true)
}

/// What a leased read tells beside the item: the token of a lease that was given, the milliseconds of one that is held.
#[must_use]
pub fn lease_fields(leased: &LeasedRead) -> (Option<i64>, Option<i64>) {
    match leased.lease {
        LeaseState::NotNeeded => (None, None),
        LeaseState::Granted { token } => (Some(token.get()), None),
        LeaseState::Held { left_ms, .. } => (None, Some(narrow(left_ms))),
    }
}

/// How one item of a batch ended, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemFields {
    /// The key.
    pub key: String,
    /// 0 where it was done, else the number of the error.
    pub code: u16,
    /// The new version, where a value was stored.
    pub version: Option<i64>,
    /// Why it was not done.
    pub message: Option<String>,
    /// Whether there was an entry to delete.
    pub deleted: Option<bool>,
}

impl From<(Key, Result<Changed, CacheError>)> for ItemFields {
    fn from((key, outcome): (Key, Result<Changed, CacheError>)) -> Self {
        let done = Self {
            key: key.as_str().to_owned(),
            ..Self::default()
        };
        match outcome {
            Ok(Changed::Deleted { existed }) => Self {
                deleted: Some(existed),
                ..done
            },
            Ok(changed) => Self {
                version: changed.stored().map(|stored| stored.version),
                ..done
            },
            Err(error) => {
                let error = Error::from(error);
                Self {
                    code: error.code().number(),
                    message: Some(error.message().to_owned()),
                    ..done
                }
            }
        }
    }
}

impl Changed {
    /// The version and expiry after a change that stored something.
    #[must_use]
    pub const fn stored(&self) -> Option<Stored> {
        match self {
            Self::Stored(stored) | Self::Counted { stored, .. } | Self::Appended { stored, .. } => {
                Some(*stored)
            }
            Self::Deleted { .. } | Self::Touched(_) => None,
        }
    }
}

/// A count of milliseconds or bytes on the wire.
#[must_use]
pub fn narrow(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
