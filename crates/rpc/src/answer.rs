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
