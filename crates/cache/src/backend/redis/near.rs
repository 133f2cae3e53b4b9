//! The near cache: values of Redis kept in this process, as long as nobody changed them.
//!
//! Redis tells every change of a key on a connection of its own to each primary (`CLIENT TRACKING ON BCAST`). While one of
//! these connections is away nothing is kept and everything is read from Redis. A change through this instance ends what is
//! kept before it is sent and again before it is answered, so a read that begins after the answer never finds the old value; a
//! change through another instance ends it when it is heard. Only what lasts for a fixed time and is certainly neither gone
//! nor stale is answered from here; all else is asked. Where the settings say so, what was kept when a connection was lost stands
//! in for a Redis that cannot be reached: marked, within its age and its life, and only until every change is heard again or this
//! instance changes it. A batch of reads is answered from here only where all its values are
//! here and stood side by side at one instant, which their versions show.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use parking_lot::Mutex;
use plinth_core::{Fence, SharedClock};
use plinth_redis_link::{Heard, Heed, Listener, PushKind, Value, cmd};

use self::kept::{Came, Entry, Kept, Marker};
use super::area::Area;
use super::look::{Asked, Glance};
use super::spread::{Part, put_together};
use super::{EngineClock, RedisCache};
use crate::backend::{CacheBackend, Capability, Looking};
use crate::error::{CacheError, EngineFault};
use crate::model::{
    BATCH_READ_BYTES_MAX, BackendStats, Change, Changed, Guard, Key, LeaseMs, LeaseState,
    LeaseToken, LeaseWhen, LeasedRead, Read, Reply, Scan, Scanned, Space, Tags,
};
use crate::settings::{NearSettings, WhenAway};

mod kept;

/// By how much the engine's clock may be ahead of what is reckoned from a read: both clocks cut off parts of a millisecond.
const CUT_OFF_MS: i64 = 2;

/// How much of what is kept is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// What is certainly what Redis has, and fresh.
    Coherent,
    /// What stood within the largest age and is not over, while Redis is away.
    Last,
}

/// Values of Redis, near.
pub struct NearCache {
    far: Arc<RedisCache>,
    near: Arc<Near>,
    clock: SharedClock,
    max_age_ms: u64,
    when_away: WhenAway,
    _listener: Listener,
}

struct Near {
    kept: Kept,
    when_away: WhenAway,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    invalidations: AtomicU64,
    flushes: AtomicU64,
}

/// Numbers of a near cache. Those named `…_total` are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NearNumbers {
    /// Entries kept.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether every change is heard and so something is kept.
    pub heard: bool,
    /// Keys that were answered from here.
    pub hits_total: u64,
    /// Keys that Redis was asked for.
    pub misses_total: u64,
    /// Keys whose change was heard.
    pub invalidations_total: u64,
    /// How often everything was forgotten.
    pub flushes_total: u64,
}

impl NearCache {
    /// Keeps values of a cache near, and begins to listen to their changes. To be called inside a runtime.
    #[must_use]
    pub fn start(far: Arc<RedisCache>, settings: &NearSettings) -> Arc<Self> {
        let near = Arc::new(Near {
            kept: Kept::new(settings.bytes_max),
            when_away: settings.when_away,
            counts: Counts::default(),
        });
        Arc::new(Self {
            _listener: listen(&far, &near),
            clock: Arc::clone(&far.clock),
            max_age_ms: settings.max_age_ms,
            when_away: settings.when_away,
            far,
            near,
        })
    }

    /// Numbers for the metrics.
    #[must_use]
    pub fn numbers(&self) -> NearNumbers {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (entries, bytes) = self.near.kept.size();
        let counts = &self.near.counts;
        NearNumbers {
            entries,
            bytes,
            heard: self.near.kept.is_heard(),
            hits_total: read(&counts.hits),
            misses_total: read(&counts.misses),
            invalidations_total: read(&counts.invalidations),
            flushes_total: read(&counts.flushes),
        }
    }

    /// The latest that the engine's clock can show now.
    fn engine_ms(&self, entry: &Entry) -> i64 {
        if let EngineClock::Given(clock) = &self.far.engine_clock {
            return clock.now().0;
        }
        let since = self.clock.monotonic_ms().saturating_sub(entry.asked_ms);
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        entry
            .read_ms
            .saturating_add(since)
            .saturating_add(CUT_OFF_MS)
    }

    /// What is kept of a key and can be told now, and the engine's time.
    fn find(&self, name: &str, trust: Trust) -> Option<(Arc<Entry>, i64)> {
        let entry = match trust {
            Trust::Coherent => self.near.kept.get(name)?,
            Trust::Last => self.near.kept.last(name)?,
        };
        let age_ms = self.clock.monotonic_ms().saturating_sub(entry.asked_ms);
        let now_ms = self.engine_ms(&entry);
        let lives = match trust {
            Trust::Coherent => entry.stored.is_fresh_at(now_ms),
            Trust::Last => entry.stored.is_there_at(now_ms),
        };
        (age_ms < self.max_age_ms && lives).then_some((entry, now_ms))
    }

    /// Answers keys from here, where all are here and stood side by side at one instant.
    fn answer(&self, names: &[String], trust: Trust) -> Option<Vec<Read>> {
        let found: Option<Vec<_>> = names.iter().map(|name| self.find(name, trust)).collect();
        let found = found?;
        // At the earliest of the reads every other value had been stored already, and stood until its own later read.
        let earliest = found.iter().map(|(entry, _)| entry.seen).min();
        let newest = found.iter().map(|(entry, _)| entry.stored.version).max();
        if names.len() > 1 && newest > earliest {
            return None;
        }
        count(&self.near.counts.hits, names.len());
        let read = |(entry, now_ms): (Arc<Entry>, i64)| entry.stored.clone().read(now_ms);
        Some(found.into_iter().map(read).collect())
    }

    /// Reads all keys from one area.
    async fn look(
        &self,
        area: &Area,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Reply<Vec<Read>>, CacheError> {
        let asked = Asked {
            area,
            keys,
            looking,
            most: BATCH_READ_BYTES_MAX,
        };
        self.look_closely(asked).await?.whole()
    }

    /// Reads keys from here or from Redis, and says where from; where it is away and the settings say so, from what stood last.
    async fn look_closely(&self, asked: Asked<'_>) -> Part {
        let names = names_of(asked.area, asked.keys.iter());
        if let Some(reads) = self.answer(&names, Trust::Coherent) {
            return Ok(Glance::Here(Reply::from_near(reads, true)));
        }
        count(&self.near.counts.misses, names.len());
        match self.ask(asked, &names).await {
            // Who only looks decides by what there is, and is not told that it may be old.
            Err(error)
                if self.when_away == WhenAway::Near
                    && asked.looking == Looking::Reading
                    && is_away(&error) =>
            {
                let last = self.answer(&names, Trust::Last).ok_or(error)?;
                Ok(Glance::Here(Reply {
                    degraded: true,
                    ..Reply::from_near(last, true)
                }))
            }
            told => told.map(|told| told.map(Reply::full)),
        }
    }

    async fn ask(
        &self,
        asked: Asked<'_>,
        names: &[String],
    ) -> Result<Glance<Vec<Read>>, CacheError> {
        let space = self.near.kept.space(&asked.area.prefix);
        let marker = space.and_then(|space| self.near.kept.mark(&space, names));
        let is_deaf = marker.is_none();
        let asked_ms = self.clock.monotonic_ms();
        let redirected = self.far.link.numbers().redirects_total;
        let with_seen = marker.is_some();
        let looked = self.far.look_closely(asked, with_seen).await?;
        if is_deaf {
            // Nobody is told later what stood before what was told now.
            names.iter().for_each(|name| self.near.kept.drop_key(name));
        }
        let looked = match looked {
            Glance::Here(looked) => looked,
            Glance::TooLarge(bytes) => return Ok(Glance::TooLarge(bytes)),
        };
        // Whoever a cluster sends to may be a primary that is not listened to yet.
        let marker = marker
            .filter(|_| looked.is_whole && self.far.link.numbers().redirects_total == redirected);
        let (seen, read_ms) = (looked.seen, looked.now_ms);
        let mut reads = Vec::with_capacity(names.len());
        for (place, (stored, name)) in looked.found.into_iter().zip(names).enumerate() {
            let Some(stored) = stored else {
                reads.push(Read::Absent);
                continue;
            };
            if let Some(marker) = &marker
                && !stored.slides()
            {
                let came = Came {
                    stored: stored.clone(),
                    seen,
                    read_ms,
                    asked_ms,
                };
                self.keep(marker, place, name, came);
            }
            reads.push(stored.read(read_ms));
        }
        Ok(Glance::Here(reads))
    }

    /// What is known of all areas of a namespace.
    fn kept_of(&self, space: &Space) -> Vec<Arc<kept::Space>> {
        let areas = self.far.areas(space).into_iter();
        areas
            .filter_map(|area| self.near.kept.space(&area.prefix))
            .collect()
    }

    fn keep(&self, marker: &Marker, place: usize, name: &str, came: Came) {
        let kept = self.near.kept.keep(marker, place, name, came);
        tracing::trace!(kept, "cache.near");
    }
}

/// Whether Redis cannot be reached, or is there and cannot tell.
const fn is_away(error: &CacheError) -> bool {
    matches!(
        error,
        CacheError::Engine {
            fault: EngineFault::Away | EngineFault::Unready,
            ..
        }
    )
}

fn count(number: &AtomicU64, more: usize) {
    let more = u64::try_from(more).unwrap_or(u64::MAX);
    number.fetch_add(more, Ordering::Relaxed);
}

/// The keys of entries in Redis, by which they are kept.
fn names_of<'a>(area: &Area, keys: impl Iterator<Item = &'a Key>) -> Vec<String> {
    keys.map(|key| area.key("e:", key.as_str())).collect()
}

/// Hears of every change of every key of the cache.
fn listen(far: &RedisCache, near: &Arc<Near>) -> Listener {
    let begin = format!("{}:{{", far.key_prefix);
    let mut track = cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST");
    track.arg("PREFIX").arg(&begin).arg("NOLOOP");
    let (near, heed) = (Arc::clone(near), Mutex::<Heed>::default());
    far.link.listen(vec![track], move |heard| {
        let mut heed = heed.lock();
        if heed.note(&heard) {
            return near.turn(heed.is_whole());
        }
        let Heard::Push {
            kind: PushKind::Invalidate,
            data,
            ..
        } = heard
        else {
            return;
        };
        match data.into_iter().next() {
            Some(Value::Array(names)) => names.into_iter().for_each(|name| match name {
                Value::BulkString(name) => near.hear(&name, begin.len()),
                _ => near.flush(heed.is_whole()),
            }),
            // The server was emptied.
            _ => near.flush(heed.is_whole()),
        }
    })
}

impl Near {
    /// A connection was lost or made. What stands in for a Redis that is away is forgotten once it is heard again.
    fn turn(&self, heard: bool) {
        if heard || self.when_away == WhenAway::Fail {
            self.flush(heard);
        } else {
            self.kept.deafen();
        }
    }

    fn flush(&self, heard: bool) {
        count(&self.counts.flushes, 1);
        self.kept.flush(heard);
    }

    /// A key was changed. Names hold no brace, so the first one ends the part that all keys of a namespace begin with.
    fn hear(&self, name: &[u8], tag_from: usize) {
        const TAG_END: &str = "}:";
        let Ok(name) = std::str::from_utf8(name) else {
            return;
        };
        let end = name.get(tag_from..).and_then(|rest| rest.find(TAG_END));
        let end = end.map(|end| tag_from + end + TAG_END.len());
        let Some((prefix, rest)) = end.and_then(|end| name.split_at_checked(end)) else {
            return;
        };
        if rest.starts_with("e:") {
            count(&self.counts.invalidations, 1);
            self.kept.drop_key(name);
        } else if let Some(tag) = rest.strip_prefix("t:") {
            count(&self.counts.invalidations, 1);
            self.kept.drop_tag(prefix, tag);
        } else if rest == "c" {
            count(&self.counts.invalidations, 1);
            self.kept.drop_space(prefix);
        }
    }
}

#[async_trait]
impl CacheBackend for NearCache {
    fn name(&self) -> &'static str {
        self.far.name()
    }

    fn capabilities(&self) -> &'static [Capability] {
        self.far.capabilities()
    }

    async fn get(&self, space: &Space, key: &Key) -> Result<Reply<Read>, CacheError> {
        let area = self.far.area_of(space, key);
        let found = self.look(&area, std::slice::from_ref(key), Looking::Reading);
        let one = |mut reads: Vec<Read>| reads.pop().unwrap_or(Read::Absent);
        Ok(found.await?.map(one))
    }

    async fn get_many(
        &self,
        space: &Space,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Reply<Vec<Read>>, CacheError> {
        if let Some(area) = self.far.common_area(space, keys.iter()) {
            return self.look(&area, keys, looking).await;
        }
        let groups = self.far.groups(space, keys.iter());
        put_together(&groups, keys.len(), |group, most| {
            let asked = Asked {
                area: &group.area,
                keys: &group.keys,
                looking,
                most,
            };
            self.look_closely(asked).boxed()
        })
        .await
    }

    async fn apply(
        &self,
        space: &Space,
        changes: Vec<Change>,
        guard: Guard,
    ) -> Result<Reply<Vec<Result<Changed, CacheError>>>, CacheError> {
        let keys = changes.iter().map(|change| &change.key);
        let names = match self.far.common_area(space, keys.clone()) {
            Some(area) => names_of(&area, keys),
            None => {
                let lies = |key: &Key| self.far.area_of(space, key).key("e:", key.as_str());
                keys.map(lies).collect()
            }
        };
        let _changing = self.near.kept.changing(&names);
        self.far.apply(space, changes, guard).await
    }

    async fn scan(&self, space: &Space, scan: Scan) -> Result<Scanned, CacheError> {
        self.far.scan(space, scan).await
    }

    async fn clear(&self, space: &Space, fence: Option<Fence>) -> Result<i64, CacheError> {
        let kept = self.kept_of(space);
        let clearing = kept.iter().map(|kept| self.near.kept.clearing(kept));
        let _clearing: Vec<_> = clearing.collect();
        self.far.clear(space, fence).await
    }

    async fn invalidate_tags(
        &self,
        space: &Space,
        tags: Tags,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError> {
        let kept = self.kept_of(space);
        let named = tags.as_slice().iter();
        let named: Vec<_> = named.map(|tag| tag.as_str().to_owned()).collect();
        let invalidating = kept.iter();
        let invalidating =
            invalidating.map(|kept| self.near.kept.invalidating(kept, named.clone()));
        let _invalidating: Vec<_> = invalidating.collect();
        self.far.invalidate_tags(space, tags, fence).await
    }

    async fn get_or_lease(
        &self,
        space: &Space,
        key: &Key,
        lease: LeaseMs,
        when: LeaseWhen,
    ) -> Result<Reply<LeasedRead>, CacheError> {
        if when == LeaseWhen::Needed {
            let area = self.far.area_of(space, key);
            let found = self.look(&area, std::slice::from_ref(key), Looking::Reading);
            let mut found = found.await?;
            if let Some(read) = found.answer.pop().filter(|read| !read.needs_filling()) {
                let lease = LeaseState::NotNeeded;
                return Ok(found.map(|_| LeasedRead { read, lease }));
            }
        }
        self.far.get_or_lease(space, key, lease, when).await
    }

    async fn lease_ended(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
        wait: Duration,
    ) -> Result<(), CacheError> {
        self.far.lease_ended(space, key, token, wait).await
    }

    async fn end_lease(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
    ) -> Result<bool, CacheError> {
        self.far.end_lease(space, key, token).await
    }

    async fn stats(&self, space: &Space) -> Result<BackendStats, CacheError> {
        self.far.stats(space).await
    }
}
