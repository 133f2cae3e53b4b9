//! The two ways to Plinth.

pub(crate) mod http;
mod refusal;
pub(crate) mod thrift;

pub(crate) use self::http::HttpTransport;
pub(crate) use self::thrift::ThriftTransport;
use crate::error::Result;
use crate::settings::{ClientSettings, TransportKind};

/// The way that a client goes.
pub(crate) enum Transport {
    /// Thrift RPC.
    Thrift(Box<ThriftTransport>),
    /// HTTP.
    Http(HttpTransport),
}

impl Transport {
    pub(crate) fn new(settings: &ClientSettings) -> Result<Self> {
        Ok(match settings.transport {
            TransportKind::Thrift => Self::Thrift(Box::new(ThriftTransport::new(settings)?)),
            TransportKind::Http => Self::Http(HttpTransport::new(settings)?),
        })
    }
}
