//! What stands around a request: who asks, in which trace, and until when.

use std::net::IpAddr;

use plinth_core::{Result, TraceContext, Transport};
use plinth_gate::RequestMeta;
use plinth_idl::base::Base;
use volo::context::Context;
use volo_thrift::context::ServerContext;

use crate::codec::{CallHeaders, HeaderFault};

/// Most entries of `base.extra`.
pub const EXTRA_ENTRIES_MAX: usize = 32;
/// Longest name of a client that is kept, in bytes.
const USER_AGENT_BYTES_MAX: usize = 256;

/// The envelope of one call.
pub(crate) struct Envelope {
    headers: CallHeaders,
    fault: Option<HeaderFault>,
    address: Option<IpAddr>,
    /// The trace that the call belongs to: the caller's, or a new one.
    pub(crate) trace: TraceContext,
}

impl Envelope {
    /// Takes what the decoder left in the context.
    pub(crate) fn open(context: &mut ServerContext) -> Self {
        let address = context
            .rpc_info
            .caller()
            .address()
            .and_then(|address| match address {
                volo::net::Address::Ip(address) => Some(address.ip()),
                _ => None,
            });
        let extensions = context.extensions_mut();
        let headers = extensions.remove::<CallHeaders>().unwrap_or_default();
        let trace = headers
            .traceparent
            .as_deref()
            .and_then(TraceContext::parse)
            .unwrap_or_else(TraceContext::begin);
        Self {
            headers,
            fault: extensions.remove::<HeaderFault>(),
            address,
            trace,
        }
    }

    /// Completes the envelope with what the request itself carries, for clients whose transport has no headers, and
    /// turns it into the gate's question.
    ///
    /// Errors: 1001 naming the header or field that cannot be used.
    pub(crate) fn complete(
        &mut self,
        base: Option<&Base>,
        request_id: Option<&str>,
    ) -> Result<RequestMeta> {
        if let Some(HeaderFault(error)) = self.fault.take() {
            return Err(error);
        }
        if let Some(base) = base {
            self.fill(base)?;
        }
        let headers = std::mem::take(&mut self.headers);
        Ok(RequestMeta {
            transport: Transport::Thrift,
            credential: headers.credential,
            address: self.address,
            user_agent: headers
                .user_agent
                .map(|name| shorten(name, USER_AGENT_BYTES_MAX)),
            trace: Some(self.trace),
            deadline_ms: headers.timeout_ms,
            // The request's own field is the more deliberate one.
            idempotency_key: request_id.map(str::to_owned).or(headers.idempotency_key),
        })
    }

    fn fill(&mut self, base: &Base) -> Result<()> {
        let untraced = self.headers.traceparent.is_none();
        for (name, value) in base.extra.iter().flatten() {
            if base
                .extra
                .as_ref()
                .is_some_and(|extra| extra.len() > EXTRA_ENTRIES_MAX)
            {
                return Err(plinth_core::Error::too_large(
                    "base.extra",
                    format!("has more than {EXTRA_ENTRIES_MAX} entries"),
                ));
            }
            self.headers
                .fill(name, value)
                .map_err(|error| error.in_field("base.extra"))?;
        }
        if self.headers.user_agent.is_none() {
            self.headers.user_agent = base
                .caller
                .as_ref()
                .or(base.client.as_ref())
                .map(ToString::to_string);
        }
        let sent = self
            .headers
            .traceparent
            .as_deref()
            .and_then(TraceContext::parse);
        if let Some(trace) = sent.filter(|_| untraced) {
            self.trace = trace;
        }
        Ok(())
    }
}

fn shorten(mut text: String, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    text.truncate(end);
    text
}
