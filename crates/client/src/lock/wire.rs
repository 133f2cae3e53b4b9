//! The shapes of Thrift to and from the client's own; HTTP uses the client's own as they are.

use faststr::FastStr;
use plinth_idl::lock as idl;
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::*;

pub(super) fn text(text: &str) -> FastStr {
    FastStr::new(text)
}

pub(super) fn text_option(text: Option<&str>) -> Option<FastStr> {
    text.map(FastStr::new)
}

fn owned(text: Option<FastStr>) -> Option<String> {
    text.map(|text| text.to_string())
}

#[derive(Deserialize)]
pub(super) struct ItemsBody {
    pub(super) items: Vec<LockClaimResult>,
}

#[derive(Deserialize)]
pub(super) struct ReleasedBody {
    pub(super) released: i32,
}

pub(super) fn claims_json(grants: &[LockGrant], with_depth: bool) -> Value {
    let claim = |grant: &LockGrant| {
        let depth = with_depth.then_some(grant.depth);
        json!({ "lock": grant.lock, "token": grant.token.to_string(), "depth": depth })
    };
    grants.iter().map(claim).collect()
}

pub(super) fn claims(grants: &[LockGrant], with_depth: bool) -> Vec<idl::LockClaim> {
    let claim = |grant: &LockGrant| idl::LockClaim {
        lock: text(&grant.lock),
        token: grant.token,
        depth: with_depth.then_some(grant.depth),
    };
    grants.iter().map(claim).collect()
}

impl From<&LockAsk> for idl::LockAsk {
    fn from(ask: &LockAsk) -> Self {
        Self {
            lock: text(&ask.lock),
            mode: text_option(ask.mode.as_deref()),
            permits: ask.permits,
            permits_max: ask.permits_max,
        }
    }
}

impl From<idl::LockAcquireResponse> for Acquired {
    fn from(reply: idl::LockAcquireResponse) -> Self {
        let grant = |grant: idl::LockGrant| LockGrant {
            lock: grant.lock.to_string(),
            token: grant.token,
            depth: grant.depth,
            lease_ms: grant.lease_ms,
        };
        Self {
            grants: reply.grants.into_iter().map(grant).collect(),
            waited_ms: reply.waited_ms,
        }
    }
}

impl From<idl::LockClaimResult> for LockClaimResult {
    fn from(item: idl::LockClaimResult) -> Self {
        Self {
            lock: item.lock.to_string(),
            token: item.token,
            held: item.held,
            lease_ms: item.lease_ms,
            depth: item.depth,
            code: item.code,
            message: owned(item.message),
        }
    }
}

impl From<idl::LockVerifyResponse> for LockVerified {
    fn from(reply: idl::LockVerifyResponse) -> Self {
        Self {
            held: reply.held,
            owner: owned(reply.owner),
            left_ms: reply.left_ms,
            last_token: reply.last_token,
        }
    }
}

impl From<idl::LockGetResponse> for LockInfo {
    fn from(info: idl::LockGetResponse) -> Self {
        let holder = |holder: idl::LockHolder| LockHolder {
            owner: holder.owner.to_string(),
            principal: holder.principal.to_string(),
            mode: holder.mode.to_string(),
            permits: holder.permits,
            token: holder.token,
            depth: holder.depth,
            held_ms: holder.held_ms,
            left_ms: holder.left_ms,
        };
        let waiter = |waiter: idl::LockWaiter| LockWaiter {
            owner: waiter.owner.to_string(),
            principal: waiter.principal.to_string(),
            mode: waiter.mode.to_string(),
            permits: waiter.permits,
            waiting_ms: waiter.waiting_ms,
            waits_for: waiter.waits_for.iter().map(FastStr::to_string).collect(),
        };
        Self {
            lock: info.lock.to_string(),
            permits_max: info.permits_max,
            last_token: info.last_token,
            holders: info.holders.into_iter().map(holder).collect(),
            waiters: info.waiters.into_iter().map(waiter).collect(),
            counters: LockCounters {
                granted: info.counters.granted,
                contended: info.counters.contended,
                waited_ms: info.counters.waited_ms,
                timed_out: info.counters.timed_out,
                vanished: info.counters.vanished,
                expired: info.counters.expired,
                forced: info.counters.forced,
                deadlocks: info.counters.deadlocks,
            },
        }
    }
}

impl From<idl::LockListResponse> for LockPage {
    fn from(reply: idl::LockListResponse) -> Self {
        let summary = |lock: idl::LockSummary| LockSummary {
            lock: lock.lock.to_string(),
            permits_max: lock.permits_max,
            holders: lock.holders,
            waiters: lock.waiters,
            longest_wait_ms: lock.longest_wait_ms,
            contended: lock.contended,
        };
        Self {
            locks: reply.locks.into_iter().map(summary).collect(),
            next_cursor: owned(reply.next_cursor),
        }
    }
}
