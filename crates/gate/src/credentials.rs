//! What is remembered of keys, for less than a second or so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plinth_core::{CredentialId, Principal, RoleName, StoredCredential, TenantId, TimestampMs};
use plinth_security::ApiKey;

type KeyHash = [u8; 32];

/// Why a credential was refused. For the log and the metric; callers are told only that it is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Missing,
    Malformed,
    Remembered,
    Unknown,
    Mismatch,
    Expired,
    Revoked,
    TenantInactive,
}

impl Refusal {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Remembered => "remembered",
            Self::Unknown => "unknown",
            Self::Mismatch => "mismatch",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::TenantInactive => "tenant_inactive",
        }
    }
}

/// Judges a stored credential against the key that was shown.
pub(crate) fn judge(
    stored: &StoredCredential,
    key: &ApiKey,
    now: TimestampMs,
) -> Result<(), Refusal> {
    if !key.matches(&stored.sha256) {
        return Err(Refusal::Mismatch);
    }
    if stored.revoked_at.is_some() {
        return Err(Refusal::Revoked);
    }
    if stored.expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::Expired);
    }
    if !stored.tenant_active {
        return Err(Refusal::TenantInactive);
    }
    Ok(())
}

/// A key that was found good.
pub(crate) struct KnownKey {
    pub(crate) id: CredentialId,
    pub(crate) tenant: TenantId,
    pub(crate) principal: Principal,
    pub(crate) roles: Arc<[RoleName]>,
    pub(crate) expires_at: Option<TimestampMs>,
    /// When its use was last written down, on the monotonic clock.
    pub(crate) touched_ms: u64,
    checked_ms: u64,
    epoch: u64,
    refreshing: AtomicBool,
}

impl KnownKey {
    pub(crate) fn of(
        stored: StoredCredential,
        checked_ms: u64,
        epoch: u64,
        touched_ms: u64,
    ) -> Self {
        Self {
            id: stored.id,
            tenant: stored.tenant,
            principal: stored.principal,
            roles: stored.roles.into(),
            expires_at: stored.expires_at,
            touched_ms,
            checked_ms,
            epoch,
            refreshing: AtomicBool::new(false),
        }
    }

    /// Whether the caller of this shall look the key up again: past half its time one caller does, while the others go on
    /// with what is known, so that a busy key never makes all its callers wait at once.
    pub(crate) fn claims_refresh(&self, now_ms: u64, lifetime_ms: u64) -> bool {
        now_ms.saturating_sub(self.checked_ms) >= lifetime_ms / 2
            && !self.refreshing.swap(true, Ordering::AcqRel)
    }
}

/// Decisions on keys, in two tables of bounded size: good ones and refused ones. Shared between the gate and whoever
/// changes keys and roles, who calls [`CredentialCache::forget_all`].
#[derive(Clone)]
pub struct CredentialCache(Arc<Tables>);

struct Tables {
    good: moka::sync::Cache<KeyHash, Arc<KnownKey>>,
    refused: moka::sync::Cache<KeyHash, RefusedKey>,
    good_ms: u64,
    refused_ms: u64,
    epoch: AtomicU64,
}

#[derive(Clone, Copy)]
struct RefusedKey {
    at_ms: u64,
    epoch: u64,
}

impl CredentialCache {
    pub(crate) fn new(keys_max: u64, good_ms: u64, refused_ms: u64) -> Self {
        Self(Arc::new(Tables {
            good: moka::sync::Cache::new(keys_max),
            refused: moka::sync::Cache::new(keys_max),
            good_ms,
            refused_ms,
            epoch: AtomicU64::new(0),
        }))
    }

    /// Lets every decision be made anew: a key or a role has changed. A look-up that is under way counts as made before.
    pub fn forget_all(&self) {
        self.0.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// What a look-up that begins now must name when it hands in its result.
    pub(crate) fn epoch(&self) -> u64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn good_ms(&self) -> u64 {
        self.0.good_ms
    }

    /// The key as it was last known, however old that is: a sign that its holder is no stranger, and no more.
    pub(crate) fn last_known(&self, key: &ApiKey) -> Option<Arc<KnownKey>> {
        self.0.good.get(key.sha256())
    }

    /// Whether what is known may still be acted on.
    pub(crate) fn is_fresh(&self, known: &KnownKey, now_ms: u64) -> bool {
        self.is_within(known, now_ms, self.0.good_ms)
    }

    /// Whether a key was looked up less than so long ago, and no key or role has changed here since.
    pub(crate) fn is_within(&self, known: &KnownKey, now_ms: u64, within_ms: u64) -> bool {
        known.epoch == self.epoch() && now_ms.saturating_sub(known.checked_ms) < within_ms
    }

    pub(crate) fn is_refused(&self, key: &ApiKey, now_ms: u64) -> bool {
        self.0.refused.get(key.sha256()).is_some_and(|refused| {
            refused.epoch == self.epoch()
                && now_ms.saturating_sub(refused.at_ms) < self.0.refused_ms
        })
    }

    pub(crate) fn remember(&self, key: &ApiKey, known: Arc<KnownKey>) {
        self.0.refused.invalidate(key.sha256());
        self.0.good.insert(*key.sha256(), known);
    }

    pub(crate) fn remember_refused(&self, key: &ApiKey, now_ms: u64, epoch: u64) {
        self.0.good.invalidate(key.sha256());
        let refused = RefusedKey {
            at_ms: now_ms,
            epoch,
        };
        self.0.refused.insert(*key.sha256(), refused);
    }
}
