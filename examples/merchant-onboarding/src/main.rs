//! Merchant onboarding: the reference business service, built on `plinth-client` alone.
//!
//! Merchants apply; each application walks the machine of review states. Every step is one transaction in the service's own
//! database, then a cache entry, a message, a count and an audit record. At the end the service proves from Plinth's
//! answers alone that all places agree, also where Plinth was killed in the middle.
#![expect(
    clippy::print_stdout,
    reason = "a command-line program answers on standard output"
)]

mod arguments;
mod flow;
mod model;
mod notifier;
mod plane;
mod proofs;
mod report;
mod stage;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use anyhow::Result;
use clap::Parser as _;
use rand::SeedableRng as _;

use crate::arguments::Arguments;
use crate::model::{ApplicationNumber, StatusChange, draw_way};
use crate::notifier::Notifier;
use crate::plane::Plane;
use crate::report::Summary;
use crate::stage::Stage;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// Runs the flow and says whether every proof holds.
async fn run(arguments: Arguments) -> Result<bool> {
    let mut stage = Stage::set(&arguments).await?;
    // The last characters of a time-ordered id are its random ones.
    let id = uuid::Uuid::now_v7().simple().to_string();
    let run = id.get(20..).unwrap_or(&id).to_owned();
    let plane = Plane::prepare(&stage.settings(&arguments)?, &run).await?;
    let ways = draw(&arguments, &run)?;
    let intended: BTreeSet<StatusChange> = ways.iter().flatten().cloned().collect();
    let notifier = Notifier::start(plane.clone());
    let progress = report::progress(ways.len());
    let finished = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let walking = flow::run(&plane, &ways, arguments.concurrency(), &progress, &finished);
    let disturbing = stage.disturb(&arguments, ways.len(), &finished);
    let (steps, killed) = tokio::try_join!(walking, disturbing)?;
    let took = began.elapsed();
    progress.finish_and_clear();
    let received = notifier.finish().await?;
    let proofs = proofs::prove(&plane, &intended, &received).await?;
    let summary = Summary {
        applications: ways.len(),
        steps,
        took,
        killed,
        retries: plane.retries(),
    };
    let holds = report::show(&arguments, &summary, &proofs);
    stage.leave(&arguments).await?;
    Ok(holds)
}

fn draw(arguments: &Arguments, run: &str) -> Result<Vec<Vec<StatusChange>>> {
    let mut random = rand::rngs::StdRng::seed_from_u64(arguments.seed);
    (0..arguments.applications)
        .map(|index| draw_way(ApplicationNumber::new(run, index), &mut random))
        .collect()
}
