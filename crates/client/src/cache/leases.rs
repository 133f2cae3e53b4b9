//! Leases: on a miss one caller fills the key, the others wait for it.

use plinth_core::WideInt;
use plinth_idl::cache as idl;
use reqwest::Method;
use serde_json::json;

use super::CacheClient;
use super::model::CacheLeased;
use super::wire::{LeasedBody, ReleasedBody, lease_of, read_item, text};
use crate::error::Result;
use crate::retry::Repeat;
use crate::transport::Transport;

impl CacheClient<'_> {
    /// Reads one value, ready to fill it: where there is none, or a stale one, one caller is given a lease and stores the value
    /// with its token. The others wait up to `wait_ms` for it, or are given the stale value at once.
    pub async fn get_or_lease(
        &self,
        namespace: &str,
        key: &str,
        lease_ms: Option<i64>,
        wait_ms: Option<i64>,
    ) -> Result<CacheLeased> {
        let longer_ms = u64::try_from(wait_ms.unwrap_or(0)).unwrap_or(0);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheGetOrLeaseRequest {
                        namespace_name: text(namespace),
                        key: text(key),
                        lease_ms,
                        wait_ms,
                        base: None,
                    };
                    let call = thrift.api().cache_get_or_lease(request);
                    let reply = thrift.call_waiting(longer_ms, call).await?;
                    Ok(CacheLeased {
                        read: read_item(reply.item, reply.degraded)?,
                        lease: lease_of(reply.lease_token, reply.held_ms),
                    })
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "entries", key, "lease"];
                    let body = json!({ "lease_ms": lease_ms, "wait_ms": wait_ms });
                    let request = http
                        .request_waiting(Method::POST, &path, longer_ms)
                        .json(&body);
                    let reply: LeasedBody = http.json(request).await?;
                    Ok(CacheLeased {
                        read: reply.item.into_read(reply.degraded)?,
                        lease: lease_of(reply.lease_token.map(|token| token.0), reply.held_ms),
                    })
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Gives a lease back without a value and says whether it was open: the next caller gets the next one. After a repeat it
    /// says no where the first attempt ended it.
    pub async fn release_lease(
        &self,
        namespace: &str,
        key: &str,
        lease_token: i64,
    ) -> Result<bool> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::CacheReleaseLeaseRequest {
                        namespace_name: text(namespace),
                        key: text(key),
                        lease_token,
                        base: None,
                    };
                    let call = thrift.api().cache_release_lease(request);
                    Ok(thrift.call(call).await?.released)
                }
                Transport::Http(http) => {
                    let path = ["v1", "cache", namespace, "entries", key, "lease", "release"];
                    let body = json!({ "lease_token": WideInt(lease_token) });
                    let request = http.request(Method::POST, &path).json(&body);
                    Ok(http.json::<ReleasedBody>(request).await?.released)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
