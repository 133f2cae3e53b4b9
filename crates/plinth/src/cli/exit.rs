//! How a command ends: the error for people, the exit code for programs.

use std::io::Write as _;
use std::process::ExitCode;

use plinth_client::ClientError;

/// The command line cannot be carried out as it stands.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A command that was run under a lock ended with a code of its own, and so does this one.
#[derive(Debug, thiserror::Error)]
#[error("the command ended with {code}")]
pub(crate) struct CommandEnded {
    code: u8,
}

impl CommandEnded {
    /// Codes of a process lie in 0..=255.
    pub(crate) fn with(code: i32) -> Self {
        Self {
            code: u8::try_from(code).unwrap_or(1),
        }
    }
}

/// Says what went wrong on standard error and picks the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(ended) = error.downcast_ref::<CommandEnded>() {
        // The command has said itself what it had to say.
        return ExitCode::from(ended.code);
    }
    let mut stderr = std::io::stderr().lock();
    // Where standard error is closed there is nobody to tell.
    let _told = match error.downcast_ref::<ClientError>() {
        Some(refusal) => before(&mut stderr, error).and_then(|()| tell(&mut stderr, refusal)),
        None => writeln!(stderr, "error: {error:#}"),
    };
    ExitCode::from(code(error))
}

/// What was added to a refusal on its way here.
fn before(stderr: &mut impl std::io::Write, error: &anyhow::Error) -> std::io::Result<()> {
    for cause in error.chain().take_while(|cause| !cause.is::<ClientError>()) {
        writeln!(stderr, "{cause}:")?;
    }
    Ok(())
}

fn tell(stderr: &mut impl std::io::Write, error: &ClientError) -> std::io::Result<()> {
    writeln!(
        stderr,
        "error {} {}: {}",
        error.code, error.reason, error.message
    )?;
    let named =
        |violation: &&plinth_client::FieldViolation| !error.message.starts_with(&violation.field);
    for violation in error.violations.iter().filter(named) {
        writeln!(stderr, "  {}: {}", violation.field, violation.message)?;
    }
    if error.outcome == plinth_client::Outcome::Unknown {
        writeln!(
            stderr,
            "  whether it took effect is unknown: look before you repeat it"
        )?;
    }
    if let Some(delay_ms) = error.retry_after_ms {
        writeln!(stderr, "  try again in {delay_ms} ms")?;
    }
    if let Some(hint) = hint(error.code) {
        writeln!(stderr, "  {hint}")?;
    }
    if let Some(trace_id) = &error.trace_id {
        writeln!(stderr, "  trace {trace_id}")?;
    }
    Ok(())
}

pub(super) fn hint(code: u16) -> Option<&'static str> {
    match code {
        1002 => Some("is PLINTH_KEY the key of this server, and neither expired nor revoked?"),
        1003 => Some("`plinth access who-am-i` shows what this key may do"),
        1012 => {
            Some("is the server running? `plinth serve` starts one; --server names its address")
        }
        _ => None,
    }
}

fn code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Usage>().is_some() {
        return 2;
    }
    match error
        .downcast_ref::<ClientError>()
        .map(|error| (error.code, error.retriable))
    {
        Some((1004 | 2002, _)) => 3,
        Some((1002 | 1003, _)) => 4,
        Some((1005 | 1006 | 2105 | 2602 | 2603 | 2604, _)) => 5,
        Some((_, true)) => 6,
        Some(_) | None => 1,
    }
}
