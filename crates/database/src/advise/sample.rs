//! A temporary copy of a bounded part of a table, on which a statement is timed with and without an index.
//!
//! The copy lives in the session (and on PostgreSQL and SQLite in a transaction that is rolled back); the session is
//! closed afterwards, however it ends, so nothing stays behind.

use std::collections::HashMap;
use std::sync::Arc;

use plinth_core::{Deadline, SharedClock};

use super::candidates::{SingleTable, Stand};
use super::catalog::{self, Index, MariadbColumn};
use crate::analyze::{mariadb, postgres, sqlite};
use crate::backend::Execution;
use crate::error::DatabaseError;
use crate::model::{EngineKind, PlanKind, Value};
use crate::pool::Lease;
use crate::running::Database;
use crate::service::{quoted_column, quoted_name};
use crate::sql::Statement;

/// The copy's name.
const COPY: &str = "plinth_sample";
/// The measured index's name.
const ADVISED: &str = "plinth_advised";
/// Timed runs; the median counts.
const RUNS: usize = 5;
/// Time after which no further run is begun, in milliseconds.
const RUNS_MS_MAX: u64 = 3_000;
/// Bytes of a text column that an index holds on MariaDB.
const PREFIX_LENGTH: u32 = 64;
/// What LIMIT is where a statement leaves it open.
const LIMIT_ASSUMED: i64 = 50;

/// A copy of a table.
pub(crate) struct Sample<'a> {
    database: &'a Arc<Database>,
    lease: Lease,
    clock: SharedClock,
    deadline: Deadline,
    /// Rows of the copy.
    pub(crate) rows: i64,
    /// Whether they are all.
    pub(crate) whole: bool,
    columns: Vec<MariadbColumn>,
}

/// A statement on the copy.
pub(crate) struct OnCopy {
    statement: Arc<Statement>,
    sql: String,
    params: Vec<Value>,
}

/// What runs took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) median_us: i64,
    pub(crate) examined: Option<i64>,
    /// Whether the plan uses the index under test.
    pub(crate) uses_advised: bool,
}

impl<'a> Sample<'a> {
    /// Copies at most `rows_max` rows, with the indexes that exist.
    pub(crate) async fn copy(
        database: &'a Arc<Database>,
        mut lease: Lease,
        clock: SharedClock,
        table: &str,
        indexes: &[Index],
        rows_max: i64,
        deadline: Deadline,
    ) -> Result<Self, DatabaseError> {
        // Whatever happens, the session ends with this lease.
        lease.spoil();
        let engine = database.engine();
        // The copy is ours to write, also where the database is registered read-only.
        let begin = match engine {
            EngineKind::Sqlite => "BEGIN",
            EngineKind::Postgres => "BEGIN READ WRITE",
            EngineKind::Mariadb => "SET SESSION TRANSACTION READ WRITE",
        };
        lease
            .begin(vec![begin.to_owned()])
            .await
            .map_err(|error| DatabaseError::from_backend(error, &database.name, None, false))?;
        let columns = match engine {
            EngineKind::Mariadb => {
                catalog::mariadb_columns(database, &mut lease, table, deadline).await?
            }
            EngineKind::Sqlite | EngineKind::Postgres => Vec::new(),
        };
        let mut sample = Self {
            database,
            lease,
            clock,
            deadline,
            rows: 0,
            whole: false,
            columns,
        };
        for command in sample.copy_commands(table, indexes, rows_max) {
            sample.own(&command, &[]).await?;
        }
        let source = quoted_name(engine, table);
        let count = format!("SELECT count(*) FROM {COPY}");
        sample.rows = sample.number(&count).await?;
        let bound = rows_max + 1;
        let bounded = format!(
            "SELECT count(*) FROM (SELECT 1 AS one FROM {source} LIMIT {bound}) AS plinth_counted"
        );
        sample.whole = sample.number(&bounded).await? <= sample.rows;
        Ok(sample)
    }

    fn copy_commands(&self, table: &str, indexes: &[Index], rows_max: i64) -> Vec<String> {
        let source = quoted_name(self.database.engine(), table);
        match self.database.engine() {
            EngineKind::Sqlite => {
                let create = format!(
                    "CREATE TEMP TABLE {COPY} AS SELECT * FROM main.{source} LIMIT {rows_max}"
                );
                // `AS SELECT` copies no index, so those that exist are made anew.
                let indexes = indexes
                    .iter()
                    .filter(|index| index.columns.iter().all(|column| !column.is_empty()))
                    .enumerate()
                    .map(|(at, index)| {
                        let columns = self.column_list(&index.columns);
                        format!("CREATE INDEX temp.plinth_existing_{at} ON {COPY} ({columns})")
                    });
                std::iter::once(create).chain(indexes).collect()
            }
            EngineKind::Postgres => vec![
                format!(
                    "CREATE TEMPORARY TABLE {COPY} (LIKE {source} INCLUDING INDEXES) ON COMMIT DROP"
                ),
                format!("INSERT INTO {COPY} SELECT * FROM {source} LIMIT {rows_max}"),
                format!("ANALYZE {COPY}"),
            ],
            EngineKind::Mariadb => {
                let stored: Vec<String> = self
                    .columns
                    .iter()
                    .filter(|column| !column.generated)
                    .map(|column| quoted_column(EngineKind::Mariadb, &column.name))
                    .collect();
                let stored = stored.join(", ");
                vec![
                    format!("CREATE TEMPORARY TABLE {COPY} LIKE {source}"),
                    format!(
                        "INSERT INTO {COPY} ({stored}) SELECT {stored} FROM {source} LIMIT {rows_max}"
                    ),
                ]
            }
        }
    }

    fn column_list(&self, columns: &[String]) -> String {
        column_list(self.database.engine(), columns, &self.columns)
    }

    /// The statement that creates an index on the real table.
    pub(crate) fn ddl(&self, table: &str, columns: &[String]) -> String {
        let engine = self.database.engine();
        let plain: String = format!("{table}_{}_idx", columns.join("_"))
            .chars()
            .map(|letter| {
                if letter.is_alphanumeric() {
                    letter
                } else {
                    '_'
                }
            })
            .take(60)
            .collect();
        let (name, source) = (quoted_column(engine, &plain), quoted_name(engine, table));
        let list = self.column_list(columns);
        match engine {
            EngineKind::Sqlite => format!("CREATE INDEX {name} ON {source} ({list})"),
            EngineKind::Postgres => {
                format!("CREATE INDEX CONCURRENTLY {name} ON {source} ({list})")
            }
            EngineKind::Mariadb => {
                format!("CREATE INDEX {name} ON {source} ({list}) ALGORITHM=INPLACE LOCK=NONE")
            }
        }
    }

    async fn own(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, DatabaseError> {
        self.database
            .own(&mut self.lease, sql, params, self.deadline)
            .await
    }

    async fn number(&mut self, sql: &str) -> Result<i64, DatabaseError> {
        let rows = self.own(sql, &[]).await?;
        match rows.first().and_then(|row| row.first()) {
            Some(Value::Int(number)) => Ok(*number),
            _ => Ok(0),
        }
    }

    /// Rewrites a statement so that it reads the copy. `Ok(None)` where it cannot be run there.
    pub(crate) async fn rewrite(
        &mut self,
        statement: &Statement,
        single: &SingleTable,
        params: Option<&[Value]>,
    ) -> Result<Option<OnCopy>, DatabaseError> {
        let text = statement.render(|_| "?".to_owned());
        let Some(sql) = on_copy(&text, single.aliased, self.database.engine()) else {
            return Ok(None);
        };
        let Ok(statement) = self.database.statement(&sql) else {
            return Ok(None);
        };
        let params = match params {
            Some(params) => params.to_vec(),
            None => match self
                .stand_ins(statement.placeholders(), &single.placeholders)
                .await?
            {
                Some(params) => params,
                None => return Ok(None),
            },
        };
        let fits = params.len() == statement.placeholders();
        Ok(fits.then_some(OnCopy {
            statement,
            sql,
            params,
        }))
    }

    /// Values for placeholders, from the middle of the copy.
    async fn stand_ins(
        &mut self,
        count: usize,
        known: &HashMap<usize, Stand>,
    ) -> Result<Option<Vec<Value>>, DatabaseError> {
        let mut values = Vec::with_capacity(count);
        for index in 0..count {
            let value = match known.get(&index) {
                Some(Stand::Limit) => Value::Int(LIMIT_ASSUMED),
                Some(Stand::Offset) => Value::Int(0),
                Some(Stand::Column(column)) => {
                    let column = quoted_column(self.database.engine(), column);
                    let middle = self.rows / 2;
                    let sql = format!("SELECT {column} FROM {COPY} LIMIT 1 OFFSET {middle}");
                    let rows = self.own(&sql, &[]).await?;
                    match rows
                        .into_iter()
                        .next()
                        .and_then(|row| row.into_iter().next())
                    {
                        Some(value) => value,
                        None => return Ok(None),
                    }
                }
                None => return Ok(None),
            };
            values.push(value);
        }
        Ok(Some(values))
    }

    /// Times a statement on the copy.
    pub(crate) async fn time(&mut self, subject: &OnCopy) -> Result<Timing, DatabaseError> {
        let began_ms = self.clock.monotonic_ms();
        let mut times = Vec::with_capacity(RUNS);
        // The first run warms caches and prepares the statement; it does not count.
        for run in 0..=RUNS {
            let execution = Execution::own(&subject.statement, &subject.params);
            let began_ns = self.clock.monotonic_ns();
            self.database
                .run(&mut self.lease, execution, self.deadline, None)
                .await?;
            let elapsed_ns = self.clock.monotonic_ns().saturating_sub(began_ns);
            if run > 0 {
                times.push(elapsed_ns);
            }
            let spent_ms = self.clock.monotonic_ms().saturating_sub(began_ms);
            if spent_ms > RUNS_MS_MAX && !times.is_empty() {
                break;
            }
        }
        times.sort_unstable();
        let median_ns = times.get(times.len() / 2).copied().unwrap_or(0);
        let (examined, uses_advised) = self.inspect(subject).await?;
        Ok(Timing {
            median_us: i64::try_from(median_ns / 1_000).unwrap_or(i64::MAX).max(1),
            examined,
            uses_advised,
        })
    }

    async fn inspect(&mut self, subject: &OnCopy) -> Result<(Option<i64>, bool), DatabaseError> {
        let prefix = match self.database.engine() {
            EngineKind::Sqlite => "EXPLAIN QUERY PLAN",
            EngineKind::Postgres => "EXPLAIN (FORMAT JSON, ANALYZE)",
            EngineKind::Mariadb => "ANALYZE FORMAT=JSON",
        };
        let rows = self
            .own(&format!("{prefix} {}", subject.sql), &subject.params)
            .await?;
        let text = match rows.first().and_then(|row| row.first()) {
            Some(Value::Json(text) | Value::Text(text)) => text.as_str(),
            _ => "",
        };
        let plan = match self.database.engine() {
            EngineKind::Sqlite => sqlite::parse(&rows),
            EngineKind::Postgres => postgres::parse(text).unwrap_or_default(),
            EngineKind::Mariadb => mariadb::parse(text).unwrap_or_default(),
        };
        let scanned = plan
            .nodes
            .iter()
            .any(|node| node.kind == PlanKind::FullScan);
        let examined = match self.database.engine() {
            // SQLite counts nothing; a scan reads all there is.
            EngineKind::Sqlite => scanned.then_some(self.rows),
            #[expect(clippy::cast_possible_truncation, reason = "rows of a bounded copy")]
            _ => plan.examined.map(|rows| rows.round() as i64),
        };
        let uses_advised = plan
            .nodes
            .iter()
            .any(|node| node.index.as_deref() == Some(ADVISED));
        Ok((examined, uses_advised))
    }

    /// Creates the index under test.
    pub(crate) async fn create_index(&mut self, columns: &[String]) -> Result<(), DatabaseError> {
        let list = self.column_list(columns);
        let create = match self.database.engine() {
            EngineKind::Sqlite => format!("CREATE INDEX temp.{ADVISED} ON {COPY} ({list})"),
            _ => format!("CREATE INDEX {ADVISED} ON {COPY} ({list})"),
        };
        self.own(&create, &[]).await?;
        Ok(())
    }

    /// Drops the index under test.
    pub(crate) async fn drop_index(&mut self) -> Result<(), DatabaseError> {
        let drop = match self.database.engine() {
            EngineKind::Sqlite => format!("DROP INDEX temp.{ADVISED}"),
            EngineKind::Postgres => format!("DROP INDEX {ADVISED}"),
            EngineKind::Mariadb => format!("DROP INDEX {ADVISED} ON {COPY}"),
        };
        self.own(&drop, &[]).await?;
        Ok(())
    }
}

fn column_list(engine: EngineKind, columns: &[String], known: &[MariadbColumn]) -> String {
    let listed: Vec<String> = columns
        .iter()
        .map(|column| {
            let quoted = quoted_column(engine, column);
            let prefixed = known
                .iter()
                .any(|known| known.needs_prefix && known.name.eq_ignore_ascii_case(column));
            if prefixed {
                format!("{quoted}({PREFIX_LENGTH})")
            } else {
                quoted
            }
        })
        .collect();
    listed.join(", ")
}

/// Puts the copy in the place of the table: the name after the first FROM outside parentheses. The table's own name stays
/// as an alias where the statement gives none, because columns may be qualified by it.
fn on_copy(sql: &str, aliased: bool, engine: EngineKind) -> Option<String> {
    use crate::sql::tokens::{TokenKind, Tokens};
    #[derive(PartialEq)]
    enum At {
        Before,
        Name,
        Dot,
        After,
    }
    let (mut at, mut depth) = (At::Before, 0_i32);
    let (mut text, mut last_name) = (String::with_capacity(sql.len() + 40), String::new());
    let finish = |text: &mut String, last_name: &str| {
        text.push_str(COPY);
        if !aliased {
            text.push_str(" AS ");
            text.push_str(last_name);
        }
    };
    for token in Tokens::new(sql, engine) {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        let name = matches!(token.kind, TokenKind::Word | TokenKind::QuotedName);
        match at {
            At::Before => {
                text.push_str(token.text);
                if depth == 0 && token.is_word("from") {
                    at = At::Name;
                }
            }
            At::Name if name => {
                token.text.clone_into(&mut last_name);
                at = At::Dot;
            }
            At::Name if token.kind == TokenKind::Space => text.push_str(token.text),
            At::Name => return None,
            At::Dot if token.text == "." => at = At::Name,
            At::Dot => {
                finish(&mut text, &last_name);
                text.push_str(token.text);
                at = At::After;
            }
            At::After => text.push_str(token.text),
        }
    }
    if at == At::Dot {
        finish(&mut text, &last_name);
    }
    matches!(at, At::Dot | At::After).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_takes_the_tables_place() {
        let check = |sql, aliased, expected: Option<&str>| {
            let got = on_copy(sql, aliased, EngineKind::Postgres);
            assert_eq!(got.as_deref(), expected, "{sql}");
        };
        check(
            "select extract(year from d) from shop.orders where orders.a = ?",
            false,
            Some("select extract(year from d) from plinth_sample AS orders where orders.a = ?"),
        );
        check(
            "select o.a from \"Orders\" o order by o.a",
            true,
            Some("select o.a from plinth_sample o order by o.a"),
        );
        check(
            "select a from t",
            false,
            Some("select a from plinth_sample AS t"),
        );
        check("select 1", false, None);
    }
}
