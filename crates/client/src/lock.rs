//! Locks: the operations as they are. Holding one for as long as a piece of work takes stands in [`guard`].

use plinth_idl::lock as idl;
use reqwest::Method;
use serde_json::json;

mod guard;
mod model;
mod wire;

pub use self::guard::{HoldOptions, LockGuard};
pub use self::model::{
    AcquireOptions, Acquired, LockAsk, LockClaimResult, LockCounters, LockGrant, LockHolder,
    LockInfo, LockPage, LockSummary, LockVerified, LockWaiter,
};
use self::wire::{ItemsBody, ReleasedBody, claims, claims_json, text, text_option};
use crate::Client;
use crate::error::{ClientError, Result};
use crate::request_id;
use crate::retry::Repeat;
use crate::transport::Transport;
use crate::transport::http::idempotent;

/// The code of a lock that was taken until the wait ended.
const NOT_ACQUIRED: u16 = 2603;

/// The lock operations of a client.
#[derive(Clone, Copy)]
pub struct LockClient<'client> {
    client: &'client Client,
}

impl<'client> LockClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }

    /// Acquires locks in the order of their names, all or none. [`LockClient::hold`] keeps them for as long as work takes.
    ///
    /// Repeated under one request id where the way to Plinth broke, but not where the locks were taken until the wait ended.
    ///
    /// Errors: 1001 naming the field; 1005 where a lock is in use as another kind; 2603 where one was taken until the wait
    /// ended; 2604 where waiting would never end; 2605 at a limit; 2601 where the backend is away.
    pub async fn acquire(
        &self,
        locks: &[LockAsk],
        owner: &str,
        options: &AcquireOptions,
    ) -> Result<Acquired> {
        let request_id = request_id(options.request_id.clone());
        let wait_ms = u64::try_from(options.wait_ms.unwrap_or(0)).unwrap_or(0);
        let call = || async {
            let outcome = self
                .acquire_once(locks, owner, options, &request_id, wait_ms)
                .await;
            match outcome {
                Err(error) if error.code == NOT_ACQUIRED => Ok(Err(error)),
                other => other.map(Ok),
            }
        };
        self.client.run(Repeat::Safe, call).await?
    }

    async fn acquire_once(
        &self,
        locks: &[LockAsk],
        owner: &str,
        options: &AcquireOptions,
        request_id: &str,
        wait_ms: u64,
    ) -> Result<Acquired> {
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::LockAcquireRequest {
                    locks: locks.iter().map(Into::into).collect(),
                    owner: text(owner),
                    lease_ms: options.lease_ms,
                    wait_ms: options.wait_ms,
                    reentrant: Some(options.reentrant),
                    keep_place_ms: options.keep_place_ms,
                    request_id: Some(text(request_id)),
                    base: None,
                };
                let call = thrift.api().lock_acquire(request);
                Ok(thrift.call_waiting(wait_ms, call).await?.into())
            }
            Transport::Http(http) => {
                let body = json!({
                    "locks": locks, "owner": owner, "lease_ms": options.lease_ms, "wait_ms": options.wait_ms,
                    "reentrant": options.reentrant, "keep_place_ms": options.keep_place_ms,
                });
                let path = ["v1", "lock", "acquire"];
                let request = http
                    .request_waiting(Method::POST, &path, wait_ms)
                    .json(&body);
                http.json(idempotent(request, request_id)).await
            }
        }
    }

    /// Begins leases anew; one status for each grant.
    ///
    /// Errors: 1001 naming the field, 2601 where the backend is away. A lost grant is 2602 in its item.
    pub async fn renew(
        &self,
        owner: &str,
        grants: &[LockGrant],
        lease_ms: Option<i64>,
    ) -> Result<Vec<LockClaimResult>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::LockRenewRequest {
                        owner: text(owner),
                        claims: claims(grants, false),
                        lease_ms,
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().lock_renew(request)).await?;
                    Ok(reply.items.into_iter().map(Into::into).collect())
                }
                Transport::Http(http) => {
                    let claims = claims_json(grants, false);
                    let body = json!({ "owner": owner, "claims": claims, "lease_ms": lease_ms });
                    let request = http
                        .request(Method::POST, &["v1", "lock", "renew"])
                        .json(&body);
                    Ok(http.json::<ItemsBody>(request).await?.items)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Releases locks at the depth of their grants; one status for each. After a repeat, what the first attempt released
    /// shows 2602.
    ///
    /// Errors: as for [`LockClient::renew`].
    pub async fn release(&self, owner: &str, grants: &[LockGrant]) -> Result<Vec<LockClaimResult>> {
        self.release_with(Repeat::Safe, owner, grants).await
    }

    /// A release that is repeated or is not.
    async fn release_with(
        &self,
        repeat: Repeat,
        owner: &str,
        grants: &[LockGrant],
    ) -> Result<Vec<LockClaimResult>> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::LockReleaseRequest {
                        owner: text(owner),
                        claims: claims(grants, true),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().lock_release(request)).await?;
                    Ok(reply.items.into_iter().map(Into::into).collect())
                }
                Transport::Http(http) => {
                    let body = json!({ "owner": owner, "claims": claims_json(grants, true) });
                    let request = http
                        .request(Method::POST, &["v1", "lock", "release"])
                        .json(&body);
                    Ok(http.json::<ItemsBody>(request).await?.items)
                }
            }
        };
        self.client.run(repeat, call).await
    }

    /// Says whether a grant is alive; with a wait of at most 60,000 ms, answers as soon as it is lost.
    ///
    /// Errors: 1001 naming the field, 2601 where the backend is away.
    pub async fn verify(
        &self,
        lock: &str,
        token: i64,
        wait_ms: Option<i64>,
    ) -> Result<LockVerified> {
        let longer = u64::try_from(wait_ms.unwrap_or(0)).unwrap_or(0);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::LockVerifyRequest {
                        lock: text(lock),
                        token,
                        wait_ms,
                        base: None,
                    };
                    let call = thrift.api().lock_verify(request);
                    Ok(thrift.call_waiting(longer, call).await?.into())
                }
                Transport::Http(http) => {
                    let body =
                        json!({ "lock": lock, "token": token.to_string(), "wait_ms": wait_ms });
                    let path = ["v1", "lock", "verify"];
                    let request = http
                        .request_waiting(Method::POST, &path, longer)
                        .json(&body);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// One lock: who holds it, who waits for whom.
    ///
    /// Errors: 1001 naming the field, 2601 where the backend is away.
    pub async fn get(&self, lock: &str) -> Result<LockInfo> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::LockGetRequest {
                        lock: text(lock),
                        base: None,
                    };
                    Ok(thrift.call(thrift.api().lock_get(request)).await?.into())
                }
                Transport::Http(http) => {
                    let path = ["v1", "lock", "locks", lock];
                    http.json(http.request(Method::GET, &path)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Lists locks whose name begins with `prefix`: those in use, and those that were fought for in the last ten minutes.
    ///
    /// Errors: 1001 naming the field, 2601 where the backend is away.
    pub async fn list(
        &self,
        prefix: Option<&str>,
        cursor: Option<&str>,
        limit: Option<i32>,
    ) -> Result<LockPage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::LockListRequest {
                        prefix: text_option(prefix),
                        cursor: text_option(cursor),
                        limit,
                        base: None,
                    };
                    Ok(thrift.call(thrift.api().lock_list(request)).await?.into())
                }
                Transport::Http(http) => {
                    let limit = limit.map(|limit| limit.to_string());
                    let query: Vec<(&str, &str)> = [
                        ("prefix", prefix),
                        ("cursor", cursor),
                        ("limit", limit.as_deref()),
                    ]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect();
                    let request = http
                        .request(Method::GET, &["v1", "lock", "locks"])
                        .query(&query);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Ends the lease of one token, or all leases of a lock, against their holders' will. Returns how many.
    ///
    /// Errors: 1001 naming the field, 1004 where nothing is held, 2601 where the backend is away.
    pub async fn force_release(&self, lock: &str, token: Option<i64>, reason: &str) -> Result<i32> {
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::LockForceReleaseRequest {
                    lock: text(lock),
                    token,
                    reason: text(reason),
                    base: None,
                };
                let call = thrift.api().lock_force_release(request);
                Ok(thrift.call(call).await?.released)
            }
            Transport::Http(http) => {
                let token = token.map(|token| token.to_string());
                let body = json!({ "token": token, "reason": reason });
                let path = ["v1", "lock", "locks", lock, "force-release"];
                let request = http.request(Method::POST, &path).json(&body);
                Ok(http.json::<ReleasedBody>(request).await?.released)
            }
        }
    }
}

/// Whether a call was refused because a lock was taken until the wait ended.
pub(crate) fn is_taken(error: &ClientError) -> bool {
    error.code == NOT_ACQUIRED
}
