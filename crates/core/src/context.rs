//! Under which conditions a service is called.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::error::{Error, ErrorCode, Result};
use crate::ids::OperationId;
use crate::limits;

/// The way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Thrift RPC.
    Thrift,
    /// HTTP.
    Http,
    /// Plinth itself.
    Internal,
}

impl Transport {
    /// The word in labels and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Thrift => "thrift",
            Self::Http => "http",
            Self::Internal => "internal",
        }
    }
}

/// When the caller stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline some milliseconds from now.
    #[must_use]
    pub fn after_ms(duration_ms: u64) -> Self {
        Self(Instant::now() + Duration::from_millis(duration_ms))
    }

    /// The instant.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// What is left; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// A caller's name for one attempt at a mutation: the same key with the same request gets the first answer again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Parses 1 to [`limits::IDEMPOTENCY_KEY_BYTES_MAX`] visible ASCII characters. Errors: 1001 naming `request_id`.
    pub fn parse(text: &str) -> Result<Self> {
        let good_length = (1..=limits::IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len());
        if !good_length || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid(
                "request_id",
                format!(
                    "must be 1 to {} visible ASCII characters",
                    limits::IDEMPOTENCY_KEY_BYTES_MAX
                ),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

/// What every service call is given beside its request. The gate makes it; a service trusts it.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The authenticated caller.
    pub caller: Caller,
    /// The operation that was authorised.
    pub operation: OperationId,
    /// The way in.
    pub transport: Transport,
    /// When the caller stops waiting. For a long poll it already holds the wait.
    pub deadline: Deadline,
    /// The caller's idempotency key, on mutations that take one.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl CallContext {
    /// Errors: 1010 once the deadline has passed; nothing was applied.
    pub fn check_deadline(&self) -> Result<()> {
        if self.deadline.remaining().is_zero() {
            return Err(Error::new(
                ErrorCode::DeadlineExceeded,
                "the deadline passed before the work began",
            ));
        }
        Ok(())
    }
}
