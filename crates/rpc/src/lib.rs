//! The Thrift edge.
pub mod codec;
mod incoming;
mod server;
mod settings;
pub use incoming::Incoming;
pub use server::serve_service;
pub use settings::*;
