//! The `lock` block.

use faststr::FastStr;
use plinth_core::{Resource, Result, WideInt};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::lock::*;
use plinth_lock::model::{
    self, AcquireRequest, ClaimResult, ForceReleaseRequest, ListRequest, ReleaseRequest,
    RenewRequest, VerifyRequest, claimed_resources, lock_resource,
};

use super::convert::text;
use crate::services::Services;

pub(crate) async fn acquire(
    services: &Services,
    session: &Session,
    request: LockAcquireRequest,
) -> Result<LockAcquireResponse> {
    let request = AcquireRequest {
        locks: request.locks.into_iter().map(ask).collect(),
        owner: request.owner.to_string(),
        lease_ms: request.lease_ms,
        wait_ms: request.wait_ms,
        reentrant: request.reentrant,
        keep_place_ms: request.keep_place_ms,
    };
    let wait_ms = u64::try_from(request.wait_ms.unwrap_or(0)).unwrap_or(0);
    let target = Target::resources(request.resources()).waiting_ms(wait_ms);
    let call = |context| async move { services.lock.acquire(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::LOCK_ACQUIRE, target, call)
        .await?;
    let grant = |grant: model::LockGrant| LockGrant {
        lock: grant.lock.into(),
        token: grant.token.0,
        depth: grant.depth,
        lease_ms: grant.lease_ms,
    };
    Ok(LockAcquireResponse {
        grants: reply.grants.into_iter().map(grant).collect(),
        waited_ms: reply.waited_ms,
        base_resp: None,
    })
}

pub(crate) async fn renew(
    services: &Services,
    session: &Session,
    request: LockRenewRequest,
) -> Result<LockRenewResponse> {
    let request = RenewRequest {
        owner: request.owner.to_string(),
        claims: claims(request.claims),
        lease_ms: request.lease_ms,
    };
    let target = Target::resources(claimed_resources(&request.claims));
    let call = |context| async move { services.lock.renew(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::LOCK_RENEW, target, call)
        .await?;
    Ok(LockRenewResponse {
        items: reply.items.into_iter().map(claim_result).collect(),
        base_resp: None,
    })
}

pub(crate) async fn release(
    services: &Services,
    session: &Session,
    request: LockReleaseRequest,
) -> Result<LockReleaseResponse> {
    let request = ReleaseRequest {
        owner: request.owner.to_string(),
        claims: claims(request.claims),
    };
    let target = Target::resources(claimed_resources(&request.claims));
    let call = |context| async move { services.lock.release(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::LOCK_RELEASE, target, call)
        .await?;
    Ok(LockReleaseResponse {
        items: reply.items.into_iter().map(claim_result).collect(),
        base_resp: None,
    })
}

pub(crate) async fn verify(
    services: &Services,
    session: &Session,
    request: LockVerifyRequest,
) -> Result<LockVerifyResponse> {
    let wait_ms = u64::try_from(request.wait_ms.unwrap_or(0)).unwrap_or(0);
    let target = Target::resource(lock_resource(&request.lock)).waiting_ms(wait_ms);
    let request = VerifyRequest {
        lock: request.lock.to_string(),
        token: WideInt(request.token),
        wait_ms: request.wait_ms,
    };
    let call = |context| async move { services.lock.verify(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::LOCK_VERIFY, target, call)
        .await?;
    Ok(LockVerifyResponse {
        held: reply.held,
        owner: reply.owner.map(FastStr::from),
        left_ms: reply.left_ms,
        last_token: reply.last_token.map(|token| token.0),
        base_resp: None,
    })
}

pub(crate) async fn get(
    services: &Services,
    session: &Session,
    request: LockGetRequest,
) -> Result<LockGetResponse> {
    let target = Target::resource(lock_resource(&request.lock));
    let call = |context| async move { services.lock.get(&context, &request.lock).await };
    let info = services
        .gate
        .call(session, &ops::LOCK_GET, target, call)
        .await?;
    Ok(LockGetResponse {
        lock: info.lock.into(),
        permits_max: info.permits_max,
        last_token: info.last_token.map(|token| token.0),
        holders: info.holders.into_iter().map(holder).collect(),
        waiters: info.waiters.into_iter().map(waiter).collect(),
        counters: counters(info.counters),
        base_resp: None,
    })
}

pub(crate) async fn list(
    services: &Services,
    session: &Session,
    request: LockListRequest,
) -> Result<LockListResponse> {
    let request = ListRequest {
        prefix: text(request.prefix),
        cursor: text(request.cursor),
        limit: request.limit.map(i64::from),
    };
    let target = Target::resource(Resource::all("lock"));
    let call = |context| async move { services.lock.list(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::LOCK_LIST, target, call)
        .await?;
    let summary = |lock: model::LockSummary| LockSummary {
        lock: lock.lock.into(),
        permits_max: lock.permits_max,
        holders: lock.holders,
        waiters: lock.waiters,
        longest_wait_ms: lock.longest_wait_ms,
        contended: lock.contended,
    };
    Ok(LockListResponse {
        locks: reply.locks.into_iter().map(summary).collect(),
        next_cursor: reply.next_cursor.map(FastStr::from),
        base_resp: None,
    })
}

pub(crate) async fn force_release(
    services: &Services,
    session: &Session,
    request: LockForceReleaseRequest,
) -> Result<LockForceReleaseResponse> {
    let lock = request.lock.to_string();
    let target = Target::resource(lock_resource(&lock));
    let request = ForceReleaseRequest {
        token: request.token.map(WideInt),
        reason: request.reason.to_string(),
    };
    let call = |context| async move { services.lock.force_release(&context, &lock, request).await };
    let reply = services
        .gate
        .call(session, &ops::LOCK_FORCE_RELEASE, target, call)
        .await?;
    Ok(LockForceReleaseResponse {
        released: reply.released,
        base_resp: None,
    })
}

fn ask(ask: LockAsk) -> model::LockAsk {
    model::LockAsk {
        lock: ask.lock.to_string(),
        mode: text(ask.mode),
        permits: ask.permits,
        permits_max: ask.permits_max,
    }
}

fn claims(claims: Vec<LockClaim>) -> Vec<model::LockClaim> {
    let claim = |claim: LockClaim| model::LockClaim {
        lock: claim.lock.to_string(),
        token: WideInt(claim.token),
        depth: claim.depth,
    };
    claims.into_iter().map(claim).collect()
}

fn claim_result(item: ClaimResult) -> LockClaimResult {
    LockClaimResult {
        lock: item.lock.into(),
        token: item.token.0,
        held: item.held,
        lease_ms: item.lease_ms,
        depth: item.depth,
        code: item.code,
        message: item.message.map(FastStr::from),
    }
}

fn holder(holder: model::LockHolder) -> LockHolder {
    LockHolder {
        owner: holder.owner.into(),
        principal: holder.principal.into(),
        mode: holder.mode.into(),
        permits: holder.permits,
        token: holder.token.0,
        depth: holder.depth,
        held_ms: holder.held_ms,
        left_ms: holder.left_ms,
    }
}

fn waiter(waiter: model::LockWaiter) -> LockWaiter {
    LockWaiter {
        owner: waiter.owner.into(),
        principal: waiter.principal.into(),
        mode: waiter.mode.into(),
        permits: waiter.permits,
        waiting_ms: waiter.waiting_ms,
        waits_for: waiter.waits_for.into_iter().map(FastStr::from).collect(),
    }
}

fn counters(counters: model::LockCounters) -> LockCounters {
    LockCounters {
        granted: counters.granted,
        contended: counters.contended,
        waited_ms: counters.waited_ms,
        timed_out: counters.timed_out,
        vanished: counters.vanished,
        expired: counters.expired,
        forced: counters.forced,
        deadlocks: counters.deadlocks,
    }
}
