//! `plinth audit …`

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use plinth_client::{AuditEntry, AuditExport, AuditFilter, AuditQuery};

mod tables;
mod verify;

use self::tables::{page_table, record_table, statistics_table};
use self::verify::VerifyArguments;
use super::exit::Usage;
use super::{Context, Output};

/// A complete record of what was done, in a log that nobody can change unnoticed
#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Record one operation
    Log(Box<LogArguments>),
    /// Record many operations at once, all or none: one JSON object a line
    LogBatch {
        /// File of entries, one JSON object a line; `-` reads standard input
        file: PathBuf,
        /// Idempotency key: a repeat with the same key records nothing twice
        #[arg(long, value_name = "KEY")]
        request_id: Option<String>,
    },
    /// Find records
    Query {
        #[command(flatten)]
        filter: Box<FilterArguments>,
        /// Earliest first; without it the latest come first
        #[arg(long)]
        ascending: bool,
        /// Rows of the page
        #[arg(long, default_value_t = 50)]
        limit: i64,
        /// Where the page begins: what the page before named
        #[arg(long)]
        cursor: Option<String>,
        /// Count all matching records too
        #[arg(long)]
        total: bool,
    },
    /// Show one record and the proof that it is in the log
    Get {
        /// Id of the record
        record: String,
        /// Write the proof to this file, in the tlog-proof format
        #[arg(long, value_name = "FILE")]
        proof: Option<PathBuf>,
    },
    /// Export matching records
    Export {
        #[command(flatten)]
        filter: Box<FilterArguments>,
        /// Form of the file
        #[arg(long, value_parser = ["csv", "jsonl"], default_value = "csv")]
        format: String,
        /// File to write; without it, standard output
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Count matching records
    Stats {
        #[command(flatten)]
        filter: Box<FilterArguments>,
        /// Also count by spans of this many milliseconds
        #[arg(long, value_name = "MS")]
        bucket_ms: Option<i64>,
        /// Keys of each breakdown
        #[arg(long, default_value_t = 10)]
        top: i64,
    },
    /// Verify a log: a directory without a server, or the server's own
    Verify(VerifyArguments),
}

/// What is recorded.
#[derive(clap::Args)]
pub(crate) struct LogArguments {
    /// Operation type, such as merchant.approve
    operation: String,
    /// Who did it: id of the person or program
    #[arg(long, value_name = "ID")]
    operator: String,
    /// Name of the operator, for people
    #[arg(long, value_name = "NAME")]
    operator_name: Option<String>,
    /// A role that the operator held; may be given again
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Kind of thing that it was done on
    #[arg(long, value_name = "TYPE")]
    resource_type: String,
    /// Which one
    #[arg(long, value_name = "ID")]
    resource_id: String,
    /// How it ended
    #[arg(long, default_value = "success", value_parser = ["success", "failure", "denied", "unknown"])]
    result: String,
    /// How much it matters
    #[arg(long, value_parser = ["debug", "info", "notice", "warning", "error", "critical"])]
    severity: Option<String>,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Anything more, as JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    details: Option<serde_json::Value>,
    /// State of the resource before, as JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    before: Option<serde_json::Value>,
    /// State of the resource after, as JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    after: Option<serde_json::Value>,
    /// Address that the operator came from
    #[arg(long)]
    ip: Option<String>,
    /// When it happened, unix milliseconds; without it, now
    #[arg(long, value_name = "MS")]
    time_ms: Option<i64>,
    /// Idempotency key: a repeat with the same key records nothing twice
    #[arg(long, value_name = "KEY")]
    request_id: Option<String>,
}

/// Which records.
#[derive(clap::Args)]
pub(crate) struct FilterArguments {
    /// Operation type; one that ends with * finds all that begin so
    #[arg(long)]
    operation: Option<String>,
    /// Id of the operator
    #[arg(long, value_name = "ID")]
    operator: Option<String>,
    /// Name of the operator
    #[arg(long, value_name = "NAME")]
    operator_name: Option<String>,
    /// One of the operator's roles
    #[arg(long, value_name = "ROLE")]
    operator_role: Option<String>,
    /// Type of the resource
    #[arg(long, value_name = "TYPE")]
    resource_type: Option<String>,
    /// Id of the resource
    #[arg(long, value_name = "ID")]
    resource_id: Option<String>,
    /// Result; may be given again
    #[arg(long = "result", value_name = "WORD")]
    results: Vec<String>,
    /// Severity; may be given again
    #[arg(long = "severity", value_name = "WORD")]
    severities: Vec<String>,
    /// Address of the operator
    #[arg(long)]
    ip: Option<String>,
    /// User agent, exactly
    #[arg(long)]
    user_agent: Option<String>,
    /// Trace id
    #[arg(long)]
    trace_id: Option<String>,
    /// Occurs in reason, details, before or after
    #[arg(long)]
    text: Option<String>,
    /// Happened at or after, unix milliseconds
    #[arg(long, value_name = "MS")]
    from_ms: Option<i64>,
    /// Happened before, unix milliseconds
    #[arg(long, value_name = "MS")]
    to_ms: Option<i64>,
    /// Recorded at or after, unix milliseconds
    #[arg(long, value_name = "MS")]
    recorded_from_ms: Option<i64>,
    /// Recorded before, unix milliseconds
    #[arg(long, value_name = "MS")]
    recorded_to_ms: Option<i64>,
    /// Principal whose key wrote the record
    #[arg(long, value_name = "PRINCIPAL")]
    recorded_by: Option<String>,
    /// Id of the key that wrote the record
    #[arg(long, value_name = "KEY-ID")]
    credential: Option<String>,
    /// Who wrote it: caller or gate
    #[arg(long)]
    source: Option<String>,
    /// event, intent or outcome
    #[arg(long)]
    phase: Option<String>,
}

impl AuditCommand {
    /// Runs a command. `connect` makes the client, which offline verification does without.
    pub(crate) async fn run(
        self,
        connect: impl Fn() -> Result<Context>,
        output: Output,
    ) -> Result<()> {
        match self {
            Self::Verify(arguments) => arguments.run(connect, output).await,
            Self::Log(arguments) => log(*arguments, &connect()?).await,
            Self::LogBatch { file, request_id } => {
                let entries = read_entries(&file)?;
                let context = connect()?;
                let audit = context.client.audit();
                let receipts = audit.log_batch(&entries, request_id).await?;
                output.say(&receipts, |receipts| match receipts.as_slice() {
                    [first, .., last] => {
                        format!(
                            "{} records at leaves {} to {}",
                            receipts.len(),
                            first.index,
                            last.index
                        )
                    }
                    [only] => format!("record {} at leaf {}", only.id, only.index),
                    [] => "nothing".to_owned(),
                })
            }
            Self::Query {
                filter,
                ascending,
                limit,
                cursor,
                total,
            } => {
                let query = AuditQuery {
                    filter: (*filter).into(),
                    sort: ascending.then(|| "time_asc".to_owned()),
                    limit: Some(limit),
                    cursor,
                    count_total: total,
                };
                query_page(&query, &connect()?).await
            }
            Self::Get { record, proof } => {
                let found = connect()?.client.audit().get(&record).await?;
                if let Some(file) = proof {
                    std::fs::write(&file, &found.proof.tlog_proof)
                        .with_context(|| format!("cannot write {}", file.display()))?;
                }
                output.show(&found, |found| record_table(&found.record))
            }
            Self::Export { filter, format, to } => {
                export((*filter).into(), format, to, &connect()?).await
            }
            Self::Stats {
                filter,
                bucket_ms,
                top,
            } => {
                let filter = (*filter).into();
                let context = connect()?;
                let audit = context.client.audit();
                let statistics = audit.statistics(&filter, bucket_ms, Some(top)).await?;
                output.show(&statistics, statistics_table)
            }
        }
    }
}

async fn log(arguments: LogArguments, context: &Context) -> Result<()> {
    let resource = (arguments.resource_type, arguments.resource_id);
    let mut entry = AuditEntry::new(
        arguments.operation,
        arguments.operator,
        resource,
        arguments.result,
    );
    entry.operator.name = arguments.operator_name;
    entry.operator.roles = arguments.roles;
    let entry = AuditEntry {
        severity: arguments.severity,
        reason: arguments.reason,
        details: arguments.details,
        before: arguments.before,
        after: arguments.after,
        ip: arguments.ip,
        time_ms: arguments.time_ms,
        ..entry
    };
    let receipt = context
        .client
        .audit()
        .log(&entry, arguments.request_id)
        .await?;
    context.output.say(&receipt, |receipt| {
        format!("record {} at leaf {}", receipt.id, receipt.index)
    })
}

async fn query_page(query: &AuditQuery, context: &Context) -> Result<()> {
    let page = context.client.audit().query(query).await?;
    context.output.show(&page, page_table)?;
    if context.output.is_json() {
        return Ok(());
    }
    if let Some(total) = page.total {
        context.output.text(&format!("{total} records match"))?;
    }
    match &page.next_cursor {
        Some(cursor) => context.output.text(&format!("more: --cursor {cursor}")),
        None => Ok(()),
    }
}

/// Writes the pieces of an export one after the other; on a terminal a line tells how far it is.
async fn export(
    filter: AuditFilter,
    format: String,
    to: Option<PathBuf>,
    context: &Context,
) -> Result<()> {
    let mut file: Box<dyn std::io::Write + Send> = match &to {
        Some(path) => Box::new(
            std::fs::File::create(path)
                .with_context(|| format!("cannot create {}", path.display()))?,
        ),
        None => Box::new(std::io::stdout()),
    };
    let progress = match &to {
        Some(_) => indicatif::ProgressBar::new_spinner().with_message("exporting"),
        None => indicatif::ProgressBar::hidden(),
    };
    let mut request = AuditExport {
        filter,
        format,
        ..AuditExport::default()
    };
    let mut records = 0;
    loop {
        let piece = context.client.audit().export(&request).await?;
        file.write_all(&piece.data)
            .context("cannot write the export")?;
        records += piece.records;
        progress.set_message(format!("{records} records"));
        match piece.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => break,
        }
    }
    file.flush().context("cannot write the export")?;
    progress.finish_and_clear();
    match to {
        Some(path) => {
            let done = serde_json::json!({ "records": records, "file": path });
            context.output.say(&done, |_| {
                format!("{records} records in {}", path.display())
            })
        }
        None => Ok(()),
    }
}

impl From<FilterArguments> for AuditFilter {
    fn from(arguments: FilterArguments) -> Self {
        let (operation, operation_prefix) = match arguments.operation {
            Some(text) => match text.strip_suffix('*') {
                Some(prefix) => (None, (!prefix.is_empty()).then(|| prefix.to_owned())),
                None => (Some(text), None),
            },
            None => (None, None),
        };
        Self {
            operation,
            operation_prefix,
            operator_id: arguments.operator,
            operator_name: arguments.operator_name,
            operator_role: arguments.operator_role,
            resource_type: arguments.resource_type,
            resource_id: arguments.resource_id,
            results: arguments.results,
            severities: arguments.severities,
            ip: arguments.ip,
            user_agent: arguments.user_agent,
            trace_id: arguments.trace_id,
            text: arguments.text,
            from_ms: arguments.from_ms,
            to_ms: arguments.to_ms,
            recorded_from_ms: arguments.recorded_from_ms,
            recorded_to_ms: arguments.recorded_to_ms,
            recorded_by: arguments.recorded_by,
            credential: arguments.credential,
            source: arguments.source,
            phase: arguments.phase,
        }
    }
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
}

fn read_entries(file: &std::path::Path) -> Result<Vec<AuditEntry>> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    }
    .with_context(|| format!("cannot read {}", file.display()))?;
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .enumerate();
    let entries: Result<Vec<AuditEntry>> = lines
        .map(|(place, line)| {
            serde_json::from_str(line)
                .map_err(|error| Usage(format!("entry {}: {error}", place + 1)).into())
        })
        .collect();
    match entries? {
        entries if entries.is_empty() => bail!(Usage("there are no entries".to_owned())),
        entries => Ok(entries),
    }
}
