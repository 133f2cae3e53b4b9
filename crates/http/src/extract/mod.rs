//! What handlers ask of a request. Each extractor refuses with a [`Problem`](crate::Problem) that names the field.
//!
//! Order matters: axum runs them left to right and lets only the last one read the body, so [`ApiSession`] stands before
//! [`ApiJson`] and nobody makes the server read a body without a credential.

mod body;
mod bytes;
mod conditions;
mod json;
mod path;
mod query;
mod session;

pub(crate) use body::{BodyLimits, read_body};
pub use bytes::ApiBytes;
pub use conditions::{Conditions, VersionCondition, version_tag};
pub(crate) use json::WAITING_BODY_BYTES_MAX;
pub use json::{ApiJson, WaitingJson};
pub use path::ApiPath;
pub use query::ApiQuery;
pub use session::ApiSession;
pub(crate) use session::{session_of, single};

use plinth_core::Error;

/// The other end of the connection; the accept loop puts it into each request.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub std::net::SocketAddr);

/// Longest text of a caller that an error message repeats, in bytes.
const ECHO_BYTES_MAX: usize = 256;

/// Cuts text for an error message at a character boundary.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(ECHO_BYTES_MAX))
        .unwrap_or_default()
}

/// Turns serde's words on a field into a refusal that names the field's path.
///
/// Where a field is absent or stands twice, serde points at the object around it; the caller wants the field.
fn refuse_field(path: &serde_path_to_error::Path, message: &str, root: &str) -> Error {
    let message = message
        .strip_prefix("1001 INVALID_ARGUMENT: ")
        .unwrap_or(message);
    let path = path.to_string();
    let path = cut(&path);
    for (words, rule) in [
        ("missing field `", "is required"),
        ("duplicate field `", "stands more than once"),
    ] {
        let named = message
            .strip_prefix(words)
            .and_then(|rest| rest.split('`').next());
        match named {
            Some(field) if path == "." => return Error::invalid(field, rule),
            Some(field) => return Error::invalid(format!("{path}.{field}"), rule),
            None => {}
        }
    }
    let field = if path == "." { root } else { path };
    match message.strip_prefix("unknown field ") {
        Some(rest) => Error::invalid(field, unknown_field(cut(rest))),
        None => Error::invalid(field, cut(message)),
    }
}

/// ``unknown field `x`, expected one of `a`, `b` `` → ``is not known; known are `a`, `b` ``.
fn unknown_field(rest: &str) -> String {
    match rest.split_once(", expected ") {
        Some((_, known)) => {
            let known = known.strip_prefix("one of ").unwrap_or(known);
            format!("is not known; known here: {known}")
        }
        None => "is not known; no field is allowed here".to_owned(),
    }
}
