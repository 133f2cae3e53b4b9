//! The operation catalogue: each operation of Plinth, declared once.
//!
//! Permissions, metrics, limits, deadlines, the generated documents, the Thrift/HTTP mapping and the coverage tests are
//! all derived from this table.

use plinth_core::OperationId;

mod table;

/// How an operation stands to the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditRule {
    /// No record unless a policy of the tenant adds it: the data plane.
    Unless,
    /// An intent before and an outcome after; no record, no operation.
    Always,
    /// Only statements that write are recorded; the service tells.
    Writes,
}

/// Who may call an operation at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Whoever has the permission in the tenant.
    Permission,
    /// Whoever has the permission in the platform's own tenant.
    Platform,
    /// Every authenticated caller.
    Authenticated,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// Its id: `cache.set`. Also the name of its permission.
    pub id: OperationId,
    /// The block it belongs to: `cache`.
    pub block: &'static str,
    /// Its Thrift method: `CacheSet`.
    pub thrift_method: &'static str,
    /// Its HTTP method: `PUT`.
    pub http_method: &'static str,
    /// Its HTTP path, with `{parameters}`.
    pub http_path: &'static str,
    /// One sentence on what it does.
    pub summary: &'static str,
    /// Whether it changes anything.
    pub mutates: bool,
    /// Whether it takes an idempotency key.
    pub takes_idempotency_key: bool,
    /// How it stands to the audit log.
    pub audit: AuditRule,
    /// Who may call it at all.
    pub reach: Reach,
    /// Whether it may wait for something to happen. Its deadline then counts from the end of the wait.
    pub long_poll: bool,
    /// Deadline where the caller names none, in milliseconds.
    pub deadline_ms_default: u64,
    /// Longest deadline that a caller may ask for, in milliseconds.
    pub deadline_ms_max: u64,
}

/// Every operation, in the order of the interfaces.
#[must_use]
pub fn operations() -> &'static [&'static Operation] {
    table::OPERATIONS
}

/// Finds an operation by its Thrift method.
#[must_use]
pub fn by_thrift_method(method: &str) -> Option<&'static Operation> {
    operations()
        .iter()
        .copied()
        .find(|operation| operation.thrift_method == method)
}

/// Finds an operation by its id.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static Operation> {
    operations()
        .iter()
        .copied()
        .find(|operation| operation.id.as_str() == id)
}

/// The operations by name, for the edges: `ops::CACHE_SET`.
pub mod ops {
    pub use super::table::named::*;
}
