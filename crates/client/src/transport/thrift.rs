//! Thrift RPC.

use std::cell::RefCell;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use faststr::FastStr;
use metainfo::{Forward as _, METAINFO, MetaInfo};
use plinth_core::{ErrorCode, Outcome};
use plinth_idl::common::SupportError;
use plinth_idl::coupon::{CouponServiceClient, CouponServiceClientBuilder};
use volo_thrift::MaybeException;

use super::refusal::Refusal;
use crate::error::{ClientError, FieldViolation, Result};
use crate::settings::ClientSettings;

/// What the calls report as the called service.
const SERVICE_NAME: &str = "plinth";

/// Connections to one Plinth over Thrift.
pub(crate) struct ThriftTransport {
    api: CouponServiceClient,
    authorization: FastStr,
    timeout_ms: u64,
}

impl ThriftTransport {
    pub(crate) fn new(settings: &ClientSettings) -> Result<Self> {
        let api = CouponServiceClientBuilder::new(SERVICE_NAME)
            .address(resolve(&settings.address)?)
            .connect_timeout(Some(Duration::from_millis(settings.connect_timeout_ms)))
            // The bound of one attempt is set around each call, because a long poll's wait comes on top.
            .rpc_timeout(None)
            .read_write_timeout(None)
            .build();
        Ok(Self {
            api,
            authorization: FastStr::new(format!("Bearer {}", settings.key.expose())),
            timeout_ms: settings.timeout_ms,
        })
    }

    /// The generated client, to make the future that [`ThriftTransport::call`] runs.
    pub(crate) const fn api(&self) -> &CouponServiceClient {
        &self.api
    }

    /// Runs one call under the client's credential.
    pub(crate) async fn call<T, E: Refusal>(
        &self,
        call: impl Future<Output = Result<MaybeException<T, E>, volo_thrift::ClientError>>,
    ) -> Result<T> {
        self.call_waiting(0, call).await
    }

    /// Runs one long poll, which may take `wait_ms` longer.
    pub(crate) async fn call_waiting<T, E: Refusal>(
        &self,
        wait_ms: u64,
        call: impl Future<Output = Result<MaybeException<T, E>, volo_thrift::ClientError>>,
    ) -> Result<T> {
        let mut metainfo = MetaInfo::new();
        metainfo.set_persistent("authorization", self.authorization.clone());
        metainfo.set_persistent("x-request-timeout-ms", self.timeout_ms.to_string());
        let bound = Duration::from_millis(self.timeout_ms.saturating_add(wait_ms));
        let scoped = METAINFO.scope(RefCell::new(metainfo), call);
        match tokio::time::timeout(bound, scoped).await {
            Ok(Ok(MaybeException::Ok(reply))) => Ok(reply),
            Ok(Ok(MaybeException::Exception(refusal))) => Err(refusal.into_support_error().into()),
            Ok(Err(error)) => Err(broken(&error)),
            Err(_) => Err(ClientError {
                outcome: Outcome::Unknown,
                ..ClientError::own(
                    ErrorCode::DeadlineExceeded,
                    format!("no answer within {} ms", bound.as_millis()),
                )
            }),
        }
    }
}

fn resolve(address: &str) -> Result<SocketAddr> {
    let refusal = |why: String| ClientError::from(plinth_core::Error::invalid("address", why));
    address
        .to_socket_addrs()
        .map_err(|error| refusal(format!("`{address}` is no host:port: {error}")))?
        .next()
        .ok_or_else(|| refusal(format!("`{address}` resolves to no address")))
}

/// An answer that is no answer of ours. Whether the request had left is not told, so the effect is unknown.
fn broken(error: &volo_thrift::ClientError) -> ClientError {
    match error {
        volo_thrift::ClientError::Transport(_) => {
            ClientError::transport(error.to_string(), Outcome::Unknown)
        }
        volo_thrift::ClientError::Application(_)
        | volo_thrift::ClientError::Protocol(_)
        | volo_thrift::ClientError::Biz(_) => ClientError::malformed(error),
    }
}

impl From<SupportError> for ClientError {
    fn from(error: SupportError) -> Self {
        let violation = |violation: plinth_idl::common::FieldViolation| FieldViolation {
            field: violation.field.to_string(),
            message: violation.message.to_string(),
        };
        let details = error.details.into_iter().flatten();
        Self {
            code: u16::try_from(error.code).unwrap_or(ErrorCode::Internal.number()),
            reason: error.reason.to_string(),
            message: error.message.to_string(),
            retriable: error.retriable,
            outcome: outcome(&error.outcome),
            violations: error
                .violations
                .into_iter()
                .flatten()
                .map(violation)
                .collect(),
            retry_after_ms: error
                .retry_after_ms
                .and_then(|delay| u64::try_from(delay).ok()),
            details: details
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            trace_id: error.trace_id.map(|text| text.to_string()),
        }
    }
}

/// A word of the wire; one that this client does not know counts as unknown.
pub(super) fn outcome(word: &str) -> Outcome {
    if word == Outcome::NotApplied.as_str() {
        Outcome::NotApplied
    } else {
        Outcome::Unknown
    }
}
