//! The checked codec over bytes in memory.

use std::io::Cursor;

use faststr::FastStr;
use pilota::thrift::ThriftException;
use plinth_idl::coupon::CouponServiceRequestRecv;
use plinth_rpc::codec::{
    CallHeaders, CheckedDecoder, CheckedThriftCodec, CodecLimits, Fault, Refusal,
};
use plinth_rpc::{Incoming, RpcSettings};
use tokio::io::AsyncRead;
use volo::context::Context;
use volo_thrift::codec::{Decoder, MakeCodec};
use volo_thrift::context::ServerContext;

/// What became of one message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was decoded.
    Call(Box<CouponServiceRequestRecv>),
    /// Its content was refused and the connection goes on.
    Refused {
        /// The method that it called.
        method: FastStr,
        /// Why.
        fault: Fault,
    },
    /// Its framing was refused and the connection closes.
    Broken(String),
    /// The connection ended or failed.
    End,
}

impl Outcome {
    /// The field and message of refused content.
    pub(crate) fn refused(self) -> (String, String) {
        match self {
            Self::Refused {
                fault: Fault::Content { field, message, .. },
                ..
            } => (field, message),
            other => panic!("expected refused content, found {other:?}"),
        }
    }

    /// The message of broken framing.
    pub(crate) fn broken(self) -> String {
        match self {
            Self::Broken(message) => message,
            other => panic!("expected broken framing, found {other:?}"),
        }
    }

    /// Whether it was decoded.
    pub(crate) fn is_call(&self) -> bool {
        matches!(self, Self::Call(_))
    }
}

/// Limits as the settings have them by default.
pub(crate) fn limits() -> CodecLimits {
    CodecLimits::new(&RpcSettings::default())
}

/// A decoder over any reader.
pub(crate) fn decoder<R>(reader: R, limits: CodecLimits) -> CheckedDecoder<R>
where
    R: AsyncRead + Unpin + Send + Sync + 'static,
{
    let codec = CheckedThriftCodec::new(limits);
    let (_encoder, decoder) = MakeCodec::<R, _>::make_codec(&codec, reader, tokio::io::sink());
    decoder
}

/// Takes the next message off a connection.
pub(crate) async fn next<R>(decoder: &mut CheckedDecoder<R>) -> (Outcome, CallHeaders)
where
    R: AsyncRead + Unpin + Send + Sync + 'static,
{
    let mut context = ServerContext::default();
    let message = decoder.decode::<Incoming, _>(&mut context).await;
    let headers = context
        .extensions_mut()
        .remove::<CallHeaders>()
        .unwrap_or_default();
    let outcome = match message.map(|message| message.map(|message| message.data)) {
        Ok(Some(Ok(Incoming::Call(call)))) => Outcome::Call(call),
        Ok(Some(Ok(Incoming::Refused))) => {
            let refusal = context.extensions_mut().remove::<Refusal>();
            match refusal.expect("a refusal says why").0 {
                Fault::Framing(message) => Outcome::Broken(message),
                fault => Outcome::Refused {
                    method: context.rpc_info.method().clone(),
                    fault,
                },
            }
        }
        Ok(Some(Err(exception))) => panic!("a decoder makes no exceptions: {exception:?}"),
        Ok(None) | Err(ThriftException::Transport(_)) => Outcome::End,
        // What was inspected decodes.
        Err(error) => panic!("an inspected message did not decode: {error:?}"),
    };
    (outcome, headers)
}

/// Decodes everything that a connection brings, up to its end.
pub(crate) async fn all(bytes: impl AsRef<[u8]>, limits: CodecLimits) -> Vec<Outcome> {
    let mut decoder = decoder(Cursor::new(bytes.as_ref().to_vec()), limits);
    let mut outcomes = Vec::new();
    loop {
        match next(&mut decoder).await.0 {
            Outcome::End => return outcomes,
            broken @ Outcome::Broken(_) => {
                outcomes.push(broken);
                return outcomes;
            }
            outcome => outcomes.push(outcome),
        }
    }
}

/// Decodes the one message that a connection brings.
pub(crate) async fn one(bytes: impl AsRef<[u8]>, limits: CodecLimits) -> Outcome {
    let mut outcomes = all(bytes, limits).await;
    assert!(outcomes.len() <= 1, "one message, not {outcomes:?}");
    outcomes.pop().unwrap_or(Outcome::End)
}
