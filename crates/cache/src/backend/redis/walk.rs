//! Walks, numbers, clears and invalidations.

use plinth_core::{Error, Fence};
use plinth_redis_link::{Answer, Script};

use super::apply::fence_refusal;
use super::area::Area;
use super::fault::{Kind, strange, unread};
use super::{FENCES_PER_NAMESPACE_MAX, RedisCache, scripts};
use crate::error::CacheError;
use crate::model::{
    BackendStats, Connections, EntrySample, Key, SAMPLE_ENTRIES_MAX, Scan, ScanItem, ScanPlace,
    Scanned, Tags,
};

/// How many entries one call of a script removes.
const REMOVED_PER_CALL_MAX: usize = 1_000;
/// Most calls by which one clear removes what it left; the rest goes with later writes.
const REMOVING_CALLS_MAX: usize = 10_000;

impl RedisCache {
    /// Walks the keys in the order of their bytes; a place is the last key of the page before.
    pub(super) async fn walk(&self, area: &Area, scan: &Scan) -> Result<Scanned, CacheError> {
        let after = match &scan.place {
            Some(place) => place.0.strip_prefix("k:").ok_or_else(|| {
                CacheError::from(Error::invalid(
                    "cursor",
                    "was not given by a walk of this cache",
                ))
            })?,
            None => "",
        };
        let limit = scan.limit.get().to_string();
        let args = [
            scan.prefix.as_str().as_bytes(),
            after.as_bytes(),
            limit.as_bytes(),
        ];
        // Rows of entries that are gone are removed on the way.
        let answer = self.eval(area, &scripts::SCAN, Kind::Reads, &args).await?;
        let mut answer = Answer::of(answer).map_err(unread)?;
        let now_ms = answer.integer().map_err(unread)?;
        let next = answer.bytes().map_err(unread)?.map(utf8).transpose()?;
        let mut items = Vec::with_capacity(answer.len());
        while !answer.is_empty() {
            let mut item = answer.array().map_err(unread)?;
            let key = item.text().map_err(unread)?;
            let version = item.integer().map_err(unread)?;
            let expires_ms = item.integer().map_err(unread)?;
            items.push(ScanItem {
                key: Key::parse(&key)?,
                version,
                ttl_ms: left(expires_ms, now_ms),
                value_bytes: u64::try_from(item.integer().map_err(unread)?).unwrap_or(0),
            });
        }
        Ok(Scanned {
            items,
            next: next.map(|key| ScanPlace(format!("k:{key}"))),
        })
    }

    pub(super) async fn numbers(&self, area: &Area) -> Result<BackendStats, CacheError> {
        self.remove_cleared(area).await;
        let most = SAMPLE_ENTRIES_MAX.to_string();
        let args = [most.as_bytes()];
        let answer = self.eval(area, &scripts::STATS, Kind::Reads, &args).await?;
        let mut answer = Answer::of(answer).map_err(unread)?;
        let now_ms = answer.integer().map_err(unread)?;
        let mut number = || {
            let number = answer.integer().map_err(unread)?;
            Ok::<u64, CacheError>(u64::try_from(number).unwrap_or(0))
        };
        let (keys, bytes, expired) = (number()?, number()?, number()?);
        let mut sample = Vec::with_capacity(answer.len());
        while !answer.is_empty() {
            let mut entry = answer.array().map_err(unread)?;
            sample.push(EntrySample {
                value_bytes: u64::try_from(entry.integer().map_err(unread)?).unwrap_or(0),
                ttl_ms: left(entry.integer().map_err(unread)?, now_ms),
            });
        }
        let link = self.link.numbers();
        Ok(BackendStats {
            keys,
            bytes,
            bytes_max: None,
            expired,
            evicted: 0,
            connections: Some(Connections {
                open: link.connections,
                in_flight: link.in_flight,
                reconnects: link.reconnects_total,
            }),
            sample,
        })
    }

    /// Removes what expired and what a clear left. A failure is none of the caller's: it is gone for every reader already.
    pub(super) async fn remove_cleared(&self, area: &Area) {
        let most = REMOVED_PER_CALL_MAX.to_string();
        for _ in 0..REMOVING_CALLS_MAX {
            let args = [most.as_bytes()];
            match self.eval(area, &scripts::REAP, Kind::Writes, &args).await {
                Ok(plinth_redis_link::Value::Int(1..)) => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, "cache.cleared_later");
                    return;
                }
            }
        }
    }

    /// Runs a script that stamps the namespace or tags, under a fence. Returns the stamp.
    pub(super) async fn stamped(
        &self,
        area: &Area,
        script: &Script,
        fence: Option<Fence>,
        tags: &Tags,
    ) -> Result<i64, CacheError> {
        let most = FENCES_PER_NAMESPACE_MAX.to_string();
        let (name, token) = fence_words(fence.as_ref());
        let mut args = vec![name.as_bytes(), token.as_bytes(), most.as_bytes()];
        args.extend(tags.as_slice().iter().map(|tag| tag.as_str().as_bytes()));
        let answer = self.eval(area, script, Kind::Writes, &args).await?;
        let mut answer = Answer::of(answer).map_err(unread)?;
        let _now_ms = answer.integer().map_err(unread)?;
        match answer.text().map_err(unread)?.as_str() {
            "ok" => answer.integer().map_err(unread),
            word => match fence_refusal(word, &mut answer, fence.as_ref())? {
                Some(refusal) => Err(refusal),
                None => Err(strange(format!("answer {word}"))),
            },
        }
    }
}

/// The name and token of a fence as scripts compare them.
pub(super) fn fence_words(fence: Option<&Fence>) -> (String, String) {
    fence.map_or_else(Default::default, |fence| {
        (
            fence.name.as_str().to_owned(),
            format!("{:019}", fence.token.get()),
        )
    })
}

fn left(expires_ms: i64, now_ms: i64) -> Option<u64> {
    let left = expires_ms.saturating_sub(now_ms);
    (expires_ms > 0).then(|| u64::try_from(left).unwrap_or(0))
}

fn utf8(bytes: Vec<u8>) -> Result<String, CacheError> {
    String::from_utf8(bytes).map_err(|_| strange("a key that is no UTF-8"))
}
