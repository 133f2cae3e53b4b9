//! Looking: one lock, many locks, one token.

use plinth_core::page::PageLimit;
use plinth_core::{CallContext, Cursor, WideInt};

use super::LockService;
use crate::backend::{LockKey, Seen};
use crate::error::LockError;
use crate::model::{
    ListReply, ListRequest, LockCounters, LockHolder, LockInfo, LockName, LockSummary, LockWaiter,
    Verify, VerifyReply, VerifyRequest, limits,
};
use crate::record::{Mode, Place, Record};

/// Owners that one waiter is said to wait for.
const WAITS_FOR_MAX: usize = 16;

impl LockService {
    /// Says whether a grant is alive; with a wait, watches it and answers as soon as it is lost.
    ///
    /// Errors: 1001 naming the field, 2605 where too many wait, 2601 where the backend is away.
    pub async fn verify(
        &self,
        context: &CallContext,
        request: VerifyRequest,
    ) -> Result<VerifyReply, LockError> {
        let request = Verify::parse(&request)?;
        let key = LockKey {
            tenant: context.caller.tenant.clone(),
            name: request.name,
        };
        let inner = &self.inner;
        let until = inner
            .clock
            .monotonic_ms()
            .saturating_add(u64::try_from(request.wait_ms).unwrap_or(0));
        let waiting = inner.wakes.register(&key, None)?;
        loop {
            let reply = verified(&inner.backend.read(&key).await?, request.token);
            let now = inner.clock.monotonic_ms();
            let Some(left_ms) = reply.left_ms.filter(|_| now < until) else {
                return Ok(reply);
            };
            // Another instance may end it unseen, so a look is taken now and then.
            let pause_ms = left_ms.clamp(1, limits::PLACE_RENEW_MS);
            let next = now.saturating_add(u64::try_from(pause_ms).unwrap_or(1));
            tokio::select! {
                () = waiting.woken() => {}
                () = inner.clock.sleep_until_monotonic(next.min(until)) => {}
                () = inner.cancel.cancelled() => return Ok(reply),
            }
        }
    }

    /// One lock: who holds it, who waits for whom, what happened to it. A free one has neither.
    ///
    /// Errors: 1001 naming the field, 2601 where the backend is away.
    pub async fn get(&self, context: &CallContext, lock: &str) -> Result<LockInfo, LockError> {
        let key = LockKey {
            tenant: context.caller.tenant.clone(),
            name: LockName::parse("lock", lock)?,
        };
        let seen = self.inner.backend.read(&key).await?;
        Ok(info(key.name.as_str(), &seen))
    }

    /// Locks by name: those that are in use, and those that were fought for in the last ten minutes.
    ///
    /// Errors: 1001 naming the field, 2601 where the backend is away.
    pub async fn list(
        &self,
        context: &CallContext,
        request: ListRequest,
    ) -> Result<ListReply, LockError> {
        let limit = PageLimit::parse(request.limit)?.get();
        let after: Option<String> = request.cursor.as_deref().map(Cursor::decode).transpose()?;
        let prefix = match request.prefix.as_deref() {
            None | Some("") => "",
            Some(prefix) => {
                LockName::parse("prefix", prefix)?;
                prefix
            }
        };
        let tenant = &context.caller.tenant;
        // One more than the page, to see whether there is a next one.
        let mut found = self
            .inner
            .backend
            .list(tenant, prefix, after.as_deref(), limit.saturating_add(1))
            .await?;
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = found.len() > page;
        found.truncate(page);
        let last = found.last().filter(|_| has_more);
        let next = last
            .map(|(name, _)| Cursor::encode(&name.as_str()))
            .transpose()?;
        Ok(ListReply {
            locks: found.iter().map(summary).collect(),
            next_cursor: next.map(|cursor| cursor.as_str().to_owned()),
        })
    }
}

fn verified(seen: &Seen, token: i64) -> VerifyReply {
    let holder = seen
        .record
        .holders
        .iter()
        .find(|holder| holder.token == token && holder.left_ms(seen.now) > 0);
    VerifyReply {
        held: holder.is_some(),
        owner: holder.map(|holder| holder.owner.clone()),
        left_ms: holder.map(|holder| holder.left_ms(seen.now)),
        last_token: last_token(&seen.record),
    }
}

fn last_token(record: &Record) -> Option<WideInt> {
    (record.last_token > 0).then_some(WideInt(record.last_token))
}

fn summary((name, seen): &(LockName, Seen)) -> LockSummary {
    let Seen { record, now } = seen;
    let holders = record.holders.iter().filter(|one| one.left_ms(*now) > 0);
    let waits = record
        .places
        .iter()
        .filter(|place| place.left_ms(*now) > 0)
        .map(|place| now.at.saturating_sub(place.since).max(0));
    LockSummary {
        lock: name.to_string(),
        permits_max: record.size,
        holders: count(holders.count()),
        waiters: count(waits.clone().count()),
        longest_wait_ms: waits.max().unwrap_or(0),
        contended: record.counters.contended,
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn info(name: &str, seen: &Seen) -> LockInfo {
    let Seen { record, now } = seen;
    let holders: Vec<_> = record
        .holders
        .iter()
        .filter(|holder| holder.left_ms(*now) > 0)
        .collect();
    let places: Vec<_> = record
        .places
        .iter()
        .filter(|place| place.left_ms(*now) > 0)
        .collect();
    let holding: Vec<(&str, Mode)> = holders
        .iter()
        .map(|holder| (holder.owner.as_str(), holder.mode))
        .collect();
    let waiters = places.iter().enumerate().map(|(index, place)| {
        let (earlier, _) = places.split_at(index);
        LockWaiter {
            owner: place.owner.clone(),
            principal: place.principal.clone(),
            mode: word(place.mode).to_owned(),
            permits: place.mode.permits(),
            waiting_ms: now.at.saturating_sub(place.since).max(0),
            waits_for: waits_for(place, &holding, earlier),
        }
    });
    LockInfo {
        lock: name.to_owned(),
        permits_max: record.size,
        last_token: last_token(record),
        waiters: waiters.collect(),
        holders: holders
            .iter()
            .map(|holder| LockHolder {
                owner: holder.owner.clone(),
                principal: holder.principal.clone(),
                mode: word(holder.mode).to_owned(),
                permits: holder.mode.permits(),
                token: WideInt(holder.token),
                depth: count(holder.attempts.len()),
                held_ms: now.at.saturating_sub(holder.since).max(0),
                left_ms: holder.left_ms(*now),
            })
            .collect(),
        counters: counters(record),
    }
}

fn waits_for(place: &Place, holding: &[(&str, Mode)], earlier: &[&Place]) -> Vec<String> {
    let before = earlier
        .iter()
        .map(|place| (place.owner.as_str(), place.mode));
    let mut owners: Vec<String> = Vec::new();
    for (owner, mode) in holding.iter().copied().chain(before) {
        let blocks = place.mode.size().is_some() || place.mode.excludes(mode);
        if blocks && owners.len() < WAITS_FOR_MAX && !owners.iter().any(|known| known == owner) {
            owners.push(owner.to_owned());
        }
    }
    owners
}

const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "exclusive",
        Mode::Shared => "shared",
        Mode::Permits { .. } => "permits",
    }
}

fn counters(record: &Record) -> LockCounters {
    let kept = record.counters;
    LockCounters {
        granted: kept.granted,
        contended: kept.contended,
        waited_ms: kept.waited_ms,
        timed_out: kept.timed_out,
        vanished: kept.vanished,
        expired: kept.expired,
        forced: kept.forced,
        deadlocks: kept.deadlocks,
    }
}
