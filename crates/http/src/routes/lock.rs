//! The `lock` block. Bodies and answers are the block's own types.

use axum::extract::State;
use plinth_core::Resource;
use plinth_gate::Target;
use plinth_gate::catalogue::ops;
use plinth_lock::model::{
    AcquireReply, AcquireRequest, ForceReleaseReply, ForceReleaseRequest, ListReply, ListRequest,
    LockInfo, ReleaseReply, ReleaseRequest, RenewReply, RenewRequest, VerifyReply, VerifyRequest,
    claimed_resources, lock_resource,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{ApiJson, ApiPath, ApiQuery, ApiSession, WaitingJson};
use crate::problem::ApiResult;
use crate::services::Services;

/// The routes of the block.
pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(acquire))
        .routes(routes!(renew))
        .routes(routes!(release))
        .routes(routes!(verify))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(force_release))
}

/// Acquires locks in the order of their names, all or none, waiting for them in the order of coming if asked.
#[utoipa::path(
    post, path = "/v1/lock/acquire", operation_id = "lock.acquire",
    request_body = AcquireRequest,
    responses((status = 200, description = "All are held.", body = AcquireReply)),
)]
async fn acquire(
    State(services): State<Services>,
    session: ApiSession,
    WaitingJson(request): WaitingJson<AcquireRequest>,
) -> ApiResult<ApiJson<AcquireReply>> {
    let wait_ms = u64::try_from(request.wait_ms.unwrap_or(0)).unwrap_or(0);
    let target = Target::resources(request.resources()).waiting_ms(wait_ms);
    let service = &services.lock;
    let call = |context| async move { service.acquire(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::LOCK_ACQUIRE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Begins leases anew. A grant that was lost says so in its item.
#[utoipa::path(
    post, path = "/v1/lock/renew", operation_id = "lock.renew",
    request_body = RenewRequest,
    responses((status = 200, description = "A status for each grant.", body = RenewReply)),
)]
async fn renew(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<RenewRequest>,
) -> ApiResult<ApiJson<RenewReply>> {
    let target = Target::resources(claimed_resources(&request.claims));
    let service = &services.lock;
    let call = |context| async move { service.renew(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::LOCK_RENEW, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Releases held locks. A grant that was lost says so in its item.
#[utoipa::path(
    post, path = "/v1/lock/release", operation_id = "lock.release",
    request_body = ReleaseRequest,
    responses((status = 200, description = "A status for each grant.", body = ReleaseReply)),
)]
async fn release(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<ReleaseRequest>,
) -> ApiResult<ApiJson<ReleaseReply>> {
    let target = Target::resources(claimed_resources(&request.claims));
    let service = &services.lock;
    let call = |context| async move { service.release(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::LOCK_RELEASE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Says whether a grant is alive; with a wait, answers as soon as it is lost.
#[utoipa::path(
    post, path = "/v1/lock/verify", operation_id = "lock.verify",
    request_body = VerifyRequest,
    responses((status = 200, description = "What is known of the token.", body = VerifyReply)),
)]
async fn verify(
    State(services): State<Services>,
    session: ApiSession,
    WaitingJson(request): WaitingJson<VerifyRequest>,
) -> ApiResult<ApiJson<VerifyReply>> {
    let wait_ms = u64::try_from(request.wait_ms.unwrap_or(0)).unwrap_or(0);
    let target = Target::resource(lock_resource(&request.lock)).waiting_ms(wait_ms);
    let service = &services.lock;
    let call = |context| async move { service.verify(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::LOCK_VERIFY, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Lists locks by name: those in use, and those that were fought for in the last ten minutes.
#[utoipa::path(
    get, path = "/v1/lock/locks", operation_id = "lock.list",
    params(ListRequest),
    responses((status = 200, description = "A page of locks.", body = ListReply)),
)]
async fn list(
    State(services): State<Services>,
    session: ApiSession,
    ApiQuery(request): ApiQuery<ListRequest>,
) -> ApiResult<ApiJson<ListReply>> {
    let target = Target::resource(Resource::all("lock"));
    let service = &services.lock;
    let call = |context| async move { service.list(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::LOCK_LIST, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// One lock: who holds it, who waits for whom, what happened to it. A free one has neither.
#[utoipa::path(
    get, path = "/v1/lock/locks/{lock}", operation_id = "lock.get",
    params(("lock" = String, Path, description = "Name of the lock")),
    responses((status = 200, description = "The lock.", body = LockInfo)),
)]
async fn get(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(lock): ApiPath<String>,
) -> ApiResult<ApiJson<LockInfo>> {
    let target = Target::resource(lock_resource(&lock));
    let service = &services.lock;
    let call = |context| async move { service.get(&context, &lock).await };
    let reply = services
        .gate
        .call(&session, &ops::LOCK_GET, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Ends leases against their holders' will. Their later renewals say 2602, and their tokens are below the next one.
#[utoipa::path(
    post, path = "/v1/lock/locks/{lock}/force-release", operation_id = "lock.force_release",
    params(("lock" = String, Path, description = "Name of the lock")),
    request_body = ForceReleaseRequest,
    responses((status = 200, description = "How many leases were ended.", body = ForceReleaseReply)),
)]
async fn force_release(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(lock): ApiPath<String>,
    ApiJson(request): ApiJson<ForceReleaseRequest>,
) -> ApiResult<ApiJson<ForceReleaseReply>> {
    let target = Target::resource(lock_resource(&lock));
    let service = &services.lock;
    let call = |context| async move { service.force_release(&context, &lock, request).await };
    let reply = services
        .gate
        .call(&session, &ops::LOCK_FORCE_RELEASE, target, call)
        .await?;
    Ok(ApiJson(reply))
}
