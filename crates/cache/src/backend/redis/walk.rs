//! Walks, numbers, clears and invalidations.

use plinth_core::{Error, Fence};
use plinth_redis_link::{Answer, Script};

use super::apply::fence_refusal;
use super::area::Area;
use super::fault::{Kind, strange, unread};
use super::{FENCES_PER_NAMESPACE_MAX, RedisCache, scripts};
use crate::error::CacheError;
use crate::model::{
    BackendStats, Connections, EntrySample, Key, PARTITIONS, Placement, Scan, ScanItem, ScanPlace,
    Scanned, Space, Tags,
};

/// How many entries one call of a script removes.
const REMOVED_PER_CALL_MAX: usize = 1_000;
/// Most calls by which one clear removes what it left; the rest goes with later writes.
const REMOVING_CALLS_MAX: usize = 10_000;

impl RedisCache {
    /// Walks the keys: in the order of their bytes, where they are spread partition by partition. A place is the last key of the page
    /// before, after its partition.
    pub(super) async fn walk(&self, space: &Space, scan: &Scan) -> Result<Scanned, CacheError> {
        let place = scan.place.as_ref().map(|place| place.0.as_str());
        let most = usize::try_from(scan.limit.get()).unwrap_or(usize::MAX);
        if space.policy.placement == Placement::Together {
            let after = place.map(|place| place.strip_prefix("k:").ok_or_else(strange_place));
            let after = after.transpose()?.unwrap_or_default();
            let area = self.whole_area(space);
            let (items, next) = self.page(&area, scan, after, most).await?;
            return Ok(Scanned {
                items,
                next: next.map(|key| ScanPlace(format!("k:{key}"))),
            });
        }
        let (mut partition, mut after) = match place {
            None => (0, String::new()),
            Some(place) => partition_place(place).ok_or_else(strange_place)?,
        };
        let mut items = Vec::new();
        while partition < PARTITIONS {
            let left = most.saturating_sub(items.len());
            if left == 0 {
                let next = Some(ScanPlace(format!("p{partition}:{after}")));
                return Ok(Scanned { items, next });
            }
            let area = self.area_at(space, partition);
            let (more, next) = self.page(&area, scan, &after, left).await?;
            items.extend(more);
            match next {
                Some(key) => {
                    let next = Some(ScanPlace(format!("p{partition}:{key}")));
                    return Ok(Scanned { items, next });
                }
                None => {
                    after.clear();
                    partition += 1;
                }
            }
        }
        Ok(Scanned { items, next: None })
    }

    /// Looks at so many keys of an area after one; returns the last one where there may be more.
    async fn page(
        &self,
        area: &Area,
        scan: &Scan,
        after: &str,
        most: usize,
    ) -> Result<(Vec<ScanItem>, Option<String>), CacheError> {
        let limit = most.to_string();
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
        Ok((items, next))
    }

    /// What an area holds, with some of its entries.
    pub(super) async fn numbers(
        &self,
        area: &Area,
        sampled_max: usize,
    ) -> Result<BackendStats, CacheError> {
        self.remove_cleared(area).await;
        let most = sampled_max.to_string();
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

    /// Runs a script that stamps an area or tags of it, under a fence, by a version above another one. Returns the stamp.
    pub(super) async fn stamped(
        &self,
        area: &Area,
        script: &Script,
        fence: Option<&Fence>,
        tags: &Tags,
        above: &str,
    ) -> Result<i64, CacheError> {
        let most = FENCES_PER_NAMESPACE_MAX.to_string();
        let (name, token) = fence_words(fence);
        let mut args = vec![
            name.as_bytes(),
            token.as_bytes(),
            most.as_bytes(),
            above.as_bytes(),
        ];
        args.extend(tags.as_slice().iter().map(|tag| tag.as_str().as_bytes()));
        let answer = self.eval(area, script, Kind::Writes, &args).await?;
        let mut answer = Answer::of(answer).map_err(unread)?;
        let _now_ms = answer.integer().map_err(unread)?;
        match answer.text().map_err(unread)?.as_str() {
            "ok" => answer.integer().map_err(unread),
            word => match fence_refusal(word, &mut answer, fence)? {
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

fn strange_place() -> CacheError {
    Error::invalid("cursor", "was not given by a walk of this namespace").into()
}

/// The partition of a place, and the last key that was seen there.
fn partition_place(place: &str) -> Option<(u16, String)> {
    let (partition, after) = place.strip_prefix('p')?.split_once(':')?;
    let partition = partition.parse().ok().filter(|it| *it < PARTITIONS)?;
    Some((partition, after.to_owned()))
}

fn left(expires_ms: i64, now_ms: i64) -> Option<u64> {
    let left = expires_ms.saturating_sub(now_ms);
    (expires_ms > 0).then(|| u64::try_from(left).unwrap_or(0))
}

fn utf8(bytes: Vec<u8>) -> Result<String, CacheError> {
    String::from_utf8(bytes).map_err(|_| strange("a key that is no UTF-8"))
}
