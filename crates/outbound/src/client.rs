//! The client.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use plinth_core::{SecretString, SharedClock};
use plinth_resilience::retry::{Backoff, Retry, Verdict};
use plinth_security::sign::sign_webhook;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;

use crate::error::OutboundError;
use crate::resolver::{ForbiddenName, GuardedResolver};
use crate::settings::OutboundSettings;
use crate::target::Target;

/// First wait after a failed connection, in milliseconds.
const CONNECT_BACKOFF_FIRST_MS: u64 = 100;
/// Longest wait after a failed connection, in milliseconds.
const CONNECT_BACKOFF_MAX_MS: u64 = 1_000;
/// Longest `Retry-After` that is believed, in seconds: one day.
const RETRY_AFTER_S_MAX: u64 = 24 * 60 * 60;

/// One signed webhook delivery.
pub struct Delivery<'a> {
    /// Where to.
    pub target: &'a Target,
    /// Signs it.
    pub secret: &'a SecretString,
    /// Its id, the same in every repeat, so that the receiver can tell one: visible ASCII.
    pub id: &'a str,
    /// Media type of the body.
    pub content_type: &'a str,
    /// The body.
    pub body: Bytes,
    /// W3C trace context to pass on.
    pub traceparent: Option<&'a str>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct OutboundResponse {
    /// The HTTP status.
    pub status: u16,
    /// When to come back, where the answer says so, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The body, cut at the limit.
    pub body: Bytes,
    /// Whether it was cut.
    pub is_cut: bool,
    /// The media type of the body, where the answer names one in visible ASCII.
    pub content_type: Option<String>,
}

/// Bounds of one call, where they are not those of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Longest time of the call, to the last byte of the answer, in milliseconds.
    pub attempt_ms_max: u64,
    /// Bytes of the answer's body that are kept.
    pub response_bytes_max: usize,
}

/// The one HTTP client. Clones share connections.
#[derive(Clone)]
pub struct OutboundClient {
    client: reqwest::Client,
    settings: Arc<OutboundSettings>,
    clock: SharedClock,
}

impl OutboundClient {
    /// Builds the client. Errors: the system's certificates cannot be used.
    pub fn new(settings: OutboundSettings, clock: SharedClock) -> Result<Self, OutboundError> {
        // Fails where a provider is installed already, which is what is wanted.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .dns_resolver(GuardedResolver {
                allow_private: settings.allow_private,
            })
            .connect_timeout(Duration::from_millis(settings.connect_ms_max))
            .timeout(Duration::from_millis(settings.attempt_ms_max))
            .build()
            .map_err(OutboundError::Build)?;
        Ok(Self {
            client,
            settings: Arc::new(settings),
            clock,
        })
    }

    /// Judges a target without calling it, as far as that goes: a host that is an address. A name is judged by what it
    /// resolves to, with each call.
    ///
    /// Errors: the address may not be called.
    pub fn check(&self, target: &Target) -> Result<(), OutboundError> {
        target.check_literal(self.settings.allow_private)
    }

    /// Delivers a signed webhook by the Standard Webhooks scheme: `webhook-id`, `webhook-timestamp` (seconds) and
    /// `webhook-signature`. A connection that does not come about is tried again; what may have arrived is not.
    ///
    /// Errors: the address may not be called, no connection, no answer in time. Any status is an answer.
    pub async fn deliver(
        &self,
        delivery: &Delivery<'_>,
    ) -> Result<OutboundResponse, OutboundError> {
        let limits = CallLimits {
            attempt_ms_max: self.settings.attempt_ms_max,
            response_bytes_max: self.settings.response_bytes_max,
        };
        self.call(delivery, limits).await
    }

    /// The same within bounds of its own.
    ///
    /// Errors: those of [`OutboundClient::deliver`].
    pub async fn call(
        &self,
        delivery: &Delivery<'_>,
        limits: CallLimits,
    ) -> Result<OutboundResponse, OutboundError> {
        let retry = Retry {
            attempts_max: self.settings.connect_attempts_max,
            backoff: Backoff {
                first_ms: CONNECT_BACKOFF_FIRST_MS,
                max_ms: CONNECT_BACKOFF_MAX_MS,
            },
            total_ms_max: limits.attempt_ms_max,
            budget: None,
        };
        let verdict = |error: &OutboundError| {
            if error.surely_not_sent() {
                Verdict::Retry
            } else {
                Verdict::Stop
            }
        };
        retry
            .run(&self.clock, verdict, |_| self.attempt(delivery, limits))
            .await
    }

    async fn attempt(
        &self,
        delivery: &Delivery<'_>,
        limits: CallLimits,
    ) -> Result<OutboundResponse, OutboundError> {
        delivery.target.check_literal(self.settings.allow_private)?;
        let timestamp_s = self.clock.now().0.div_euclid(1_000);
        let signature = sign_webhook(delivery.secret, delivery.id, timestamp_s, &delivery.body);
        let mut request = self
            .client
            .post(delivery.target.url().clone())
            .timeout(Duration::from_millis(limits.attempt_ms_max))
            .header(USER_AGENT, concat!("plinth/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, delivery.content_type)
            .header("webhook-id", delivery.id)
            .header("webhook-timestamp", timestamp_s.to_string())
            .header("webhook-signature", signature)
            .body(delivery.body.clone());
        if let Some(traceparent) = delivery.traceparent {
            request = request.header("traceparent", traceparent);
        }
        let response = request.send().await;
        let response = response.map_err(|error| failure(error, limits))?;
        let status = response.status().as_u16();
        let retry_after_ms = retry_after_ms(response.headers());
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let (body, is_cut) = read_body(response, limits).await?;
        Ok(OutboundResponse {
            status,
            retry_after_ms,
            body,
            is_cut,
            content_type,
        })
    }
}

/// Reads up to the limit and lets go of the rest.
async fn read_body(
    mut response: reqwest::Response,
    limits: CallLimits,
) -> Result<(Bytes, bool), OutboundError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| failure(error, limits))?
    {
        let room = limits.response_bytes_max.saturating_sub(body.len());
        let kept = chunk.slice(..chunk.len().min(room));
        body.extend_from_slice(&kept);
        if kept.len() < chunk.len() {
            return Ok((body.freeze(), true));
        }
    }
    Ok((body.freeze(), false))
}

fn failure(error: reqwest::Error, limits: CallLimits) -> OutboundError {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(forbidden) = error.downcast_ref::<ForbiddenName>() {
            return OutboundError::Forbidden {
                host: forbidden.host.clone(),
                address: forbidden.address,
                reason: forbidden.reason,
            };
        }
        cause = error.source();
    }
    // The URL may hold a token in its query, and errors are logged.
    let error = error.without_url();
    if error.is_connect() {
        OutboundError::Connect(error)
    } else if error.is_timeout() {
        OutboundError::TimedOut {
            after_ms: limits.attempt_ms_max,
        }
    } else {
        OutboundError::Broken(error)
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3); its date form is not read.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(seconds.min(RETRY_AFTER_S_MAX) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_bounded() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("a value"));
            retry_after_ms(&headers)
        };
        assert_eq!(read("2"), Some(2_000));
        assert_eq!(read("86401"), Some(86_400_000));
        assert_eq!(read("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(read("-1"), None);
    }
}
