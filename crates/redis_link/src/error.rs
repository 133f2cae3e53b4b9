//! What can go wrong on the way to Redis, and what is then known of the effect.

use plinth_core::Outcome;
use redis::RedisError;

/// A cause.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection stands: nothing was sent.
    #[error("redis is not reached: {reason}")]
    NotConnected {
        /// Why the last attempt failed.
        reason: String,
    },
    /// Too many commands are under way: nothing was sent.
    #[error("{in_flight_max} commands are under way, which is redis.in_flight_max")]
    Overloaded {
        /// The limit.
        in_flight_max: usize,
    },
    /// The answer did not come in time: the command may have been done.
    #[error("redis did not answer within {after_ms} ms")]
    TimedOut {
        /// How long was waited.
        after_ms: u64,
    },
    /// The connection broke before the answer: the command may have been done.
    #[error("the connection to redis broke before the answer")]
    Cut {
        /// What broke it.
        #[source]
        source: RedisError,
    },
    /// The server refused the command and did nothing.
    #[error("redis refused: {refusal}: {text}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The server's words.
        text: String,
    },
    /// The answer is none that the command can have.
    #[error("redis answered what was not asked for: {text}")]
    Unexpected {
        /// What it was.
        text: String,
    },
}

/// Why a server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is a replica, or became one.
    ReadOnly,
    /// Its memory is full.
    OutOfMemory,
    /// It is reading its data.
    Loading,
    /// The cluster has no server for the slot, or keeps sending from one to another.
    ClusterDown,
    /// It does not know the user or the password, or the user may not do this.
    NotAllowed,
    /// A script has been running for too long.
    Busy,
    /// It cannot save, or has too few replicas, and so takes no writes.
    WritesDisabled,
    /// It does not have the script.
    NoScript,
    /// Anything else.
    Other,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::ReadOnly => "it is a read-only replica",
            Self::OutOfMemory => "its memory is full",
            Self::Loading => "it is loading its data",
            Self::ClusterDown => "the cluster does not serve the key",
            Self::NotAllowed => "the credentials do not allow it",
            Self::Busy => "it is busy with a script",
            Self::WritesDisabled => "it takes no writes",
            Self::NoScript => "the script is not loaded",
            Self::Other => "an error",
        })
    }
}

impl LinkError {
    /// What is known of the effect of the command.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::NotConnected { .. } | Self::Overloaded { .. } | Self::Refused { .. } => {
                Outcome::NotApplied
            }
            Self::TimedOut { .. } | Self::Cut { .. } | Self::Unexpected { .. } => Outcome::Unknown,
        }
    }

    /// Reads the error answer of a server.
    pub(crate) fn of_server(code: &str, detail: Option<&str>) -> Self {
        let refusal = match code {
            "READONLY" => Refusal::ReadOnly,
            "OOM" => Refusal::OutOfMemory,
            "LOADING" => Refusal::Loading,
            "MOVED" | "ASK" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "CROSSSLOT" => {
                Refusal::ClusterDown
            }
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Refusal::NotAllowed,
            "BUSY" => Refusal::Busy,
            "MISCONF" | "NOREPLICAS" => Refusal::WritesDisabled,
            "NOSCRIPT" => Refusal::NoScript,
            _ => Refusal::Other,
        };
        Self::Refused {
            refusal,
            text: format!("{code} {}", detail.unwrap_or_default())
                .trim_end()
                .to_owned(),
        }
    }

    /// Reads an error of the client library after the command was handed to it.
    pub(crate) fn after_sending(error: RedisError) -> Self {
        match error.code() {
            Some(code) => Self::of_server(code, error.detail()),
            None => Self::Cut { source: error },
        }
    }

    /// The reason, to be part of another error.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::NotConnected { reason } => reason.clone(),
            other => other.to_string(),
        }
    }

    /// Nothing was sent, and why.
    pub(crate) fn not_connected(reason: impl Into<String>) -> Self {
        Self::NotConnected {
            reason: reason.into(),
        }
    }
}
