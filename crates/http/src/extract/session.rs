//! Who asks: the credential and the conditions of a request, checked before its body is read.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use plinth_core::{Error, ErrorCode, Result, SecretString, TraceContext, Transport};
use plinth_gate::{Gate, RequestMeta, Session};

use super::PeerAddress;
use crate::problem::Problem;

/// The caller's deadline, in milliseconds.
const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");
/// The caller's name for one attempt at a mutation.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest `User-Agent` that is kept, in bytes.
const USER_AGENT_BYTES_MAX: usize = 256;

/// The authenticated caller of this request.
pub struct ApiSession(Session);

impl Deref for ApiSession {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.0
    }
}

impl<S> FromRequestParts<S> for ApiSession
where
    S: Send + Sync,
    Arc<Gate>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let gate = Arc::<Gate>::from_ref(state);
        Ok(Self(session_of(parts, &gate).await?))
    }
}

/// Finds out who asks. Errors: 1001 naming a header, those of [`Gate::authenticate`].
pub(crate) async fn session_of(parts: &Parts, gate: &Gate) -> Result<Session, Problem> {
    Ok(gate.authenticate(request_meta(parts)?).await?)
}

/// Reads what the gate wants to know from the header.
fn request_meta(parts: &Parts) -> Result<RequestMeta> {
    let headers = &parts.headers;
    Ok(RequestMeta {
        transport: Transport::Http,
        credential: credential(headers)?,
        address: parts
            .extensions
            .get::<PeerAddress>()
            .map(|peer| peer.0.ip()),
        user_agent: user_agent(headers),
        trace: parts.extensions.get::<TraceContext>().copied(),
        deadline_ms: deadline_ms(headers)?,
        idempotency_key: single(headers, &IDEMPOTENCY_KEY)?.map(str::to_owned),
    })
}

/// The text of a header that may stand at most once.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Error::invalid(name.as_str(), "stands more than once"));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Error::invalid(name.as_str(), "must be visible ASCII")),
    }
}

fn credential(headers: &HeaderMap) -> Result<Option<SecretString>> {
    let refusal = |message: &str| Error::new(ErrorCode::Unauthenticated, message);
    let text = single(headers, &header::AUTHORIZATION)
        .map_err(|_| refusal("the authorization header must be one line of visible ASCII"))?;
    let Some(text) = text else {
        return Ok(None);
    };
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty() => {
            Ok(Some(SecretString::new(key.trim().to_owned())))
        }
        _ => Err(refusal("send the key as \"authorization: Bearer <key>\"")),
    }
}

fn deadline_ms(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(text) = single(headers, &REQUEST_TIMEOUT)? else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        Ok(deadline_ms) if deadline_ms >= 1 => Ok(Some(deadline_ms)),
        _ => Err(Error::invalid(
            REQUEST_TIMEOUT.as_str(),
            "must be a whole number of milliseconds, at least 1",
        )),
    }
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    text.get(..text.floor_char_boundary(USER_AGENT_BYTES_MAX))
        .map(str::to_owned)
}
