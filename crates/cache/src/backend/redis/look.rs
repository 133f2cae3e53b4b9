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
    /// Reads keys at one instant: by one command, or by a script where an entry is one that only a script can judge.
    pub(super) async fn look(
        &self,
        area: &Area,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Vec<Read>, CacheError> {
        let mut get = cmd("MGET");
        get.arg(area.key("c", ""));
        for key in keys {
            get.arg(area.key("e:", key.as_str()));
        }
        let answers = self.link.read_all(area.slot, [get, cmd("TIME")]).await;
        let mut answers = answers
            .map_err(|error| fault(error, Kind::Reads))?
            .into_iter();
        let (found, time) = (answers.next(), answers.next());
        let mut found = Answer::of(found.unwrap_or(Value::Nil)).map_err(read)?;
        let Some(cleared) = found.bytes().map_err(read)? else {
            return Ok(vec![Read::Absent; keys.len()]);
        };
        let cleared = std::str::from_utf8(&cleared)
            .ok()
            .and_then(|text| text.parse().ok());
        let cleared = cleared.unwrap_or(i64::MAX);
        let now_ms = self.now_ms(time)?;
        let mut reads = Vec::with_capacity(keys.len());
        for _ in keys {
            let Some(bytes) = found.bytes().map_err(read)? else {
                reads.push(Read::Absent);
                continue;
            };
            let stored = Stored::parse(bytes)?;
            if stored.is_over(now_ms, cleared) {
                reads.push(Read::Absent);
            } else if stored.needs_script() {
                return self.look_by_script(area, keys, looking).await;
            } else {
                reads.push(stored.read(now_ms));
            }
        }
        Ok(reads)
    }

    async fn look_by_script(
        &self,
        area: &Area,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Vec<Read>, CacheError> {
        let mut args: Vec<&[u8]> = vec![match looking {
            Looking::Reading => b"r",
            Looking::Peeking => b"p",
        }];
        args.extend(keys.iter().map(|key| key.as_str().as_bytes()));
        let answer = self.eval(area, &scripts::READ, Kind::Reads, &args).await?;
        let mut answer = Answer::of(answer).map_err(read)?;
        let now_ms = answer.integer().map_err(read)?;
        keys.iter()
            .map(|_| judged(answer.bytes().map_err(read)?, now_ms))
            .collect()
    }

    fn now_ms(&self, time: Option<Value>) -> Result<i64, CacheError> {
        if let EngineClock::Given(clock) = &self.engine_clock {
            return Ok(clock.now().0);
        }
        let mut time = Answer::of(time.unwrap_or(Value::Nil)).map_err(read)?;
        let seconds = time.integer().map_err(read)?;
        let micros = time.integer().map_err(read)?;
        Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
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
