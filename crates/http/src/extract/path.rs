//! The parameters of a path.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, RawPathParams};
use http::request::Parts;
use plinth_core::{Error, Result};
use serde::de::DeserializeOwned;

use super::cut;
use crate::problem::Problem;

/// The parameters of the path: one value, a tuple in the order of the path, or a struct with the names of the path.
///
/// Errors: 1001 naming the parameter that is malformed.
#[derive(Clone, Debug)]
pub struct ApiPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(refusal(rejection, &names(parts, state).await).into()),
        }
    }
}

/// The names of the parameters in the order of the path.
async fn names<S: Send + Sync>(parts: &mut Parts, state: &S) -> Vec<String> {
    match RawPathParams::from_request_parts(parts, state).await {
        Ok(parameters) => parameters.iter().map(|(name, _)| name.to_owned()).collect(),
        Err(_) => Vec::new(),
    }
}

fn refusal(rejection: PathRejection, names: &[String]) -> Error {
    let PathRejection::FailedToDeserializePathParams(failure) = rejection else {
        // The route has no parameter at all: a fault of the handler, not of the caller.
        return Error::internal(rejection);
    };
    let name = |index: usize| names.get(index).map_or("path", String::as_str);
    let typed = |field: &str, expected: &str| {
        Error::invalid(cut(field), format!("must be of the type {expected}"))
    };
    match failure.into_kind() {
        ErrorKind::InvalidUtf8InPathParam { key } => Error::invalid(cut(&key), "is not UTF-8"),
        ErrorKind::ParseErrorAtKey {
            key, expected_type, ..
        } => typed(&key, expected_type),
        ErrorKind::ParseErrorAtIndex {
            index,
            expected_type,
            ..
        } => typed(name(index), expected_type),
        ErrorKind::ParseError { expected_type, .. } => typed(name(0), expected_type),
        ErrorKind::DeserializeError { key, message, .. } => {
            Error::invalid(cut(&key), cut(&message))
        }
        ErrorKind::Message(message) => Error::invalid("path", cut(&message)),
        other => Error::internal(other.to_string()),
    }
}
