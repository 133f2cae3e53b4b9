//! Calls end with their connection.

use volo::service::Service;
use volo_thrift::ServerError;
use volo_thrift::context::ServerContext;

use super::stream::Connection;
use crate::incoming::Incoming;

/// The service of one connection. A call whose client has gone is dropped where it waits: a message that came in for it
/// stays for others.
pub(super) struct Attended<'a, S> {
    pub(super) service: &'a S,
    pub(super) connection: Connection,
}

impl<S> Service<ServerContext, Incoming> for Attended<'_, S>
where
    S: Service<ServerContext, Incoming> + Sync,
    S::Error: Into<ServerError>,
{
    type Response = S::Response;
    type Error = ServerError;

    async fn call(
        &self,
        context: &mut ServerContext,
        incoming: Incoming,
    ) -> Result<Self::Response, ServerError> {
        tokio::select! {
            biased;
            answer = self.service.call(context, incoming) => answer.map_err(Into::into),
            () = self.connection.left() => {
                let gone = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
                Err(ServerError::from(pilota::thrift::ThriftException::from(gone)))
            }
        }
    }
}
