//! The small traits by which blocks ask each other for something without naming each other. `plinth` wires them.

use async_trait::async_trait;
use bytes::Bytes;

use crate::caller::{Caller, Principal, RoleName, TraceContext};
use crate::clock::TimestampMs;
use crate::context::{Deadline, Transport};
use crate::error::{ErrorCode, Outcome, Result};
use crate::ids::{CredentialId, OperationId, PrincipalId, Resource, TenantId};
use crate::secret::SecretString;

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

/// Where a cache namespace loads its values from.
#[derive(Clone)]
pub enum LoadSource {
    /// A statement that only reads, on a registered database of the tenant.
    Query {
        /// The name of the database.
        database: String,
        /// Exactly one statement; one `?` for each parameter.
        sql: String,
        /// What of its answer is the value.
        form: RowForm,
    },
    /// A signed HTTP callback.
    Callback {
        /// Absolute http or https URL.
        url: String,
        /// Signs each request.
        secret: SecretString,
    },
}

/// What of the answer of a query is the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowForm {
    /// The only column of the only row.
    Column,
    /// The only row, as a JSON object by column names.
    Row,
}

/// One value to load.
pub struct LoadRequest<'a> {
    /// Whose data it is.
    pub tenant: &'a TenantId,
    /// Into which namespace it goes.
    pub namespace: &'a str,
    /// Under which key.
    pub key: &'a str,
    /// From where it comes.
    pub source: &'a LoadSource,
    /// The parameters of a query, made of the key.
    pub params: &'a [String],
    /// The most bytes that the value may have.
    pub bytes_max: usize,
    /// The trace of this load, to be passed on.
    pub trace: TraceContext,
    /// When nobody waits for it any more.
    pub deadline: Deadline,
}

/// What a loader found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// A value.
    Value {
        /// Its bytes.
        bytes: Bytes,
        /// Its media type, where the source tells one.
        content_type: Option<String>,
    },
    /// There is none.
    Absent,
}

/// What loads values into the cache (cache ← database or callback).
#[async_trait]
pub trait Loader: Send + Sync + 'static {
    /// Judges a source that a caller wants to define, with so many parameters for a query.
    ///
    /// Errors: 1001 naming the field (`database`, `sql`, `url`) that cannot work, 1003 where the caller may not read that
    /// database, 1004 where there is none of that name, 2011 where the address may not be called.
    async fn check(&self, caller: &Caller, source: &LoadSource, params: usize) -> Result<()>;

    /// Loads one value, once.
    ///
    /// Errors: 2008 where the source is away or failed, 2009 where it did not answer in time, 2010 where it answered what is
    /// no value, 2011 where its address may not be called.
    async fn load(&self, request: LoadRequest<'_>) -> Result<Loaded>;
}
