// The structs of the access block.
namespace go support.access
namespace py support.access
namespace java support.access
namespace js support.access

include "../base.thrift"

struct AccessCreateTenantRequest {
    255: optional base.Base base
}

struct AccessCreateTenantResponse {
    255: optional base.BaseResp base_resp
}

struct AccessCreateKeyRequest {
    255: optional base.Base base
}

struct AccessCreateKeyResponse {
    255: optional base.BaseResp base_resp
}

struct AccessListKeysRequest {
    255: optional base.Base base
}

struct AccessListKeysResponse {
    255: optional base.BaseResp base_resp
}

struct AccessRevokeKeyRequest {
    255: optional base.Base base
}

struct AccessRevokeKeyResponse {
    255: optional base.BaseResp base_resp
}

struct AccessBindRoleRequest {
    255: optional base.Base base
}

struct AccessBindRoleResponse {
    255: optional base.BaseResp base_resp
}

struct AccessUnbindRoleRequest {
    255: optional base.Base base
}

struct AccessUnbindRoleResponse {
    255: optional base.BaseResp base_resp
}

struct AccessListBindingsRequest {
    255: optional base.Base base
}

struct AccessListBindingsResponse {
    255: optional base.BaseResp base_resp
}

struct AccessWhoAmIRequest {
    255: optional base.Base base
}

struct AccessWhoAmIResponse {
    255: optional base.BaseResp base_resp
}
