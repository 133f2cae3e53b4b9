//! Role-based access control (NIST RBAC, ANSI INCITS 359): who may do what to which resource.
//!
//! A **permission** is an operation pattern and a resource pattern. A **role** is a named set of permissions. Nothing is
//! allowed unless a permission says so, and a role name that the book does not know holds nothing. The decision is a pure
//! function of the book, the roles, the operation and the resource.

use std::collections::BTreeMap;
use std::fmt;

use plinth_core::{Error, OperationId, Resource, Result, RoleName};

mod builtin;
mod pattern;

pub use builtin::{
    ADMIN_ROLES, AUDIT_ADMIN, DEVELOPER, OPERATOR, OWNER, SECURITY_ADMIN, SYSTEM_ADMIN,
};
pub use pattern::{PATTERN_BYTES_MAX, PATTERN_STARS_MAX, Pattern};

/// The right to do some operations to some resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Which operations: `cache.*`.
    pub operations: Pattern,
    /// Which resources, as kind/name: `cache/orders.*`.
    pub resources: Pattern,
}

impl Permission {
    /// Parses both patterns. Errors: 1001 where one breaks the rules of [`Pattern`].
    pub fn parse(operations: &str, resources: &str) -> Result<Self> {
        Ok(Self {
            operations: Pattern::parse(operations)?,
            resources: Pattern::parse(resources)?,
        })
    }

    /// Whether it allows an operation on a resource. An operation that names no resource touches all of them, so only a
    /// permission for everything allows it.
    #[must_use]
    pub fn allows(&self, operation: OperationId, resource: Option<&Resource>) -> bool {
        if !self.operations.matches(operation.as_str()) {
            return false;
        }
        if self.resources.is_everything() {
            return true;
        }
        resource.is_some_and(|resource| self.resources.matches(&resource.to_string()))
    }

    /// Whether it allows everything that another allows. Sound, not complete: `true` is certain.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.operations.covers(&other.operations) && self.resources.covers(&other.resources)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} on {}", self.operations, self.resources)
    }
}

/// A named set of permissions.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// What it is for: one sentence.
    pub summary: String,
    /// What it holds.
    pub permissions: Vec<Permission>,
    /// Roles whose holders may grant this one although they hold less than it.
    pub granted_by: Vec<RoleName>,
}

/// The answer to "may they".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Yes, by this permission of this role.
    Allowed {
        /// The first of the caller's roles that allows it.
        role: &'a RoleName,
        /// The first permission of that role that allows it.
        permission: &'a Permission,
    },
    /// No: no role of the caller holds such a permission.
    Refused,
}

impl Decision<'_> {
    /// Whether it is a yes.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

/// The roles that exist, by name.
#[derive(Clone, Debug)]
pub struct RoleBook(BTreeMap<RoleName, Role>);

impl RoleBook {
    /// The roles that every tenant has.
    #[must_use]
    pub fn built_in() -> Self {
        Self::of(builtin::roles())
    }

    /// The roles that every tenant has where the duties of administration are separated: no `owner`, so that nobody holds
    /// all three powers.
    #[must_use]
    pub fn separated() -> Self {
        Self::of(builtin::roles().filter(|role| &*role.name != OWNER))
    }

    /// Whether the duties are separated: the book knows no `owner`.
    #[must_use]
    pub fn is_separated(&self) -> bool {
        self.get(OWNER).is_none()
    }

    /// A book of some roles; of two with one name the later stands.
    #[must_use]
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Self {
        Self(
            roles
                .into_iter()
                .map(|role| (RoleName::clone(&role.name), role))
                .collect(),
        )
    }

    /// The roles in the order of their names.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.0.values()
    }

    /// Finds a role.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.0.get(name)
    }

    /// Finds a role that a caller named in a field. Errors: 1001 naming the field, with the roles that exist.
    pub fn require(&self, field: &str, name: &str) -> Result<&Role> {
        self.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(AsRef::as_ref).collect();
            let known = known.join(", ");
            let message = if name == OWNER {
                format!(
                    "names owner, which nobody holds here: duties are separated (access.separation = \"enforced\"); known are {known}"
                )
            } else {
                format!("names no role; known are {known}")
            };
            Error::invalid(field, message)
        })
    }

    /// Decides whether the holder of some roles may do an operation to a resource.
    #[must_use]
    pub fn decide(
        &self,
        roles: &[RoleName],
        operation: OperationId,
        resource: Option<&Resource>,
    ) -> Decision<'_> {
        for role in roles.iter().filter_map(|name| self.0.get(name)) {
            for permission in &role.permissions {
                if permission.allows(operation, resource) {
                    return Decision::Allowed {
                        role: &role.name,
                        permission,
                    };
                }
            }
        }
        Decision::Refused
    }

    /// Whether the holder of some roles may hand out (or take back) a role: when he holds all of it himself, or when the
    /// role names one of his among those that may grant it.
    #[must_use]
    pub fn may_grant(&self, holder: &[RoleName], role: &Role) -> bool {
        if role.granted_by.iter().any(|name| holder.contains(name)) {
            return true;
        }
        let held = || {
            holder
                .iter()
                .filter_map(|name| self.0.get(name))
                .flat_map(|role| &role.permissions)
        };
        role.permissions
            .iter()
            .all(|wanted| held().any(|own| own.covers(wanted)))
    }

    /// Which two of the separated powers a principal would hold with these roles, if any: the three administrators are
    /// never one person (三权分立).
    #[must_use]
    pub fn conflict<'a>(
        &self,
        roles: impl IntoIterator<Item = &'a str>,
    ) -> Option<[&'static str; 2]> {
        let mut first: Option<&'static str> = None;
        for name in roles {
            let Some(power) = ADMIN_ROLES.into_iter().find(|power| *power == name) else {
                continue;
            };
            match first {
                Some(other) if other != power => return Some([other, power]),
                _ => first = Some(power),
            }
        }
        None
    }
}
