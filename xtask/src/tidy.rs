//! `cargo xtask tidy`: the habits that no compiler checks.
//!
//! Arrows between crates, the length of files, words that mark unfinished work, and then the tests that compare what is
//! generated or released with what is there (catalogue coverage, IDL and OpenAPI compatibility, documents).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::layers::TABLE;
use crate::workspace;

/// Longest Rust file, in lines.
const FILE_LINES_MAX: usize = 500;
/// Words that mark unfinished work; none may stand in what is delivered. Split, so that this list does not find itself.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];
/// Folders that hold what tools made.
const MADE_FOLDERS: &[&str] = &[
    "target",
    "node_modules",
    ".git",
    "plinth-data",
    ".venv",
    "gen",
];

/// Checks everything and lists all that is wrong.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root();
    let mut wrong = layers(&root)?;
    wrong.extend(files(&root)?);
    if !wrong.is_empty() {
        bail!(
            "tidy found {} thing(s):\n  {}",
            wrong.len(),
            wrong.join("\n  ")
        );
    }
    println!("tidy: arrows between crates, file lengths and unfinished words are in order");
    documents(false)
}

/// Runs the tests that compare documents and released interfaces; `update` writes the documents anew.
pub(crate) fn documents(update: bool) -> Result<()> {
    let mut command = Command::new(workspace::cargo());
    command
        .args(["test", "--workspace", "--test", "documents"])
        .current_dir(workspace::root());
    if update {
        command.env("UPDATE_DOCS", "1").env("UPDATE_OPENAPI", "1");
    }
    let status = command.status().context("cannot run cargo test")?;
    ensure!(
        status.success(),
        "a document or an interface is not as it must be; `cargo xtask docs` writes the documents anew"
    );
    Ok(())
}

/// Compares the arrows between the crates with the table.
fn layers(root: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = short(&package.name);
        let Some(row) = TABLE.iter().find(|row| row.name == name) else {
            wrong.push(format!("{name}: no row in xtask/src/layers.rs"));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some())
        {
            let used = short(&dependency.name);
            let in_tests = dependency.kind == DependencyKind::Development;
            let allowed = used == "core"
                || row.may_use.contains(&used)
                || in_tests && row.tests_may_use.contains(&used);
            if !allowed {
                let tests = if in_tests { "the tests of " } else { "" };
                wrong.push(format!("{tests}{name} may not use {used}"));
            }
        }
    }
    Ok(wrong)
}

fn short(package: &str) -> &str {
    package.strip_prefix("plinth-").unwrap_or(package)
}

/// Looks at every file that people write.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for file in walk(root)? {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let shown = file.strip_prefix(root).unwrap_or(&file).display();
        let lines = text.lines().count();
        if file.extension().is_some_and(|ending| ending == "rs") && lines > FILE_LINES_MAX {
            wrong.push(format!("{shown}: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{shown}:{}: `{word}`", number + 1));
            }
        }
    }
    Ok(wrong)
}

fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    const ENDINGS: &[&str] = &["rs", "thrift", "toml", "py", "go", "sh", "ts", "js"];
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !MADE_FOLDERS.contains(&name) {
                found.extend(walk(&path)?);
            }
        } else if path
            .extension()
            .and_then(|ending| ending.to_str())
            .is_some_and(|ending| ENDINGS.contains(&ending))
        {
            found.push(path);
        }
    }
    Ok(found)
}
