//! Role bindings: give, take, list.

use plinth_core::access::BindingRecord;
use plinth_core::{CallContext, Cursor, PageLimit, PrincipalId, Result, RoleName};
use plinth_security::rbac::OWNER;

use super::model::{
    BindRoleReply, BindRoleRequest, BindingView, ListBindingsReply, ListBindingsRequest,
    UnbindRoleReply, UnbindRoleRequest,
};
use super::service::AccessService;

impl AccessService {
    /// Gives a principal a role.
    ///
    /// Errors: 1001; 1003 where the role is not the caller's to give; 1004 where the tenant has no such principal; 1005
    /// where it would hold two of the separated powers.
    pub async fn bind_role(
        &self,
        ctx: &CallContext,
        request: BindRoleRequest,
    ) -> Result<BindRoleReply> {
        let principal = PrincipalId::parse(&request.principal)?;
        let role = self.roles.require("role", &request.role)?;
        self.check_may_grant(&ctx.caller, role)?;
        let _change = self.begin_change().await?;
        let rule = |held: &[RoleName]| {
            self.check_separation(held.iter().chain([&role.name]).map(AsRef::as_ref))
        };
        let binding = BindingRecord {
            principal,
            role: RoleName::clone(&role.name),
            granted_by: Some(ctx.caller.principal.id.clone()),
            granted_at: self.clock.now(),
        };
        let created = self
            .directory
            .bind_role(&ctx.caller.tenant, &binding, &rule)
            .await?;
        Ok(BindRoleReply { created })
    }

    /// Takes a role from a principal.
    ///
    /// Where duties are separated, a binding of `owner` from before is dead and is taken away by whoever may unbind at all.
    ///
    /// Errors: 1001; 1003 where the role is not the caller's to take; 1005 where the principal is the last that holds it
    /// and the tenant cannot do without.
    pub async fn unbind_role(
        &self,
        ctx: &CallContext,
        request: UnbindRoleRequest,
    ) -> Result<UnbindRoleReply> {
        let principal = PrincipalId::parse(&request.principal)?;
        let tenant = &ctx.caller.tenant;
        let is_dead = self.roles.is_separated() && request.role == OWNER;
        if !is_dead {
            let role = self.roles.require("role", &request.role)?;
            self.check_may_grant(&ctx.caller, role)?;
        }
        let _change = self.begin_change().await?;
        let keeps_last = !is_dead && self.is_indispensable(&request.role);
        let removed = self
            .directory
            .unbind_role(tenant, &principal, &request.role, keeps_last)
            .await?;
        Ok(UnbindRoleReply { removed })
    }

    /// Lists bindings of the tenant. Errors: 1001.
    pub async fn list_bindings(
        &self,
        ctx: &CallContext,
        request: ListBindingsRequest,
    ) -> Result<ListBindingsReply> {
        let principal = request
            .principal
            .as_deref()
            .map(PrincipalId::parse)
            .transpose()?;
        let limit = PageLimit::parse(request.limit)?;
        let after: Option<(PrincipalId, String)> =
            request.cursor.as_deref().map(Cursor::decode).transpose()?;
        let tenant = &ctx.caller.tenant;
        let place = after.as_ref().map(|(holder, role)| (holder, role.as_str()));
        let bindings = self
            .directory
            .bindings(tenant, principal.as_ref(), place, limit)
            .await?;
        let next_cursor = match bindings.last() {
            Some(last) if bindings.len() >= limit.get() as usize => {
                let one = PageLimit::parse(Some(1))?;
                let place = Some((&last.principal, &*last.role));
                let more = self
                    .directory
                    .bindings(tenant, principal.as_ref(), place, one)
                    .await?;
                let cursor = Cursor::encode(&(&last.principal, &*last.role))?;
                (!more.is_empty()).then(|| cursor.as_str().to_owned())
            }
            _ => None,
        };
        Ok(ListBindingsReply {
            bindings: bindings.into_iter().map(BindingView::from).collect(),
            next_cursor,
        })
    }
}
