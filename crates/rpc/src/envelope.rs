//! What stands around a request: who asks, in which trace, and until when.

use std::net::IpAddr;

use plinth_core::{Error, Result, TraceContext, Transport};
use plinth_gate::RequestMeta;
use plinth_idl::base::Base;

use crate::codec::CallHeaders;

/// Most entries of `base.extra`.
pub const EXTRA_ENTRIES_MAX: usize = 32;
/// Longest name of a client that is kept, in bytes.
const USER_AGENT_BYTES_MAX: usize = 256;

/// The envelope of one call.
pub(crate) struct Envelope {
    headers: CallHeaders,
    /// What of the headers could not be used.
    fault: Option<Error>,
    address: Option<IpAddr>,
    /// The trace that the call belongs to: the caller's, or a new one.
    pub(crate) trace: TraceContext,
}

impl Envelope {
    /// Takes what came with a call beside its request.
    pub(crate) fn open(
        headers: CallHeaders,
        fault: Option<Error>,
        address: Option<IpAddr>,
    ) -> Self {
        let trace = headers
            .traceparent
            .as_deref()
            .and_then(TraceContext::parse)
            .unwrap_or_else(TraceContext::begin);
        Self {
            headers,
            fault,
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
        if let Some(error) = self.fault.take() {
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
        if base
            .extra
            .as_ref()
            .is_some_and(|extra| extra.len() > EXTRA_ENTRIES_MAX)
        {
            return Err(Error::too_large(
                "base.extra",
                format!("has more than {EXTRA_ENTRIES_MAX} entries"),
            ));
        }
        for (name, value) in base.extra.iter().flatten() {
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

#[cfg(test)]
mod tests {
    use faststr::FastStr;
    use pilota::AHashMap;

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn base(extra: &[(&str, &str)]) -> Base {
        let entries = extra
            .iter()
            .map(|(name, value)| (FastStr::new(name), FastStr::new(value)));
        Base {
            caller: Some("orders".into()),
            extra: Some(entries.collect::<AHashMap<_, _>>()),
            ..Base::default()
        }
    }

    fn complete(
        headers: CallHeaders,
        base: Option<&Base>,
        request_id: Option<&str>,
    ) -> Result<RequestMeta> {
        Envelope::open(headers, None, None).complete(base, request_id)
    }

    fn header(name: &str, value: &str) -> CallHeaders {
        let mut headers = CallHeaders::default();
        headers.fill(name, value).expect("good");
        headers
    }

    #[test]
    fn framed_clients_say_everything_in_base_extra() {
        let base = base(&[
            ("Authorization", "bearer plk_1"),
            ("traceparent", TRACE),
            ("idempotency-key", "once"),
            ("x-request-timeout-ms", "250"),
        ]);
        let meta = complete(CallHeaders::default(), Some(&base), None).expect("good");
        assert_eq!(meta.credential.expect("a key").expose(), "plk_1");
        assert_eq!(meta.trace.expect("a trace").header(), TRACE);
        assert_eq!(meta.idempotency_key.as_deref(), Some("once"));
        assert_eq!(meta.deadline_ms, Some(250));
        assert_eq!(meta.user_agent.as_deref(), Some("orders"));
    }

    #[test]
    fn a_header_goes_before_base_extra_and_the_field_before_both() {
        let extra = base(&[("authorization", "plk_2"), ("idempotency-key", "extra")]);
        let mut headers = header("authorization", "plk_1");
        headers.fill("idempotency-key", "header").expect("good");
        let meta = complete(headers, Some(&extra), Some("field")).expect("good");
        assert_eq!(meta.credential.expect("a key").expose(), "plk_1");
        assert_eq!(meta.idempotency_key.as_deref(), Some("field"));
    }

    #[test]
    fn a_trace_that_breaks_its_grammar_begins_a_new_one() {
        let meta = complete(header("traceparent", "00-zz"), None, None).expect("good");
        assert_ne!(meta.trace.expect("a trace").header(), "00-zz");
    }

    #[test]
    fn base_extra_has_as_many_entries_as_its_limit() {
        let names: Vec<String> = (0..=EXTRA_ENTRIES_MAX).map(|n| n.to_string()).collect();
        let entries: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let at = base(&entries[1..]);
        assert!(complete(CallHeaders::default(), Some(&at), None).is_ok());
        let over = base(&entries);
        let error = complete(CallHeaders::default(), Some(&over), None).map(drop);
        let error = error.expect_err("one too many");
        assert_eq!(error.violations()[0].field, "base.extra");
    }

    #[test]
    fn a_timeout_that_is_no_number_is_refused_by_name() {
        let base = base(&[("x-request-timeout-ms", "soon")]);
        let error = complete(CallHeaders::default(), Some(&base), None).map(drop);
        let error = error.expect_err("no number");
        assert_eq!(
            error.violations()[0].field,
            "base.extra.x-request-timeout-ms"
        );
    }

    #[test]
    fn a_long_name_of_a_client_is_cut_at_a_letter() {
        let name = "é".repeat(USER_AGENT_BYTES_MAX);
        let meta = complete(header("user-agent", &name), None, None).expect("good");
        let kept = meta.user_agent.expect("a name");
        assert_eq!((kept.len(), kept.chars().count()), (256, 128));
    }
}
