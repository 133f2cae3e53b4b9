//! What can be wrong with a message.

use plinth_core::ErrorCode;

/// Why a message was not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are no Thrift message, or lie about their lengths: the connection cannot go on.
    Framing(String),
    /// The service has no such method: the connection goes on.
    UnknownMethod,
    /// The frame is whole, its content is refused: the connection goes on.
    Content {
        /// The code: 1001, or 1007 where a size limit was passed.
        code: ErrorCode,
        /// Path of the field in the request: `items[3].ttl_ms`.
        field: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

impl Fault {
    /// A fault of framing.
    pub(crate) fn framing(message: impl Into<String>) -> Self {
        Self::Framing(message.into())
    }
}
