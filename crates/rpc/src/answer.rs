//! Turns what a handler says into what the client reads.

use faststr::FastStr;
use pilota::AHashMap;
use plinth_core::{Error, Result, TraceContext};
use plinth_idl::base::BaseResp;
use plinth_idl::common::{FieldViolation, SupportError};
use plinth_idl::contract::{MethodResult, Reply};

/// Closes a call: the reply with its `base_resp`, or the declared exception.
pub(crate) fn close<R>(outcome: Result<R::Reply>, trace: &TraceContext) -> R
where
    R: MethodResult,
    R::Reply: Reply,
{
    match outcome {
        Ok(mut reply) => {
            reply.set_base_resp(base_resp(trace));
            R::succeeded(reply)
        }
        Err(error) => R::failed(support_error(&error, trace)),
    }
}

fn base_resp(trace: &TraceContext) -> BaseResp {
    let mut extra = AHashMap::new();
    extra.insert(
        FastStr::from_static_str("traceparent"),
        trace.header().into(),
    );
    BaseResp {
        status_message: Some(FastStr::empty()),
        status_code: Some(0),
        extra: Some(extra),
    }
}

/// The declared exception of an error. The source chain stays here.
pub(crate) fn support_error(error: &Error, trace: &TraceContext) -> SupportError {
    let violations = error.violations().iter().map(|violation| FieldViolation {
        field: violation.field.clone().into(),
        message: violation.message.clone().into(),
    });
    let details = error
        .details()
        .iter()
        .map(|(key, value)| (key.clone().into(), value.clone().into()));
    SupportError {
        code: i32::from(error.code().number()),
        reason: error.code().reason().into(),
        message: error.message().to_owned().into(),
        retriable: error.is_retriable(),
        outcome: error.outcome().as_str().into(),
        violations: some(violations.collect::<Vec<_>>(), Vec::is_empty),
        retry_after_ms: error
            .retry_after()
            .map(|delay| i64::try_from(delay).unwrap_or(i64::MAX)),
        details: some(details.collect::<AHashMap<_, _>>(), |details| {
            details.is_empty()
        }),
        trace_id: Some(trace.trace_id_hex().into()),
    }
}

/// Leaves a field out rather than sending it empty.
fn some<T>(value: T, empty: impl Fn(&T) -> bool) -> Option<T> {
    (!empty(&value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use plinth_core::ErrorCode;

    use super::*;

    #[test]
    fn every_part_of_an_error_reaches_the_client_but_its_source() {
        let trace = TraceContext::begin();
        let error = Error::invalid("items[3].ttl_ms", "must be at least 1")
            .retry_after_ms(250)
            .outcome_unknown()
            .with_detail("limit", "1")
            .with_source("a secret of ours");
        let sent = support_error(&error, &trace);
        assert_eq!(
            (sent.code, sent.reason.as_str()),
            (1001, "INVALID_ARGUMENT")
        );
        assert_eq!(sent.message, "items[3].ttl_ms: must be at least 1");
        assert_eq!((sent.retriable, sent.outcome.as_str()), (true, "unknown"));
        assert_eq!(sent.retry_after_ms, Some(250));
        let violations = sent.violations.clone().expect("one field");
        assert_eq!(violations[0].field, "items[3].ttl_ms");
        let details = sent.details.clone().expect("one detail");
        assert_eq!(details.get("limit").map(FastStr::as_str), Some("1"));
        assert_eq!(
            sent.trace_id.as_deref(),
            Some(trace.trace_id_hex().as_str())
        );
        assert!(!format!("{sent:?}").contains("secret"));
    }

    #[test]
    fn what_an_error_does_not_have_is_left_out() {
        let error = Error::new(ErrorCode::Forbidden, "not yours");
        let sent = support_error(&error, &TraceContext::begin());
        assert!(sent.violations.is_none() && sent.details.is_none());
        assert!(sent.retry_after_ms.is_none());
    }
}
