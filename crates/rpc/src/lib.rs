//! The Thrift edge: one port, every operation of `idl/coupon.thrift`.
//!
//! ```text
//! accept loop: permit ─► TLS handshake ─► one call after the other   server
//!   ─► checked codec: detect ─► limits ─► inspect ─► decode           codec
//!   ─► envelope: credential, trace, deadline, idempotency key         envelope
//!   ─► gate: authenticate ─► the method's function ─► gate: call      service, handlers
//!   ─► answer: reply with base_resp, or SupportError                  answer
//! ```
//!
//! **Promises.** Whatever a client sends, the process neither crashes nor grows past its limits; generated code sees no
//! byte that was not inspected. Wrong content is answered with the path of its field and the connection goes on; broken
//! framing is answered with a protocol exception and the connection closes. Nothing a client does ends the accept loop.
//!
//! **Limits.** See [`RpcSettings`] for bytes, connections and times; `plinth_core::limits` for depth, elements and batches.

mod answer;
pub mod codec;
mod envelope;
mod handlers;
mod incoming;
mod server;
mod service;
mod services;
mod settings;

use plinth_core::Result;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use envelope::EXTRA_ENTRIES_MAX;
pub use incoming::{Answered, Answers, Call};
pub use server::serve_answers;
pub use services::Services;
pub use settings::{FRAME_BYTES_CEILING, FRAME_BYTES_MIN, RpcSettings};

/// Serves Plinth's operations on a bound listener until `shutdown`, then drains. Returns when every connection has ended.
///
/// Errors: 1001 naming the setting or TLS file that cannot be used.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    settings: RpcSettings,
    shutdown: CancellationToken,
) -> Result<()> {
    let edge = service::CouponEdge::new(services);
    serve_answers(listener, edge, &settings, shutdown).await
}
