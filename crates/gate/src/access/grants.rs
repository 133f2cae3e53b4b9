//! Who may give and take which role.

use plinth_core::{Caller, Error, ErrorCode, PageLimit, PrincipalId, Result, RoleName, TenantId};
use plinth_security::Role;
use plinth_security::rbac::OWNER;

use super::service::AccessService;

impl AccessService {
    /// Errors: 1003 where the caller may not give or take the role.
    pub(super) fn check_may_grant(&self, caller: &Caller, role: &Role) -> Result<()> {
        if self.roles.may_grant(&caller.roles, role) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Forbidden,
            format!(
                "the role {} holds more than the caller and is not his to give or take",
                role.name
            ),
        )
        .with_detail("role", role.name.as_ref()))
    }

    /// The roles that a principal holds now; none where it does not exist.
    pub(super) async fn roles_of(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
    ) -> Result<Vec<RoleName>> {
        let all = PageLimit::parse(Some(i64::from(plinth_core::limits::PAGE_LIMIT_MAX)))?;
        let bindings = self
            .directory
            .bindings(tenant, Some(principal), None, all)
            .await?;
        Ok(bindings.into_iter().map(|binding| binding.role).collect())
    }

    /// Errors: 1003 where the caller may not give each of these roles; 1005 where they hold two of the separated powers.
    /// A role that the book does not know holds nothing and is nobody's concern.
    pub(super) fn check_holder(&self, caller: &Caller, roles: &[RoleName]) -> Result<()> {
        for role in roles.iter().filter_map(|name| self.roles.get(name)) {
            self.check_may_grant(caller, role)?;
        }
        self.check_separation(roles)
    }

    /// Errors: 1005 where these roles hold two of the separated powers.
    pub(super) fn check_separation(&self, roles: &[RoleName]) -> Result<()> {
        match self.roles.conflict(roles.iter().map(AsRef::as_ref)) {
            None => Ok(()),
            Some([one, other]) => Err(Error::conflict(format!(
                "nobody holds both {one} and {other}: these powers are separated"
            ))),
        }
    }

    /// Errors: 1005 where the principal is the last owner of its tenant.
    pub(super) async fn check_not_last_owner(
        &self,
        tenant: &TenantId,
        principal: &PrincipalId,
    ) -> Result<()> {
        let page = PageLimit::parse(Some(i64::from(plinth_core::limits::PAGE_LIMIT_MAX)))?;
        let mut after: Option<(PrincipalId, RoleName)> = None;
        let mut is_owner = false;
        loop {
            let place = after.as_ref().map(|(holder, role)| (holder, &**role));
            let bindings = self.directory.bindings(tenant, None, place, page).await?;
            for binding in bindings.iter().filter(|binding| &*binding.role == OWNER) {
                if binding.principal != *principal {
                    return Ok(());
                }
                is_owner = true;
            }
            let is_end = bindings.len() < page.get() as usize;
            after = bindings
                .into_iter()
                .next_back()
                .map(|binding| (binding.principal, binding.role));
            if is_end || after.is_none() {
                break;
            }
        }
        if is_owner {
            return Err(Error::conflict(
                "the last owner of a tenant stays; bind another one first",
            ));
        }
        Ok(())
    }
}
