//! The vocabulary of Plinth.
//!
//! Every crate speaks in these words: what can go wrong ([`Error`], [`ErrorCode`]), who asks ([`Caller`]), what for
//! ([`OperationId`]), under which conditions ([`CallContext`]), in which pieces ([`Page`], [`Cursor`]), how much at most
//! ([`limits`]) and at what time ([`Clock`]). The small traits in [`seams`] are the only way for one block to ask
//! another for something. Nothing here does I/O.

pub mod access;
pub mod caller;
pub mod clock;
pub mod context;
pub mod error;
pub mod fence;
pub mod ids;
pub mod limits;
pub mod page;
pub mod seams;
pub mod secret;
pub mod wide;

pub use caller::{Caller, Principal, PrincipalKind, RoleName, TraceContext};
pub use clock::{Clock, ManualClock, SharedClock, SystemClock, TimestampMs};
pub use context::{CallContext, Deadline, IdempotencyKey, Transport};
pub use error::{Error, ErrorClass, ErrorCode, FieldViolation, Outcome, Result};
pub use fence::{Fence, FenceName, FenceToken};
pub use ids::{CredentialId, OperationId, PrincipalId, Resource, TenantId};
pub use page::{Cursor, Page, PageLimit};
pub use seams::{
    AuditEvent, AuditOutcome, AuditSink, CallEnd, CallSpan, CredentialDirectory, CredentialLookup,
    MetricSink, StoredCredential, TraceSink,
};
pub use secret::{SecretString, SecretUrl};
pub use wide::WideInt;
