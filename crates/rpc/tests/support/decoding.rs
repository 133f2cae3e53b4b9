//! The checked codec over bytes in memory.

use std::io::Cursor;

use faststr::FastStr;
use pilota::thrift::ThriftException;
use plinth_idl::coupon::CouponServiceRequestRecv;
use plinth_rpc::RpcSettings;
use plinth_rpc::codec::{CallHeaders, CheckedDecoder, CheckedThriftCodec, CodecLimits, Fault};
use tokio::io::AsyncRead;

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
    let (_encoder, decoder) = codec.halves(reader, tokio::io::sink());
    decoder
}

/// Takes the next message off a connection.
pub(crate) async fn next<R>(decoder: &mut CheckedDecoder<R>) -> (Outcome, CallHeaders)
where
    R: AsyncRead + Unpin + Send + Sync + 'static,
{
    let call = match decoder.next().await {
        Ok(Some(received)) => received.call,
        Ok(None) | Err(ThriftException::Transport(_)) => {
            return (Outcome::End, CallHeaders::default());
        }
        // What was inspected decodes.
        Err(error) => panic!("an inspected message did not decode: {error:?}"),
    };
    let outcome = match call.request {
        Ok(request) => Outcome::Call(request),
        Err(Fault::Framing(message)) => Outcome::Broken(message),
        Err(fault) => Outcome::Refused {
            method: call.method,
            fault,
        },
    };
    (outcome, call.headers)
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
