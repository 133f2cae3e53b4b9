//! The `access` block, and the health of the instance.

mod model;

use faststr::FastStr;
use plinth_idl::{access as idl, health as health_idl};
use reqwest::Method;
use serde_json::json;

pub use self::model::{
    AccessBinding, AccessKey, AccessPermission, BindingPage, CreatedKey, CreatedTenant, Health,
    HealthComponent, KeyOptions, KeyPage, WhoAmI,
};
use self::model::{BoundBody, CreateKeyBody, CreatedKeyBody, RemovedBody};
use crate::error::Result;
use crate::retry::Repeat;
use crate::transport::Transport;
use crate::transport::http::idempotent;
use crate::{Client, request_id};

/// The access operations of a client.
#[derive(Clone, Copy)]
pub struct AccessClient<'client> {
    client: &'client Client,
}

impl<'client> AccessClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }

    /// Creates a tenant and its first key. `given_id` is the idempotency key; one is made up where it is absent. Where an
    /// answer was lost and the call repeated, the text of the key is lost as well: see [`CreatedKey::key`].
    ///
    /// Errors: 1001, 1003 unless the caller belongs to the platform's own tenant, 1005 where the tenant exists.
    pub async fn create_tenant(
        &self,
        tenant: &str,
        name: Option<&str>,
        given_id: Option<String>,
    ) -> Result<CreatedTenant> {
        let id = request_id(given_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AccessCreateTenantRequest {
                        tenant: FastStr::new(tenant),
                        name: name.map(FastStr::new),
                        request_id: Some(FastStr::new(&id)),
                        ..Default::default()
                    };
                    let reply = thrift
                        .call(thrift.api().access_create_tenant(request))
                        .await?;
                    Ok(CreatedTenant::from(reply))
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "access", "tenants"])
                        .json(&json!({ "tenant": tenant, "name": name }));
                    http.json(idempotent(request, &id)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Creates a key for a holder, who is created where absent. `given_id` as for [`AccessClient::create_tenant`].
    ///
    /// Errors: 1001, 1003 where a role of the holder is not the caller's to give, 1005 where the holder would hold two
    /// separated powers.
    pub async fn create_key(
        &self,
        principal: &str,
        options: &KeyOptions,
        given_id: Option<String>,
    ) -> Result<CreatedKey> {
        let id = request_id(given_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let mut request = options.request(principal);
                    request.request_id = Some(FastStr::new(&id));
                    let reply = thrift.call(thrift.api().access_create_key(request)).await?;
                    Ok(CreatedKey::from(reply.created))
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "access", "keys"])
                        .json(&CreateKeyBody { principal, options });
                    let body: CreatedKeyBody = http.json(idempotent(request, &id)).await?;
                    Ok(body.created)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Lists keys of the tenant, or of one holder, from a place in the listing.
    pub async fn list_keys(
        &self,
        principal: Option<&str>,
        limit: Option<i64>,
        cursor: Option<&str>,
    ) -> Result<KeyPage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AccessListKeysRequest {
                        principal: principal.map(FastStr::new),
                        limit,
                        cursor: cursor.map(FastStr::new),
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().access_list_keys(request)).await?;
                    Ok(KeyPage::from(reply))
                }
                Transport::Http(http) => {
                    let request = http.request(Method::GET, &["v1", "access", "keys"]);
                    http.json(request.query(&listing(principal, limit, cursor)))
                        .await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Revokes a key; revoking again changes nothing. Errors: 1004 where the tenant has no such key.
    pub async fn revoke_key(&self, key_id: &str) -> Result<()> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AccessRevokeKeyRequest {
                        key_id: FastStr::new(key_id),
                        ..Default::default()
                    };
                    let call = thrift.api().access_revoke_key(request);
                    thrift.call(call).await.map(drop)
                }
                Transport::Http(http) => {
                    let path = ["v1", "access", "keys", key_id, "revoke"];
                    http.done(http.request(Method::POST, &path)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Gives a principal a role, and says whether that was new.
    ///
    /// Errors: 1001, 1003 where the role is not the caller's to give, 1004 where there is no such principal, 1005 where it
    /// would hold two separated powers.
    pub async fn bind_role(&self, principal: &str, role: &str) -> Result<bool> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AccessBindRoleRequest {
                        principal: FastStr::new(principal),
                        role: FastStr::new(role),
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().access_bind_role(request)).await?;
                    Ok(reply.created)
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "access", "bindings"])
                        .json(&json!({ "principal": principal, "role": role }));
                    Ok(http.json::<BoundBody>(request).await?.created)
                }
            }
        };
        // A repeat would say "not new" of what its lost first answer had made.
        self.client.run(Repeat::Never, call).await
    }

    /// Takes a role from a principal, and says whether it held it.
    ///
    /// Errors: 1001, 1003 where the role is not the caller's to take, 1005 where the principal is the last owner (or administrator,
    /// where duties are separated).
    pub async fn unbind_role(&self, principal: &str, role: &str) -> Result<bool> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AccessUnbindRoleRequest {
                        principal: FastStr::new(principal),
                        role: FastStr::new(role),
                        ..Default::default()
                    };
                    let reply = thrift
                        .call(thrift.api().access_unbind_role(request))
                        .await?;
                    Ok(reply.removed)
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "access", "bindings", "remove"])
                        .json(&json!({ "principal": principal, "role": role }));
                    Ok(http.json::<RemovedBody>(request).await?.removed)
                }
            }
        };
        self.client.run(Repeat::Never, call).await
    }

    /// Lists who holds which role, from a place in the listing.
    pub async fn list_bindings(
        &self,
        principal: Option<&str>,
        limit: Option<i64>,
        cursor: Option<&str>,
    ) -> Result<BindingPage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AccessListBindingsRequest {
                        principal: principal.map(FastStr::new),
                        limit,
                        cursor: cursor.map(FastStr::new),
                        ..Default::default()
                    };
                    let reply = thrift
                        .call(thrift.api().access_list_bindings(request))
                        .await?;
                    Ok(BindingPage::from(reply))
                }
                Transport::Http(http) => {
                    let request = http.request(Method::GET, &["v1", "access", "bindings"]);
                    http.json(request.query(&listing(principal, limit, cursor)))
                        .await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Tells whose key this client shows, and what that allows.
    pub async fn who_am_i(&self) -> Result<WhoAmI> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AccessWhoAmIRequest::default();
                    let reply = thrift.call(thrift.api().access_who_am_i(request)).await?;
                    Ok(WhoAmI::from(reply))
                }
                Transport::Http(http) => {
                    http.json(http.request(Method::GET, &["v1", "access", "who-am-i"]))
                        .await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// The health of the instance; its parts only with the permission `health.check`.
    pub async fn health(&self) -> Result<Health> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = health_idl::HealthRequest::default();
                    let reply = thrift.call(thrift.api().health(request)).await?;
                    Ok(Health::from(reply))
                }
                Transport::Http(http) => {
                    http.json(http.request(Method::GET, &["v1", "health"]))
                        .await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}

/// The query of a listing.
fn listing(
    principal: Option<&str>,
    limit: Option<i64>,
    cursor: Option<&str>,
) -> Vec<(&'static str, String)> {
    let fields = [
        ("principal", principal.map(str::to_owned)),
        ("limit", limit.map(|limit| limit.to_string())),
        ("cursor", cursor.map(str::to_owned)),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
}
