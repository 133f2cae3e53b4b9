//! Whether the duties of administration lie in one hand or in three.

use plinth_core::{Result, TenantId};
use plinth_security::RoleBook;
use plinth_security::rbac::{ADMIN_ROLES, OWNER};
use serde::{Deserialize, Serialize};

use super::service::{AccessService, DEFAULT_TENANT};

/// How administration is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSettings {
    /// `none`: the first key has the role `owner`, which holds everything. `enforced`: there is no `owner`; the first start
    /// issues three keys, of the system, the security and the audit administrator, and bindings of `owner` from before hold
    /// nothing. The same on every instance of one control database.
    pub separation: Separation,
}

/// Whether duties are separated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separation {
    /// One role may hold everything.
    #[default]
    None,
    /// Nobody holds two of the three powers, and none holds everything.
    Enforced,
}

impl Separation {
    /// The roles that exist.
    #[must_use]
    pub fn role_book(self) -> RoleBook {
        match self {
            Self::None => RoleBook::built_in(),
            Self::Enforced => RoleBook::separated(),
        }
    }
}

/// What the platform's tenant is like where duties are separated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeparationState {
    /// How many principals are bound to `owner` from before: they hold nothing by it.
    pub owners: usize,
    /// The powers that nobody holds.
    pub vacant: Vec<&'static str>,
}

impl AccessService {
    /// What separation finds in the platform's tenant; `None` where duties are not separated. Errors: 1012 where the
    /// directory is away.
    pub async fn separation_state(&self) -> Result<Option<SeparationState>> {
        if !self.roles.is_separated() {
            return Ok(None);
        }
        let tenant = TenantId::parse(DEFAULT_TENANT)?;
        let mut vacant = Vec::new();
        for role in ADMIN_ROLES {
            if self.holders_of(&tenant, role).await?.is_empty() {
                vacant.push(role);
            }
        }
        let owners = self.holders_of(&tenant, OWNER).await?.len();
        Ok(Some(SeparationState { owners, vacant }))
    }
}
