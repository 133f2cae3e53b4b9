//! What a change will do, found out before the first write of its call.

use bytes::{Bytes, BytesMut};
use plinth_core::Error;

use super::entry::{Entry, Times};
use super::namespaces::{Growth, NamespaceState};
use super::packed::INLINE_BYTES_MAX;
use super::tags::{TAGS_PER_NAMESPACE_MAX, TagStamps, TooManyTags};
use super::{MemoryCache, Room};
use crate::error::{CacheError, Refusal};
use crate::model::{
    Append, Change, ChangeKind, Condition, Content, ContentType, Encoding, Increment, Key, Life,
    Put, Read, Tags, VALUE_BYTES_MAX, Value,
};

/// A change that was found to hold.
pub(super) struct Plan {
    pub(super) hash: u64,
    pub(super) key: Key,
    pub(super) step: Step,
    pub(super) growth: Growth,
}

/// What is done to the shard.
pub(super) enum Step {
    /// An entry is stored in place of what was there.
    Store { entry: Entry, telling: Telling },
    /// The value of the present entry is replaced.
    Replace {
        value: Value,
        renewed: Option<Times>,
        telling: Telling,
    },
    /// The present entry gets a new life.
    Renew { times: Times, telling: Telling },
    /// What is stored is removed.
    Delete { existed: bool },
    /// Nothing is done: this stands where a value was to be touched.
    Miss(Read),
}

/// What the caller is told beside version and expiry.
#[derive(Clone, Copy)]
pub(super) enum Telling {
    /// Nothing.
    Stored,
    /// The number of a counter.
    Number(i64),
    /// The length of a value.
    Length(u64),
    /// The whole value.
    Value,
}

/// Where a change is planned.
pub(super) struct Site<'call> {
    pub(super) cache: &'call MemoryCache,
    pub(super) state: &'call NamespaceState,
    pub(super) hash: u64,
    pub(super) now: u64,
    /// Place of the change in its call.
    pub(super) item: usize,
}

/// What stands under the key of a change.
struct Standing<'room> {
    /// Bytes of what is stored, dead or alive.
    bytes: Option<u64>,
    /// The entry, where it is alive.
    live: Option<&'room Entry>,
}

impl<'room> Standing<'room> {
    /// The entry with its value, where it is alive and no negative one.
    fn valued(&self) -> Option<&'room Entry> {
        self.live.filter(|entry| !entry.is_negative())
    }

    fn version(&self) -> Option<i64> {
        self.valued().map(Entry::version)
    }
}

impl Site<'_> {
    /// Finds out what a change will do. Nothing is changed, except that a lease ends whose fill was invalidated. Errors:
    /// why the change is refused.
    pub(super) fn plan(&self, room: &mut Room, change: Change) -> Result<Plan, CacheError> {
        let Change { key, kind } = change;
        if let ChangeKind::Put(put) = &kind {
            self.check_lease(room, &key, put)?;
        }
        let stored = room.shard.peek(self.hash, self.state.id, key.as_str());
        let standing = Standing {
            bytes: stored.map(Entry::bytes),
            live: stored.filter(|entry| !entry.is_dead(self.now)),
        };
        let (step, after) = match kind {
            ChangeKind::Put(put) => self.put(&standing, &key, put)?,
            ChangeKind::Delete { version } => self.delete(&standing, version)?,
            ChangeKind::Expire { life, version } => self.expire(&standing, life, version)?,
            ChangeKind::Touch { life } => self.touch(&standing, life),
            ChangeKind::Increment(increment) => self.increment(&standing, &key, &increment)?,
            ChangeKind::Append(append) => self.append(&standing, &key, append)?,
        };
        Ok(Plan {
            hash: self.hash,
            key,
            step,
            growth: Growth::between(standing.bytes, after),
        })
    }

    fn put(
        &self,
        standing: &Standing<'_>,
        key: &Key,
        put: Put,
    ) -> Result<(Step, Option<u64>), CacheError> {
        self.check_condition(standing, put.condition)?;
        let value = match put.content {
            // Copied: a slice of a request would pin the whole request in memory.
            Content::Value(value) if value.bytes.len() > INLINE_BYTES_MAX => Some(Value {
                bytes: Bytes::copy_from_slice(&value.bytes),
                ..value
            }),
            // A small one is copied where it is packed.
            Content::Value(value) => Some(value),
            Content::KnownAbsent => None,
        };
        let stamps = self.stamps(&put.tags)?;
        Ok(self.store(key, value, put.life, stamps, Telling::Stored))
    }

    fn store(
        &self,
        key: &Key,
        value: Option<Value>,
        life: Life,
        stamps: TagStamps,
        telling: Telling,
    ) -> (Step, Option<u64>) {
        let times = self.times(life);
        let entry = Entry::new(self.state.id, key.as_str(), value, times, stamps);
        let after = entry.bytes();
        (Step::Store { entry, telling }, Some(after))
    }

    fn delete(
        &self,
        standing: &Standing<'_>,
        version: Option<i64>,
    ) -> Result<(Step, Option<u64>), CacheError> {
        let existed = standing.valued().is_some();
        if let Some(version) = version {
            self.require(standing)?;
            self.check_version(standing, version)?;
        }
        Ok((Step::Delete { existed }, None))
    }

    fn expire(
        &self,
        standing: &Standing<'_>,
        life: Life,
        version: Option<i64>,
    ) -> Result<(Step, Option<u64>), CacheError> {
        let entry = self.require(standing)?;
        if let Some(version) = version {
            self.check_version(standing, version)?;
        }
        let times = self.times(life);
        let after = entry.bytes_if(None, Some(&times));
        let telling = Telling::Stored;
        Ok((Step::Renew { times, telling }, Some(after)))
    }

    fn touch(&self, standing: &Standing<'_>, life: Life) -> (Step, Option<u64>) {
        let Some(entry) = standing.valued() else {
            let stands = standing
                .live
                .map_or(Read::Absent, |entry| entry.seen(self.now));
            return (Step::Miss(stands), standing.bytes);
        };
        let times = self.times(life);
        let after = entry.bytes_if(None, Some(&times));
        let telling = Telling::Value;
        (Step::Renew { times, telling }, Some(after))
    }

    fn increment(
        &self,
        standing: &Standing<'_>,
        key: &Key,
        increment: &Increment,
    ) -> Result<(Step, Option<u64>), CacheError> {
        let from = match (standing.valued(), increment.initial) {
            (Some(entry), _) => {
                parse_number(entry).ok_or_else(|| self.refuse(Refusal::NotANumber))?
            }
            (None, Some(initial)) => initial,
            (None, None) => return Err(self.refuse(Refusal::KeyNotFound)),
        };
        let bounds = increment.bounds;
        let number = from
            .checked_add(increment.delta)
            .filter(|sum| (bounds.min..=bounds.max).contains(sum))
            .ok_or_else(|| {
                self.refuse(Refusal::OutOfBounds {
                    number: from,
                    min: bounds.min,
                    max: bounds.max,
                })
            })?;
        let bytes = Bytes::from(number.to_string());
        let telling = Telling::Number(number);
        let before = standing.valued();
        Ok(
            match before.and_then(|entry| Some((entry, entry.value()?))) {
                Some((entry, value)) => {
                    let value = Value { bytes, ..value };
                    self.replace(entry, value, increment.renewed, telling)
                }
                None => {
                    let value = Value {
                        bytes,
                        content_type: ContentType::counter(),
                        flags: 0,
                        encoding: Encoding::Plain,
                    };
                    let stamps = TagStamps::default();
                    self.store(key, Some(value), increment.created, stamps, telling)
                }
            },
        )
    }

    fn append(
        &self,
        standing: &Standing<'_>,
        key: &Key,
        append: Append,
    ) -> Result<(Step, Option<u64>), CacheError> {
        self.check_condition(standing, append.condition)?;
        let before = standing.valued();
        if let Some(entry) = before
            && entry.encoding() != Encoding::Plain
        {
            return Err(CacheError::Encoded {
                version: entry.version(),
            });
        }
        let head = before.map_or(&[][..], Entry::value_bytes);
        let length = head.len().saturating_add(append.bytes.len());
        if length > VALUE_BYTES_MAX {
            return Err(self.refuse(Refusal::ValueTooLarge {
                bytes: wide(length),
                max: wide(VALUE_BYTES_MAX),
            }));
        }
        let mut bytes = BytesMut::with_capacity(length);
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(&append.bytes);
        let (bytes, telling) = (bytes.freeze(), Telling::Length(wide(length)));
        Ok(
            match before.and_then(|entry| Some((entry, entry.value()?))) {
                Some((entry, value)) => {
                    let value = Value { bytes, ..value };
                    self.replace(entry, value, append.renewed, telling)
                }
                None => {
                    let value = Value {
                        bytes,
                        content_type: append.content_type,
                        flags: 0,
                        encoding: Encoding::Plain,
                    };
                    let stamps = TagStamps::default();
                    self.store(key, Some(value), append.created, stamps, telling)
                }
            },
        )
    }

    fn replace(
        &self,
        entry: &Entry,
        value: Value,
        renewed: Option<Life>,
        telling: Telling,
    ) -> (Step, Option<u64>) {
        let renewed = renewed.map(|life| self.times(life));
        let after = entry.bytes_if(Some(value.bytes.len()), renewed.as_ref());
        let step = Step::Replace {
            value,
            renewed,
            telling,
        };
        (step, Some(after))
    }

    /// Checks that a put that fills a lease may still do so.
    fn check_lease(&self, room: &mut Room, key: &Key, put: &Put) -> Result<(), CacheError> {
        let Some(token) = put.lease else {
            return Ok(());
        };
        let open = room
            .leases
            .open(self.hash, self.state.id, key.as_str(), self.now);
        if open.is_none_or(|open| open.token != token) {
            return Err(self.refuse(Refusal::LeaseLost));
        }
        if !self.state.tags.allow(&put.tags, token) {
            self.cache
                .end_leases_of(room, self.hash, self.state.id, key.as_str());
            return Err(self.refuse(Refusal::LeaseLost));
        }
        Ok(())
    }

    fn check_condition(
        &self,
        standing: &Standing<'_>,
        condition: Condition,
    ) -> Result<(), CacheError> {
        match (condition, standing.version()) {
            (Condition::Always, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => {
                Ok(())
            }
            (Condition::Absent, stored @ Some(_)) => {
                Err(self.unmet("condition", "key is present", stored))
            }
            (Condition::Present | Condition::Version(_), None) => {
                Err(self.unmet("condition", "key is absent", None))
            }
            (Condition::Version(wanted), Some(_)) => self.check_version(standing, wanted),
        }
    }

    fn check_version(&self, standing: &Standing<'_>, wanted: i64) -> Result<(), CacheError> {
        match standing.version() {
            Some(stored) if stored == wanted => Ok(()),
            stored => Err(self.unmet("version", "another version is stored", stored)),
        }
    }

    fn require<'room>(&self, standing: &Standing<'room>) -> Result<&'room Entry, CacheError> {
        standing
            .valued()
            .ok_or_else(|| self.refuse(Refusal::KeyNotFound))
    }

    fn stamps(&self, tags: &Tags) -> Result<TagStamps, CacheError> {
        let next = || self.cache.next_version();
        let (stamps, grown) = self.state.tags.stamps(tags, next).map_err(|TooManyTags| {
            Error::too_large(
                "tags",
                format!("are too many: the namespace already holds {TAGS_PER_NAMESPACE_MAX}"),
            )
        })?;
        self.cache.count_bytes(grown);
        Ok(stamps)
    }

    fn times(&self, life: Life) -> Times {
        Times::of(life, self.now, &*self.cache.clock)
    }

    const fn refuse(&self, refusal: Refusal) -> CacheError {
        CacheError::refused(self.item, refusal)
    }

    const fn unmet(
        &self,
        field: &'static str,
        reason: &'static str,
        stored: Option<i64>,
    ) -> CacheError {
        self.refuse(Refusal::Condition {
            field,
            reason,
            stored,
        })
    }
}

/// Reads a counter: a decimal 64-bit integer as Redis' `INCRBY` takes it, with an optional `-` and no leading zero.
fn parse_number(entry: &Entry) -> Option<i64> {
    let text = std::str::from_utf8(entry.value_bytes()).ok()?;
    let number: i64 = text.parse().ok()?;
    (entry.encoding() == Encoding::Plain && number.to_string() == text).then_some(number)
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
