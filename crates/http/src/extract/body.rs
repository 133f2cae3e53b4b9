//! Reading a request body: bounded in size, in time, and over all requests together.

use std::sync::Arc;
use std::time::Duration;

use ::bytes::{Bytes, BytesMut};
use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use plinth_core::{Error, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;
use crate::settings::HttpSettings;

/// Bytes that one permit of the budget stands for.
const BUDGET_UNIT_BYTES: usize = 1_024;
/// When a caller who met an exhausted budget should come back, in milliseconds.
const BUDGET_RETRY_AFTER_MS: u64 = 1_000;

/// The memory that request bodies may hold at once over all connections.
#[derive(Clone, Debug)]
struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    fn new(bytes_max: usize) -> Self {
        let units = (bytes_max / BUDGET_UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(units)))
    }

    /// Grows what a request holds of the budget to the room for `bytes`.
    fn grow(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Problem> {
        let units_held = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let units_more = bytes.div_ceil(BUDGET_UNIT_BYTES).saturating_sub(units_held);
        if units_more == 0 {
            return Ok(());
        }
        let units_more = u32::try_from(units_more).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.0)
            .try_acquire_many_owned(units_more)
            .map_err(|_| {
                Error::new(
                    ErrorCode::Overloaded,
                    "request bodies in flight hold all the memory they may",
                )
                .retry_after_ms(BUDGET_RETRY_AFTER_MS)
            })?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

/// How much of a body is read and for how long. A layer puts a copy into each request and keeps another until the
/// response is made: so long the request's share of the budget is held.
#[derive(Clone, Debug)]
pub(crate) struct BodyLimits {
    bytes_max: usize,
    timeout: Duration,
    budget: BodyBudget,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl BodyLimits {
    /// The limits that the settings name.
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        Self {
            bytes_max: settings.body_bytes_max,
            timeout: Duration::from_millis(settings.body_timeout_ms),
            budget: BodyBudget::new(settings.bodies_bytes_max),
            held: Arc::default(),
        }
    }

    /// Gives the request's share of the budget back: what is kept of its body is small.
    pub(crate) fn give_back(&self) {
        self.held.lock().take();
    }

    /// The same limits and budget for one more request.
    pub(crate) fn for_request(&self) -> Self {
        Self {
            held: Arc::default(),
            ..self.clone()
        }
    }
}

/// Reads the whole body of a request within its limits.
///
/// Errors: 1007 past the size limit, 1009 past the shared budget, 1010 when it does not arrive in time, 1001 where
/// it is encoded, or breaks off. The header is judged first, so that a lying or an honest length past the limit costs
/// nothing.
pub(crate) async fn read_body(request: Request) -> Result<(HeaderMap, Bytes), Problem> {
    let limits = request
        .extensions()
        .get::<BodyLimits>()
        .cloned()
        .unwrap_or_else(|| BodyLimits::new(&HttpSettings::default()));
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(header::CONTENT_ENCODING) {
        let error = Error::invalid(
            "content-encoding",
            "is not supported: send the body as it is",
        );
        return Err(Problem::with_status(
            error,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ));
    }
    let announced = content_length(&parts.headers);
    if announced.is_some_and(|length| length > limits.bytes_max as u64) {
        return Err(too_large(limits.bytes_max));
    }
    match tokio::time::timeout(limits.timeout, collect(body, &limits)).await {
        Ok(bytes) => Ok((parts.headers, bytes?)),
        Err(_elapsed) => Err(Problem::with_status(
            Error::new(
                ErrorCode::DeadlineExceeded,
                "the request body did not arrive in time",
            ),
            StatusCode::REQUEST_TIMEOUT,
        )),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Collects the frames of a body; its length is counted, not believed.
async fn collect(mut body: Body, limits: &BodyLimits) -> Result<Bytes, Problem> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::invalid("body", "broke off or is badly framed"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let bytes = collected.len() + data.len();
        if bytes > limits.bytes_max {
            return Err(too_large(limits.bytes_max));
        }
        limits.budget.grow(&mut limits.held.lock(), bytes)?;
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

fn too_large(bytes_max: usize) -> Problem {
    Error::too_large("body", format!("has more than {bytes_max} bytes")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared_and_comes_back() {
        let budget = BodyBudget::new(4 * BUDGET_UNIT_BYTES);
        let (mut first, mut second) = (None, None);
        budget.grow(&mut first, 1).expect("one unit");
        budget
            .grow(&mut first, BUDGET_UNIT_BYTES)
            .expect("the same unit");
        budget
            .grow(&mut first, BUDGET_UNIT_BYTES + 1)
            .expect("a second unit");
        budget
            .grow(&mut second, 2 * BUDGET_UNIT_BYTES)
            .expect("the other two");
        let problem = budget
            .grow(&mut second, 2 * BUDGET_UNIT_BYTES + 1)
            .expect_err("one too many");
        assert_eq!(problem.error().code(), ErrorCode::Overloaded);
        drop(first);
        budget
            .grow(&mut second, 4 * BUDGET_UNIT_BYTES)
            .expect("all of it");
    }
}
