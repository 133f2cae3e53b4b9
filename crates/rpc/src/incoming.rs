//! What the codec hands to the service, and what the service hands back.

use std::net::IpAddr;

use faststr::FastStr;
use pilota::thrift::ApplicationException;
use plinth_core::Error;
use plinth_idl::coupon::{CouponServiceRequestRecv, CouponServiceResponseSend};

use crate::codec::{CallHeaders, Fault};

/// A call as it came off a connection.
pub struct Call {
    /// The method that it names; empty where it names none.
    pub method: FastStr,
    /// Who calls, from where.
    pub peer: Option<IpAddr>,
    /// What the caller says beside the request.
    pub headers: CallHeaders,
    /// What of it could not be used.
    pub header_fault: Option<Error>,
    /// The request, or why it was refused before it was decoded.
    pub request: Result<Box<CouponServiceRequestRecv>, Fault>,
}

/// What answers a call: a result of its method, or an exception of the protocol. In a box, because it is handed on by value
/// and the largest of all answers decides how much is copied each time.
pub type Answered = Result<Box<CouponServiceResponseSend>, ApplicationException>;

/// What answers the calls of the edge.
pub trait Answers: Send + Sync + 'static {
    /// Answers one call. Dropped where it waits when the caller has gone.
    fn answer(&self, call: Call) -> impl Future<Output = Answered> + Send;
}
