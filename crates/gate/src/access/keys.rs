//! Keys: create, list, revoke.

use plinth_core::access::NewKey;
use plinth_core::{
    CallContext, CredentialId, Cursor, Error, PageLimit, Principal, PrincipalId, Result, RoleName,
};

use super::answer::{FirstAnswer, created_keys};
use super::model::{
    CreateKeyReply, CreateKeyRequest, DISPLAY_NAME_BYTES_MAX, KeyView, LABEL_BYTES_MAX,
    ListKeysReply, ListKeysRequest, ROLES_MAX, RevokeKeyReply, RevokeKeyRequest, parse_expiry,
    parse_key_id, parse_kind, parse_people_text,
};
use super::service::{AccessService, scope};

impl AccessService {
    /// Creates a key. Its text is in the reply, once.
    ///
    /// Errors: 1001; 1003 where the holder has, or would get, a role that is not the caller's to give; 1005 where the
    /// holder would hold two of the separated powers, or the idempotency key was used for another request.
    pub async fn create_key(
        &self,
        ctx: &CallContext,
        request: CreateKeyRequest,
    ) -> Result<CreateKeyReply> {
        let now = self.clock.now();
        let principal = parse_holder(&request)?;
        let label = request.label.as_deref().unwrap_or_default();
        let label = parse_people_text("label", label, 0..=LABEL_BYTES_MAX)?;
        let roles = self.parse_roles(&request.roles)?;
        let expires_at = parse_expiry(request.expires_in_ms, now)?;

        let _change = self.begin_change().await?;
        let rule = |held: &[RoleName]| {
            let all: Vec<_> = held.iter().chain(&roles).cloned().collect();
            self.check_holder(&ctx.caller, &all)
        };
        let (key, text) = self.generate()?;
        let new_key = NewKey {
            id: key.id().clone(),
            sha256: *key.sha256(),
            tenant: ctx.caller.tenant.clone(),
            principal,
            label,
            expires_at,
            created_at: now,
            roles: roles.clone(),
            created_by: Some(ctx.caller.principal.id.clone()),
        };
        let scope = scope(ctx, &request, now)?;
        let answer = FirstAnswer::to(std::slice::from_ref(&new_key)).text()?;
        let scope = scope.as_ref().map(|scope| (scope, &*answer));
        let creation = self.directory.create_key(&new_key, &rule, scope).await?;
        let (created, _) = created_keys(creation, &[new_key], vec![text])?;
        match created.into_iter().next() {
            Some(created) => Ok(CreateKeyReply { created }),
            None => Err(Error::internal("a key was created without an answer")),
        }
    }

    /// Lists keys of the tenant. Errors: 1001.
    pub async fn list_keys(
        &self,
        ctx: &CallContext,
        request: ListKeysRequest,
    ) -> Result<ListKeysReply> {
        let principal = request
            .principal
            .as_deref()
            .map(PrincipalId::parse)
            .transpose()?;
        let limit = PageLimit::parse(request.limit)?;
        let after: Option<CredentialId> =
            request.cursor.as_deref().map(Cursor::decode).transpose()?;
        let tenant = &ctx.caller.tenant;
        let keys = self
            .directory
            .keys(tenant, principal.as_ref(), after.as_ref(), limit)
            .await?;
        let next_cursor = match keys.last() {
            Some(last) if keys.len() >= limit.get() as usize => {
                let one = PageLimit::parse(Some(1))?;
                let more = self
                    .directory
                    .keys(tenant, principal.as_ref(), Some(&last.id), one)
                    .await?;
                let cursor = Cursor::encode(&last.id)?;
                (!more.is_empty()).then(|| cursor.as_str().to_owned())
            }
            _ => None,
        };
        Ok(ListKeysReply {
            keys: keys.into_iter().map(KeyView::from).collect(),
            next_cursor,
        })
    }

    /// Revokes a key: at once on this instance, within a second on others. A key of any holder may be revoked, so that a
    /// leak is stopped by whoever is there. Errors: 1001; 1004 where the tenant has no such key.
    pub async fn revoke_key(
        &self,
        ctx: &CallContext,
        request: RevokeKeyRequest,
    ) -> Result<RevokeKeyReply> {
        let key = parse_key_id(&request.key_id)?;
        let _change = self.begin_change().await?;
        let now = self.clock.now();
        self.directory
            .revoke_key(&ctx.caller.tenant, &key, now)
            .await?;
        Ok(RevokeKeyReply {})
    }

    fn parse_roles(&self, names: &[String]) -> Result<Vec<RoleName>> {
        if names.len() > ROLES_MAX {
            return Err(Error::invalid(
                "roles",
                format!(
                    "has {} elements, at most {ROLES_MAX} are allowed",
                    names.len()
                ),
            ));
        }
        let mut roles: Vec<RoleName> = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let role = self.roles.require(&format!("roles[{index}]"), name)?;
            if !roles.contains(&role.name) {
                roles.push(RoleName::clone(&role.name));
            }
        }
        Ok(roles)
    }
}

fn parse_holder(request: &CreateKeyRequest) -> Result<Principal> {
    let id = PrincipalId::parse(&request.principal)?;
    let name = match &request.principal_name {
        Some(name) => parse_people_text("principal_name", name, 1..=DISPLAY_NAME_BYTES_MAX)?,
        None => id.as_str().to_owned(),
    };
    Ok(Principal {
        id,
        name,
        kind: parse_kind(request.principal_kind.as_deref())?,
    })
}
