//! Changes: planned, counted against the quotas, then made.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use plinth_core::{Error, Fence};

use super::entry::Entry;
use super::namespaces::{Growth, NamespaceState};
use super::plan::{Plan, Site, Step, Telling};
use super::{MemoryCache, Room, Rooms};
use crate::error::{CacheError, Refusal};
use crate::model::{
    Atomicity, Change, ChangeKind, Changed, Condition, Guard, Read, Space, Stored, TTL_MS_MAX,
};

/// Most of the memory bound that fences may take: one part in so many. Nothing evicts them.
const FENCE_BYTES_SHARE: u64 = 4;

/// Where an entry stands.
#[derive(Clone, Copy)]
struct Place<'key> {
    hash: u64,
    namespace: u32,
    key: &'key str,
}

impl MemoryCache {
    pub(super) fn apply_all(
        &self,
        space: &Space,
        changes: Vec<Change>,
        guard: Guard,
    ) -> Result<Vec<Result<Changed, CacheError>>, CacheError> {
        let Guard {
            atomicity,
            fence,
            once,
        } = guard;
        let Some(once) = once else {
            return self.apply_fenced(space, changes, atomicity, fence);
        };
        let Some((id, mut answers)) = self.answers.lock(&space.scope, &once) else {
            return Ok(Vec::new());
        };
        if let Some(first) = answers.recall(id, &once, self.clock.monotonic_ms())? {
            return Ok(vec![Ok(first)]);
        }
        let made = self.apply_fenced(space, changes, atomicity, fence)?;
        if let [Ok(changed)] = made.as_slice()
            && let Some(answer) = once.keeps(changed)
        {
            let grown = answers.keep(id, &once, answer, self.clock.monotonic_ms());
            self.count_bytes(grown);
        }
        Ok(made)
    }

    fn apply_fenced(
        &self,
        space: &Space,
        changes: Vec<Change>,
        atomicity: Atomicity,
        fence: Option<Fence>,
    ) -> Result<Vec<Result<Changed, CacheError>>, CacheError> {
        self.fenced(space, fence, || {
            let (state, hashes, mut rooms) = self.enter(space, &changes)?;
            // What an invalidation makes absent between the look and the change would come back with the new version.
            let leans = changes.iter().any(leans_on_what_stands);
            let _steady = leans.then(|| state.tags.keep_steady());
            let now = self.clock.monotonic_ms();
            let site = |item, hash| Site {
                cache: self,
                state: &state,
                hash,
                now,
                item,
            };
            let planned =
                changes
                    .into_iter()
                    .zip(hashes)
                    .enumerate()
                    .filter_map(|(item, (change, hash))| {
                        let room = rooms.of(hash)?;
                        Some(site(item, hash).plan(room, change))
                    });
            let plans = match atomicity {
                Atomicity::AllOrNothing => {
                    let plans = planned.collect::<Result<Vec<Plan>, CacheError>>()?;
                    self.reserve_all(space, &state, &plans)?;
                    plans.into_iter().map(Ok).collect()
                }
                Atomicity::EachAlone => {
                    let plans: Vec<Result<Plan, CacheError>> = planned.collect();
                    self.reserve_each(space, &state, plans)
                }
            };
            let make = |plan: Result<Plan, CacheError>| match plan {
                Ok(plan) => {
                    let room = rooms.of(plan.hash)?;
                    Some(Ok(self.make(room, &state, plan, now)))
                }
                Err(refusal) => Some(Err(refusal)),
            };
            Ok(plans.into_iter().filter_map(make).collect())
        })
    }

    /// Runs `work` under a fence: nobody else writes under one of this namespace meanwhile, and the token counts once the work
    /// was done.
    pub(super) fn fenced<T>(
        &self,
        space: &Space,
        fence: Option<Fence>,
        work: impl FnOnce() -> Result<T, CacheError>,
    ) -> Result<T, CacheError> {
        let Some(fence) = fence else {
            return work();
        };
        loop {
            let lasting = Arc::clone(&self.namespaces.find_or_add(&space.scope)?.lasting);
            let mut fences = lasting.fences.lock();
            if fences.is_gone() {
                continue;
            }
            let grown = fences.check(&fence)?;
            let held = self.fence_bytes.load(Ordering::Relaxed);
            if grown > 0 && held.saturating_add(grown) > self.bytes_max / FENCE_BYTES_SHARE {
                let rule = format!(
                    "is one too many: the fences of the instance take {held} bytes, a part in {FENCE_BYTES_SHARE} of cache.bytes_max"
                );
                return Err(Error::too_large("fence.name", rule).into());
            }
            let done = work()?;
            fences.raise(fence);
            self.fence_bytes.fetch_add(grown, Ordering::Relaxed);
            self.bytes.fetch_add(grown, Ordering::Relaxed);
            return Ok(done);
        }
    }

    /// Locks what the changes need, under the number that the namespace has then.
    fn enter(
        &self,
        space: &Space,
        changes: &[Change],
    ) -> Result<(Arc<NamespaceState>, Vec<u64>, Rooms<'_>), CacheError> {
        loop {
            let state = self.namespaces.find_or_add(&space.scope)?;
            let hashes: Vec<u64> = changes
                .iter()
                .map(|change| self.hash(state.id, change.key.as_str()))
                .collect();
            let rooms = self.lock_rooms(&hashes);
            if !state.is_retired() {
                return Ok((state, hashes, rooms));
            }
        }
    }

    fn reserve_all(
        &self,
        space: &Space,
        state: &NamespaceState,
        plans: &[Plan],
    ) -> Result<(), CacheError> {
        let growth = plans
            .iter()
            .fold(Growth::default(), |sum, plan| sum.plus(plan.growth));
        self.reserve(space, state, growth)
            .map_err(|refusal| CacheError::refused(0, refusal).alone())
    }

    fn reserve_each(
        &self,
        space: &Space,
        state: &NamespaceState,
        plans: Vec<Result<Plan, CacheError>>,
    ) -> Vec<Result<Plan, CacheError>> {
        let reserve = |(item, plan): (usize, Result<Plan, CacheError>)| {
            let plan = plan?;
            self.reserve(space, state, plan.growth)
                .map_err(|refusal| CacheError::refused(item, refusal))?;
            Ok(plan)
        };
        plans.into_iter().enumerate().map(reserve).collect()
    }

    fn reserve(
        &self,
        space: &Space,
        state: &NamespaceState,
        growth: Growth,
    ) -> Result<(), Refusal> {
        state.reserve(growth, space.policy.quota, self.tenant_quota)?;
        self.count_bytes(growth.bytes);
        Ok(())
    }

    /// Makes a planned change. Its size was counted before.
    fn make(&self, room: &mut Room, state: &NamespaceState, plan: Plan, now: u64) -> Changed {
        let place = Place {
            hash: plan.hash,
            namespace: state.id,
            key: plan.key.as_str(),
        };
        if !matches!(plan.step, Step::Miss(_)) {
            self.end_leases_of(room, place.hash, place.namespace, place.key);
        }
        match plan.step {
            Step::Store { mut entry, telling } => {
                entry.set_version(self.next_version());
                let changed = self.tell(&mut entry, telling, now);
                room.shard.insert(place.hash, entry);
                changed
            }
            Step::Replace {
                value,
                renewed,
                telling,
            } => self.alter(room, place, telling, now, |entry| {
                entry.set_value(value);
                if let Some(times) = renewed {
                    entry.renew(times);
                }
            }),
            Step::Renew { times, telling } => {
                self.alter(room, place, telling, now, |entry| entry.renew(times))
            }
            Step::Delete { existed } => {
                room.shard.remove(place.hash, place.namespace, place.key);
                Changed::Deleted { existed }
            }
            Step::Miss(read) => Changed::Touched(read),
        }
    }

    /// Changes a present entry and gives it a new version.
    fn alter(
        &self,
        room: &mut Room,
        place: Place<'_>,
        telling: Telling,
        now: u64,
        change: impl FnOnce(&mut Entry),
    ) -> Changed {
        // The plan found the entry under the lock that is still held.
        let mut changed = Changed::Touched(Read::Absent);
        let Place {
            hash,
            namespace,
            key,
        } = place;
        room.shard.change(hash, namespace, key, |entry| {
            change(entry);
            entry.set_version(self.next_version());
            changed = self.tell(entry, telling, now);
        });
        changed
    }

    fn tell(&self, entry: &mut Entry, telling: Telling, now: u64) -> Changed {
        let stored = Stored {
            version: entry.version(),
            expires_at_ms: self.wall(entry.expires_ms(), now),
        };
        match telling {
            Telling::Stored => Changed::Stored(stored),
            Telling::Number(number) => Changed::Counted { number, stored },
            Telling::Length(length) => Changed::Appended { length, stored },
            Telling::Value => Changed::Touched(entry.seen(now)),
        }
    }

    pub(super) fn end_leases_of(&self, room: &mut Room, hash: u64, namespace: u32, key: &str) {
        let ended = room.leases.end(hash, namespace, key);
        self.leases.fetch_sub(ended, Ordering::Relaxed);
    }

    pub(super) fn count_bytes(&self, delta: i64) {
        if delta >= 0 {
            self.bytes
                .fetch_add(delta.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.bytes
                .fetch_sub(delta.unsigned_abs(), Ordering::Relaxed);
        }
    }

    /// Says a monotonic instant in wall-clock milliseconds.
    fn wall(&self, expires_ms: Option<u64>, now: u64) -> Option<i64> {
        let left = expires_ms?.saturating_sub(now).min(TTL_MS_MAX);
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        Some(self.clock.now().plus_ms(left).0)
    }
}

/// Whether what a change leaves is made of what stood there, or was allowed by it: an invalidation in between would be undone.
const fn leans_on_what_stands(change: &Change) -> bool {
    match &change.kind {
        ChangeKind::Put(put) => {
            put.lease.is_some()
                || matches!(put.condition, Condition::Present | Condition::Version(_))
        }
        ChangeKind::Delete { .. } => false,
        ChangeKind::Expire { .. }
        | ChangeKind::Touch { .. }
        | ChangeKind::Increment(_)
        | ChangeKind::Append(_) => true,
    }
}
