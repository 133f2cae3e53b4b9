//! From the credential to the caller.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use plinth_core::{
    Caller, CredentialId, CredentialLookup, Error, ErrorCode, Result, TraceContext, Transport,
};
use plinth_security::ApiKey;

use crate::credentials::{KnownKey, Refusal, judge};
use crate::gate::{Gate, RequestMeta, Session};

/// Least time between two notes of a key's use, in milliseconds.
const TOUCH_EVERY_MS: u64 = 60_000;
/// How long the directory may take to answer, in milliseconds; after that it counts as away.
pub(crate) const LOOKUP_MS_MAX: u64 = 1_500;
/// How long after its last look-up a key is still heard on the health of an instance whose directory is away, in
/// milliseconds.
const HEALTH_GRACE_MS: u64 = 600_000;
/// When to come back after all look-ups were taken, in milliseconds.
const OVERLOAD_RETRY_MS: u64 = 250;

impl Gate {
    /// Finds out who asks.
    ///
    /// Errors: 1002 where no key was shown or it is not valid (malformed, unknown, expired, revoked, or its tenant is
    /// switched off: which of them is not told); 1008 where the address showed too many bad keys; 1009 where too many keys
    /// are being looked up; 1012 where the directory is away. A key that was good within the last ten minutes is let in
    /// even then, for the operation `health.check` alone: somebody must be able to see what is wrong.
    pub async fn authenticate(&self, meta: RequestMeta) -> Result<Session> {
        let Some(credential) = &meta.credential else {
            self.count_refusal(Refusal::Missing, meta.transport);
            return Err(Error::new(
                ErrorCode::Unauthenticated,
                "no credential; send an API key as \"authorization: Bearer plk_…\"",
            ));
        };
        let visitor = Visitor {
            address: meta.address.map(limited_address),
            transport: meta.transport,
        };
        let Ok(key) = ApiKey::parse(credential.expose()) else {
            return Err(self.refuse(&visitor, Refusal::Malformed));
        };
        let (known, directory_away) = match self.verify(&key, &visitor).await {
            Ok(known) => (known, false),
            Err(error) if error.code() == ErrorCode::DependencyUnavailable => {
                (self.good_lately(&key).ok_or(error)?, true)
            }
            Err(error) => return Err(error),
        };
        Ok(Session {
            caller: Caller {
                tenant: known.tenant.clone(),
                principal: known.principal.clone(),
                credential: known.id.clone(),
                roles: Arc::clone(&known.roles),
                address: meta.address,
                user_agent: meta.user_agent,
                trace: meta.trace.unwrap_or_else(TraceContext::begin),
            },
            transport: meta.transport,
            deadline_ms: meta.deadline_ms,
            idempotency_key: meta.idempotency_key,
            directory_away,
        })
    }

    /// A key that was good at its last look-up, which was not long ago; no key or role has changed here since.
    fn good_lately(&self, key: &ApiKey) -> Option<Arc<KnownKey>> {
        let now_ms = self.clock.monotonic_ms();
        let known = self.credentials.last_known(key)?;
        let lives = known.expires_at.is_none_or(|at| at > self.clock.now());
        let lately = self.credentials.is_within(&known, now_ms, HEALTH_GRACE_MS);
        (lives && lately).then_some(known)
    }

    async fn verify(&self, key: &ApiKey, visitor: &Visitor) -> Result<Arc<KnownKey>> {
        let now_ms = self.clock.monotonic_ms();
        let last_known = self.credentials.last_known(key);
        if let Some(known) = &last_known
            && self.credentials.is_fresh(known, now_ms)
        {
            return self.verify_known(key, known, visitor, now_ms).await;
        }
        // A key that was good before is heard even from an address that shows bad ones: its holder may share that address
        // with whoever shows them.
        if last_known.is_none() {
            self.check_address(visitor)?;
        }
        if self.credentials.is_refused(key, now_ms) {
            return Err(self.refuse(visitor, Refusal::Remembered));
        }
        Box::pin(self.look_up(key, last_known.as_ref(), visitor)).await
    }

    async fn verify_known(
        &self,
        key: &ApiKey,
        known: &Arc<KnownKey>,
        visitor: &Visitor,
        now_ms: u64,
    ) -> Result<Arc<KnownKey>> {
        if known.expires_at.is_some_and(|at| at <= self.clock.now()) {
            return Err(self.refuse(visitor, Refusal::Expired));
        }
        if known.claims_refresh(now_ms, self.credentials.good_ms()) {
            match Box::pin(self.look_up(key, Some(known), visitor)).await {
                // While the directory is away, what is known holds to the end of its second.
                Err(error) if error.code() != ErrorCode::Unauthenticated => {}
                result => return result,
            }
        }
        Ok(Arc::clone(known))
    }

    async fn look_up(
        &self,
        key: &ApiKey,
        last_known: Option<&Arc<KnownKey>>,
        visitor: &Visitor,
    ) -> Result<Arc<KnownKey>> {
        let _place = self.lookups.acquire().await.map_err(|full| {
            Error::new(ErrorCode::Overloaded, full.to_string()).retry_after_ms(OVERLOAD_RETRY_MS)
        })?;
        let now_ms = self.clock.monotonic_ms();
        // Whoever waited for a place may find that another has looked the same key up meanwhile.
        if let Some(newer) = self.credentials.last_known(key)
            && last_known.is_none_or(|old| !Arc::ptr_eq(old, &newer))
            && self.credentials.is_fresh(&newer, now_ms)
        {
            return Ok(newer);
        }
        let epoch = self.credentials.epoch();
        let found = self.ask_directory(self.directory.find(key.id())).await?;
        let stored = match found {
            CredentialLookup::Found(stored) => stored,
            CredentialLookup::Absent => {
                self.credentials.remember_refused(key, now_ms, epoch);
                return Err(self.refuse(visitor, Refusal::Unknown));
            }
        };
        if let Err(refusal) = judge(&stored, key, self.clock.now()) {
            self.credentials.remember_refused(key, now_ms, epoch);
            return Err(self.refuse(visitor, refusal));
        }
        let touched_ms = match last_known {
            Some(old) if now_ms.saturating_sub(old.touched_ms) < TOUCH_EVERY_MS => old.touched_ms,
            _ => {
                self.touch(stored.id.clone());
                now_ms
            }
        };
        let known = Arc::new(KnownKey::of(*stored, now_ms, epoch, touched_ms));
        self.credentials.remember(key, Arc::clone(&known));
        Ok(known)
    }

    /// Waits for an answer of the directory, but not for ever. Errors: 1012.
    pub(crate) async fn ask_directory<T>(
        &self,
        question: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let away = || {
            Error::new(
                ErrorCode::DependencyUnavailable,
                "the credential directory is away",
            )
        };
        let patience = Duration::from_millis(LOOKUP_MS_MAX);
        match tokio::time::timeout(patience, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "the credential directory is away");
                Err(away().with_source(error))
            }
            Err(_elapsed) => {
                tracing::warn!(
                    after_ms = LOOKUP_MS_MAX,
                    "the credential directory does not answer"
                );
                Err(away())
            }
        }
    }

    /// Notes the use of a key beside the request: nobody waits for it, and a failure costs a date in a listing.
    fn touch(&self, id: CredentialId) {
        let directory = Arc::clone(&self.directory);
        let at = self.clock.now();
        self.background.spawn(async move {
            if let Err(error) = directory.touch(&id, at).await {
                tracing::debug!(key_id = %id, error = %error, "the use of a key was not noted");
            }
        });
    }

    fn check_address(&self, visitor: &Visitor) -> Result<()> {
        let Some(address) = &visitor.address else {
            return Ok(());
        };
        self.bad_keys
            .peek(address, self.bad_keys_limit, self.clock.monotonic_ns())
            .map_err(too_many_bad_keys)
    }

    fn refuse(&self, visitor: &Visitor, refusal: Refusal) -> Error {
        self.count_refusal(refusal, visitor.transport);
        tracing::debug!(
            reason = refusal.as_str(),
            transport = visitor.transport.as_str(),
            "a credential was refused"
        );
        let now_ns = self.clock.monotonic_ns();
        let limited = visitor
            .address
            .map(|address| self.bad_keys.try_take(address, self.bad_keys_limit, now_ns));
        match limited {
            Some(Err(retry_after_ms)) => too_many_bad_keys(retry_after_ms),
            Some(Ok(())) | None => {
                Error::new(ErrorCode::Unauthenticated, "the credential is not valid")
            }
        }
    }

    fn count_refusal(&self, refusal: Refusal, transport: Transport) {
        self.metrics.add(
            "plinth_credentials_refused_total",
            &[
                ("reason", refusal.as_str()),
                ("transport", transport.as_str()),
            ],
            1,
        );
    }
}

struct Visitor {
    address: Option<IpAddr>,
    transport: Transport,
}

fn too_many_bad_keys(retry_after_ms: u64) -> Error {
    Error::new(
        ErrorCode::RateLimited,
        "too many bad credentials from this address",
    )
    .retry_after_ms(retry_after_ms)
}

/// The address that is counted. One IPv6 holder commands a whole /64, so that is what counts.
fn limited_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_ipv6_network_count_as_one() {
        let counted = |text: &str| limited_address(text.parse().expect("an address"));
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:2"));
        assert_ne!(counted("2001:db8::1"), counted("2001:db8:0:1::1"));
        assert_eq!(counted("::ffff:10.0.0.1"), counted("10.0.0.1"));
        assert_ne!(counted("10.0.0.1"), counted("10.0.0.2"));
    }
}
