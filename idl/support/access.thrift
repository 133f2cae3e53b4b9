// The structs of the access block.
namespace go support.access
namespace py support.access
namespace java support.access
namespace js support.access

include "../base.thrift"

// A key as a listing shows it: never its text.
struct AccessKey {
    // Id of the key; also stands in its text, so that a leaked text can be found and revoked.
    1: required string key_id
    // Holder of the key.
    2: required string principal
    // Kind of the holder: `service`, `user` or `system`.
    3: required string principal_kind
    // What it is for, for people; may be empty.
    4: required string label
    // When it was created, in unix milliseconds.
    5: required i64 created_at_ms
    // From when on it is dead, in unix milliseconds; absent where it does not expire.
    6: optional i64 expires_at_ms
    // Since when it is revoked, in unix milliseconds; absent where it is not.
    7: optional i64 revoked_at_ms
    // When it was last used, in unix milliseconds, to the minute; absent where it never was.
    8: optional i64 last_used_at_ms
}

// A key that was just created.
struct AccessCreatedKey {
    // Id of the key.
    1: required string key_id
    // Its text, `plk_<id>_<secret>`, shown this one time: only its hash is stored. Absent where the same `request_id`
    // had created the key before; a text that got lost on the way is replaced by revoking the key and creating another.
    2: optional string key
    // Holder of the key.
    3: required string principal
    // Roles that were bound to the holder with it.
    4: required list<string> roles
    // From when on it is dead, in unix milliseconds; absent where it does not expire.
    5: optional i64 expires_at_ms
}

// One role bound to one principal.
struct AccessBinding {
    // Who holds the role.
    1: required string principal
    // The role.
    2: required string role
    // Which principal gave it; absent for the first one.
    3: optional string granted_by
    // When, in unix milliseconds.
    4: required i64 granted_at_ms
}

// One thing a caller may do.
struct AccessPermission {
    // Operations, `*` standing for any run of characters: `cache.*`.
    1: required string operations
    // Resources, kind/name, `*` as above: `cache/orders.*`; `*` is everything.
    2: required string resources
    // The role that holds it.
    3: required string role
}

struct AccessCreateTenantRequest {
    // Id of the tenant: 1 to 128 bytes of letters, digits, `.`, `_`, `-`, `:`; begins with a letter, a digit or `_`.
    1: required string tenant
    // Its name for people, 1 to 128 bytes; its id where absent.
    2: optional string name
    // Idempotency key: 1 to 128 visible ASCII characters; a repeat within 24 hours gets the first answer.
    254: optional string request_id
    255: optional base.Base base
}

struct AccessCreateTenantResponse {
    // Id of the tenant.
    1: required string tenant
    // Its name for people.
    2: required string name
    // When it was created, in unix milliseconds.
    3: required i64 created_at_ms
    // Its first key: principal `owner` with the role `owner`, without expiry. Where duties are separated
    // (`access.separation = "enforced"`): principal and role `security-admin`.
    4: required AccessCreatedKey first_key
    // Where duties are separated, the keys of `system-admin` and `audit-admin`; absent otherwise.
    5: optional list<AccessCreatedKey> further_keys
    255: optional base.BaseResp base_resp
}

struct AccessCreateKeyRequest {
    // Holder of the key: 1 to 128 bytes of letters, digits, `.`, `_`, `-`, `:`. Created where the tenant has none of this
    // id. A key opens all that its holder may do, so the caller must be allowed to grant every role of the holder.
    1: required string principal
    // The holder's name for people, 1 to 128 bytes; the id where absent. Ignored where the holder exists.
    2: optional string principal_name
    // Kind of the holder: `service` (default) or `user`. Ignored where the holder exists.
    3: optional string principal_kind
    // What the key is for, for people; at most 128 bytes.
    4: optional string label
    // Roles to bind to the holder in the same transaction; at most 16.
    5: optional list<string> roles
    // How long the key lives, in milliseconds, 1000 to 157680000000 (five years); without end where absent.
    6: optional i64 expires_in_ms
    // Idempotency key: 1 to 128 visible ASCII characters; a repeat within 24 hours gets the first answer, without the text.
    254: optional string request_id
    255: optional base.Base base
}

struct AccessCreateKeyResponse {
    // The key.
    1: required AccessCreatedKey created
    255: optional base.BaseResp base_resp
}

struct AccessListKeysRequest {
    // Only keys of this holder.
    1: optional string principal
    // Rows of a page, 1 to 1000; 50 where absent.
    2: optional i64 limit
    // Where to go on: `next_cursor` of the page before.
    3: optional string cursor
    255: optional base.Base base
}

struct AccessListKeysResponse {
    // Keys of the tenant in the order of their ids, dead ones included.
    1: required list<AccessKey> keys
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}

struct AccessRevokeKeyRequest {
    // Id of the key. Revoking again changes nothing.
    1: required string key_id
    255: optional base.Base base
}

struct AccessRevokeKeyResponse {
    255: optional base.BaseResp base_resp
}

struct AccessBindRoleRequest {
    // Who is to hold the role; must exist.
    1: required string principal
    // `owner`, `system-admin`, `security-admin`, `audit-admin`, `operator` or `developer`.
    2: required string role
    255: optional base.Base base
}

struct AccessBindRoleResponse {
    // False where the principal held the role already.
    1: required bool created
    255: optional base.BaseResp base_resp
}

struct AccessUnbindRoleRequest {
    // Who holds the role.
    1: required string principal
    // The role, as in `AccessBindRoleRequest`.
    2: required string role
    255: optional base.Base base
}

struct AccessUnbindRoleResponse {
    // False where the principal did not hold the role.
    1: required bool removed
    255: optional base.BaseResp base_resp
}

struct AccessListBindingsRequest {
    // Only bindings of this principal.
    1: optional string principal
    // Rows of a page, 1 to 1000; 50 where absent.
    2: optional i64 limit
    // Where to go on: `next_cursor` of the page before.
    3: optional string cursor
    255: optional base.Base base
}

struct AccessListBindingsResponse {
    // Bindings of the tenant in the order of principal, then role.
    1: required list<AccessBinding> bindings
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}

struct AccessWhoAmIRequest {
    255: optional base.Base base
}

struct AccessWhoAmIResponse {
    // Whose data the credential opens.
    1: required string tenant
    // Who holds it.
    2: required string principal
    // The holder's name for people.
    3: required string principal_name
    // Kind of the holder: `service`, `user` or `system`.
    4: required string principal_kind
    // Id of the key that was shown.
    5: required string key_id
    // From when on the key is dead, in unix milliseconds; absent where it does not expire.
    6: optional i64 expires_at_ms
    // Roles of the holder, in the order of their names.
    7: required list<string> roles
    // What these roles allow.
    8: required list<AccessPermission> permissions
    255: optional base.BaseResp base_resp
}
