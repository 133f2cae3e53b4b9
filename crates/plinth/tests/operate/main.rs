//! What whoever runs an instance relies on: keys, recovery, health, logs, traces and the tools of the command line, each
//! against a real server in a process of its own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken fixture must fail the test"
)]

mod bench;
mod cache_tool;
mod doctor;
mod health;
mod loaders;
mod lock_run;
mod log_levels;
mod lost_answers;
mod query_loaders;
mod recovery;
mod redis;
mod separation;
mod streams;
mod tool;
mod traces;
