//! Reads.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plinth_redis_link::{Answer, LinkError, Value, cmd};

use super::area::Area;
use super::entry::{HEAD_BYTES_MAX, Stored};
use super::fault::{Kind, fault};
use super::{EngineClock, RedisCache, scripts};
use crate::backend::Looking;
use crate::error::CacheError;
use crate::model::{
    BATCH_ITEMS_MAX, BATCH_READ_BYTES_MAX, Key, Read, VALUE_BYTES_MAX, answer_too_large,
};

/// So many bytes of each value are read without measuring it first. The largest batch of such values is not too large.
const CUT_BYTES: usize = BATCH_READ_BYTES_MAX / BATCH_ITEMS_MAX;
/// How long it is remembered that an area holds larger ones.
const LARGE_FOR: Duration = Duration::from_secs(10);
/// Most areas of which that is remembered.
const LARGE_AREAS_MAX: usize = 1_000;

/// Keys of one area, and how they are read.
#[derive(Clone, Copy)]
pub(super) struct Asked<'call> {
    pub(super) area: &'call Area,
    pub(super) keys: &'call [Key],
    pub(super) looking: Looking,
    /// Most bytes of values that are handed over.
    pub(super) most: usize,
}

/// What a bounded read finds.
pub(super) enum Glance<T> {
    Here(T),
    /// Values of so many bytes, which is more than may be handed over.
    TooLarge(usize),
}

impl<T> Glance<T> {
    /// Errors: 1007 naming `keys` where there is more than may be handed over.
    pub(super) fn whole(self) -> Result<T, CacheError> {
        match self {
            Self::Here(found) => Ok(found),
            Self::TooLarge(bytes) => Err(answer_too_large(bytes).into()),
        }
    }

    pub(super) fn map<U>(self, form: impl FnOnce(T) -> U) -> Glance<U> {
        match self {
            Self::Here(found) => Glance::Here(form(found)),
            Self::TooLarge(bytes) => Glance::TooLarge(bytes),
        }
    }
}

impl RedisCache {
    /// Reads keys at one instant.
    pub(super) async fn look(
        &self,
        area: &Area,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Vec<Read>, CacheError> {
        let asked = Asked {
            area,
            keys,
            looking,
            most: BATCH_READ_BYTES_MAX,
        };
        let looked = self.look_closely(asked, false).await?.whole()?;
        Ok(looked.reads())
    }

    /// The same, with the entries as they are stored, and where it is asked for with a version that the namespace had given
    /// before. By one command, transaction or script, which hands over no more than so many bytes of values; by another script where
    /// an entry is one that only a script can judge, or where there is more.
    pub(super) async fn look_closely(
        &self,
        asked: Asked<'_>,
        with_seen: bool,
    ) -> Result<Glance<Looked>, CacheError> {
        let Asked { area, keys, .. } = asked;
        let raw = if keys.len().saturating_mul(VALUE_BYTES_MAX) <= asked.most {
            Some(self.read_few(area, keys, with_seen).await?)
        } else {
            self.read_many(asked, with_seen).await?
        };
        let Some(mut raw) = raw else {
            return self.look_by_script(asked, 0).await;
        };
        let (seen, now_ms) = (raw.seen, raw.now_ms);
        let looked = |found| Looked {
            found,
            now_ms,
            seen,
            is_whole: true,
        };
        let Some(cleared) = raw.found.bytes().map_err(read)? else {
            let none = keys.iter().map(|_| None).collect();
            return Ok(Glance::Here(looked(none)));
        };
        let cleared = std::str::from_utf8(&cleared)
            .ok()
            .and_then(|text| text.parse().ok());
        let cleared = cleared.unwrap_or(i64::MAX);
        let mut entries = Vec::with_capacity(keys.len());
        for _ in keys {
            let stored = raw.found.bytes().map_err(read)?;
            let stored = stored.map(Stored::parse).transpose()?;
            let stored = stored.filter(|stored| !stored.is_over(now_ms, cleared));
            if stored.as_ref().is_some_and(Stored::needs_script) {
                drop((entries, stored, raw));
                return self.look_by_script(asked, seen).await;
            }
            entries.push(stored);
        }
        let bytes = entries.iter().flatten().map(Stored::value_bytes).sum();
        if bytes > asked.most && asked.looking == Looking::Reading {
            return Ok(Glance::TooLarge(bytes));
        }
        Ok(Glance::Here(looked(entries)))
    }

    /// Reads keys whose values together are certainly not too large.
    async fn read_few(
        &self,
        area: &Area,
        keys: &[Key],
        with_seen: bool,
    ) -> Result<Raw, CacheError> {
        let mut get = cmd("MGET");
        get.arg(area.key("c", ""));
        for key in keys {
            get.arg(area.key("e:", key.as_str()));
        }
        let mut version = cmd("HGET");
        version.arg(area.key("n", "")).arg("v");
        let commands = with_seen.then_some(version).into_iter();
        let commands = commands.chain([get, cmd("TIME")]);
        let answers = self.link.read_all(area.slot, commands).await;
        let answers = answers.map_err(|error| fault(error, Kind::Reads))?;
        let mut answers = Answer::of(Value::Array(answers)).map_err(read)?;
        let seen = if with_seen {
            answers.value().map_err(read)?
        } else {
            Value::Nil
        };
        self.raw(seen, answers)
    }

    /// Reads keys whose values may be too large together; `None` where they are.
    async fn read_many(
        &self,
        asked: Asked<'_>,
        with_seen: bool,
    ) -> Result<Option<Raw>, CacheError> {
        if !self.large.is_known(&asked.area.prefix) {
            match self.read_cut(asked, with_seen).await? {
                Cut::Whole(raw) => return Ok(Some(raw)),
                Cut::Short => self.large.note(&asked.area.prefix),
                Cut::Refused => {}
            }
        }
        self.read_measured(asked).await
    }

    /// Reads the beginning of each value in one step, so much of it that all together are not too large. Needs half of the time that
    /// the script needs.
    async fn read_cut(&self, asked: Asked<'_>, with_seen: bool) -> Result<Cut, CacheError> {
        let Asked { area, keys, .. } = asked;
        let share = asked.most / keys.len().max(1);
        let last = share.min(CUT_BYTES).saturating_add(HEAD_BYTES_MAX);
        let (mut version, mut line) = (cmd("HGET"), cmd("GET"));
        version.arg(area.key("n", "")).arg("v");
        line.arg(area.key("c", ""));
        let values = keys.iter().map(|key| {
            let mut range = cmd("GETRANGE");
            range.arg(area.key("e:", key.as_str())).arg(0).arg(last);
            range
        });
        let commands = [cmd("MULTI")]
            .into_iter()
            .chain(with_seen.then_some(version))
            .chain([line])
            .chain(values)
            .chain([cmd("TIME"), cmd("EXEC")]);
        let answers = match self.link.read_all(area.slot, commands).await {
            // A user without the right to it, a slot that is on the move: the script says what is the matter.
            Err(LinkError::Refused { .. }) => return Ok(Cut::Refused),
            answers => answers.map_err(|error| fault(error, Kind::Reads))?,
        };
        let done = answers.into_iter().next_back().unwrap_or(Value::Nil);
        let mut done = Answer::of(done).map_err(read)?;
        let seen = if with_seen {
            done.value().map_err(read)?
        } else {
            Value::Nil
        };
        let mut found = vec![done.value().map_err(read)?];
        for _ in keys {
            found.push(match done.value().map_err(read)? {
                // No entry is empty.
                Value::BulkString(bytes) if bytes.is_empty() => Value::Nil,
                Value::BulkString(bytes) if bytes.len() > last => return Ok(Cut::Short),
                other => other,
            });
        }
        let time = done.value().map_err(read)?;
        let rest = Value::Array(vec![Value::Array(found), time]);
        let rest = Answer::of(rest).map_err(read)?;
        self.raw(seen, rest).map(Cut::Whole)
    }

    /// Reads keys by a script that looks at the lengths of their values first; `None` where they are too large together.
    async fn read_measured(&self, asked: Asked<'_>) -> Result<Option<Raw>, CacheError> {
        let Asked { area, keys, .. } = asked;
        let heads = keys.len().saturating_mul(HEAD_BYTES_MAX);
        let most = asked.most.saturating_add(heads).to_string();
        let mut args: Vec<&[u8]> = Vec::with_capacity(keys.len() + 1);
        args.push(most.as_bytes());
        args.extend(keys.iter().map(|key| key.as_str().as_bytes()));
        let prefix = [area.prefix.as_bytes()];
        let answered = self.link.eval(area.slot, &scripts::MANY, &prefix, &args);
        let answer = answered.await.map_err(|error| fault(error, Kind::Reads))?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let mut answer = Answer::of(answer).map_err(read)?;
        let seen = answer.value().map_err(read)?;
        self.raw(seen, answer).map(Some)
    }

    /// What is left of an answer: the entries, and the time.
    fn raw(&self, seen: Value, mut rest: Answer) -> Result<Raw, CacheError> {
        let seen = match seen {
            Value::BulkString(text) => std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.parse().ok()),
            _ => None,
        };
        Ok(Raw {
            seen: seen.unwrap_or(0),
            found: rest.array().map_err(read)?,
            now_ms: self.now_ms(rest.value().map_err(read)?)?,
        })
    }

    async fn look_by_script(
        &self,
        asked: Asked<'_>,
        seen: i64,
    ) -> Result<Glance<Looked>, CacheError> {
        let Asked {
            area,
            keys,
            looking,
            most,
        } = asked;
        let most = most.to_string();
        let mut args: Vec<&[u8]> = Vec::with_capacity(keys.len() + 2);
        args.push(match looking {
            Looking::Reading => b"r",
            Looking::Peeking => b"p",
        });
        args.push(most.as_bytes());
        args.extend(keys.iter().map(|key| key.as_str().as_bytes()));
        let answer = self.eval(area, &scripts::READ, Kind::Reads, &args).await?;
        let mut answer = Answer::of(answer).map_err(read)?;
        let now_ms = answer.integer().map_err(read)?;
        let bytes = answer.integer().map_err(read)?;
        if bytes > 0 && looking == Looking::Reading {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            return Ok(Glance::TooLarge(bytes));
        }
        let found = keys.iter().map(|_| {
            let bytes = answer.bytes().map_err(read)?;
            bytes.map(Stored::parse).transpose()
        });
        Ok(Glance::Here(Looked {
            found: found.collect::<Result<_, CacheError>>()?,
            now_ms,
            seen,
            is_whole: bytes == 0,
        }))
    }

    fn now_ms(&self, time: Value) -> Result<i64, CacheError> {
        if let EngineClock::Given(clock) = &self.engine_clock {
            return Ok(clock.now().0);
        }
        let mut time = Answer::of(time).map_err(read)?;
        let seconds = time.integer().map_err(read)?;
        let micros = time.integer().map_err(read)?;
        Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
    }
}

/// What was read at one instant: of each key the live entry.
pub(super) struct Looked {
    pub(super) found: Vec<Option<Stored>>,
    /// The engine's time.
    pub(super) now_ms: i64,
    /// A version that the namespace had given before the read; 0 where none was asked for.
    pub(super) seen: i64,
    /// Whether the values are there with all their bytes.
    pub(super) is_whole: bool,
}

/// What a read of beginnings finds.
enum Cut {
    /// They are all of the values.
    Whole(Raw),
    /// They are not.
    Short,
    /// Redis does not do it.
    Refused,
}

/// Areas that hold large values, which are measured before they are read.
#[derive(Default)]
pub(super) struct Large(Mutex<HashMap<Box<str>, Instant>>);

impl Large {
    fn is_known(&self, prefix: &str) -> bool {
        let areas = self.0.lock();
        areas
            .get(prefix)
            .is_some_and(|since| since.elapsed() < LARGE_FOR)
    }

    fn note(&self, prefix: &str) {
        let mut areas = self.0.lock();
        if areas.len() >= LARGE_AREAS_MAX {
            areas.clear();
        }
        areas.insert(prefix.into(), Instant::now());
    }
}

/// What was read, not judged yet.
struct Raw {
    seen: i64,
    /// The line of the last clear, then the entries.
    found: Answer,
    now_ms: i64,
}

impl Looked {
    pub(super) fn reads(self) -> Vec<Read> {
        let now_ms = self.now_ms;
        let read =
            |stored: Option<Stored>| stored.map_or(Read::Absent, |stored| stored.read(now_ms));
        self.found.into_iter().map(read).collect()
    }
}

/// What a script found to be alive.
pub(super) fn judged(bytes: Option<Vec<u8>>, now_ms: i64) -> Result<Read, CacheError> {
    bytes.map_or(Ok(Read::Absent), |bytes| {
        Ok(Stored::parse(bytes)?.read(now_ms))
    })
}

fn read(error: LinkError) -> CacheError {
    fault(error, Kind::Reads)
}
