//! The command line as a person or a script meets it.

use std::path::Path;

use plinth_testkit::process::{Server, ServerOptions};
use tokio::process::Command;

/// The binary that is tested.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_plinth"))
}

/// What a command answered.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// The answer as a document, of a command that was asked for JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}{}", self.stdout, self.stderr);
        })
    }
}

/// Runs the binary in a directory without settings of its own.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
    let place = tempfile::tempdir().expect("a directory");
    let output = Command::new(binary())
        .args(arguments)
        .current_dir(place.path())
        .env_clear()
        .envs(environment.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .expect("runs");
    Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A server over a directory, with settings by the name of their environment variable.
pub(crate) async fn serve(data_dir: &Path, settings: &[(&str, &str)]) -> Server {
    let options = ServerOptions {
        data_dir: Some(data_dir.to_owned()),
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        addresses: None,
    };
    Server::start(binary(), &options).await.expect("starts")
}

/// An HTTP client of no particular house.
pub(crate) fn http() -> reqwest::Client {
    // It fails only where a test before has done it already.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::new()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
