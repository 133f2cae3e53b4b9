//! The gate and what is handed to it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use plinth_core::access::AccessDirectory;
use plinth_core::{
    AuditSink, Caller, MetricSink, OperationId, Resource, Result, SecretString, SharedClock,
    TraceContext, TraceSink, Transport,
};
use plinth_resilience::{Bulkhead, KeyedLimiter, RateLimit};
use plinth_security::{Decision, Pattern, RoleBook};
use tokio_util::task::TaskTracker;

use crate::credentials::CredentialCache;
use crate::limits::CallLimits;
use crate::settings::{AuditFailure, GateSettings};

/// What the gate is made of.
pub struct GateParts {
    /// Its settings.
    pub settings: GateSettings,
    /// The roles that exist.
    pub roles: Arc<RoleBook>,
    /// Where tenants and keys are kept.
    pub directory: Arc<dyn AccessDirectory>,
    /// Where audited operations are recorded.
    pub audit: Arc<dyn AuditSink>,
    /// Where its numbers go.
    pub metrics: Arc<dyn MetricSink>,
    /// Where spans of its calls go; `None` where nobody wants them.
    pub traces: Option<Arc<dyn TraceSink>>,
    /// What time it is.
    pub clock: SharedClock,
}

/// The one pipeline that every request passes.
pub struct Gate {
    pub(crate) roles: Arc<RoleBook>,
    pub(crate) directory: Arc<dyn AccessDirectory>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) metrics: Arc<dyn MetricSink>,
    pub(crate) traces: Option<Arc<dyn TraceSink>>,
    pub(crate) clock: SharedClock,
    pub(crate) credentials: CredentialCache,
    pub(crate) bad_keys: KeyedLimiter<IpAddr>,
    pub(crate) bad_keys_limit: RateLimit,
    pub(crate) lookups: Bulkhead,
    pub(crate) limits: CallLimits,
    pub(crate) audit_also: Vec<Pattern>,
    pub(crate) audit_failure: AuditFailure,
    pub(crate) background: TaskTracker,
}

/// How long a look-up of a key waits for a place, in milliseconds.
const LOOKUP_WAIT_MS: u64 = 2_000;

impl Gate {
    /// Puts the gate together. Errors: 1001 naming the setting that is out of its range.
    pub fn new(parts: GateParts) -> Result<Self> {
        let settings = &parts.settings;
        settings.validate()?;
        Ok(Self {
            credentials: CredentialCache::new(
                settings.credential_cache_keys_max,
                settings.credential_cache_ms,
                settings.refused_cache_ms,
            ),
            bad_keys: KeyedLimiter::new(settings.address.addresses_max),
            bad_keys_limit: RateLimit::new(settings.address.per_second, settings.address.burst),
            lookups: Bulkhead::new(
                "credential look-ups",
                settings.lookups_concurrent_max,
                LOOKUP_WAIT_MS,
            ),
            limits: CallLimits::new(settings),
            audit_also: settings.audit_patterns()?,
            audit_failure: settings.audit.on_failure,
            roles: parts.roles,
            directory: parts.directory,
            audit: parts.audit,
            metrics: parts.metrics,
            traces: parts.traces,
            clock: parts.clock,
            background: TaskTracker::new(),
        })
    }

    /// The memory of keys, for whoever changes keys and roles.
    #[must_use]
    pub fn credentials(&self) -> &CredentialCache {
        &self.credentials
    }

    /// Decides whether a caller may do an operation to a resource, and says by which role.
    #[must_use]
    pub fn decide(
        &self,
        caller: &Caller,
        operation: OperationId,
        resource: Option<&Resource>,
    ) -> Decision<'_> {
        self.roles.decide(&caller.roles, operation, resource)
    }

    /// Ends what runs in the background; call it once no request is under way.
    pub async fn close(&self) {
        self.background.close();
        self.background.wait().await;
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// What an edge knows of a request before its content is read.
pub struct RequestMeta {
    /// The way in.
    pub transport: Transport,
    /// The API key that was shown, without `Bearer`.
    pub credential: Option<SecretString>,
    /// Where the connection came from.
    pub address: Option<IpAddr>,
    /// What the client calls itself; at most 256 bytes.
    pub user_agent: Option<String>,
    /// The caller's trace; a new one begins where it is absent.
    pub trace: Option<TraceContext>,
    /// The caller's own deadline, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// The caller's idempotency key: the header of HTTP, field 254 of a Thrift request.
    pub idempotency_key: Option<String>,
}

/// An authenticated request, between its header and its call.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who asks.
    pub caller: Caller,
    pub(crate) transport: Transport,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) idempotency_key: Option<String>,
    /// The credential directory is away: the caller is who the key last was, and may ask for health alone.
    pub(crate) directory_away: bool,
}

impl Session {
    /// The way in.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }
}
