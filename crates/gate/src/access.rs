//! Tenants, keys and role bindings: the use cases of access.
//!
//! Who may hand out what:
//! - A role may be given or taken by whoever holds all of it himself, so nobody rises above himself or lifts a friend there.
//!   One exception makes handing out access possible without holding everything: a `security-admin` may give and take
//!   `operator` and `developer`.
//! - A key opens all that its holder may do, so creating one takes the right to give every role of its holder.
//! - No principal holds two of `system-admin`, `security-admin` and `audit-admin`.
//! - The last `owner` of a tenant stays.
//!
//! With `access.separation = "enforced"` there is no `owner`: the first keys of a tenant are those of the three
//! administrators, of each of whom the last one stays.
//!
//! Changes are made one at a time on an instance, so that two of them cannot each rely on what the other takes away. After
//! each, every cached decision of the instance is dropped.

mod answer;
mod bindings;
mod grants;
mod keys;
mod matrix;
mod model;
mod recover;
mod separation;
mod service;

pub use matrix::{Right, role_tables_markdown};
pub use model::{
    BindRoleReply, BindRoleRequest, BindingView, CreateKeyReply, CreateKeyRequest,
    CreateTenantReply, CreateTenantRequest, CreatedKey, DISPLAY_NAME_BYTES_MAX, EXPIRES_IN_MS_MAX,
    EXPIRES_IN_MS_MIN, KeyView, LABEL_BYTES_MAX, ListBindingsReply, ListBindingsRequest,
    ListKeysReply, ListKeysRequest, PermissionView, ROLES_MAX, RevokeKeyReply, RevokeKeyRequest,
    ShownKey, UnbindRoleReply, UnbindRoleRequest, WhoAmIReply,
};
pub use recover::{RecoverRequest, Recovery};
pub use separation::{AccessSettings, Separation, SeparationState};
pub use service::{AccessService, DEFAULT_TENANT, FirstKey};

use plinth_core::Resource;

/// The resource of operations on keys.
#[must_use]
pub fn keys_resource() -> Resource {
    Resource::new("access", "keys")
}

/// The resource of operations on role bindings.
#[must_use]
pub fn bindings_resource() -> Resource {
    Resource::new("access", "bindings")
}

/// The resource of operations on tenants.
#[must_use]
pub fn tenants_resource() -> Resource {
    Resource::new("access", "tenants")
}
