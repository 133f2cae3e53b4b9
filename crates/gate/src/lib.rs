//! The operation catalogue and the one pipeline that every request passes.
//!
//! ```text
//! edge ─► authenticate: address limit ─► key format ─► cache of known keys ─► directory ─► Caller
//!      ─► call: idempotency key ─► permission of each resource ─► rate ─► place ─► audit intent
//!               ─► service under deadline, panics caught ─► audit outcome ─► metric ─► reply
//! ```
//! Both edges hand every request to [`Gate::authenticate`] and [`Gate::call`]; no handler decides any of this itself. What
//! an operation needs is read from the [`catalogue`]; what a caller may is decided by `plinth_security::rbac`.
//!
//! On failure: without the directory no new credential is let in (1012), known ones go on for at most a second; without the
//! audit log no audited operation begins (1012) unless the settings say otherwise; a panic in a service is one failed
//! request (1013). Limits stand in [`GateSettings`].

pub mod access;
pub mod catalogue;
pub mod health;

mod authenticate;
mod call;
mod credentials;
mod gate;
mod limits;
mod record;
mod settings;
mod target;

pub use credentials::CredentialCache;
pub use gate::{Gate, GateParts, RequestMeta, Session};
pub use limits::OperationClass;
pub use settings::{
    AUDIT_PATTERNS_MAX, AddressLimit, AuditFailure, AuditSettings, ConcurrencyLimits, GateSettings,
    RateLimits,
};
pub use target::Target;
