//! Explaining a statement.

use std::collections::HashMap;
use std::sync::Arc;

use plinth_core::{CallContext, Deadline, Error};

use super::{DatabaseService, deadline, elapsed_us};
use crate::analyze::findings::{self, Case, TableFact};
use crate::analyze::{Plan, mariadb, postgres, sqlite, syntax};
use crate::backend::Execution;
use crate::error::{BackendError, DatabaseError};
use crate::model::{
    AnalyzeReply, AnalyzeRequest, EngineKind, PlanKind, PlanNode, Value, check_params,
    query_timeout,
};
use crate::pool::Lease;
use crate::running::Database;
use crate::sql::{Access, Statement};

/// Rows of a table that are counted, at most.
const COUNTED_ROWS_MAX: i64 = 100_000;
/// Tables of a plan that are counted, at most.
const COUNTED_TABLES_MAX: usize = 16;
/// Rows that a statement may return while it is timed on SQLite.
const TIMED_ROWS_MAX: usize = 1_000_000;

impl DatabaseService {
    /// Explains a statement, and runs it where asked: in a transaction that only reads and is rolled back.
    ///
    /// Errors: 1001 naming `analyze` for a statement that writes; else as [`DatabaseService::execute_query`].
    pub async fn analyze_query(
        &self,
        context: &CallContext,
        database: &str,
        request: AnalyzeRequest,
    ) -> Result<AnalyzeReply, DatabaseError> {
        context.check_deadline()?;
        let timeout_ms = query_timeout(request.timeout_ms)?;
        let database = self.database(&context.caller.tenant, database).await?;
        let statement = database.statement(&request.sql)?;
        let params = filled_params(&database, &statement, request.params)?;
        let analyze = request.analyze.unwrap_or(false);
        if analyze && statement.access == Access::Write {
            return Err(Error::invalid(
                "analyze",
                "would run a statement that writes; explain it without",
            )
            .into());
        }
        let subject = Subject {
            sql: &request.sql,
            statement: &statement,
            params: &params,
            analyze,
            deadline: deadline(context, timeout_ms),
        };
        let mut lease = database.pool.acquire(subject.deadline).await?;
        let mut plan = self.explain(&database, &mut lease, &subject).await?;
        if database.engine() == EngineKind::Sqlite {
            find_key_lookups(&database, &mut lease, &mut plan, subject.deadline).await?;
        }
        let facts = statement
            .ast
            .as_deref()
            .and_then(|ast| syntax::facts(ast, &params));
        let tables = table_facts(&database, &mut lease, &plan, subject.deadline).await?;
        let case = Case {
            engine: database.engine(),
            plan: &plan,
            facts: facts.as_ref(),
            tables: &tables,
        };
        Ok(AnalyzeReply {
            engine: database.engine().as_str().to_owned(),
            findings: findings::find(&case),
            analyzed: analyze,
            planning_ms: plan.planning_ms,
            execution_ms: plan.execution_ms,
            nodes: plan.nodes,
        })
    }

    /// The plan of a statement, with real table names in the place of aliases.
    async fn explain(
        &self,
        database: &Arc<Database>,
        lease: &mut Lease,
        subject: &Subject<'_>,
    ) -> Result<Plan, DatabaseError> {
        let begin = match database.engine() {
            EngineKind::Sqlite => "BEGIN",
            EngineKind::Postgres => "BEGIN READ ONLY",
            // MariaDB refuses even to explain a write in a transaction that only reads; explaining changes nothing.
            EngineKind::Mariadb if subject.statement.access == Access::Write => "START TRANSACTION",
            EngineKind::Mariadb => "START TRANSACTION READ ONLY",
        };
        let begun = lease.begin(vec![begin.to_owned()]);
        within(database, subject.deadline, begun).await?;
        let explained = self.explain_inside(database, lease, subject).await;
        // Past the deadline the lease closes its connection, which rolls back too.
        let rolled_back = lease.finish("ROLLBACK");
        let rolled_back = within(database, subject.deadline, rolled_back).await;
        let mut plan = explained?;
        rolled_back?;
        if let Some(facts) = subject
            .statement
            .ast
            .as_deref()
            .and_then(|ast| syntax::facts(ast, &[]))
        {
            name_tables(&mut plan, &facts.tables);
        }
        Ok(plan)
    }

    async fn explain_inside(
        &self,
        database: &Arc<Database>,
        lease: &mut Lease,
        subject: &Subject<'_>,
    ) -> Result<Plan, DatabaseError> {
        let prefix = match (database.engine(), subject.analyze) {
            (EngineKind::Sqlite, _) => "EXPLAIN QUERY PLAN",
            (EngineKind::Postgres, false) => "EXPLAIN (FORMAT JSON, VERBOSE)",
            (EngineKind::Postgres, true) => "EXPLAIN (FORMAT JSON, VERBOSE, ANALYZE, BUFFERS)",
            (EngineKind::Mariadb, false) => "EXPLAIN FORMAT=JSON",
            (EngineKind::Mariadb, true) => "ANALYZE FORMAT=JSON",
        };
        let explain = format!("{prefix} {}", subject.sql);
        let rows = database
            .own(lease, &explain, subject.params, subject.deadline)
            .await?;
        let unread = || Error::internal("the engine's plan is not in its known form").into();
        match database.engine() {
            EngineKind::Sqlite => {
                let mut plan = sqlite::parse(&rows);
                if subject.analyze {
                    self.time(database, lease, subject, &mut plan).await?;
                }
                Ok(plan)
            }
            EngineKind::Postgres => document(&rows)
                .and_then(|text| postgres::parse(&text))
                .ok_or_else(unread),
            EngineKind::Mariadb => document(&rows)
                .and_then(|text| mariadb::parse(&text))
                .ok_or_else(unread),
        }
    }

    /// SQLite reports nothing of a run, so the statement is run and timed as a whole.
    async fn time(
        &self,
        database: &Database,
        lease: &mut Lease,
        subject: &Subject<'_>,
        plan: &mut Plan,
    ) -> Result<(), DatabaseError> {
        let began_ns = self.settings.clock.monotonic_ns();
        let mut execution = Execution::own(subject.statement, subject.params);
        execution.rows_max = TIMED_ROWS_MAX;
        let set = database
            .run(lease, execution, subject.deadline, None)
            .await?;
        let elapsed = elapsed_us(&self.settings.clock, began_ns);
        #[expect(clippy::cast_precision_loss, reason = "times and counts are small")]
        {
            let elapsed_ms = elapsed as f64 / 1_000.0;
            plan.execution_ms = Some(elapsed_ms);
            if let Some(root) = plan.nodes.first_mut() {
                root.time_ms = Some(elapsed_ms);
                root.rows_actual = Some(set.rows.len() as f64);
            }
        }
        Ok(())
    }
}

/// Runs a command around an explanation until the deadline; nothing is applied in any case.
async fn within(
    database: &Database,
    deadline: Deadline,
    work: impl Future<Output = Result<(), BackendError>>,
) -> Result<(), DatabaseError> {
    match tokio::time::timeout_at(deadline.instant().into(), work).await {
        Ok(done) => {
            done.map_err(|error| DatabaseError::from_backend(error, &database.name, None, false))
        }
        Err(_elapsed) => Err(DatabaseError::Deadline {
            message: "the deadline passed; the statement is being stopped at the server",
            outcome_unknown: false,
        }),
    }
}

/// What is explained.
struct Subject<'a> {
    sql: &'a str,
    statement: &'a Arc<Statement>,
    params: &'a [Value],
    analyze: bool,
    deadline: Deadline,
}

/// On SQLite a plan does not depend on the values, so they may be left out.
fn filled_params(
    database: &Database,
    statement: &Statement,
    params: Vec<Value>,
) -> Result<Vec<Value>, DatabaseError> {
    if params.is_empty() && database.engine() == EngineKind::Sqlite {
        return Ok(vec![Value::Null; statement.placeholders()]);
    }
    check_params(&params, statement.placeholders())?;
    Ok(params)
}

/// The one cell that holds a plan as JSON.
fn document(rows: &[Vec<Value>]) -> Option<String> {
    match rows.first()?.first()? {
        Value::Json(text) | Value::Text(text) => Some(text.clone()),
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

fn name_tables(plan: &mut Plan, tables: &HashMap<String, String>) {
    for node in &mut plan.nodes {
        if let Some(relation) = &node.relation
            && let Some(real) = tables.get(&relation.to_ascii_lowercase())
        {
            node.relation = Some(real.clone());
        }
    }
}

/// Counts the tables of a plan up to a bound, and reads SQLite's stored statistics.
async fn table_facts(
    database: &Database,
    lease: &mut Lease,
    plan: &Plan,
    deadline: Deadline,
) -> Result<HashMap<String, TableFact>, DatabaseError> {
    let statistics = if database.engine() == EngineKind::Sqlite {
        stored_statistics(database, lease, deadline).await?
    } else {
        HashMap::new()
    };
    let mut facts = HashMap::new();
    for relation in plan.relations().into_iter().take(COUNTED_TABLES_MAX) {
        let name = quoted_name(database.engine(), &relation);
        let count = format!(
            "SELECT count(*) FROM (SELECT 1 AS one FROM {name} LIMIT {}) AS plinth_counted",
            COUNTED_ROWS_MAX + 1
        );
        // A name that cannot be counted (a common table expression, a table of another schema) has no facts, and so no
        // finding that rests on its size.
        let counted = match database.own(lease, &count, &[], deadline).await {
            Ok(rows) => rows,
            Err(DatabaseError::Query { .. } | DatabaseError::Refused(_)) => continue,
            Err(error) => return Err(error),
        };
        let Some(Value::Int(rows)) = counted.first().and_then(|row| row.first()) else {
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "bounded by COUNTED_ROWS_MAX")]
        let fact = TableFact {
            rows: (*rows).min(COUNTED_ROWS_MAX) as f64,
            more: *rows > COUNTED_ROWS_MAX,
            statistics_rows: statistics.get(&relation.to_ascii_lowercase()).copied(),
        };
        facts.insert(relation, fact);
    }
    Ok(facts)
}

/// SQLite's text does not tell a search that finds one row by a unique index from one that finds many; the index does.
async fn find_key_lookups(
    database: &Database,
    lease: &mut Lease,
    plan: &mut Plan,
    deadline: Deadline,
) -> Result<(), DatabaseError> {
    const UNIQUE: &str = "SELECT l.name, count(*) FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i \
         WHERE l.\"unique\" = 1 AND l.partial = 0 GROUP BY l.name";
    for relation in plan.relations().into_iter().take(COUNTED_TABLES_MAX) {
        let params = [Value::Text(relation.clone())];
        for row in database.own(lease, UNIQUE, &params, deadline).await? {
            let [Value::Text(index), Value::Int(width)] = row.as_slice() else {
                continue;
            };
            let of_index = |node: &&mut PlanNode| {
                node.relation.as_deref() == Some(relation.as_str())
                    && node.index.as_deref() == Some(index.as_str())
            };
            for node in plan.nodes.iter_mut().filter(of_index) {
                let compared = node.condition.as_deref().unwrap_or_default();
                let equal = compared.split(" AND ").filter(|part| {
                    part.ends_with("=?") && !part.ends_with(">=?") && !part.ends_with("<=?")
                });
                if i64::try_from(equal.count()) == Ok(*width) {
                    node.kind = PlanKind::KeyLookup;
                }
            }
        }
    }
    Ok(())
}

/// Table sizes as ANALYZE stored them: the first number of each row of `sqlite_stat1`.
async fn stored_statistics(
    database: &Database,
    lease: &mut Lease,
    deadline: Deadline,
) -> Result<HashMap<String, f64>, DatabaseError> {
    let rows = match database
        .own(lease, "SELECT tbl, stat FROM sqlite_stat1", &[], deadline)
        .await
    {
        Ok(rows) => rows,
        // The table appears with the first ANALYZE.
        Err(DatabaseError::Query { .. }) => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    Ok(rows
        .iter()
        .filter_map(|row| match row.as_slice() {
            [Value::Text(table), Value::Text(stat)] => {
                let rows: f64 = stat.split_whitespace().next()?.parse().ok()?;
                Some((table.to_ascii_lowercase(), rows))
            }
            _ => None,
        })
        .collect())
}

/// A table's name, perhaps with its schema, quoted for an engine.
pub(crate) fn quoted_name(engine: EngineKind, name: &str) -> String {
    let parts: Vec<String> = name
        .split('.')
        .map(|part| quoted_column(engine, part))
        .collect();
    parts.join(".")
}

/// A single name, quoted for an engine.
pub(crate) fn quoted_column(engine: EngineKind, name: &str) -> String {
    let quote = if engine == EngineKind::Mariadb {
        '`'
    } else {
        '"'
    };
    let doubled = name.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}
