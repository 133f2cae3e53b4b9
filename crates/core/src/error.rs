//! The one error that crosses a crate boundary on its way to a caller.
//!
//! A block keeps its own enum of causes and converts it into [`Error`]: the **code** says what, the **field** says where,
//! the **message** says what to do. The source chain stays inside the process: it is logged once and never encoded.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of anything that can be refused.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! error_codes {
    ($( #[doc = $meaning:literal] $name:ident = $number:literal, $reason:literal, $status:literal, $class:ident; )*) => {
        /// The number of an error: a contract, the same on both transports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum ErrorCode { $( #[doc = $meaning] $name = $number, )* }

        impl ErrorCode {
            /// Every code, in the order of declaration.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u16 { match self { $( Self::$name => $number, )* } }

            /// The name on the wire, in upper snake case.
            #[must_use]
            pub const fn reason(self) -> &'static str { match self { $( Self::$name => $reason, )* } }

            /// What the code means, as one sentence for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str { match self { $( Self::$name => $meaning.trim_ascii(), )* } }

            /// The HTTP status that carries this code.
            #[must_use]
            pub const fn http_status(self) -> u16 { match self { $( Self::$name => $status, )* } }

            /// How a caller should handle it.
            #[must_use]
            pub const fn class(self) -> ErrorClass { match self { $( Self::$name => ErrorClass::$class, )* } }

            /// Finds the code of a number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $( $number => Some(Self::$name), )* _ => None }
            }
        }
    };
}

error_codes! {
    /// A field is missing, malformed or out of its range.
    InvalidArgument = 1001, "INVALID_ARGUMENT", 400, BadData;
    /// No credential, or one that is not valid.
    Unauthenticated = 1002, "UNAUTHENTICATED", 401, BadData;
    /// The caller is known but may not do this.
    Forbidden = 1003, "FORBIDDEN", 403, BadData;
    /// The thing that was named does not exist.
    NotFound = 1004, "NOT_FOUND", 404, BadData;
    /// It collides with what exists or runs.
    Conflict = 1005, "CONFLICT", 409, BadData;
    /// A version, fence or other condition did not hold.
    PreconditionFailed = 1006, "PRECONDITION_FAILED", 412, BadData;
    /// A named size limit was passed.
    TooLarge = 1007, "TOO_LARGE", 413, BadData;
    /// Too many requests from this caller or address.
    RateLimited = 1008, "RATE_LIMITED", 429, Exhaustion;
    /// The instance sheds load.
    Overloaded = 1009, "OVERLOADED", 503, Exhaustion;
    /// The deadline passed first.
    DeadlineExceeded = 1010, "DEADLINE_EXCEEDED", 504, TimeOut;
    /// This backend or configuration cannot do it.
    Unsupported = 1011, "UNSUPPORTED", 501, BadData;
    /// Something that the operation needs is away.
    DependencyUnavailable = 1012, "DEPENDENCY_UNAVAILABLE", 503, Network;
    /// A fault of ours; the cause is in the log under the trace id.
    Internal = 1013, "INTERNAL", 500, Internal;

    /// The cache backend cannot be reached.
    CacheConnection = 2001, "CACHE_CONNECTION_FAILED", 503, Network;
    /// A key that had to be present is absent.
    CacheKeyNotFound = 2002, "CACHE_KEY_NOT_FOUND", 404, BadData;
    /// The cache backend refused or broke off.
    CacheOperation = 2003, "CACHE_OPERATION_FAILED", 500, Internal;
    /// The namespace or the tenant is at its quota of keys or bytes and refuses more.
    CacheQuota = 2004, "CACHE_QUOTA_EXCEEDED", 429, Exhaustion;
    /// The stored value is no decimal 64-bit integer and cannot be counted.
    CacheNotANumber = 2005, "CACHE_NOT_A_NUMBER", 409, BadData;
    /// The sum would leave the bounds of the counter.
    CacheOutOfBounds = 2006, "CACHE_OUT_OF_BOUNDS", 409, BadData;
    /// The lease that the fill token names has ended: somebody else filled, changed, deleted or invalidated the key.
    CacheLeaseLost = 2007, "CACHE_LEASE_LOST", 409, BadData;
    /// The source of the namespace's loader is away, refused or broke off.
    CacheLoadFailed = 2008, "CACHE_LOAD_FAILED", 502, Network;
    /// The value was not loaded in time.
    CacheLoadTimeout = 2009, "CACHE_LOAD_TIMED_OUT", 504, TimeOut;
    /// The source of the namespace's loader answered what is no value.
    CacheLoadBadAnswer = 2010, "CACHE_LOAD_BAD_ANSWER", 502, BadData;
    /// The loader points at an address that may not be called.
    CacheLoadForbidden = 2011, "CACHE_LOAD_FORBIDDEN", 502, BadData;
    /// The load asked for the key that it loads.
    CacheLoadLoop = 2012, "CACHE_LOAD_LOOP", 508, BadData;

    /// The queue backend cannot be reached.
    QueueConnection = 2101, "QUEUE_CONNECTION_FAILED", 503, Network;
    /// A message was not accepted.
    QueuePublish = 2102, "QUEUE_PUBLISH_FAILED", 500, Internal;
    /// Receiving or settling failed.
    QueueConsume = 2103, "QUEUE_CONSUME_FAILED", 500, Internal;
    /// No binding takes the message: it would have been lost.
    QueueUnroutable = 2104, "QUEUE_UNROUTABLE", 422, BadData;
    /// The lease that the receipt names has ended; the message went back.
    QueueLeaseLost = 2105, "QUEUE_LEASE_LOST", 409, BadData;
    /// The queue is at its length or byte limit and refuses.
    QueueFull = 2106, "QUEUE_FULL", 429, Exhaustion;

    /// A metric could not be recorded.
    MonitorMetric = 2201, "MONITOR_METRIC_FAILED", 500, Internal;
    /// A metric query failed.
    MonitorQuery = 2202, "MONITOR_QUERY_FAILED", 500, Internal;
    /// One more series would pass the cardinality limit.
    MonitorCardinality = 2203, "MONITOR_CARDINALITY_EXCEEDED", 429, Exhaustion;
    /// The sample lies outside the time window that is accepted.
    MonitorOutOfBounds = 2204, "MONITOR_SAMPLE_OUT_OF_BOUNDS", 422, BadData;

    /// An audit record could not be made durable.
    AuditLog = 2301, "AUDIT_LOG_FAILED", 500, Internal;
    /// An audit query failed.
    AuditQuery = 2302, "AUDIT_QUERY_FAILED", 500, Internal;
    /// The log does not verify: it was changed after it was written.
    AuditTampered = 2303, "AUDIT_TAMPERED", 500, Internal;

    /// The named database cannot be reached.
    DatabaseConnection = 2401, "DATABASE_CONNECTION_FAILED", 503, Network;
    /// The database refused the statement.
    DatabaseQuery = 2402, "DATABASE_QUERY_FAILED", 422, BadData;
    /// The transaction was rolled back.
    DatabaseTransaction = 2403, "DATABASE_TRANSACTION_FAILED", 409, BadData;
    /// No connection became free in time.
    DatabasePoolExhausted = 2404, "DATABASE_POOL_EXHAUSTED", 503, Exhaustion;
    /// The transaction lost against a concurrent one and may be tried again.
    DatabaseSerialization = 2405, "DATABASE_SERIALIZATION_FAILURE", 409, Network;

    /// The lock backend cannot be reached.
    LockConnection = 2601, "LOCK_CONNECTION_FAILED", 503, Network;
    /// The lock is not held by this owner and token: it was released, ended, or is another's.
    LockLost = 2602, "LOCK_LOST", 409, BadData;
    /// The lock was taken until the wait ended.
    LockNotAcquired = 2603, "LOCK_NOT_ACQUIRED", 409, Exhaustion;
    /// Waiting for the lock would never end: it closes a circle of owners.
    LockDeadlock = 2604, "LOCK_DEADLOCK", 409, BadData;
    /// One more waiter, hold or lock would pass a limit.
    LockLimit = 2605, "LOCK_LIMIT_REACHED", 429, Exhaustion;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.number(), self.reason())
    }
}

/// How a caller handles a code (requirements, "handling classes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Retry with exponential backoff and jitter where the operation is idempotent.
    Network,
    /// Breaker and degradation.
    TimeOut,
    /// Limit and degrade; retry after the time named.
    Exhaustion,
    /// Mend the request; a retry changes nothing.
    BadData,
    /// Logged once, alerted, nothing internal shown.
    Internal,
}

/// What is known of the effect of a failed operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing was changed.
    NotApplied,
    /// The change may or may not have happened: read, or repeat with the same idempotency key.
    Unknown,
}

impl Outcome {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotApplied => "not_applied",
            Self::Unknown => "unknown",
        }
    }
}

/// One field that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldViolation {
    /// Path of the field as the caller wrote it: `items[3].ttl_ms`.
    pub field: String,
    /// What is wrong and what is allowed: a lower-case fragment.
    pub message: String,
}

/// What a caller is told when an operation is refused or fails.
pub struct Error {
    code: ErrorCode,
    message: String,
    violations: Vec<FieldViolation>,
    outcome: Outcome,
    retriable: bool,
    retry_after_ms: Option<u64>,
    details: BTreeMap<String, String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error of a code, with a lower-case message that says what to do. The outcome is `not_applied`; whether a
    /// retry can help follows from the class of the code.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retriable = matches!(
            code.class(),
            ErrorClass::Network | ErrorClass::TimeOut | ErrorClass::Exhaustion
        );
        Self {
            code,
            message: message.into(),
            violations: Vec::new(),
            outcome: Outcome::NotApplied,
            retriable,
            retry_after_ms: None,
            details: BTreeMap::new(),
            source: None,
        }
    }

    /// Refuses a field: code 1001 with one violation.
    #[must_use]
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::violation(ErrorCode::InvalidArgument, field, message)
    }

    /// Refuses a field that passes a named size limit: code 1007 with one violation.
    #[must_use]
    pub fn too_large(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::violation(ErrorCode::TooLarge, field, message)
    }

    fn violation(code: ErrorCode, field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        let mut error = Self::new(code, format!("{field}: {message}"));
        error.violations.push(FieldViolation { field, message });
        error
    }

    /// The thing that was named does not exist: code 1004.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// It collides with what exists: code 1005.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// A condition did not hold: code 1006.
    #[must_use]
    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::PreconditionFailed, message)
    }

    /// The backend or the configuration cannot do it: code 1011.
    #[must_use]
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unsupported, message)
    }

    /// A fault of ours: code 1013. The cause is kept for the log and never shown.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            ErrorCode::Internal,
            "internal error; the cause is logged under the trace id",
        )
        .with_source(source)
    }

    /// Adds one more refused field.
    #[must_use]
    pub fn with_violation(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.violations.push(FieldViolation {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// Puts a prefix before the path of every refused field: `items[3]` before `ttl_ms`.
    #[must_use]
    pub fn in_field(mut self, prefix: &str) -> Self {
        for violation in &mut self.violations {
            let joint = if violation.field.starts_with('[') {
                ""
            } else {
                "."
            };
            let field = format!("{prefix}{joint}{}", violation.field);
            if self.message.starts_with(&violation.field) {
                self.message = format!("{prefix}{joint}{}", self.message);
            }
            violation.field = field;
        }
        self
    }

    /// Says that the effect is not known.
    #[must_use]
    pub fn outcome_unknown(mut self) -> Self {
        self.outcome = Outcome::Unknown;
        self
    }

    /// Says whether a retry can help, where the code alone does not.
    #[must_use]
    pub fn retriable(mut self, retriable: bool) -> Self {
        self.retriable = retriable;
        self
    }

    /// Says when to come back, in milliseconds.
    #[must_use]
    pub fn retry_after_ms(mut self, delay_ms: u64) -> Self {
        self.retry_after_ms = Some(delay_ms);
        self.retriable = true;
        self
    }

    /// Adds a detail that a program can read.
    #[must_use]
    pub fn with_detail(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.insert(key.into(), value.into());
        self
    }

    /// Keeps the cause, for the log only.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The message for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The refused fields; empty where no field is to blame.
    #[must_use]
    pub fn violations(&self) -> &[FieldViolation] {
        &self.violations
    }

    /// What is known of the effect.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        self.retriable
    }

    /// When to come back, in milliseconds.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// Details that a program can read.
    #[must_use]
    pub const fn details(&self) -> &BTreeMap<String, String> {
        &self.details
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Error")
            .field("code", &self.code)
            .field("message", &self.message)
            .field("violations", &self.violations)
            .field("outcome", &self.outcome)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_reasons_are_unique_and_invert() {
        let mut reasons = std::collections::BTreeSet::new();
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
            assert!(
                reasons.insert(code.reason()),
                "{} stands twice",
                code.reason()
            );
        }
        assert_eq!(ErrorCode::from_number(1), None);
    }

    #[test]
    fn a_prefix_reaches_message_and_path() {
        let error = Error::invalid("ttl_ms", "must be at least 1").in_field("items[3]");
        assert_eq!(error.violations()[0].field, "items[3].ttl_ms");
        assert_eq!(error.message(), "items[3].ttl_ms: must be at least 1");
    }

    #[test]
    fn an_internal_error_shows_nothing_of_its_cause() {
        let error = Error::internal(std::io::Error::other("/secret/path"));
        assert!(!error.to_string().contains("secret"));
        assert!(std::error::Error::source(&error).is_some());
    }
}
