//! A body that is a value as it is.

use ::bytes::Bytes;
use axum::extract::{FromRequest, Request};
use http::header;
use plinth_core::{Error, Result};

use super::body::read_body;
use crate::problem::Problem;

/// Longest content type of a raw body, in bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// The raw body with its content type.
#[derive(Clone, Debug)]
pub struct ApiBytes {
    /// The body.
    pub bytes: Bytes,
    /// What the caller says it is; absent where the caller says nothing.
    pub content_type: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for ApiBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (headers, bytes) = read_body(request).await?;
        let content_type = match headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str())
        {
            None => None,
            Some(Ok(text)) if text.len() <= CONTENT_TYPE_BYTES_MAX => Some(text.to_owned()),
            Some(_) => {
                let rule =
                    format!("must be at most {CONTENT_TYPE_BYTES_MAX} bytes of visible ASCII");
                return Err(Error::invalid("content-type", rule).into());
            }
        };
        Ok(Self {
            bytes,
            content_type,
        })
    }
}
