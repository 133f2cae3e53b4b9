//! The `access` block.

use axum::extract::State;
use http::StatusCode;
use plinth_gate::Target;
use plinth_gate::access::{
    self, BindRoleReply, BindRoleRequest, CreateKeyReply, CreateKeyRequest, CreateTenantReply,
    CreateTenantRequest, ListBindingsReply, ListBindingsRequest, ListKeysReply, ListKeysRequest,
    RevokeKeyReply, RevokeKeyRequest, UnbindRoleReply, UnbindRoleRequest, WhoAmIReply,
};
use plinth_gate::catalogue::ops;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{ApiJson, ApiPath, ApiQuery, ApiSession};
use crate::problem::ApiResult;
use crate::services::Services;

/// The routes of the block.
pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(create_tenant))
        .routes(routes!(create_key, list_keys))
        .routes(routes!(revoke_key))
        .routes(routes!(bind_role, list_bindings))
        .routes(routes!(unbind_role))
        .routes(routes!(who_am_i))
}

/// Creates a tenant and its first key, whose text is shown this one time. Only for the platform's own tenant.
#[utoipa::path(
    post, path = "/v1/access/tenants", operation_id = "access.create_tenant",
    request_body = CreateTenantRequest,
    responses((status = 201, description = "Created.", body = CreateTenantReply)),
)]
async fn create_tenant(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<CreateTenantRequest>,
) -> ApiResult<(StatusCode, ApiJson<CreateTenantReply>)> {
    let target = Target::resource(access::tenants_resource());
    let service = &services.access;
    let call = |context| async move { service.create_tenant(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::ACCESS_CREATE_TENANT, target, call)
        .await?;
    Ok((StatusCode::CREATED, ApiJson(reply)))
}

/// Creates a key, whose text is shown this one time.
#[utoipa::path(
    post, path = "/v1/access/keys", operation_id = "access.create_key",
    request_body = CreateKeyRequest,
    responses((status = 201, description = "Created.", body = CreateKeyReply)),
)]
async fn create_key(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<CreateKeyRequest>,
) -> ApiResult<(StatusCode, ApiJson<CreateKeyReply>)> {
    let target = Target::resource(access::keys_resource());
    let service = &services.access;
    let call = |context| async move { service.create_key(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::ACCESS_CREATE_KEY, target, call)
        .await?;
    Ok((StatusCode::CREATED, ApiJson(reply)))
}

/// Lists keys of the tenant, without their texts.
#[utoipa::path(
    get, path = "/v1/access/keys", operation_id = "access.list_keys",
    params(ListKeysRequest),
    responses((status = 200, description = "A page of keys.", body = ListKeysReply)),
)]
async fn list_keys(
    State(services): State<Services>,
    session: ApiSession,
    ApiQuery(request): ApiQuery<ListKeysRequest>,
) -> ApiResult<ApiJson<ListKeysReply>> {
    let target = Target::resource(access::keys_resource());
    let service = &services.access;
    let call = |context| async move { service.list_keys(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::ACCESS_LIST_KEYS, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Revokes a key; revoking again changes nothing.
#[utoipa::path(
    post, path = "/v1/access/keys/{key_id}/revoke", operation_id = "access.revoke_key",
    params(("key_id" = String, Path, description = "Id of the key")),
    responses((status = 200, description = "Revoked.", body = RevokeKeyReply)),
)]
async fn revoke_key(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(key_id): ApiPath<String>,
) -> ApiResult<ApiJson<RevokeKeyReply>> {
    let target = Target::resource(access::keys_resource());
    let service = &services.access;
    let request = RevokeKeyRequest { key_id };
    let call = |context| async move { service.revoke_key(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::ACCESS_REVOKE_KEY, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Gives a principal a role; giving it again changes nothing.
#[utoipa::path(
    post, path = "/v1/access/bindings", operation_id = "access.bind_role",
    request_body = BindRoleRequest,
    responses((status = 200, description = "The principal holds the role.", body = BindRoleReply)),
)]
async fn bind_role(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<BindRoleRequest>,
) -> ApiResult<ApiJson<BindRoleReply>> {
    let target = Target::resource(access::bindings_resource());
    let service = &services.access;
    let call = |context| async move { service.bind_role(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::ACCESS_BIND_ROLE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Takes a role from a principal.
#[utoipa::path(
    post, path = "/v1/access/bindings/remove", operation_id = "access.unbind_role",
    request_body = UnbindRoleRequest,
    responses((status = 200, description = "The principal does not hold the role.", body = UnbindRoleReply)),
)]
async fn unbind_role(
    State(services): State<Services>,
    session: ApiSession,
    ApiJson(request): ApiJson<UnbindRoleRequest>,
) -> ApiResult<ApiJson<UnbindRoleReply>> {
    let target = Target::resource(access::bindings_resource());
    let service = &services.access;
    let call = |context| async move { service.unbind_role(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::ACCESS_UNBIND_ROLE, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Lists who holds which role.
#[utoipa::path(
    get, path = "/v1/access/bindings", operation_id = "access.list_bindings",
    params(ListBindingsRequest),
    responses((status = 200, description = "A page of bindings.", body = ListBindingsReply)),
)]
async fn list_bindings(
    State(services): State<Services>,
    session: ApiSession,
    ApiQuery(request): ApiQuery<ListBindingsRequest>,
) -> ApiResult<ApiJson<ListBindingsReply>> {
    let target = Target::resource(access::bindings_resource());
    let service = &services.access;
    let call = |context| async move { service.list_bindings(&context, request).await };
    let reply = services
        .gate
        .call(&session, &ops::ACCESS_LIST_BINDINGS, target, call)
        .await?;
    Ok(ApiJson(reply))
}

/// Tells the caller who it is and what it may do.
#[utoipa::path(
    get, path = "/v1/access/who-am-i", operation_id = "access.who_am_i",
    responses((status = 200, description = "The caller.", body = WhoAmIReply)),
)]
async fn who_am_i(
    State(services): State<Services>,
    session: ApiSession,
) -> ApiResult<ApiJson<WhoAmIReply>> {
    let service = &services.access;
    let call = |context| async move { service.who_am_i(&context).await };
    let reply = services
        .gate
        .call(&session, &ops::ACCESS_WHO_AM_I, Target::none(), call)
        .await?;
    Ok(ApiJson(reply))
}
