//! Statements that Plinth runs for others again and again: they only read, whatever the database allows.

use plinth_core::{CallContext, Error, ErrorCode, TenantId};

use super::DatabaseService;
use crate::error::DatabaseError;
use crate::model::{QueryReply, QueryRequest};
use crate::sql::{Access, Statement};

impl DatabaseService {
    /// Judges a statement without running it: it is one that a registered database's engine knows, takes so many
    /// parameters, and only reads. Nothing is asked of the database.
    ///
    /// Errors: 1001 naming `sql` or `params`, 1003 where it may write, 1004 where there is no such database.
    pub async fn check_read(
        &self,
        tenant: &TenantId,
        database: &str,
        sql: &str,
        params: usize,
    ) -> Result<(), DatabaseError> {
        let database = self.database(tenant, database).await?;
        let statement = database.statement(sql)?;
        let placeholders = statement.placeholders();
        if params != placeholders {
            let rule = format!("are {params}, the statement has {placeholders} placeholders");
            return Err(Error::invalid("params", rule).into());
        }
        only_reads(&statement)
    }

    /// Runs one statement that only reads, also where the database takes writes.
    ///
    /// Errors: those of [`DatabaseService::execute_query`]; 1003 where it may write: it calls a function that is not known to
    /// be free of effects, locks rows, or is not understood.
    pub async fn read(
        &self,
        context: &CallContext,
        database: &str,
        request: QueryRequest,
    ) -> Result<QueryReply, DatabaseError> {
        let known = self.database(&context.caller.tenant, database).await?;
        only_reads(known.statement(&request.sql)?.as_ref())?;
        self.execute_query(context, database, request).await
    }
}

fn only_reads(statement: &Statement) -> Result<(), DatabaseError> {
    if statement.access == Access::Read {
        return Ok(());
    }
    let rule = "may write: it is no query, locks rows, or calls a function that is not known to be free of effects";
    let refusal = Error::new(ErrorCode::Forbidden, format!("sql: {rule}"));
    Err(refusal.with_violation("sql", rule).into())
}
