//! A request as the edge takes it: a call, or one that the codec refused. And its answer.

use pilota::thrift::{
    ProtocolExceptionKind, TAsyncInputProtocol, TInputProtocol, TLengthProtocol,
    TMessageIdentifier, TOutputProtocol, ThriftException, new_protocol_exception,
};
use plinth_idl::coupon::{CouponServiceRequestRecv, CouponServiceResponseSend};
use volo_thrift::EntryMessage;

/// What the decoder hands to the service.
#[derive(Debug)]
pub enum Incoming {
    /// A call with its request.
    Call(Box<CouponServiceRequestRecv>),
    /// A message that was refused; why stands in the context's extensions as [`crate::codec::Refusal`].
    ///
    /// Volo's server closes the connection when decoding fails. So a refusal is no failure: it is a message without a
    /// name, which no client can send, and the service answers it.
    Refused,
}

impl EntryMessage for Incoming {
    fn encode<T: TOutputProtocol>(&self, protocol: &mut T) -> Result<(), ThriftException> {
        match self {
            Self::Call(request) => request.encode(protocol),
            Self::Refused => Err(not_offered("a refusal is never sent on")),
        }
    }

    fn decode<T: TInputProtocol>(
        protocol: &mut T,
        identifier: &TMessageIdentifier,
    ) -> Result<Self, ThriftException> {
        if identifier.name.is_empty() {
            return Ok(Self::Refused);
        }
        let request = CouponServiceRequestRecv::decode(protocol, identifier)?;
        Ok(Self::Call(Box::new(request)))
    }

    async fn decode_async<T: TAsyncInputProtocol>(
        _protocol: &mut T,
        _identifier: &TMessageIdentifier,
    ) -> Result<Self, ThriftException> {
        // Decoding while reading would decode what was not inspected.
        Err(not_offered("messages are decoded whole"))
    }

    fn size<T: TLengthProtocol>(&self, protocol: &mut T) -> usize {
        match self {
            Self::Call(request) => request.size(protocol),
            Self::Refused => 0,
        }
    }
}

/// What the service hands to the encoder. In a box, because it is handed on by value a dozen times on the way and the
/// largest of all answers decides how much is copied each time.
#[derive(Debug)]
pub struct Outgoing(pub Box<CouponServiceResponseSend>);

impl EntryMessage for Outgoing {
    fn encode<T: TOutputProtocol>(&self, protocol: &mut T) -> Result<(), ThriftException> {
        self.0.encode(protocol)
    }

    fn decode<T: TInputProtocol>(
        _protocol: &mut T,
        _identifier: &TMessageIdentifier,
    ) -> Result<Self, ThriftException> {
        Err(not_offered("an answer is never received"))
    }

    async fn decode_async<T: TAsyncInputProtocol>(
        _protocol: &mut T,
        _identifier: &TMessageIdentifier,
    ) -> Result<Self, ThriftException> {
        Err(not_offered("an answer is never received"))
    }

    fn size<T: TLengthProtocol>(&self, protocol: &mut T) -> usize {
        self.0.size(protocol)
    }
}

fn not_offered(what: &'static str) -> ThriftException {
    new_protocol_exception(ProtocolExceptionKind::NotImplemented, what)
}
