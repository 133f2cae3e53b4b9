//! The databases.

mod insight;
mod model;
mod value;
mod wire;

use faststr::FastStr;
use plinth_core::WideInt;
use plinth_idl::db as idl;
use reqwest::Method;
use serde_json::json;

pub use self::insight::{
    DbAdvice, DbAdviceRequest, DbFinding, DbIndexSuggestion, DbMeasuredGain, DbNoAdvice, DbPlan,
    DbPlanNode, DbSlowQueries, DbSlowQuery, DbSlowQueryFilter, DbTimeBucket,
};
pub use self::model::{
    DbColumn, DbDatabase, DbDatabasePage, DbPoolOptions, DbPoolStatus, DbRegistered,
    DbRegistration, DbRemoved, DbResult, DbRow, DbStatement, DbStep, DbStepResult,
    DbTransactionOptions, DbTransactionResult,
};
pub use self::value::DbValue;
use crate::error::Result;
use crate::retry::Repeat;
use crate::transport::Transport;
use crate::transport::http::idempotent;
use crate::{Client, request_id};

/// The database operations of a client.
#[derive(Clone, Copy)]
pub struct DbClient<'client> {
    client: &'client Client,
}

const DATABASES: [&str; 3] = ["v1", "db", "databases"];

fn path<'path>(database: &'path str, rest: &[&'path str]) -> Vec<&'path str> {
    DATABASES
        .into_iter()
        .chain([database])
        .chain(rest.iter().copied())
        .collect()
}

fn text(text: &str) -> FastStr {
    FastStr::new(text)
}

fn optional(text: Option<&str>) -> Option<FastStr> {
    text.map(FastStr::new)
}

impl<'client> DbClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }

    pub(crate) const fn client(&self) -> &'client Client {
        self.client
    }

    /// Registers a database or changes its definition. Repeated after a lost answer only without `if_version`: then a
    /// second registration is the same one.
    ///
    /// Errors: 1001 naming the field, 1006 where `if_version` does not hold.
    pub async fn register(
        &self,
        database: &str,
        registration: &DbRegistration,
    ) -> Result<DbRegistered> {
        let repeat = match registration.if_version {
            None => Repeat::Safe,
            Some(_) => Repeat::Never,
        };
        self.client
            .run(repeat, || self.register_once(database, registration))
            .await
    }

    async fn register_once(
        &self,
        database: &str,
        registration: &DbRegistration,
    ) -> Result<DbRegistered> {
        let secret = registration.secret.as_ref().map(|secret| secret.expose());
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::DbRegisterDatabaseRequest {
                    database: text(database),
                    engine: text(&registration.engine),
                    url: text(&registration.url),
                    secret: optional(secret),
                    read_only: Some(registration.read_only),
                    pool: Some(wire::pool(registration.pool)),
                    slow_query_threshold_ms: registration.slow_query_threshold_ms,
                    if_version: registration.if_version,
                    tls_ca: optional(registration.tls_ca.as_deref()),
                    ..Default::default()
                };
                let reply = thrift
                    .call(thrift.api().db_register_database(request))
                    .await?;
                Ok(DbRegistered {
                    info: reply.info.into(),
                    created: reply.created,
                })
            }
            Transport::Http(http) => {
                let body = json!({
                    "engine": registration.engine, "url": registration.url, "secret": secret,
                    "read_only": registration.read_only, "pool": registration.pool,
                    "slow_query_threshold_ms": registration.slow_query_threshold_ms,
                    "if_version": registration.if_version.map(WideInt),
                    "tls_ca": registration.tls_ca,
                });
                let request = http.request(Method::PUT, &path(database, &[]));
                http.json(request.json(&body)).await
            }
        }
    }

    /// Lists registered databases from a place in the listing.
    pub async fn list(
        &self,
        prefix: Option<&str>,
        limit: Option<i64>,
        cursor: Option<&str>,
    ) -> Result<DbDatabasePage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::DbListDatabasesRequest {
                        prefix: optional(prefix),
                        limit,
                        cursor: optional(cursor),
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().db_list_databases(request)).await?;
                    Ok(DbDatabasePage {
                        databases: reply.databases.into_iter().map(DbDatabase::from).collect(),
                        next_cursor: reply.next_cursor.map(|cursor| cursor.to_string()),
                    })
                }
                Transport::Http(http) => {
                    let fields = [
                        ("prefix", prefix.map(str::to_owned)),
                        ("limit", limit.map(|limit| limit.to_string())),
                        ("cursor", cursor.map(str::to_owned)),
                    ];
                    let query: Vec<_> = fields
                        .into_iter()
                        .filter(|(_, value)| value.is_some())
                        .collect();
                    let request = http.request(Method::GET, &DATABASES);
                    http.json(request.query(&query)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Removes a definition; running statements end or are stopped. The database itself is not touched.
    pub async fn remove(&self, database: &str, drain_timeout_ms: Option<i64>) -> Result<DbRemoved> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::DbRemoveDatabaseRequest {
                        database: text(database),
                        drain_timeout_ms,
                        ..Default::default()
                    };
                    let reply = thrift
                        .call(thrift.api().db_remove_database(request))
                        .await?;
                    Ok(DbRemoved {
                        removed: reply.removed,
                        aborted: reply.aborted,
                    })
                }
                Transport::Http(http) => {
                    let mut request = http.request(Method::DELETE, &path(database, &[]));
                    if let Some(drain_timeout_ms) = drain_timeout_ms {
                        request = request.query(&[("drain_timeout_ms", drain_timeout_ms)]);
                    }
                    http.json(request).await
                }
            }
        };
        // A repeat would say "was not registered" of what its lost first answer had removed.
        self.client.run(Repeat::Never, call).await
    }

    /// Runs a statement that only reads; repeated after a lost answer.
    ///
    /// Errors: 1001 naming the field, 1004, 1010, 2401, 2402, 2404.
    pub async fn query(&self, database: &str, statement: &DbStatement) -> Result<DbResult> {
        self.client
            .run(Repeat::Safe, || self.execute_once(database, statement))
            .await
    }

    /// Runs any statement, once. Where its answer is lost the error says so; a transaction under an idempotency key can
    /// be repeated instead.
    ///
    /// Errors: as [`DbClient::query`], and 1003 on a read-only database.
    pub async fn execute(&self, database: &str, statement: &DbStatement) -> Result<DbResult> {
        self.client
            .run(Repeat::Never, || self.execute_once(database, statement))
            .await
    }

    async fn execute_once(&self, database: &str, statement: &DbStatement) -> Result<DbResult> {
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::DbExecuteQueryRequest {
                    database: text(database),
                    sql: text(&statement.sql),
                    params: wire::params(&statement.params),
                    timeout_ms: statement.timeout_ms,
                    max_rows: statement.max_rows,
                    max_bytes: statement.max_bytes,
                    cursor: optional(statement.cursor.as_deref()),
                    ..Default::default()
                };
                let reply = thrift.call(thrift.api().db_execute_query(request)).await?;
                Ok(DbResult::from(reply))
            }
            Transport::Http(http) => {
                let request = http.request(Method::POST, &path(database, &["query"]));
                http.json(request.json(statement)).await
            }
        }
    }

    /// Runs steps, all or nothing, once for the idempotency key in `options`; one is made up where it is absent.
    /// Repeated after a lost answer: the first answer comes again.
    ///
    /// Errors: as [`DbClient::execute`], naming `steps[i]`; 1005 where the key was used for other steps, 1006 where a
    /// condition does not hold, 2403, 2405.
    pub async fn transaction(
        &self,
        database: &str,
        steps: &[DbStep],
        options: &DbTransactionOptions,
    ) -> Result<DbTransactionResult> {
        let id = request_id(options.request_id.clone());
        self.client
            .run(Repeat::Safe, || {
                self.transaction_once(database, steps, options, &id)
            })
            .await
    }

    async fn transaction_once(
        &self,
        database: &str,
        steps: &[DbStep],
        options: &DbTransactionOptions,
        id: &str,
    ) -> Result<DbTransactionResult> {
        match self.client.transport() {
            Transport::Thrift(thrift) => {
                let request = idl::DbExecuteTransactionRequest {
                    database: text(database),
                    steps: steps.iter().map(idl::DbStep::from).collect(),
                    isolation: optional(options.isolation.as_deref()),
                    timeout_ms: options.timeout_ms,
                    max_attempts: options.max_attempts,
                    fence: options.fence.as_ref().map(crate::fence::thrift),
                    request_id: Some(text(id)),
                    ..Default::default()
                };
                let reply = thrift
                    .call(thrift.api().db_execute_transaction(request))
                    .await?;
                Ok(DbTransactionResult::from(reply))
            }
            Transport::Http(http) => {
                let body = json!({
                    "steps": steps, "isolation": options.isolation,
                    "timeout_ms": options.timeout_ms, "max_attempts": options.max_attempts,
                    "fence": options.fence.as_ref().map(crate::fence::json),
                });
                let request = http
                    .request(Method::POST, &path(database, &["transaction"]))
                    .json(&body);
                http.json(idempotent(request, id)).await
            }
        }
    }

    /// Explains a statement, and runs it where `analyze`: only reads. Errors: 1001 naming `analyze`, else as
    /// [`DbClient::query`].
    pub async fn analyze(
        &self,
        database: &str,
        statement: &DbStatement,
        analyze: bool,
    ) -> Result<DbPlan> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::DbAnalyzeQueryRequest {
                        database: text(database),
                        sql: text(&statement.sql),
                        params: wire::params(&statement.params),
                        analyze: Some(analyze),
                        timeout_ms: statement.timeout_ms,
                        ..Default::default()
                    };
                    let reply = thrift.call(thrift.api().db_analyze_query(request)).await?;
                    Ok(DbPlan::from(reply))
                }
                Transport::Http(http) => {
                    let body = json!({
                        "sql": statement.sql, "params": statement.params, "analyze": analyze,
                        "timeout_ms": statement.timeout_ms,
                    });
                    let request = http.request(Method::POST, &path(database, &["analyze"]));
                    http.json(request.json(&body)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Suggests indexes with their measured gain. Errors: 1001 naming `sql` unless exactly one of `table` and `sql` is
    /// given.
    pub async fn suggest(&self, database: &str, subject: &DbAdviceRequest) -> Result<DbAdvice> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::DbGetIndexSuggestionsRequest {
                        database: text(database),
                        table: optional(subject.table.as_deref()),
                        sql: optional(subject.sql.as_deref()),
                        params: wire::params(&subject.params),
                        sample_rows: subject.sample_rows,
                        timeout_ms: subject.timeout_ms,
                        ..Default::default()
                    };
                    let call = thrift.api().db_get_index_suggestions(request);
                    thrift.call(call).await.map(DbAdvice::from)
                }
                Transport::Http(http) => {
                    let path = path(database, &["index-suggestions"]);
                    http.json(http.request(Method::POST, &path).json(subject))
                        .await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Lists the statements that took longest, by shape.
    pub async fn slow_queries(
        &self,
        database: &str,
        filter: &DbSlowQueryFilter,
    ) -> Result<DbSlowQueries> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::DbGetSlowQueriesRequest {
                        database: text(database),
                        order_by: optional(filter.order_by.as_deref()),
                        limit: filter.limit,
                        include_fast: filter.include_fast,
                        ..Default::default()
                    };
                    let call = thrift.api().db_get_slow_queries(request);
                    thrift.call(call).await.map(DbSlowQueries::from)
                }
                Transport::Http(http) => {
                    let path = path(database, &["slow-queries"]);
                    http.json(http.request(Method::GET, &path).query(filter))
                        .await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
