//! `plinth db …`

mod present;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use plinth_client::{
    DbAdviceRequest, DbPoolOptions, DbRegistration, DbSlowQueryFilter, DbStatement, DbStep,
    DbTransactionOptions, DbValue,
};
use plinth_core::{Fence, SecretString};

use super::Context;
use super::exit::Usage;

/// Databases: query, explain, advise
#[derive(Subcommand)]
pub(crate) enum DbCommand {
    /// Register a named database or change its definition
    Register(RegisterArguments),
    /// List registered databases with their pools
    List {
        /// Only names that begin with this
        #[arg(long)]
        prefix: Option<String>,
        /// Rows of a page, 1 to 1000
        #[arg(long)]
        limit: Option<i64>,
        /// Where to go on: the cursor that the page before ended with
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Remove a registered database; the database itself is not touched
    Remove {
        /// Its name
        database: String,
        /// How long running statements may take to end, in milliseconds
        #[arg(long, value_name = "MS")]
        drain_timeout_ms: Option<i64>,
    },
    /// Run one statement; every placeholder is ?
    Query {
        #[command(flatten)]
        statement: StatementArguments,
        /// Most rows of the answer
        #[arg(long, value_name = "N")]
        max_rows: Option<i32>,
        /// Where to go on: the cursor that the page before ended with
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Run statements as one transaction, all or nothing
    Transaction {
        /// The database
        database: String,
        /// A step: SQL, or JSON {"sql": …, "params": […], "expect_rows_affected": …} (repeatable)
        #[arg(long = "step", required = true, value_name = "STEP")]
        steps: Vec<String>,
        /// read_committed, repeatable_read or serializable
        #[arg(long)]
        isolation: Option<String>,
        /// Idempotency key: the same one again gets the first answer
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,
        /// Lock under whose grant it is made
        #[arg(long, value_name = "LOCK", requires = "fence_token")]
        fence: Option<String>,
        /// Token of that grant
        #[arg(long, value_name = "TOKEN", requires = "fence")]
        fence_token: Option<i64>,
    },
    /// Explain a statement and say what is wrong with it
    Analyze {
        #[command(flatten)]
        statement: StatementArguments,
        /// Run it and show actual rows and times; only for reads
        #[arg(long)]
        run: bool,
    },
    /// Suggest indexes, each with its gain measured on a copy
    Suggest {
        /// The database
        database: String,
        /// For the statements seen on this table
        #[arg(long, conflicts_with = "sql", required_unless_present = "sql")]
        table: Option<String>,
        /// For this statement
        #[arg(long)]
        sql: Option<String>,
        /// Value of the next ? of --sql (repeatable); as for `query`
        #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
        params: Vec<String>,
        /// Rows of the table that are copied to measure on
        #[arg(long, value_name = "N")]
        sample_rows: Option<i32>,
    },
    /// List the statements that took longest, by shape
    Slow {
        /// The database
        database: String,
        /// total, mean or max time
        #[arg(long)]
        order_by: Option<String>,
        /// Rows of the list
        #[arg(long)]
        limit: Option<i64>,
        /// Also statements that never reached the threshold
        #[arg(long)]
        include_fast: bool,
    },
}

/// A database to register.
#[derive(Args)]
pub(crate) struct RegisterArguments {
    /// Its name
    database: String,
    /// sqlite, postgres or mariadb
    #[arg(long)]
    engine: String,
    /// Address without a password: postgres://user@host/database, mysql://…, or a SQLite file below the server's
    /// database directory
    #[arg(long)]
    url: String,
    /// Password of the user; better given by the environment, where no process list shows it
    #[arg(long, env = "PLINTH_DB_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// File of certificates in PEM that sign the server's own; for sslmode=verify-ca and verify-full in the address
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Refuse statements that write
    #[arg(long)]
    read_only: bool,
    /// Connections kept open while idle
    #[arg(long, value_name = "N")]
    min_connections: Option<i32>,
    /// Most connections
    #[arg(long, value_name = "N")]
    max_connections: Option<i32>,
    /// Longest wait for a free connection, in milliseconds
    #[arg(long, value_name = "MS")]
    acquire_timeout_ms: Option<i64>,
    /// Age at which a connection is replaced, in milliseconds
    #[arg(long, value_name = "MS")]
    max_lifetime_ms: Option<i64>,
    /// Idle time after which a connection is closed, in milliseconds
    #[arg(long, value_name = "MS")]
    idle_timeout_ms: Option<i64>,
    /// From which time on a statement counts as slow, in milliseconds
    #[arg(long, value_name = "MS")]
    slow_query_threshold_ms: Option<i64>,
    /// Version that the definition must have; 0: it must not exist yet
    #[arg(long, value_name = "VERSION")]
    if_version: Option<i64>,
}

/// A statement with its values.
#[derive(Args)]
pub(crate) struct StatementArguments {
    /// The database
    database: String,
    /// Exactly one statement
    sql: String,
    /// Value of the next ? (repeatable): text; typed as int:5, float:1.5, decimal:1.10, bool:true, date:…, time:…,
    /// timestamp:…, json:…, uuid:…, hex:…, text:…; or null
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    params: Vec<String>,
    /// Longest run time, in milliseconds
    #[arg(long = "statement-timeout-ms", value_name = "MS")]
    statement_timeout_ms: Option<i64>,
}

impl StatementArguments {
    fn statement(&self) -> Result<DbStatement> {
        Ok(DbStatement {
            timeout_ms: self.statement_timeout_ms,
            ..DbStatement::new(&self.sql, params(&self.params)?)
        })
    }
}

impl DbCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Register(arguments) => register(context, arguments).await,
            Self::List {
                prefix,
                limit,
                cursor,
            } => list(context, prefix, limit, cursor).await,
            Self::Remove {
                database,
                drain_timeout_ms,
            } => remove(context, &database, drain_timeout_ms).await,
            Self::Query {
                statement,
                max_rows,
                cursor,
            } => query(context, &statement, max_rows, cursor).await,
            Self::Transaction {
                database,
                steps,
                isolation,
                request_id,
                fence,
                fence_token,
            } => {
                let fence = fence
                    .zip(fence_token)
                    .map(|(name, token)| Fence::parse(&name, token))
                    .transpose()
                    .map_err(plinth_client::ClientError::from)?;
                let options = DbTransactionOptions {
                    isolation,
                    request_id,
                    fence,
                    ..DbTransactionOptions::default()
                };
                transaction(context, &database, &steps, &options).await
            }
            Self::Analyze { statement, run } => analyze(context, &statement, run).await,
            Self::Suggest {
                database,
                table,
                sql,
                params: values,
                sample_rows,
            } => {
                let subject = DbAdviceRequest {
                    table,
                    sql,
                    params: params(&values)?,
                    sample_rows,
                    timeout_ms: None,
                };
                let advice = context.client.db().suggest(&database, &subject).await?;
                context.output.say(&advice, present::advice)
            }
            Self::Slow {
                database,
                order_by,
                limit,
                include_fast,
            } => {
                let filter = DbSlowQueryFilter {
                    order_by,
                    limit,
                    include_fast: Some(include_fast),
                };
                let slow = context.client.db().slow_queries(&database, &filter).await?;
                context.output.show(&slow, present::slow_queries)
            }
        }
    }
}

async fn register(context: &Context, arguments: RegisterArguments) -> Result<()> {
    let tls_ca = match &arguments.tls_ca {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?,
        ),
        None => None,
    };
    let registration = DbRegistration {
        engine: arguments.engine,
        url: arguments.url,
        secret: arguments.secret.map(SecretString::new),
        tls_ca,
        read_only: arguments.read_only,
        pool: DbPoolOptions {
            min_connections: arguments.min_connections,
            max_connections: arguments.max_connections,
            acquire_timeout_ms: arguments.acquire_timeout_ms,
            max_lifetime_ms: arguments.max_lifetime_ms,
            idle_timeout_ms: arguments.idle_timeout_ms,
        },
        slow_query_threshold_ms: arguments.slow_query_threshold_ms,
        if_version: arguments.if_version,
    };
    let db = context.client.db();
    let registered = db.register(&arguments.database, &registration).await?;
    context.output.say(&registered, |registered| {
        let done = if registered.created {
            "registered"
        } else {
            "changed"
        };
        format!(
            "{} is {done} at version {}",
            registered.info.database, registered.info.version.0
        )
    })
}

async fn list(
    context: &Context,
    prefix: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
) -> Result<()> {
    let db = context.client.db();
    let page = db.list(prefix.as_deref(), limit, cursor.as_deref()).await?;
    context
        .output
        .show(&page, |page| present::databases(&page.databases))?;
    say_next(context, page.next_cursor.as_deref())
}

async fn remove(context: &Context, database: &str, drain_timeout_ms: Option<i64>) -> Result<()> {
    let removed = context
        .client
        .db()
        .remove(database, drain_timeout_ms)
        .await?;
    context.output.say(&removed, |removed| {
        if removed.removed {
            format!(
                "{database} is removed; {} statements were cut off",
                removed.aborted
            )
        } else {
            format!("{database} was not registered")
        }
    })
}

async fn query(
    context: &Context,
    arguments: &StatementArguments,
    max_rows: Option<i32>,
    cursor: Option<String>,
) -> Result<()> {
    let statement = DbStatement {
        max_rows,
        cursor,
        ..arguments.statement()?
    };
    let db = context.client.db();
    let result = db.execute(&arguments.database, &statement).await?;
    if result.columns.is_empty() {
        return context.output.say(&result, |result| {
            format!("{} rows changed", result.rows_affected)
        });
    }
    context.output.show(&result, |result| {
        present::rows(&result.columns, &result.rows)
    })?;
    if result.truncated && result.next_cursor.is_none() && !context.output.is_json() {
        context
            .output
            .text("more follow; order the rows to page through them")?;
    }
    say_next(context, result.next_cursor.as_deref())
}

async fn transaction(
    context: &Context,
    database: &str,
    steps: &[String],
    options: &DbTransactionOptions,
) -> Result<()> {
    let steps = steps
        .iter()
        .map(|text| step(text))
        .collect::<Result<Vec<DbStep>>>()?;
    let db = context.client.db();
    let done = db.transaction(database, &steps, options).await?;
    context.output.say(&done, present::transaction)
}

async fn analyze(context: &Context, arguments: &StatementArguments, run: bool) -> Result<()> {
    let statement = arguments.statement()?;
    let db = context.client.db();
    let plan = db.analyze(&arguments.database, &statement, run).await?;
    context.output.say(&plan, present::plan)
}

/// Tells people how to get the next page; programs read the cursor in the document.
fn say_next(context: &Context, next_cursor: Option<&str>) -> Result<()> {
    match next_cursor {
        Some(cursor) if !context.output.is_json() => context
            .output
            .text(&format!("more follow: --cursor {cursor}")),
        _ => Ok(()),
    }
}

/// Reads a step: plain SQL, or a JSON object.
fn step(text: &str) -> Result<DbStep> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        sql: String,
        #[serde(default)]
        params: Vec<DbValue>,
        expect_rows_affected: Option<i64>,
        expect_rows_min: Option<i64>,
        expect_rows_max: Option<i64>,
        max_rows: Option<i32>,
    }
    if !text.trim_start().starts_with('{') {
        return Ok(DbStep::new(text, Vec::new()));
    }
    let written: Written = serde_json::from_str(text)
        .with_context(|| format!("the step {text} is not as it should be"))?;
    Ok(DbStep {
        sql: written.sql,
        params: written.params,
        expect_rows_affected: written.expect_rows_affected,
        expect_rows_min: written.expect_rows_min,
        expect_rows_max: written.expect_rows_max,
        max_rows: written.max_rows,
    })
}

fn params(texts: &[String]) -> Result<Vec<DbValue>> {
    texts.iter().map(|text| param(text)).collect()
}

/// Reads a value: `int:5`, `null`, or text as it is.
fn param(text: &str) -> Result<DbValue> {
    if text == "null" {
        return Ok(DbValue::Null);
    }
    let Some((kind, value)) = text.split_once(':') else {
        return Ok(DbValue::from(text));
    };
    let refuse = |what: &str| Usage(format!("--param {text}: `{value}` is no {what}"));
    let owned = value.to_owned();
    Ok(match kind {
        "int" => DbValue::Int(value.parse().map_err(|_| refuse("integer"))?),
        "float" => DbValue::Float(value.parse().map_err(|_| refuse("number"))?),
        "bool" => DbValue::Bool(value.parse().map_err(|_| refuse("true or false"))?),
        "hex" => DbValue::Bytes(
            present::hex(value)
                .ok_or_else(|| refuse("hexadecimal"))?
                .into(),
        ),
        "decimal" => DbValue::Decimal(owned),
        "date" => DbValue::Date(owned),
        "time" => DbValue::Time(owned),
        "timestamp" => DbValue::Timestamp(owned),
        "json" => DbValue::Json(owned),
        "uuid" => DbValue::Uuid(owned),
        "text" => DbValue::Text(owned),
        // A colon in plain text: a name such as `a:b`.
        _ => DbValue::from(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_kind() {
        let read = |text| param(text).expect("is a value");
        assert_eq!(read("int:-5"), DbValue::Int(-5));
        assert_eq!(read("null"), DbValue::Null);
        assert_eq!(read("text:null"), DbValue::from("null"));
        assert_eq!(read("a:b"), DbValue::from("a:b"));
        assert_eq!(read("hex:00ff"), DbValue::Bytes(vec![0, 255].into()));
        assert!(param("int:x").is_err() && param("hex:0").is_err());
    }

    #[test]
    fn a_step_is_sql_or_json() {
        assert_eq!(step("select 1").expect("is a step").sql, "select 1");
        let written =
            step(r#"{"sql":"select ?","params":[{"int_value":"5"}]}"#).expect("is a step");
        assert_eq!(written.params, [DbValue::Int(5)]);
        assert!(step(r#"{"sql":"x","other":1}"#).is_err());
    }
}
