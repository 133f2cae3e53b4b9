//! The one HTTP client for webhooks and callbacks: signed, time-limited, retried, SSRF-guarded.
//!
//! - [`Target`] is a URL that may be called at all: http or https, with a host, without credentials.
//! - [`guard`] decides by address. Names are resolved by our own resolver, each address is checked, and the connection goes
//!   to exactly an address that was checked: a name that answers differently the second time gains nothing. Redirects are
//!   not followed and no proxy is used.
//! - [`OutboundClient::deliver`] signs by the Standard Webhooks scheme and repeats only what surely did not arrive.
//!
//! The answer's body is kept up to a limit and then cut: a caller who streams for ever costs one time-out and no memory.

mod client;
mod error;
pub mod guard;
mod resolver;
mod settings;
mod target;

pub use client::{CallLimits, Delivery, OutboundClient, OutboundResponse};
pub use error::{OutboundError, TargetError};
pub use settings::OutboundSettings;
pub use target::Target;
