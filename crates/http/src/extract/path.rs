//! The parameters of a path.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
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
            Err(rejection) => Err(refusal(rejection).into()),
        }
    }
}

fn refusal(rejection: PathRejection) -> Error {
    let PathRejection::FailedToDeserializePathParams(failure) = rejection else {
        // The route has no parameter at all: a fault of the handler, not of the caller.
        return Error::internal(rejection);
    };
    match failure.into_kind() {
        ErrorKind::InvalidUtf8InPathParam { key } => Error::invalid(cut(&key), "is not UTF-8"),
        ErrorKind::ParseErrorAtKey {
            key, expected_type, ..
        } => Error::invalid(cut(&key), format!("must be of the type {expected_type}")),
        ErrorKind::DeserializeError { key, message, .. } => {
            Error::invalid(cut(&key), cut(&message))
        }
        ErrorKind::ParseErrorAtIndex { expected_type, .. } => {
            Error::invalid("path", format!("must be of the type {expected_type}"))
        }
        ErrorKind::ParseError { expected_type, .. } => {
            Error::invalid("path", format!("must be of the type {expected_type}"))
        }
        ErrorKind::Message(message) => Error::invalid("path", cut(&message)),
        other => Error::internal(other.to_string()),
    }
}
