//! What is generated is current, and what was released still works.
//!
//! `cargo xtask docs` runs these with `UPDATE_DOCS=1`, which writes the documents anew instead of comparing them.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what makes a document fails the test that asked for it"
)]

mod compatibility;
mod coverage;
mod operations;
mod settings;
mod traceability;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a generated document with the file, or writes the file where `UPDATE_DOCS` is set.
fn check_document(path: &str, generated: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, generated).expect("writes the document");
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == generated,
        "{path} is not current; run `cargo xtask docs`"
    );
}
