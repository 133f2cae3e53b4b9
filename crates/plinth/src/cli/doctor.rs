//! `plinth doctor`

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Context, Output, Table};
use crate::data_dir::LOCK_FILE;
use crate::settings::{PlaceArguments, Settings};

/// Below how much free space the disk of the data directory is in danger, and below how much it ails, in bytes.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;
const FREE_BYTES_LOW: u64 = 2 * 1024 * 1024 * 1024;

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

/// What one check found.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do; absent where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Good,
            found: found.into(),
            advice: None,
        }
    }

    fn amiss(
        check: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            verdict,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }
}

/// Checks what a server stands on and whether it answers. Errors: a check went badly, after all were shown.
pub(crate) async fn run(
    place: PlaceArguments,
    connect: impl Fn() -> Result<Context>,
    output: Output,
) -> Result<()> {
    let mut findings = vec![Finding::good("version", env!("CARGO_PKG_VERSION"))];
    match place.load() {
        Ok(settings) => {
            findings.push(Finding::good("settings", "valid"));
            let served = look_at_directory(&settings.data_dir, &mut findings);
            findings.push(free_space(&settings.data_dir));
            findings.extend(ports(&settings, served));
            findings.extend(redis(&settings).await);
        }
        Err(error) => findings.push(Finding::amiss(
            "settings",
            Verdict::Bad,
            format!("{error:#}"),
            "mend the file or the variable; the data directory and the ports are not known until then",
        )),
    }
    findings.extend(server(connect).await);
    output.show(&findings, |findings| table(findings))?;
    let bad = findings
        .iter()
        .filter(|found| found.verdict == Verdict::Bad);
    match bad.count() {
        0 => Ok(()),
        1 => bail!("one check went badly; see its advice"),
        count => bail!("{count} checks went badly; see their advice"),
    }
}

/// Whether Redis answers, where the settings name one.
async fn redis(settings: &Settings) -> Option<Finding> {
    const CHECK: &str = "redis";
    Some(match crate::redis::examine(settings).await? {
        Ok((version, None)) => Finding::good(CHECK, format!("answers, version {version}")),
        Ok((_, Some(amiss))) => Finding::amiss(
            CHECK,
            Verdict::Warning,
            amiss,
            "choose another policy: what is dropped has no holder and no value any more",
        ),
        Err(error) => Finding::amiss(
            CHECK,
            Verdict::Bad,
            format!("{error:#}"),
            "start it or mend redis.url; until then what needs Redis is refused",
        ),
    })
}

/// Looks at the data directory; says whether a server holds it.
fn look_at_directory(path: &Path, findings: &mut Vec<Finding>) -> bool {
    const CHECK: &str = "data directory";
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            findings.push(Finding::good(
                CHECK,
                format!("{shown} is not there yet; the first start makes it"),
            ));
            return false;
        }
        Err(error) => {
            findings.push(Finding::amiss(
                CHECK,
                Verdict::Bad,
                format!("{shown}: {error}"),
                "give the user of the server access to it",
            ));
            return false;
        }
    };
    if !metadata.is_dir() {
        findings.push(Finding::amiss(
            CHECK,
            Verdict::Bad,
            format!("{shown} is no directory"),
            "name another with --data-dir or data_dir",
        ));
        return false;
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        findings.push(Finding::good(
            CHECK,
            format!("{shown}, for its owner alone"),
        ));
    } else {
        findings.push(Finding::amiss(
            CHECK,
            Verdict::Warning,
            format!("{shown} has the mode {mode:o}"),
            format!("others may look into it: chmod 700 {shown}"),
        ));
    }
    let held = match File::open(path.join(LOCK_FILE)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return false,
        Err(error) => Err(error.to_string()),
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error.to_string()),
        },
    };
    findings.push(match &held {
        Ok(true) => Finding::good("lock", "a server holds the data directory"),
        Ok(false) => Finding::good("lock", "free: no server runs on the data directory"),
        Err(error) => Finding::amiss(
            "lock",
            Verdict::Bad,
            error,
            "run this as the user of the server",
        ),
    });
    held == Ok(true)
}

/// Free space where the data directory is, or will be.
fn free_space(path: &Path) -> Finding {
    const CHECK: &str = "free disk";
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Some(existing) = absolute.ancestors().find(|folder| folder.exists()) else {
        return Finding::amiss(
            CHECK,
            Verdict::Bad,
            "the disk of the data directory cannot be found",
            "name another with --data-dir",
        );
    };
    let free_bytes = match rustix::fs::statvfs(existing) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            return Finding::amiss(
                CHECK,
                Verdict::Bad,
                error.to_string(),
                "run this as the user of the server",
            );
        }
    };
    let found = format!("{} free", indicatif::HumanBytes(free_bytes));
    match free_bytes {
        ..FREE_BYTES_MIN => Finding::amiss(
            CHECK,
            Verdict::Bad,
            found,
            "make room before writes are refused",
        ),
        FREE_BYTES_MIN..FREE_BYTES_LOW => {
            Finding::amiss(CHECK, Verdict::Warning, found, "make room soon")
        }
        _ => Finding::good(CHECK, found),
    }
}

/// Whether a server could listen where the settings say, or one does.
fn ports(settings: &Settings, served: bool) -> [Finding; 2] {
    [
        port("http port", "--http", settings.http.listen, served),
        port("thrift port", "--thrift", settings.thrift.listen, served),
    ]
}

fn port(check: &'static str, option: &str, address: SocketAddr, served: bool) -> Finding {
    match std::net::TcpListener::bind(address) {
        Ok(_free) if served => Finding::amiss(
            check,
            Verdict::Warning,
            format!("{address} is free, though a server holds the data directory"),
            "it listens elsewhere, or is starting or ending",
        ),
        Ok(_free) => Finding::good(check, format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && served => {
            Finding::good(check, format!("{address} is served"))
        }
        Err(error) => Finding::amiss(
            check,
            Verdict::Bad,
            format!("{address}: {error}"),
            format!(
                "another program has it, or it is not an address of this machine: {option} names another"
            ),
        ),
    }
}

/// Whether the server that the command line names answers to the key, and how it is.
async fn server(connect: impl Fn() -> Result<Context>) -> Vec<Finding> {
    const CHECK: &str = "server";
    let context = match connect() {
        Ok(context) => context,
        Err(error) => {
            return vec![Finding::amiss(
                CHECK,
                Verdict::Warning,
                format!("{error:#}"),
                "with a key the server is asked too",
            )];
        }
    };
    let health = match context.client.access().health().await {
        Ok(health) => health,
        Err(error) => {
            let advice = super::exit::hint(error.code).unwrap_or("look into the log of the server");
            return vec![Finding::amiss(
                CHECK,
                Verdict::Bad,
                error.to_string(),
                advice,
            )];
        }
    };
    let mut findings = vec![match health.status.as_str() {
        "up" => Finding::good(CHECK, "up"),
        status => Finding::amiss(
            CHECK,
            Verdict::Warning,
            status,
            "`plinth health` shows its parts",
        ),
    }];
    if let Some(version) = health.version {
        findings.push(if version == env!("CARGO_PKG_VERSION") {
            Finding::good("server version", version)
        } else {
            Finding::amiss(
                "server version",
                Verdict::Warning,
                version,
                "it is not the version of this command line",
            )
        });
    }
    findings
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(["check", "", "found", "what to do"]);
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "warning",
            Verdict::Bad => "BAD",
        };
        table.row([
            finding.check.to_owned(),
            mark.to_owned(),
            finding.found.clone(),
            finding.advice.clone().unwrap_or_default(),
        ]);
    }
    table
}
