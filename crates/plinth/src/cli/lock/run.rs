//! `plinth lock run NAME -- command…`: holds a lock while a command runs.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use plinth_client::HoldOptions;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::{How, lost};
use crate::cli::Context;
use crate::cli::exit::CommandEnded;

/// How long a command may take to end after SIGTERM before it is killed, in milliseconds.
const GRACE_MS: u64 = 5_000;

/// Hold a lock while a command runs
#[derive(Args)]
pub(crate) struct RunArguments {
    /// Lock
    lock: String,
    #[command(flatten)]
    how: How,
    /// Who holds it; without it a name is made up
    #[arg(long)]
    owner: Option<String>,
    /// How long to wait for it, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    wait_ms: u64,
    /// The command; it finds the lock's name and token in PLINTH_LOCK and PLINTH_LOCK_TOKEN
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

impl RunArguments {
    /// Ends with the command's own exit code; 5 where the lock is taken, or was lost while the command ran.
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let options = HoldOptions {
            owner: self.owner,
            lease_ms: self.how.lease_ms,
            wait_ms: self.wait_ms,
            ..HoldOptions::default()
        };
        let ask = self.how.ask(&self.lock);
        // Before the lock is taken: a signal that comes while it is held must not leave it held.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let guard = context.client.lock().hold(&[ask], options).await?;
        let token = guard.token(&self.lock).unwrap_or_default();
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| anyhow!("no command"))?;
        let spawned = Command::new(program)
            .args(arguments)
            .env("PLINTH_LOCK", &self.lock)
            .env("PLINTH_LOCK_TOKEN", token.to_string())
            .stdin(Stdio::inherit())
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                guard.release().await?;
                return Err(error).with_context(|| format!("cannot run {program}"));
            }
        };
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = guard.lost() => {
                    end(&mut child).await?;
                    return Err(lost(&self.lock));
                }
                _ = terminate.recv() => tell(&child, Signal::TERM),
                // A terminal sends it to the command as well.
                _ = interrupt.recv() => {}
            }
        };
        let held = guard.release().await?;
        if !held {
            return Err(lost(&self.lock));
        }
        match status.code() {
            Some(0) => Ok(()),
            Some(code) => Err(CommandEnded::with(code).into()),
            None => Err(anyhow!("{program} was ended by a signal")),
        }
    }
}

/// Asks a command to end, and kills it where it does not.
async fn end(child: &mut Child) -> Result<()> {
    tell(child, Signal::TERM);
    let grace = Duration::from_millis(GRACE_MS);
    if tokio::time::timeout(grace, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}

fn tell(child: &Child, what: Signal) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    // A command that has ended in the meantime needs no signal.
    let _ended = pid.map(|pid| kill_process(pid, what));
}
