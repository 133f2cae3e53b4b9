//! What people see.

use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Color, Table};
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::{Arguments, TransportName};
use crate::proofs::Proof;

/// What was run.
pub(crate) struct Summary {
    /// How many merchants applied.
    pub(crate) applications: usize,
    /// How many steps they took.
    pub(crate) steps: usize,
    /// How long it took.
    pub(crate) took: Duration,
    /// Whether Plinth was killed in the middle.
    pub(crate) killed: bool,
    /// How many calls were made again under their idempotency key.
    pub(crate) retries: u64,
}

/// A bar that moves with each application that is through.
pub(crate) fn progress(applications: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(applications).unwrap_or(u64::MAX));
    // The template is written here, and right; without it the bar has its default look.
    if let Ok(style) = ProgressStyle::with_template(
        "onboarding {wide_bar} {pos}/{len} applications, {per_sec}, {eta} left",
    ) {
        bar.set_style(style);
    }
    bar
}

/// Shows the proofs and says whether all hold.
pub(crate) fn show(arguments: &Arguments, summary: &Summary, proofs: &[Proof]) -> bool {
    let transport = match arguments.transport {
        TransportName::Thrift => "Thrift",
        TransportName::Http => "HTTP",
    };
    let killed = if summary.killed {
        ", Plinth killed and restarted in the middle"
    } else {
        ""
    };
    println!(
        "{} applications took {} steps over {transport} in {:.1} s{killed}; {} calls were repeated",
        summary.applications,
        summary.steps,
        summary.took.as_secs_f64(),
        summary.retries
    );
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["proof", "found", ""]);
    for proof in proofs {
        let (word, colour) = if proof.holds {
            ("holds", Color::Green)
        } else {
            ("FAILS", Color::Red)
        };
        table.add_row([
            Cell::new(proof.what),
            Cell::new(&proof.found),
            Cell::new(word).fg(colour),
        ]);
    }
    println!("{table}");
    proofs.iter().all(|proof| proof.holds)
}
