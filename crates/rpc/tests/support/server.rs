//! The accept loop over a service that answers without a gate or blocks behind it.

use std::net::SocketAddr;

use pilota::thrift::{ApplicationException, ApplicationExceptionKind};
use plinth_idl::common::SupportError;
use plinth_idl::contract;
use plinth_rpc::codec::Fault;
use plinth_rpc::{Answered, Answers, Call, RpcSettings, serve_answers};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Answers every call with an exception that names its method.
pub(crate) struct Refusing;

impl Answers for Refusing {
    async fn answer(&self, call: Call) -> Answered {
        let method = call.method;
        let message = match call.request {
            Ok(_) => format!("called {method}"),
            Err(Fault::Content { field, message, .. }) => format!("{field} {message}"),
            Err(fault) => return Err(exception(format!("{fault:?}"))),
        };
        let error = SupportError {
            code: 1011,
            message: message.into(),
            ..SupportError::default()
        };
        let refusal = contract::refuse(&method, error);
        refusal
            .map(Box::new)
            .ok_or_else(|| exception(format!("no {method}")))
    }
}

fn exception(message: String) -> ApplicationException {
    ApplicationException::new(ApplicationExceptionKind::PROTOCOL_ERROR, message)
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

impl Answers for Hanging {
    async fn answer(&self, _call: Call) -> Answered {
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
pub(crate) async fn start_service<S: Answers>(settings: RpcSettings, service: S) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let ended =
        tokio::spawn(async move { serve_answers(listener, service, &settings, token).await });
    Running {
        address,
        shutdown,
        ended,
    }
}
