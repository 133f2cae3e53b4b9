//! Plinth: one binary that serves the support plane and is its command line.

mod cli;
mod compose;
mod data_dir;
mod logs;
mod redis;
mod serve;
mod settings;
mod traces;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The one TLS and crypto provider of the process; it fails only where it is installed already.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    cli::run()
}
