//! How an answer goes back: the way its call came.

use faststr::FastStr;
use pilota::thrift::{TMessageIdentifier, TMessageType};
use volo_thrift::codec::default::ttheader::ProtocolId;

use super::wire::WireProtocol;
use crate::incoming::{Answered, Call};

/// A message that came off a connection.
pub struct Received {
    /// The call.
    pub call: Call,
    /// How its answer goes back.
    pub way: Way,
}

/// How an answer goes back.
pub struct Way {
    /// Around the answer stands a TTHeader that names this protocol of its payload.
    pub(crate) tt_header: Option<ProtocolId>,
    /// Before it stands its length.
    pub(crate) framed: bool,
    pub(crate) protocol: WireProtocol,
    pub(crate) method: FastStr,
    pub(crate) sequence: i32,
    /// Nobody waits for it.
    pub(crate) is_oneway: bool,
    /// The connection closes behind it.
    pub(crate) closes: bool,
}

impl Way {
    /// Whether the connection closes behind the answer.
    #[must_use]
    pub const fn closes(&self) -> bool {
        self.closes
    }

    /// The head of the answer.
    pub(crate) fn identifier(&self, answer: &Answered) -> TMessageIdentifier {
        TMessageIdentifier::new(self.method.clone(), kind(answer), self.sequence)
    }
}

/// What kind of message an answer is.
pub(crate) const fn kind(answer: &Answered) -> TMessageType {
    match answer {
        Ok(_) => TMessageType::Reply,
        Err(_) => TMessageType::Exception,
    }
}
