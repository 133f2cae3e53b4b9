//! Identifiers, parsed once at the edge and valid by construction.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

/// Declares a newtype over text with one rule: 1 to `max` bytes of `a-z A-Z 0-9 . _ - :` that begin with a letter or
/// digit.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $field:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Parses the text. Errors: 1001 naming the field where it breaks the rule of names.
            pub fn parse(text: &str) -> Result<Self> {
                check_name($field, text, $max)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result { formatter.write_str(&self.0) }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> { Self::parse(&text) }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self { id.0.as_ref().to_owned() }
        }
    };
}

text_id!(
    /// Whose data it is; taken from the credential, never from the request body.
    TenantId, "tenant", limits::NAME_BYTES_MAX
);
text_id!(
    /// A person or service that holds credentials in a tenant.
    PrincipalId, "principal", limits::NAME_BYTES_MAX
);
text_id!(
    /// One credential of a principal, without its secret part.
    CredentialId, "credential", limits::NAME_BYTES_MAX
);

/// Checks the rule of names: 1 to `max_bytes` of `a-z A-Z 0-9 . _ - :`, the first a letter, a digit or `_`.
///
/// Errors: 1001 naming `field`.
pub fn check_name(field: &str, text: &str, max_bytes: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    if text.len() > max_bytes {
        return Err(Error::invalid(
            field,
            format!("has {} bytes, at most {max_bytes} are allowed", text.len()),
        ));
    }
    let begins_well = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
    if !begins_well || !text.bytes().all(allowed) {
        return Err(Error::invalid(
            field,
            "may hold letters, digits, '.', '_', '-' and ':' and begins with a letter, a digit or '_'",
        ));
    }
    Ok(())
}

/// The id of an operation of the catalogue: `cache.set`. The unit of permission, audit, metric and limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct OperationId(&'static str);

impl OperationId {
    /// Names an operation; only the catalogue does.
    #[must_use]
    pub const fn new(id: &'static str) -> Self {
        Self(id)
    }

    /// The id as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// What an operation is applied to: kind and name, `queue/review.status`. The name `*` stands for all of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// The kind: `cache`, `queue`, `exchange`, `metric`, `audit`, `db`, `access`.
    pub kind: std::borrow::Cow<'static, str>,
    /// The name inside the tenant.
    pub name: String,
}

impl Resource {
    /// Names a resource.
    #[must_use]
    pub fn new(kind: &'static str, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
        }
    }

    /// All resources of a kind.
    #[must_use]
    pub fn all(kind: &'static str) -> Self {
        Self::new(kind, "*")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_limit_and_one_past_it() {
        let longest = "a".repeat(limits::NAME_BYTES_MAX);
        assert!(TenantId::parse(&longest).is_ok());
        assert!(TenantId::parse(&format!("{longest}a")).is_err());
        assert!(TenantId::parse("").is_err());
        assert!(TenantId::parse("-a").is_err());
        assert!(TenantId::parse("a b").is_err());
        assert!(TenantId::parse("shop.cn-1:x_y").is_ok());
    }
}
