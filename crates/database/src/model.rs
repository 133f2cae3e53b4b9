//! Requests, replies and their limits. What a caller may send is checked here, in one place for both edges.

pub(crate) mod calendar;
mod definition;
mod endpoint;
mod insight;
mod query;
mod value;

pub use definition::{
    DatabaseDefinition, DatabaseInfo, DatabaseName, EngineKind, ListDatabasesReply,
    ListDatabasesRequest, PoolOptions, PoolStatus, RegisterDatabaseReply, RegisterDatabaseRequest,
    RemoveDatabaseReply, RemoveDatabaseRequest,
};
pub(crate) use endpoint::{Endpoint, NetworkEndpoint, TlsMode};
pub use insight::{
    AnalyzeReply, AnalyzeRequest, Finding, FindingCode, IndexSuggestion, IndexSuggestionsReply,
    IndexSuggestionsRequest, MeasuredGain, NoAdvice, NoAdviceCode, PlanKind, PlanNode, Severity,
    SlowQueriesReply, SlowQueriesRequest, SlowQuery, SlowQueryOrder, TimeBucket,
};
pub(crate) use query::timeout as query_timeout;
pub use query::{
    Column, Isolation, QueryReply, QueryRequest, Row, Step, StepResult, TransactionFence,
    TransactionReply, TransactionRequest,
};
pub use value::{DECIMAL_DIGITS_MAX, FloatWire, Value, ValueWire};
pub(crate) use value::{format_uuid, parse_uuid};

/// Longest statement, in bytes.
pub const SQL_BYTES_MAX: usize = 256 * 1024;
/// Most parameters of a statement: SQLite's own limit, the lowest of the three.
pub const PARAMS_MAX: usize = 32_766;
/// Longest run time that a caller may ask for, in milliseconds.
pub const TIMEOUT_MS_MAX: i64 = 120_000;
/// Most rows of an answer.
pub const ROWS_MAX: i32 = 100_000;
/// Rows of an answer where the caller names no number.
pub const ROWS_DEFAULT: i32 = 1_000;
/// Least bytes that a caller may limit an answer to.
pub const ANSWER_BYTES_MIN: i64 = 1_024;
/// Most bytes of an answer's values: half of the largest frame.
pub const ANSWER_BYTES_MAX: i64 = 8 * 1024 * 1024;
/// Bytes of an answer's values where the caller names no number.
pub const ANSWER_BYTES_DEFAULT: i64 = 4 * 1024 * 1024;
/// Most steps of a transaction.
pub const STEPS_MAX: usize = 1_000;
/// Most rows of one step's answer.
pub const STEP_ROWS_MAX: i32 = 10_000;
/// Most attempts at a transaction.
pub const ATTEMPTS_MAX: i32 = 10;
/// Attempts at a transaction where the caller names no number.
pub const ATTEMPTS_DEFAULT: i32 = 3;
/// Longest url, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;
/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 1_024;
/// Longest text of certificates that sign a database's own, in bytes.
pub const TLS_CA_BYTES_MAX: usize = 16 * 1024;
/// Most databases of a tenant.
pub const DATABASES_PER_TENANT_MAX: usize = 256;
/// Most connections of one pool.
pub const POOL_CONNECTIONS_MAX: i32 = 1_000;
/// Longest threshold of slow statements, in milliseconds.
pub const SLOW_THRESHOLD_MS_MAX: i64 = 3_600_000;
/// Longest drain of a removed database, in milliseconds.
pub const DRAIN_TIMEOUT_MS_MAX: i64 = 60_000;
/// Least rows of a sample that an index is measured on.
pub const SAMPLE_ROWS_MIN: i32 = 1_000;
/// Most rows of a sample that an index is measured on.
pub const SAMPLE_ROWS_MAX: i32 = 200_000;
/// Rows of a sample where the caller names no number.
pub const SAMPLE_ROWS_DEFAULT: i32 = 100_000;

/// Takes a number within its limits, or the default. Errors: 1001 naming `field`.
pub(crate) fn within<N>(
    field: &str,
    number: Option<N>,
    default: N,
    least: N,
    most: N,
) -> plinth_core::Result<N>
where
    N: Copy + PartialOrd + std::fmt::Display,
{
    let number = number.unwrap_or(default);
    if number < least || number > most {
        return Err(plinth_core::Error::invalid(
            field,
            format!("is {number}, must lie in {least}..={most}"),
        ));
    }
    Ok(number)
}

/// Checks the parameters of a statement against its placeholders. Errors: 1001 naming `params` or one of them.
pub(crate) fn check_params(params: &[Value], placeholders: usize) -> plinth_core::Result<()> {
    if params.len() != placeholders {
        return Err(plinth_core::Error::invalid(
            "params",
            format!(
                "has {} values, the statement has {placeholders} placeholders",
                params.len()
            ),
        ));
    }
    for (at, param) in params.iter().enumerate() {
        param.check(&format!("params[{at}]"))?;
    }
    Ok(())
}
