//! The gate as its edges see it: who is let in, what a call passes through, and how access is handed out.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken fixture must fail the test"
)]

mod access;
mod authentication;
mod pipeline;
mod recording;
mod records;
mod separation;
mod support;
