//! Requests and replies of access.

use plinth_core::access::{BindingRecord, KeyRecord};
use plinth_core::{CredentialId, Error, PrincipalKind, Result, TimestampMs};
use plinth_security::KeyText;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

/// Longest label of a key, in bytes.
pub const LABEL_BYTES_MAX: usize = 128;
/// Longest name for people, in bytes.
pub const DISPLAY_NAME_BYTES_MAX: usize = 128;
/// Most roles that are bound with a new key.
pub const ROLES_MAX: usize = 16;
/// Shortest life of a key that has an end, in milliseconds.
pub const EXPIRES_IN_MS_MIN: i64 = 1_000;
/// Longest life of a key that has an end, in milliseconds: five years.
pub const EXPIRES_IN_MS_MAX: i64 = 5 * 365 * 24 * 60 * 60 * 1_000;

/// Asks for a tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessCreateTenantRequest)]
pub struct CreateTenantRequest {
    /// Id of the tenant: 1 to 128 bytes of letters, digits, `.`, `_`, `-`, `:`; begins with a letter, a digit or `_`.
    pub tenant: String,
    /// Its name for people, 1 to 128 bytes; its id where absent.
    #[serde(default)]
    pub name: Option<String>,
}

/// A tenant that was created.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = AccessCreateTenantReply)]
pub struct CreateTenantReply {
    /// Id of the tenant.
    pub tenant: String,
    /// Its name for people.
    pub name: String,
    /// When it was created, in unix milliseconds.
    pub created_at_ms: i64,
    /// Its first key: principal `owner` with the role `owner`, without expiry. Where duties are separated: principal and
    /// role `security-admin`.
    pub first_key: CreatedKey,
    /// Where duties are separated, the keys of `system-admin` and `audit-admin`; absent otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub further_keys: Vec<CreatedKey>,
}

/// Asks for a key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessCreateKeyRequest)]
pub struct CreateKeyRequest {
    /// Holder of the key; created where the tenant has none of this id. The caller must be allowed to grant every role of
    /// the holder.
    pub principal: String,
    /// The holder's name for people, 1 to 128 bytes; the id where absent. Ignored where the holder exists.
    #[serde(default)]
    pub principal_name: Option<String>,
    /// Kind of the holder: `service` (default) or `user`. Ignored where the holder exists.
    #[serde(default)]
    pub principal_kind: Option<String>,
    /// What the key is for, for people; at most 128 bytes.
    #[serde(default)]
    pub label: Option<String>,
    /// Roles to bind to the holder in the same transaction; at most 16.
    #[serde(default)]
    pub roles: Vec<String>,
    /// How long the key lives, in milliseconds, 1000 to 157680000000 (five years); without end where absent.
    #[serde(default)]
    pub expires_in_ms: Option<i64>,
}

/// The text of a key on its way to whoever asked for it: the one secret that is serialised, once. No `Debug`.
#[derive(Clone)]
pub struct ShownKey(KeyText);

impl ShownKey {
    pub(super) const fn new(text: KeyText) -> Self {
        Self(text)
    }

    /// Shows the text. Every call site is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl Serialize for ShownKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// A key that was just created.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = AccessCreatedKey)]
pub struct CreatedKey {
    /// Id of the key.
    pub key_id: String,
    /// Its text, `plk_<id>_<secret>`, shown this one time: only its hash is stored. Absent where the same idempotency key
    /// had created it before; a text that got lost on the way is replaced by revoking the key and creating another.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub key: Option<ShownKey>,
    /// Holder of the key.
    pub principal: String,
    /// Roles that were bound to the holder with it.
    pub roles: Vec<String>,
    /// From when on it is dead, in unix milliseconds; absent where it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
}

/// A key that was created.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = AccessCreateKeyReply)]
pub struct CreateKeyReply {
    /// The key.
    pub created: CreatedKey,
}

/// Asks for keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(as = AccessListKeysRequest)]
pub struct ListKeysRequest {
    /// Only keys of this holder.
    #[serde(default)]
    pub principal: Option<String>,
    /// Rows of a page, 1 to 1000; 50 where absent.
    #[serde(default)]
    pub limit: Option<i64>,
    /// Where to go on: `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A key as a listing shows it: never its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessKey)]
pub struct KeyView {
    /// Id of the key.
    pub key_id: String,
    /// Holder of the key.
    pub principal: String,
    /// Kind of the holder: `service`, `user` or `system`.
    pub principal_kind: String,
    /// What it is for; may be empty.
    pub label: String,
    /// When it was created, in unix milliseconds.
    pub created_at_ms: i64,
    /// From when on it is dead, in unix milliseconds; absent where it does not expire.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at_ms: Option<i64>,
    /// Since when it is revoked, in unix milliseconds; absent where it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at_ms: Option<i64>,
    /// When it was last used, in unix milliseconds, to the minute; absent where it never was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used_at_ms: Option<i64>,
}

impl From<KeyRecord> for KeyView {
    fn from(key: KeyRecord) -> Self {
        let ms = |at: TimestampMs| at.0;
        Self {
            key_id: key.id.into(),
            principal: key.principal.into(),
            principal_kind: kind_word(key.principal_kind).to_owned(),
            label: key.label,
            created_at_ms: key.created_at.0,
            expires_at_ms: key.expires_at.map(ms),
            revoked_at_ms: key.revoked_at.map(ms),
            last_used_at_ms: key.last_used_at.map(ms),
        }
    }
}

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessListKeysReply)]
pub struct ListKeysReply {
    /// Keys of the tenant in the order of their ids, dead ones included.
    pub keys: Vec<KeyView>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cursor: Option<String>,
}

/// Asks to revoke a key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessRevokeKeyRequest)]
pub struct RevokeKeyRequest {
    /// Id of the key. Revoking again changes nothing.
    pub key_id: String,
}

/// A key is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessRevokeKeyReply)]
pub struct RevokeKeyReply {}

/// Asks to give a principal a role.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessBindRoleRequest)]
pub struct BindRoleRequest {
    /// Who is to hold the role; must exist.
    pub principal: String,
    /// `owner`, `system-admin`, `security-admin`, `audit-admin`, `operator` or `developer`.
    pub role: String,
}

/// A principal holds a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessBindRoleReply)]
pub struct BindRoleReply {
    /// False where the principal held the role already.
    pub created: bool,
}

/// Asks to take a role from a principal.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessUnbindRoleRequest)]
pub struct UnbindRoleRequest {
    /// Who holds the role.
    pub principal: String,
    /// The role.
    pub role: String,
}

/// A principal does not hold a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessUnbindRoleReply)]
pub struct UnbindRoleReply {
    /// False where the principal did not hold the role.
    pub removed: bool,
}

/// Asks for bindings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(as = AccessListBindingsRequest)]
pub struct ListBindingsRequest {
    /// Only bindings of this principal.
    #[serde(default)]
    pub principal: Option<String>,
    /// Rows of a page, 1 to 1000; 50 where absent.
    #[serde(default)]
    pub limit: Option<i64>,
    /// Where to go on: `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// One role bound to one principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessBinding)]
pub struct BindingView {
    /// Who holds the role.
    pub principal: String,
    /// The role.
    pub role: String,
    /// Which principal gave it; absent for the first one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub granted_by: Option<String>,
    /// When, in unix milliseconds.
    pub granted_at_ms: i64,
}

impl From<BindingRecord> for BindingView {
    fn from(binding: BindingRecord) -> Self {
        Self {
            principal: binding.principal.into(),
            role: binding.role.as_ref().to_owned(),
            granted_by: binding.granted_by.map(String::from),
            granted_at_ms: binding.granted_at.0,
        }
    }
}

/// A page of bindings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessListBindingsReply)]
pub struct ListBindingsReply {
    /// Bindings of the tenant in the order of principal, then role.
    pub bindings: Vec<BindingView>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cursor: Option<String>,
}

/// One thing a caller may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessPermission)]
pub struct PermissionView {
    /// Operations, `*` standing for any run of characters: `cache.*`.
    pub operations: String,
    /// Resources, kind/name, `*` as above; `*` is everything.
    pub resources: String,
    /// The role that holds it.
    pub role: String,
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccessWhoAmIReply)]
pub struct WhoAmIReply {
    /// Whose data the credential opens.
    pub tenant: String,
    /// Who holds it.
    pub principal: String,
    /// The holder's name for people.
    pub principal_name: String,
    /// Kind of the holder: `service`, `user` or `system`.
    pub principal_kind: String,
    /// Id of the key that was shown.
    pub key_id: String,
    /// From when on the key is dead, in unix milliseconds; absent where it does not expire.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at_ms: Option<i64>,
    /// Roles of the holder, in the order of their names.
    pub roles: Vec<String>,
    /// What these roles allow.
    pub permissions: Vec<PermissionView>,
}

pub(super) const fn kind_word(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Service => "service",
        PrincipalKind::User => "user",
        PrincipalKind::System => "system",
    }
}

pub(super) fn parse_kind(word: Option<&str>) -> Result<PrincipalKind> {
    match word {
        None | Some("service") => Ok(PrincipalKind::Service),
        Some("user") => Ok(PrincipalKind::User),
        Some(_) => Err(Error::invalid("principal_kind", "must be service or user")),
    }
}

/// Parses text for people: no control characters, so that a listing cannot be made to lie on a terminal.
pub(super) fn parse_people_text(
    field: &str,
    text: &str,
    bytes: std::ops::RangeInclusive<usize>,
) -> Result<String> {
    if !bytes.contains(&text.len()) || text.chars().any(char::is_control) {
        return Err(Error::invalid(
            field,
            format!(
                "must have {} to {} bytes and no control characters",
                bytes.start(),
                bytes.end()
            ),
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn parse_key_id(text: &str) -> Result<CredentialId> {
    plinth_core::ids::check_name("key_id", text, plinth_core::limits::NAME_BYTES_MAX)?;
    CredentialId::parse(text)
}

/// Parses how long a key lives into the instant of its end.
pub(super) fn parse_expiry(
    expires_in_ms: Option<i64>,
    now: TimestampMs,
) -> Result<Option<TimestampMs>> {
    match expires_in_ms {
        None => Ok(None),
        Some(life_ms) if (EXPIRES_IN_MS_MIN..=EXPIRES_IN_MS_MAX).contains(&life_ms) => {
            Ok(Some(now.plus_ms(life_ms)))
        }
        Some(life_ms) => Err(Error::invalid(
            "expires_in_ms",
            format!("is {life_ms}, must lie in {EXPIRES_IN_MS_MIN}..={EXPIRES_IN_MS_MAX}"),
        )),
    }
}
