//! The small traits by which blocks ask each other for something without naming each other. `plinth` wires them.

use async_trait::async_trait;

use crate::caller::{Caller, Principal, RoleName, TraceContext};
use crate::clock::TimestampMs;
use crate::context::Transport;
use crate::error::{ErrorCode, Outcome, Result};
use crate::ids::{CredentialId, OperationId, PrincipalId, Resource, TenantId};

/// How an audited operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Succeeded,
    /// It was refused before it began: no permission, a limit.
    Refused(ErrorCode),
    /// It failed, with what is known of its effect.
    Failed(ErrorCode, Outcome),
}

/// What the gate knows of one operation when it records it.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Who asked.
    pub caller: Caller,
    /// For what.
    pub operation: OperationId,
    /// On what; empty where the operation names no resource.
    pub resources: Vec<Resource>,
    /// The way in.
    pub transport: Transport,
    /// When it began.
    pub at: TimestampMs,
}

/// Where audited operations are recorded. The log is append-only, so an audited call writes an intent before and an
/// outcome after; a query joins them by id, and an intent without an outcome shows as `unknown`.
#[async_trait]
pub trait AuditSink: Send + Sync + 'static {
    /// Makes the intent durable and returns its id. An error means: no record, so no operation.
    async fn begin(&self, event: &AuditEvent) -> Result<String>;
    /// Makes the outcome of an intent durable.
    async fn complete(&self, intent: &str, event: &AuditEvent, outcome: AuditOutcome)
    -> Result<()>;
    /// Records an operation that was refused and so had no intent.
    async fn refused(&self, event: &AuditEvent, code: ErrorCode) -> Result<()>;
}

/// Where Plinth's own numbers go. Never blocks and never fails a request.
pub trait MetricSink: Send + Sync + 'static {
    /// Adds to a counter.
    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], delta: u64);
    /// Puts one observation into a histogram.
    fn observe(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64);
    /// Sets a gauge.
    fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64);
}

/// How a call ended, for its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It was done.
    Done,
    /// It was refused or failed, with what is known of its effect.
    Failed(ErrorCode, Outcome),
    /// Its caller went away first.
    Cancelled,
}

/// One call that passed the gate, as a span of a trace.
#[derive(Clone, Debug)]
pub struct CallSpan<'a> {
    /// What was asked for.
    pub operation: OperationId,
    /// The way in.
    pub transport: Transport,
    /// Whose data it is.
    pub tenant: &'a TenantId,
    /// Who asked.
    pub principal: &'a PrincipalId,
    /// The trace: the caller's span is the parent, unless the trace began here.
    pub trace: &'a TraceContext,
    /// When it ended.
    pub ended_at: TimestampMs,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
    /// How it ended.
    pub end: CallEnd,
}

/// Where spans of calls go. Never blocks and never fails a request.
pub trait TraceSink: Send + Sync + 'static {
    /// Takes the span of a call that has ended.
    fn record(&self, span: &CallSpan<'_>);
}

/// A credential as it is stored: never its secret, only that secret's SHA-256.
#[derive(Clone, Debug)]
pub struct StoredCredential {
    /// Its id.
    pub id: CredentialId,
    /// SHA-256 of the whole key text.
    pub sha256: [u8; 32],
    /// Whose data it opens.
    pub tenant: TenantId,
    /// Whether that tenant is switched on.
    pub tenant_active: bool,
    /// Who holds it.
    pub principal: Principal,
    /// Roles of that principal in the tenant.
    pub roles: Vec<RoleName>,
    /// From when on it is dead; `None` means it does not expire.
    pub expires_at: Option<TimestampMs>,
    /// Since when it is revoked.
    pub revoked_at: Option<TimestampMs>,
}

/// What a directory finds for a key.
#[derive(Clone, Debug)]
pub enum CredentialLookup {
    /// The credential, alive or dead: the gate decides and can say why in its log.
    Found(Box<StoredCredential>),
    /// No credential has this id.
    Absent,
}

/// Where credentials are looked up by the id in their text (gate ← store).
#[async_trait]
pub trait CredentialDirectory: Send + Sync + 'static {
    /// Finds a credential by its id. Errors: 1012 where the control plane is away.
    async fn find(&self, id: &CredentialId) -> Result<CredentialLookup>;
    /// Notes that a credential was used; called at most once a minute for each.
    async fn touch(&self, id: &CredentialId, at: TimestampMs) -> Result<()>;
}
