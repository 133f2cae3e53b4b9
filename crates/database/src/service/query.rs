//! One statement.

use std::sync::Arc;

use plinth_core::{CallContext, Cursor, Deadline, Error, WideInt};
use serde::{Deserialize, Serialize};

use super::{DatabaseService, deadline, elapsed_us};
use crate::backend::{Execution, ResultSet};
use crate::error::DatabaseError;
use crate::model::{QueryReply, QueryRequest, Row, Value, check_params};
use crate::running::Database;
use crate::sql::{Access, Statement};

/// Where a next page begins: rows already given of one statement with its values.
#[derive(Serialize, Deserialize)]
struct Place {
    /// FNV-1a of statement and values.
    of: u64,
    /// Rows already given.
    rows: u64,
}

impl DatabaseService {
    /// Runs one statement.
    ///
    /// Errors: 1001 naming the field, 1003 for a write on a read-only database, 1004, 1010, 2401, 2402, 2404, 2405.
    pub async fn execute_query(
        &self,
        context: &CallContext,
        database: &str,
        request: QueryRequest,
    ) -> Result<QueryReply, DatabaseError> {
        context.check_deadline()?;
        let (timeout_ms, rows_max, bytes_max) = request.limits()?;
        let database = self.database(&context.caller.tenant, database).await?;
        let statement = database.statement(&request.sql)?;
        check_params(&request.params, statement.placeholders())?;
        database.check_access(&statement)?;
        let identity = identity(&request.sql, &request.params);
        let skip = skip(request.cursor.as_deref(), &statement, identity)?;
        let suffix = suffix(&statement, rows_max, skip);
        let execution = Execution {
            statement: &statement,
            params: &request.params,
            suffix: &suffix,
            skip: if suffix.is_empty() { skip } else { 0 },
            rows_max,
            bytes_max,
        };
        let deadline = deadline(context, timeout_ms);
        let (set, elapsed_us) = self
            .timed(&database, &statement, execution, deadline)
            .await?;
        reply(set, &statement, identity, skip, elapsed_us)
    }

    async fn timed(
        &self,
        database: &Arc<Database>,
        statement: &Arc<Statement>,
        execution: Execution<'_>,
        deadline: Deadline,
    ) -> Result<(ResultSet, i64), DatabaseError> {
        let clock = &self.settings.clock;
        let mut lease = database.pool.acquire(deadline).await?;
        let began_ns = clock.monotonic_ns();
        let reused = lease.is_reused();
        let mut outcome = database.run(&mut lease, execution, deadline, None).await;
        let broke = matches!(outcome, Err(DatabaseError::Connection { .. }));
        if broke && reused && statement.access == Access::Read {
            // The connection had broken while it was idle; a read is simply made again on a new one.
            drop(lease);
            lease = database.pool.acquire(deadline).await?;
            outcome = database.run(&mut lease, execution, deadline, None).await;
        }
        drop(lease);
        let elapsed_us = elapsed_us(clock, began_ns);
        database.note(statement, elapsed_us, outcome.as_ref().ok());
        Ok((outcome?, elapsed_us))
    }
}

fn identity(sql: &str, params: &[Value]) -> u64 {
    let values = serde_json::to_vec(params).unwrap_or_default();
    sql.bytes()
        .chain([0])
        .chain(values)
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// How many rows a cursor passes over. Errors: 1001 naming `cursor`.
fn skip(cursor: Option<&str>, statement: &Statement, identity: u64) -> Result<u64, Error> {
    let Some(cursor) = cursor else {
        return Ok(0);
    };
    let place: Place = Cursor::decode(cursor)?;
    if place.of != identity || !pageable(statement) {
        return Err(Error::invalid(
            "cursor",
            "belongs to another statement or other params",
        ));
    }
    Ok(place.rows)
}

/// Whether rows of a statement have a place that a cursor can name.
fn pageable(statement: &Statement) -> bool {
    statement.ordered && statement.access < Access::Write
}

/// One row more than asked for tells whether there are more; the server stops by itself then.
fn suffix(statement: &Statement, rows_max: usize, skip: u64) -> String {
    match (statement.takes_limit, skip) {
        (false, _) => String::new(),
        (true, 0) => format!("LIMIT {}", rows_max + 1),
        (true, skip) => format!("LIMIT {} OFFSET {skip}", rows_max + 1),
    }
}

fn reply(
    set: ResultSet,
    statement: &Statement,
    identity: u64,
    skip: u64,
    elapsed_us: i64,
) -> Result<QueryReply, DatabaseError> {
    let given = skip + u64::try_from(set.rows.len()).unwrap_or(0);
    let next_cursor = if set.truncated && pageable(statement) {
        let place = Place {
            of: identity,
            rows: given,
        };
        Some(Cursor::encode(&place)?.as_str().to_owned())
    } else {
        None
    };
    Ok(QueryReply {
        columns: set.columns,
        rows: set.rows.into_iter().map(|values| Row { values }).collect(),
        rows_affected: i64::try_from(set.rows_affected).unwrap_or(i64::MAX),
        truncated: set.truncated,
        next_cursor,
        last_insert_id: set.last_insert_id.map(WideInt),
        elapsed_us,
    })
}
