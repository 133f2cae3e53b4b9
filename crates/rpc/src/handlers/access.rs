//! The `access` block.

use plinth_core::Result;
use plinth_gate::access::{
    self, BindRoleRequest, BindingView, CreateKeyRequest, CreateTenantRequest, CreatedKey, KeyView,
    ListBindingsRequest, ListKeysRequest, PermissionView, RevokeKeyRequest, UnbindRoleRequest,
};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::access::*;

use super::convert::{text, text_list};
use crate::services::Services;

pub(crate) async fn create_tenant(
    services: &Services,
    session: &Session,
    request: AccessCreateTenantRequest,
) -> Result<AccessCreateTenantResponse> {
    let target = Target::resource(access::tenants_resource());
    let request = CreateTenantRequest {
        tenant: request.tenant.to_string(),
        name: text(request.name),
    };
    let call = |context| async move { services.access.create_tenant(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::ACCESS_CREATE_TENANT, target, call)
        .await?;
    Ok(AccessCreateTenantResponse {
        tenant: reply.tenant.into(),
        name: reply.name.into(),
        created_at_ms: reply.created_at_ms,
        first_key: created_key(reply.first_key),
        further_keys: (!reply.further_keys.is_empty())
            .then(|| reply.further_keys.into_iter().map(created_key).collect()),
        base_resp: None,
    })
}

pub(crate) async fn create_key(
    services: &Services,
    session: &Session,
    request: AccessCreateKeyRequest,
) -> Result<AccessCreateKeyResponse> {
    let target = Target::resource(access::keys_resource());
    let request = CreateKeyRequest {
        principal: request.principal.to_string(),
        principal_name: text(request.principal_name),
        principal_kind: text(request.principal_kind),
        label: text(request.label),
        roles: text_list(request.roles.unwrap_or_default()),
        expires_in_ms: request.expires_in_ms,
    };
    let call = |context| async move { services.access.create_key(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::ACCESS_CREATE_KEY, target, call)
        .await?;
    Ok(AccessCreateKeyResponse {
        created: created_key(reply.created),
        base_resp: None,
    })
}

pub(crate) async fn list_keys(
    services: &Services,
    session: &Session,
    request: AccessListKeysRequest,
) -> Result<AccessListKeysResponse> {
    let target = Target::resource(access::keys_resource());
    let request = ListKeysRequest {
        principal: text(request.principal),
        limit: request.limit,
        cursor: text(request.cursor),
    };
    let call = |context| async move { services.access.list_keys(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::ACCESS_LIST_KEYS, target, call)
        .await?;
    Ok(AccessListKeysResponse {
        keys: reply.keys.into_iter().map(key).collect(),
        next_cursor: reply.next_cursor.map(Into::into),
        base_resp: None,
    })
}

pub(crate) async fn revoke_key(
    services: &Services,
    session: &Session,
    request: AccessRevokeKeyRequest,
) -> Result<AccessRevokeKeyResponse> {
    let target = Target::resource(access::keys_resource());
    let request = RevokeKeyRequest {
        key_id: request.key_id.to_string(),
    };
    let call = |context| async move { services.access.revoke_key(&context, request).await };
    services
        .gate
        .call(session, &ops::ACCESS_REVOKE_KEY, target, call)
        .await?;
    Ok(AccessRevokeKeyResponse { base_resp: None })
}

pub(crate) async fn bind_role(
    services: &Services,
    session: &Session,
    request: AccessBindRoleRequest,
) -> Result<AccessBindRoleResponse> {
    let target = Target::resource(access::bindings_resource());
    let request = BindRoleRequest {
        principal: request.principal.to_string(),
        role: request.role.to_string(),
    };
    let call = |context| async move { services.access.bind_role(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::ACCESS_BIND_ROLE, target, call)
        .await?;
    Ok(AccessBindRoleResponse {
        created: reply.created,
        base_resp: None,
    })
}

pub(crate) async fn unbind_role(
    services: &Services,
    session: &Session,
    request: AccessUnbindRoleRequest,
) -> Result<AccessUnbindRoleResponse> {
    let target = Target::resource(access::bindings_resource());
    let request = UnbindRoleRequest {
        principal: request.principal.to_string(),
        role: request.role.to_string(),
    };
    let call = |context| async move { services.access.unbind_role(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::ACCESS_UNBIND_ROLE, target, call)
        .await?;
    Ok(AccessUnbindRoleResponse {
        removed: reply.removed,
        base_resp: None,
    })
}

pub(crate) async fn list_bindings(
    services: &Services,
    session: &Session,
    request: AccessListBindingsRequest,
) -> Result<AccessListBindingsResponse> {
    let target = Target::resource(access::bindings_resource());
    let request = ListBindingsRequest {
        principal: text(request.principal),
        limit: request.limit,
        cursor: text(request.cursor),
    };
    let call = |context| async move { services.access.list_bindings(&context, request).await };
    let reply = services
        .gate
        .call(session, &ops::ACCESS_LIST_BINDINGS, target, call)
        .await?;
    Ok(AccessListBindingsResponse {
        bindings: reply.bindings.into_iter().map(binding).collect(),
        next_cursor: reply.next_cursor.map(Into::into),
        base_resp: None,
    })
}

pub(crate) async fn who_am_i(
    services: &Services,
    session: &Session,
    _request: AccessWhoAmIRequest,
) -> Result<AccessWhoAmIResponse> {
    let call = |context| async move { services.access.who_am_i(&context).await };
    let reply = services
        .gate
        .call(session, &ops::ACCESS_WHO_AM_I, Target::none(), call)
        .await?;
    Ok(AccessWhoAmIResponse {
        tenant: reply.tenant.into(),
        principal: reply.principal.into(),
        principal_name: reply.principal_name.into(),
        principal_kind: reply.principal_kind.into(),
        key_id: reply.key_id.into(),
        expires_at_ms: reply.expires_at_ms,
        roles: reply.roles.into_iter().map(Into::into).collect(),
        permissions: reply.permissions.into_iter().map(permission).collect(),
        base_resp: None,
    })
}

fn created_key(created: CreatedKey) -> AccessCreatedKey {
    AccessCreatedKey {
        key_id: created.key_id.into(),
        key: created.key.map(|text| text.expose().to_owned().into()),
        principal: created.principal.into(),
        roles: created.roles.into_iter().map(Into::into).collect(),
        expires_at_ms: created.expires_at_ms,
    }
}

fn key(key: KeyView) -> AccessKey {
    AccessKey {
        key_id: key.key_id.into(),
        principal: key.principal.into(),
        principal_kind: key.principal_kind.into(),
        label: key.label.into(),
        created_at_ms: key.created_at_ms,
        expires_at_ms: key.expires_at_ms,
        revoked_at_ms: key.revoked_at_ms,
        last_used_at_ms: key.last_used_at_ms,
    }
}

fn binding(binding: BindingView) -> AccessBinding {
    AccessBinding {
        principal: binding.principal.into(),
        role: binding.role.into(),
        granted_by: binding.granted_by.map(Into::into),
        granted_at_ms: binding.granted_at_ms,
    }
}

fn permission(permission: PermissionView) -> AccessPermission {
    AccessPermission {
        operations: permission.operations.into(),
        resources: permission.resources.into(),
        role: permission.role.into(),
    }
}
