//! The accept loop over a service that answers without a gate or blocks behind it.

use std::net::SocketAddr;

use pilota::thrift::{ApplicationException, ApplicationExceptionKind};
use plinth_idl::common::SupportError;
use plinth_idl::contract;
use plinth_rpc::codec::{Fault, Refusal};
use plinth_rpc::{Incoming, Outgoing, RpcSettings, serve_service};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use volo::context::Context;
use volo::service::Service;
use volo_thrift::ServerError;
use volo_thrift::context::ServerContext;

/// Answers every call with an exception that names its method.
pub(crate) struct Refusing;

impl Service<ServerContext, Incoming> for Refusing {
    type Response = Outgoing;
    type Error = ServerError;

    async fn call(
        &self,
        context: &mut ServerContext,
        incoming: Incoming,
    ) -> Result<Self::Response, ServerError> {
        let method = context.rpc_info.method().clone();
        let message = match incoming {
            Incoming::Call(_) => format!("called {method}"),
            Incoming::Refused => {
                match context.extensions_mut().remove::<Refusal>().map(|it| it.0) {
                    Some(Fault::Content { field, message, .. }) => format!("{field} {message}"),
                    fault => return Err(exception(format!("{fault:?}"))),
                }
            }
        };
        let error = SupportError {
            code: 1011,
            message: message.into(),
            ..SupportError::default()
        };
        let refusal = contract::refuse(&method, error);
        refusal
            .map(|answer| Outgoing(Box::new(answer)))
            .ok_or_else(|| exception(format!("no {method}")))
    }
}

fn exception(message: String) -> ServerError {
    ServerError::Application(ApplicationException::new(
        ApplicationExceptionKind::PROTOCOL_ERROR,
        message,
    ))
}

/// Never answers a call; says when one begins and when it is dropped.
pub(crate) struct Hanging {
    pub(crate) told: tokio::sync::mpsc::Sender<&'static str>,
}

struct Begun<'a>(&'a Hanging);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let _test_ended = self.0.told.try_send("dropped");
    }
}

impl Service<ServerContext, Incoming> for Hanging {
    type Response = Outgoing;
    type Error = ServerError;

    async fn call(
        &self,
        _context: &mut ServerContext,
        _incoming: Incoming,
    ) -> Result<Self::Response, ServerError> {
        let _test_ended = self.told.try_send("begun");
        let _begun = Begun(self);
        std::future::pending().await
    }
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<plinth_core::Result<()>>,
}

/// Starts a server on a free port of the loopback.
pub(crate) async fn start(settings: RpcSettings) -> Running {
    start_service(settings, Refusing).await
}

/// Starts a server over a service of the test's own.
pub(crate) async fn start_service<S>(settings: RpcSettings, service: S) -> Running
where
    S: Service<ServerContext, Incoming, Response = Outgoing, Error = ServerError>
        + Send
        + Sync
        + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let ended =
        tokio::spawn(async move { serve_service(listener, service, &settings, token).await });
    Running {
        address,
        shutdown,
        ended,
    }
}
