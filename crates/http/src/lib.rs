//! The HTTP edge: bytes in, a typed request to a service through the gate, bytes out.
//!
//! * [`routes`] holds one file per block; a handler is about ten lines and knows no policy.
//! * [`extract`] is what handlers ask of a request; each refusal names the field.
//! * [`problem`] is how errors leave: RFC 9457, rendered in one place.
//! * [`layers`] lists, once, what surrounds every request and why it stands where it stands.
//! * [`server`] accepts connections: HTTP/1.1 and HTTP/2, TLS and mTLS, limits on time and number, drain.
//! * `streams` follows an operation as server-sent events: messages as they come, answers as they change.
//! * [`documents`] are the pages for people, all from the binary.
//! * [`openapi`] completes the document that the routes registered.
//!
//! On failure: a bad request gets a precise problem and the connection stays; broken HTTP closes the connection; a panic
//! becomes a problem 1013 and the process stays; an accept error is logged and the loop goes on.

pub mod documents;
pub mod extract;
pub mod layers;
pub mod openapi;
mod probes;
pub mod problem;
pub mod routes;
pub mod server;
pub mod services;
pub mod settings;
mod streams;

pub use openapi::openapi_document;
pub use problem::{ApiResult, Problem, ProblemBody};
pub use routes::router;
pub use server::serve;
pub use services::{Parts, Services};
pub use settings::HttpSettings;
