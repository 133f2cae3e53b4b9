//! What the access operations give and take.

use faststr::FastStr;
use plinth_idl::{access as idl, health as health_idl};
use serde::{Deserialize, Serialize};

/// What a new key is to be, beside its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyOptions {
    /// The holder's name for people; its id where absent.
    pub principal_name: Option<String>,
    /// `service` (default) or `user`.
    pub principal_kind: Option<String>,
    /// What the key is for.
    pub label: Option<String>,
    /// Roles to bind to the holder with it.
    pub roles: Vec<String>,
    /// How long it lives, in milliseconds; without end where absent.
    pub expires_in_ms: Option<i64>,
}

impl KeyOptions {
    pub(super) fn request(&self, principal: &str) -> idl::AccessCreateKeyRequest {
        let text = |text: &Option<String>| text.as_deref().map(FastStr::new);
        idl::AccessCreateKeyRequest {
            principal: FastStr::new(principal),
            principal_name: text(&self.principal_name),
            principal_kind: text(&self.principal_kind),
            label: text(&self.label),
            roles: Some(self.roles.iter().map(FastStr::new).collect()),
            expires_in_ms: self.expires_in_ms,
            ..Default::default()
        }
    }
}

#[derive(Serialize)]
pub(super) struct CreateKeyBody<'call> {
    pub(super) principal: &'call str,
    #[serde(flatten)]
    pub(super) options: &'call KeyOptions,
}

#[derive(Deserialize)]
pub(super) struct CreatedKeyBody {
    pub(super) created: CreatedKey,
}

#[derive(Deserialize)]
pub(super) struct BoundBody {
    pub(super) created: bool,
}

#[derive(Deserialize)]
pub(super) struct RemovedBody {
    pub(super) removed: bool,
}

/// A key that was just created. No `Debug`: it holds a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedKey {
    /// Its id.
    pub key_id: String,
    /// Its text, shown this one time. `None` where the same idempotency key had created it before: the text is gone then;
    /// revoke the key and create another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its holder.
    pub principal: String,
    /// Roles that were bound to the holder with it.
    pub roles: Vec<String>,
    /// From when on it is dead, in unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
}

impl From<idl::AccessCreatedKey> for CreatedKey {
    fn from(key: idl::AccessCreatedKey) -> Self {
        Self {
            key_id: key.key_id.to_string(),
            key: key.key.map(|text| text.to_string()),
            principal: key.principal.to_string(),
            roles: key.roles.iter().map(ToString::to_string).collect(),
            expires_at_ms: key.expires_at_ms,
        }
    }
}

/// A tenant that was just created. No `Debug`: it holds a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTenant {
    /// Its id.
    pub tenant: String,
    /// Its name for people.
    pub name: String,
    /// When it was created, in unix milliseconds.
    pub created_at_ms: i64,
    /// Its first key: of the `owner`, or of the `security-admin` where duties are separated.
    pub first_key: CreatedKey,
    /// Where duties are separated, the keys of `system-admin` and `audit-admin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_keys: Vec<CreatedKey>,
}

impl From<idl::AccessCreateTenantResponse> for CreatedTenant {
    fn from(reply: idl::AccessCreateTenantResponse) -> Self {
        Self {
            tenant: reply.tenant.to_string(),
            name: reply.name.to_string(),
            created_at_ms: reply.created_at_ms,
            first_key: reply.first_key.into(),
            further_keys: reply
                .further_keys
                .map(|keys| keys.into_iter().map(Into::into).collect())
                .unwrap_or_default(),
        }
    }
}

/// A key in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its id.
    pub key_id: String,
    /// Its holder.
    pub principal: String,
    /// `service`, `user` or `system`.
    pub principal_kind: String,
    /// What it is for.
    pub label: String,
    /// When it was created, in unix milliseconds.
    pub created_at_ms: i64,
    /// From when on it is dead, in unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// Since when it is revoked, in unix milliseconds.
    pub revoked_at_ms: Option<i64>,
    /// When it was last used, in unix milliseconds, to the minute.
    pub last_used_at_ms: Option<i64>,
}

impl From<idl::AccessKey> for AccessKey {
    fn from(key: idl::AccessKey) -> Self {
        Self {
            key_id: key.key_id.to_string(),
            principal: key.principal.to_string(),
            principal_kind: key.principal_kind.to_string(),
            label: key.label.to_string(),
            created_at_ms: key.created_at_ms,
            expires_at_ms: key.expires_at_ms,
            revoked_at_ms: key.revoked_at_ms,
            last_used_at_ms: key.last_used_at_ms,
        }
    }
}

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPage {
    /// The keys, in the order of their ids.
    pub keys: Vec<AccessKey>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<String>,
}

impl From<idl::AccessListKeysResponse> for KeyPage {
    fn from(reply: idl::AccessListKeysResponse) -> Self {
        Self {
            keys: reply.keys.into_iter().map(AccessKey::from).collect(),
            next_cursor: reply.next_cursor.map(|cursor| cursor.to_string()),
        }
    }
}

/// One role bound to one principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessBinding {
    /// Who holds the role.
    pub principal: String,
    /// The role.
    pub role: String,
    /// Who gave it; `None` for the first one.
    pub granted_by: Option<String>,
    /// When, in unix milliseconds.
    pub granted_at_ms: i64,
}

impl From<idl::AccessBinding> for AccessBinding {
    fn from(binding: idl::AccessBinding) -> Self {
        Self {
            principal: binding.principal.to_string(),
            role: binding.role.to_string(),
            granted_by: binding.granted_by.map(|principal| principal.to_string()),
            granted_at_ms: binding.granted_at_ms,
        }
    }
}

/// A page of bindings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingPage {
    /// The bindings, in the order of principal, then role.
    pub bindings: Vec<AccessBinding>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<String>,
}

impl From<idl::AccessListBindingsResponse> for BindingPage {
    fn from(reply: idl::AccessListBindingsResponse) -> Self {
        Self {
            bindings: reply
                .bindings
                .into_iter()
                .map(AccessBinding::from)
                .collect(),
            next_cursor: reply.next_cursor.map(|cursor| cursor.to_string()),
        }
    }
}

/// One thing a caller may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPermission {
    /// Operations, `*` standing for any run of characters.
    pub operations: String,
    /// Resources, kind/name, `*` as above.
    pub resources: String,
    /// The role that holds it.
    pub role: String,
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {
    /// Whose data the key opens.
    pub tenant: String,
    /// Who holds it.
    pub principal: String,
    /// The holder's name for people.
    pub principal_name: String,
    /// `service`, `user` or `system`.
    pub principal_kind: String,
    /// Id of the key that was shown.
    pub key_id: String,
    /// From when on it is dead, in unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// Roles of the holder.
    pub roles: Vec<String>,
    /// What they allow.
    pub permissions: Vec<AccessPermission>,
}

impl From<idl::AccessWhoAmIResponse> for WhoAmI {
    fn from(reply: idl::AccessWhoAmIResponse) -> Self {
        let permission = |permission: idl::AccessPermission| AccessPermission {
            operations: permission.operations.to_string(),
            resources: permission.resources.to_string(),
            role: permission.role.to_string(),
        };
        Self {
            tenant: reply.tenant.to_string(),
            principal: reply.principal.to_string(),
            principal_name: reply.principal_name.to_string(),
            principal_kind: reply.principal_kind.to_string(),
            key_id: reply.key_id.to_string(),
            expires_at_ms: reply.expires_at_ms,
            roles: reply.roles.iter().map(ToString::to_string).collect(),
            permissions: reply.permissions.into_iter().map(permission).collect(),
        }
    }
}

/// State of one part of the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthComponent {
    /// Its name.
    pub name: String,
    /// `up`, `degraded`, `down` or `starting`.
    pub status: String,
    /// What is wrong.
    pub message: Option<String>,
    /// Since when it is in this state, in unix milliseconds.
    pub since_ms: i64,
}

/// State of the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `up`, `degraded`, `down`, `starting` or `draining`.
    pub status: String,
    /// Whether it should be given work.
    pub ready: bool,
    /// Version of Plinth; only with the permission `health.check`.
    pub version: Option<String>,
    /// How long it has been running, in milliseconds; only with the permission `health.check`.
    pub uptime_ms: Option<i64>,
    /// Its parts; only with the permission `health.check`.
    pub components: Option<Vec<HealthComponent>>,
}

impl From<health_idl::HealthResponse> for Health {
    fn from(reply: health_idl::HealthResponse) -> Self {
        let component = |part: health_idl::HealthComponent| HealthComponent {
            name: part.name.to_string(),
            status: part.status.to_string(),
            message: part.message.map(|text| text.to_string()),
            since_ms: part.since_ms,
        };
        Self {
            status: reply.status.to_string(),
            ready: reply.ready,
            version: reply.version.map(|text| text.to_string()),
            uptime_ms: reply.uptime_ms,
            components: reply
                .components
                .map(|parts| parts.into_iter().map(component).collect()),
        }
    }
}
