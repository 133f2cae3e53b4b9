//! Who may give and take which role.

use plinth_core::{Caller, Error, ErrorCode, PageLimit, PrincipalId, Result, RoleName, TenantId};
use plinth_security::Role;
use plinth_security::rbac::{ADMIN_ROLES, OWNER};

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

    /// Errors: 1003 where the caller may not give each of these roles; 1005 where they hold two of the separated powers,
    /// or a binding of `owner` sleeps among them: a key made now would open everything once duties are united again.
    /// Another role that the book does not know holds nothing and is nobody's concern.
    pub(super) fn check_holder(&self, caller: &Caller, roles: &[RoleName]) -> Result<()> {
        self.check_no_sleeping_owner(roles)?;
        for role in roles.iter().filter_map(|name| self.roles.get(name)) {
            self.check_may_grant(caller, role)?;
        }
        self.check_separation(roles.iter().map(AsRef::as_ref))
    }

    /// Errors: 1005 where a binding of `owner` from before duties were separated is among these roles.
    pub(super) fn check_no_sleeping_owner(&self, roles: &[RoleName]) -> Result<()> {
        if self.roles.is_separated() && roles.iter().any(|role| &**role == OWNER) {
            return Err(Error::conflict(
                "the principal is bound to owner from before duties were separated; unbind that first, or name another",
            ));
        }
        Ok(())
    }

    /// Errors: 1005 where these roles hold two of the separated powers.
    pub(super) fn check_separation<'a>(
        &self,
        roles: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        match self.roles.conflict(roles) {
            None => Ok(()),
            Some([one, other]) => Err(Error::conflict(format!(
                "nobody holds both {one} and {other}: these powers are separated"
            ))),
        }
    }

    /// Whether a tenant cannot do without a holder of a role: nobody else could give it again.
    pub(super) fn is_indispensable(&self, role: &str) -> bool {
        if self.roles.is_separated() {
            ADMIN_ROLES.contains(&role)
        } else {
            role == OWNER
        }
    }

    /// Who holds a role in a tenant.
    pub(super) async fn holders_of(
        &self,
        tenant: &TenantId,
        role: &str,
    ) -> Result<Vec<PrincipalId>> {
        let page = PageLimit::parse(Some(i64::from(plinth_core::limits::PAGE_LIMIT_MAX)))?;
        let mut holders = Vec::new();
        let mut after: Option<(PrincipalId, RoleName)> = None;
        loop {
            let place = after.as_ref().map(|(holder, role)| (holder, &**role));
            let bindings = self.directory.bindings(tenant, None, place, page).await?;
            let is_end = bindings.len() < page.get() as usize;
            after = bindings
                .last()
                .map(|binding| (binding.principal.clone(), binding.role.clone()));
            let held = bindings
                .into_iter()
                .filter(|binding| &*binding.role == role);
            holders.extend(held.map(|binding| binding.principal));
            if is_end || after.is_none() {
                return Ok(holders);
            }
        }
    }
}
