//! The HTTP edge over real sockets: what it refuses, what it survives, how it ends.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken set-up must stop the test"
)]

mod connections;
mod extractors;
mod hostile;
mod sessions;
mod support;
mod tls;
