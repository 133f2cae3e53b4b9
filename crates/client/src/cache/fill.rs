//! A miss that one caller fills, over all clients and instances.

use std::time::{Duration, Instant};

use bytes::Bytes;
use plinth_core::ErrorCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CacheClient, CacheLease, CacheValue, SetOptions};
use crate::Client;
use crate::error::{ClientError, Result};

/// The media type of typed values.
const JSON: &str = "application/json";
/// The longest that one call waits for another's value, in milliseconds: what the server takes.
const CALL_WAIT_MS_MAX: u64 = 30_000;
/// How often a value is filled whose key others change meanwhile, before it is given up.
const FILLS_MAX: u32 = 8;

/// How a miss is filled.
#[derive(Clone, Debug)]
pub struct FillOptions {
    /// Expiry, tags and flags of what is filled. Condition, media type and lease are set for it.
    pub store: SetOptions,
    /// How long one caller may fill, in milliseconds: 10 to 60,000. Then it is the next one's turn, and what comes later is
    /// thrown away.
    pub lease_ms: i64,
    /// How long to wait for another's value, in milliseconds.
    pub wait_ms: u64,
}

impl Default for FillOptions {
    fn default() -> Self {
        Self {
            store: SetOptions::default(),
            lease_ms: 5_000,
            wait_ms: 10_000,
        }
    }
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum FillError<E> {
    /// A call failed, or what is stored cannot be read: 1001 naming `content_type` or `value`.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// The source failed.
    #[error("the value could not be filled: {0}")]
    Fill(E),
    /// Another caller did not fill it within the time to wait.
    #[error("the caller that fills the value did not do so in time")]
    TooLate,
}

/// A lease that is given back where it is not used.
struct Held {
    client: Client,
    place: Option<(String, String, i64)>,
}

impl Held {
    /// The lease has ended.
    fn forget(&mut self) {
        self.place = None;
    }

    async fn give_back(mut self) {
        if let Some((namespace, key, token)) = self.place.take() {
            release(&self.client, &namespace, &key, token).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((namespace, key, token)) = self.place.take() else {
            return;
        };
        // Outside of a runtime nothing can be sent any more: the lease ends by itself.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let client = self.client.clone();
        runtime.spawn(async move { release(&client, &namespace, &key, token).await });
    }
}

async fn release(client: &Client, namespace: &str, key: &str, token: i64) {
    let released = client.cache().release_lease(namespace, key, token).await;
    if let Err(error) = released {
        tracing::debug!(%error, "a lease is left to end by itself");
    }
}

impl CacheClient<'_> {
    /// Reads a typed value; on a miss one caller fills it, over all clients and instances, and the others wait for its value.
    /// `fill` gives the value, or `None` where there is none, which is remembered for a short time. A value that is stale is
    /// filled anew by one caller while the others are given the stale one.
    ///
    /// The lease is given back where `fill` fails or this call is dropped, so that the next caller fills. Where the key is
    /// changed while it is filled, what was filled is thrown away and the key read again; `fill` may so be called more than
    /// once. Values are kept as JSON.
    ///
    /// Errors: [`FillError`].
    pub async fn get_or_fill<T, E, Fut>(
        &self,
        namespace: &str,
        key: &str,
        options: &FillOptions,
        mut fill: impl FnMut() -> Fut,
    ) -> std::result::Result<Option<T>, FillError<E>>
    where
        T: Serialize + DeserializeOwned,
        Fut: Future<Output = std::result::Result<Option<T>, E>>,
    {
        let until = Instant::now() + Duration::from_millis(options.wait_ms);
        let mut fills = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let wait_ms = i64::try_from(left_ms.min(CALL_WAIT_MS_MAX)).unwrap_or(0);
            let leased = self
                .get_or_lease(namespace, key, Some(options.lease_ms), Some(wait_ms))
                .await?;
            let token = match (leased.lease, leased.read.value) {
                (CacheLease::Granted { token }, _) => token,
                (_, Some(found)) => return Ok(Some(typed(&found)?)),
                (CacheLease::NotNeeded, None) => return Ok(None),
                (CacheLease::Held { .. }, None) if left_ms == 0 => return Err(FillError::TooLate),
                (CacheLease::Held { .. }, None) => continue,
            };
            let place = (namespace.to_owned(), key.to_owned(), token);
            let mut held = Held {
                client: self.client().clone(),
                place: Some(place),
            };
            let value = match fill().await {
                Ok(value) => value,
                Err(error) => {
                    held.give_back().await;
                    return Err(FillError::Fill(error));
                }
            };
            fills += 1;
            match self.store(namespace, key, options, token, &value).await {
                Ok(()) => {
                    held.forget();
                    return Ok(value);
                }
                Err(error) if error.code == ErrorCode::CacheLeaseLost.number() => {
                    held.forget();
                    if fills >= FILLS_MAX {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn store<T: Serialize>(
        &self,
        namespace: &str,
        key: &str,
        options: &FillOptions,
        token: i64,
        value: &Option<T>,
    ) -> Result<()> {
        let known = SetOptions {
            lease_token: Some(token),
            condition: super::SetCondition::Always,
            ..options.store.clone()
        };
        let (bytes, options) = match value {
            Some(value) => {
                let unfit = |error| ClientError::from(unreadable(&error));
                let options = SetOptions {
                    content_type: Some(JSON.to_owned()),
                    ..known
                };
                (serde_json::to_vec(value).map_err(unfit)?, options)
            }
            // It lives as long as the namespace says: the expiry of values may be longer than may be remembered.
            None => {
                let options = SetOptions {
                    content_type: None,
                    known_absent: true,
                    lease_token: Some(token),
                    ..SetOptions::default()
                };
                (Vec::new(), options)
            }
        };
        self.set(namespace, key, Bytes::from(bytes), options)
            .await?;
        Ok(())
    }
}

/// Errors: 1001 naming `content_type` where it is no JSON, `value` where it is that of another type.
fn typed<T: DeserializeOwned>(found: &CacheValue) -> Result<T> {
    if found.content_type != JSON {
        let rule = format!("is {}, a typed value is {JSON}", found.content_type);
        return Err(plinth_core::Error::invalid("content_type", rule).into());
    }
    serde_json::from_slice(&found.value).map_err(|error| unreadable(&error).into())
}

fn unreadable(error: &serde_json::Error) -> plinth_core::Error {
    plinth_core::Error::invalid(
        "value",
        format!("is not of the type that is asked for: {error}"),
    )
}
