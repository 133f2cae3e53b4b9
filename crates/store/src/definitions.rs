//! Definitions: what a tenant declares to a block and the block reads back at its start.

mod watch;

use async_trait::async_trait;
use plinth_core::{Error, Result, TenantId, TimestampMs};

pub use watch::{
    DEFINITIONS_LOOK_EVERY_MS, DEFINITIONS_READ_EVERY_MS, DEFINITIONS_SEEN_MS_MAX, DefinitionWatch,
};

/// Longest name of a definition, in bytes. Longer than a name of core, because a binding is named by its parts.
pub const DEFINITION_NAME_BYTES_MAX: usize = 512;
/// Largest document of a definition, in bytes of JSON: what a `TEXT` column of MariaDB holds.
pub const DEFINITION_DOCUMENT_BYTES_MAX: usize = 65_535;
/// Most definitions of one listing.
pub const DEFINITION_ROWS_MAX: u32 = 1_000;

/// What is defined; each kind has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DefinitionKind {
    /// A cache namespace.
    CacheNamespace,
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
    /// A binding between an exchange and a queue.
    Binding,
    /// A durable subscription.
    Subscription,
    /// A metric.
    Metric,
    /// A database.
    Database,
    /// What of a tenant's data plane is audited.
    AuditPolicy,
    /// A role that a tenant defines beside the built-in ones.
    Role,
}

impl DefinitionKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::CacheNamespace,
        Self::Exchange,
        Self::Queue,
        Self::Binding,
        Self::Subscription,
        Self::Metric,
        Self::Database,
        Self::AuditPolicy,
        Self::Role,
    ];

    /// The word for people and errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CacheNamespace => "cache namespace",
            Self::Exchange => "exchange",
            Self::Queue => "queue",
            Self::Binding => "binding",
            Self::Subscription => "subscription",
            Self::Metric => "metric",
            Self::Database => "database",
            Self::AuditPolicy => "audit policy",
            Self::Role => "role",
        }
    }
}

/// One definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its name, unique in the tenant and kind; compared byte by byte.
    pub name: String,
    /// 1 at first, one more with each change. Begins again at 1 after a delete.
    pub version: i64,
    /// What the block stores.
    pub document: serde_json::Value,
    /// When it was created.
    pub created_at: TimestampMs,
    /// When it was last changed.
    pub updated_at: TimestampMs,
}

/// What the definitions of a kind add up to. Two looks that differ tell of a change, at the price of one small query.
///
/// A change that is not told: a definition went and another came that carries the same version and the same two dates, to
/// the millisecond. Whoever must see even that reads everything from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefinitionState {
    /// Their number.
    pub count: i64,
    /// The sum of their versions.
    pub versions: i64,
    /// The sum of the times of their creation, in milliseconds since [`STATE_EPOCH_MS`].
    pub created_ms: i64,
    /// The sum of the times of their last change, in milliseconds since [`STATE_EPOCH_MS`].
    pub updated_ms: i64,
}

/// Where the sums of a [`DefinitionState`] begin to count, in Unix milliseconds: so that they fit 64 bits for millions of
/// definitions.
pub const STATE_EPOCH_MS: i64 = 1_700_000_000_000;

/// What must hold for a definition to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything: create or replace.
    Any,
    /// That there is none.
    Absent,
    /// That it stands at this version.
    Version(i64),
}

/// Where definitions are kept. Every call is all-or-nothing.
#[async_trait]
pub trait Definitions: Send + Sync {
    /// Creates or replaces a definition.
    ///
    /// Errors: 1006 where `expected` does not hold, 1001 and 1007 where the name or the document breaks a limit, 1012
    /// where the control plane is away.
    async fn put(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
        document: serde_json::Value,
        expected: Expected,
    ) -> Result<Definition>;
    /// Finds a definition.
    async fn get(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<Definition>>;
    /// Lists definitions of a tenant whose name begins with `prefix`, by name, after `after`; at most `limit`, and never
    /// more than [`DEFINITION_ROWS_MAX`].
    async fn list(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Definition>>;
    /// Lists definitions of all tenants by (tenant, name), for a block's start.
    async fn list_all(
        &self,
        kind: DefinitionKind,
        after: Option<(&TenantId, &str)>,
        limit: u32,
    ) -> Result<Vec<(TenantId, Definition)>>;
    /// What the definitions of all tenants add up to.
    async fn state(&self, kind: DefinitionKind) -> Result<DefinitionState>;
    /// Deletes a definition. Returns whether there was one.
    async fn delete(&self, kind: DefinitionKind, tenant: &TenantId, name: &str) -> Result<bool>;
}

/// Checks a definition's name: 1 to [`DEFINITION_NAME_BYTES_MAX`] bytes without control characters, and no white space at
/// its ends, because `VARCHAR` of MariaDB compares without trailing blanks.
///
/// Errors: 1001 naming `name`.
pub(crate) fn check_definition_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > DEFINITION_NAME_BYTES_MAX {
        return Err(Error::invalid(
            "name",
            format!(
                "has {} bytes, must have 1 to {DEFINITION_NAME_BYTES_MAX}",
                name.len()
            ),
        ));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(Error::invalid(
            "name",
            "must not hold control characters, nor white space at its ends",
        ));
    }
    Ok(())
}

/// Whether a definition can have this name at all. One that cannot is absent, whatever a product's comparison makes of its
/// blanks.
pub(crate) fn can_exist(name: &str) -> bool {
    check_definition_name(name).is_ok()
}

/// Checks the texts of a listing. Errors: 1001 where one holds control characters, which no name does.
pub(crate) fn check_listing(prefix: &str, after: Option<&str>) -> Result<()> {
    for (field, text) in [("prefix", prefix), ("after", after.unwrap_or_default())] {
        if text.chars().any(char::is_control) {
            return Err(Error::invalid(field, "must not hold control characters"));
        }
    }
    Ok(())
}

/// Encodes a document within its limit. Errors: 1007 naming `document`.
pub(crate) fn encode_document(document: &serde_json::Value) -> Result<String> {
    let text = document.to_string();
    if text.len() > DEFINITION_DOCUMENT_BYTES_MAX {
        return Err(Error::too_large(
            "document",
            format!(
                "has {} bytes of JSON, at most {DEFINITION_DOCUMENT_BYTES_MAX} are allowed",
                text.len()
            ),
        ));
    }
    Ok(text)
}

/// The refusal where `expected` does not hold for what is there.
pub(crate) fn unexpected(
    kind: DefinitionKind,
    name: &str,
    expected: Expected,
    found: Option<i64>,
) -> Error {
    let kind = kind.as_str();
    let message = match (expected, found) {
        (Expected::Version(version), Some(found)) => {
            format!("the {kind} {name:?} has version {found}, expected {version}")
        }
        (_, None) => format!("the {kind} {name:?} does not exist"),
        (_, Some(_)) => format!("the {kind} {name:?} exists already"),
    };
    Error::precondition(message)
}

/// The version that a put leads to. Errors: 1006 where `expected` does not hold.
pub(crate) fn next_version(
    kind: DefinitionKind,
    name: &str,
    expected: Expected,
    found: Option<i64>,
) -> Result<i64> {
    let holds = match expected {
        Expected::Any => true,
        Expected::Absent => found.is_none(),
        Expected::Version(version) => found == Some(version),
    };
    if !holds {
        return Err(unexpected(kind, name, expected, found));
    }
    Ok(found.unwrap_or(0).saturating_add(1))
}
