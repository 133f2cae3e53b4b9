//! Reads.

use plinth_redis_link::{Answer, Value, cmd};

use super::area::Area;
use super::entry::Stored;
use super::fault::{Kind, fault};
use super::{EngineClock, RedisCache, scripts};
use crate::backend::Looking;
use crate::error::CacheError;
use crate::model::{Key, Read};

impl RedisCache {
    /// Reads keys at one instant.
    pub(super) async fn look(
        &self,
        area: &Area,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Vec<Read>, CacheError> {
        let looked = self.look_closely(area, keys, looking, false).await?;
        Ok(looked.reads())
    }

    /// The same, with the entries as they are stored: by one command, or by a script where an entry is one that only a script
    /// can judge. Where it is asked for, with a version that the namespace had given before.
    pub(super) async fn look_closely(
        &self,
        area: &Area,
        keys: &[Key],
        looking: Looking,
        with_seen: bool,
    ) -> Result<Looked, CacheError> {
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
            let version = answers.text().map_err(read)?;
            version.parse().unwrap_or(0)
        } else {
            0
        };
        let mut found = answers.array().map_err(read)?;
        let now_ms = self.now_ms(answers.value().map_err(read)?)?;
        let looked = |found| Looked {
            found,
            now_ms,
            seen,
        };
        let Some(cleared) = found.bytes().map_err(read)? else {
            return Ok(looked(keys.iter().map(|_| None).collect()));
        };
        let cleared = std::str::from_utf8(&cleared)
            .ok()
            .and_then(|text| text.parse().ok());
        let cleared = cleared.unwrap_or(i64::MAX);
        let mut entries = Vec::with_capacity(keys.len());
        for _ in keys {
            let stored = found
                .bytes()
                .map_err(read)?
                .map(Stored::parse)
                .transpose()?;
            let stored = stored.filter(|stored| !stored.is_over(now_ms, cleared));
            if stored.as_ref().is_some_and(Stored::needs_script) {
                return self.look_by_script(area, keys, looking, seen).await;
            }
            entries.push(stored);
        }
        Ok(looked(entries))
    }

    async fn look_by_script(
        &self,
        area: &Area,
        keys: &[Key],
        looking: Looking,
        seen: i64,
    ) -> Result<Looked, CacheError> {
        let mut args: Vec<&[u8]> = vec![match looking {
            Looking::Reading => b"r",
            Looking::Peeking => b"p",
        }];
        args.extend(keys.iter().map(|key| key.as_str().as_bytes()));
        let answer = self.eval(area, &scripts::READ, Kind::Reads, &args).await?;
        let mut answer = Answer::of(answer).map_err(read)?;
        let now_ms = answer.integer().map_err(read)?;
        let found = keys.iter().map(|_| {
            let bytes = answer.bytes().map_err(read)?;
            bytes.map(Stored::parse).transpose()
        });
        Ok(Looked {
            found: found.collect::<Result<_, CacheError>>()?,
            now_ms,
            seen,
        })
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
}

impl Looked {
    fn reads(self) -> Vec<Read> {
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

fn read(error: plinth_redis_link::LinkError) -> CacheError {
    fault(error, Kind::Reads)
}
