//! `plinth audit verify`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use plinth_audit::verify::offline::{OfflineRequest, verify_directory};
use plinth_client::{AuditDiscrepancy, AuditVerification};
use plinth_core::WideInt;
use serde::Serialize;

use crate::cli::exit::Usage;
use crate::cli::{Context, Output, Table};

/// What to verify, and by what.
#[derive(clap::Args)]
pub(crate) struct VerifyArguments {
    /// A data directory, its audit directory, or a directory of tiles; needs no server. Without it the server verifies
    /// its own log
    directory: Option<PathBuf>,
    /// File of the log's public key; without it, the one in the directory, which proves less
    #[arg(long, value_name = "FILE", requires = "directory")]
    key_file: Option<PathBuf>,
    /// File of a checkpoint that was seen earlier: the log must extend it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Write the checkpoint that was verified to this file, to be shown next time
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
}

/// What was found, with what could not be looked at.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    verification: AuditVerification,
    notes: Vec<String>,
}

/// The log does not hold.
#[derive(Debug, thiserror::Error)]
#[error("the log does not verify: {} {}", .0.location, .0.message)]
struct Tampered(AuditDiscrepancy);

impl VerifyArguments {
    pub(crate) async fn run(
        self,
        connect: impl Fn() -> Result<Context>,
        output: Output,
    ) -> Result<()> {
        let pinned = self.checkpoint.as_deref().map(read).transpose()?;
        let report = match self.directory {
            Some(directory) => {
                let request = OfflineRequest {
                    directory,
                    public_key: self.key_file.as_deref().map(read).transpose()?,
                    pinned,
                };
                offline(request).await?
            }
            None => Report {
                verification: connect()?.client.audit().verify(pinned.as_deref()).await?,
                notes: Vec::new(),
            },
        };
        output.show(&report, report_table)?;
        if let Some(found) = report.verification.discrepancy {
            bail!(Tampered(found));
        }
        if let Some(file) = self.keep {
            std::fs::write(&file, &report.verification.checkpoint)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

async fn offline(request: OfflineRequest) -> Result<Report> {
    let progress = indicatif::ProgressBar::new_spinner().with_message("hashing the log");
    progress.enable_steady_tick(std::time::Duration::from_millis(100));
    let verified = tokio::task::spawn_blocking(move || verify_directory(&request)).await?;
    progress.finish_and_clear();
    let report = verified.map_err(|error| match error {
        plinth_audit::AuditError::Key(message) => anyhow::Error::from(Usage(message)),
        error => error.into(),
    })?;
    let reply = report.reply;
    let number = |wide: WideInt| wide.0;
    Ok(Report {
        verification: AuditVerification {
            valid: reply.valid,
            discrepancy: reply.discrepancy.map(|found| AuditDiscrepancy {
                kind: found.kind,
                location: found.location,
                leaf_index: found.leaf_index.map(number),
                message: found.message,
            }),
            tree_size: number(reply.tree_size),
            root: reply.root,
            checkpoint: reply.checkpoint,
            public_key: reply.public_key,
            entries_checked: number(reply.entries_checked),
            tiles_checked: number(reply.tiles_checked),
            checkpoints_checked: number(reply.checkpoints_checked),
            index_rows_checked: number(reply.index_rows_checked),
        },
        notes: report.notes,
    })
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn report_table(report: &Report) -> Table {
    let found = &report.verification;
    let mut table = Table::new(["what", "value"]);
    let verdict = if found.valid { "valid" } else { "NOT VALID" };
    for (what, value) in [
        ("log", verdict.to_owned()),
        ("records", found.tree_size.to_string()),
        ("root", found.root.clone()),
        ("entries hashed", found.entries_checked.to_string()),
        ("tiles compared", found.tiles_checked.to_string()),
        ("earlier checkpoints", found.checkpoints_checked.to_string()),
        ("index rows compared", found.index_rows_checked.to_string()),
        ("public key", found.public_key.clone()),
    ] {
        table.row([what.to_owned(), value]);
    }
    if let Some(discrepancy) = &found.discrepancy {
        table.row(["found in".to_owned(), discrepancy.location.clone()]);
        if let Some(leaf) = discrepancy.leaf_index {
            table.row(["from leaf".to_owned(), leaf.to_string()]);
        }
        table.row([discrepancy.kind.clone(), discrepancy.message.clone()]);
    }
    for note in &report.notes {
        table.row(["note".to_owned(), note.clone()]);
    }
    table
}
