//! Steps, all or nothing, once for each idempotency key.

mod fence;
mod record;

use std::sync::Arc;

use plinth_core::access::IdempotencyScope;
use plinth_core::{CallContext, Deadline, Error, Fence, TenantId, WideInt};
use plinth_resilience::{Backoff, Retry, Verdict};
use plinth_store::idempotency;

use super::{DatabaseService, deadline, elapsed_us};
use crate::backend::{Execution, ResultSet};
use crate::error::{BackendError, DatabaseError};
use crate::model::{
    ANSWER_BYTES_MAX, EngineKind, Isolation, Row, Step, StepResult, TransactionFence,
    TransactionReply, TransactionRequest, Value, check_params,
};
use crate::pool::Lease;
use crate::running::Database;
use crate::sql::{Access, Statement};
use record::Claim;

/// Waits between attempts at a transaction that lost.
const BACKOFF: Backoff = Backoff {
    first_ms: 10,
    max_ms: 500,
};

/// A transaction that was checked.
struct Plan<'a> {
    database: &'a Arc<Database>,
    steps: Vec<(&'a Step, Arc<Statement>)>,
    isolation: Option<Isolation>,
    scope: Option<IdempotencyScope>,
    /// Whose fence, and which.
    fence: Option<(&'a TenantId, Fence)>,
    deadline: Deadline,
    began_ns: u64,
}

impl Plan<'_> {
    fn writes(&self) -> bool {
        self.scope.is_some()
            || self.fence.is_some()
            || self
                .steps
                .iter()
                .any(|(_, statement)| statement.access != Access::Read)
    }
}

impl DatabaseService {
    /// Runs steps on one connection, all or nothing. With an idempotency key a repeat gets the first answer, whose
    /// record is in the same database and commits with the steps. With a fence the highest token seen of its lock stands
    /// there too, and is checked and raised in the same transaction.
    ///
    /// Errors: those of [`DatabaseService::execute_query`], each naming `steps[i]` and after a roll-back; 1005 where the
    /// key was used for other steps, 1006 where a condition does not hold or a higher token was seen of the
    /// fence, 2403, 2405 after the last attempt. Outcome
    /// `unknown` where the connection broke during COMMIT.
    pub async fn execute_transaction(
        &self,
        context: &CallContext,
        database: &str,
        request: TransactionRequest,
    ) -> Result<TransactionReply, DatabaseError> {
        context.check_deadline()?;
        let (timeout_ms, isolation, attempts_max) = request.limits()?;
        let fence = request
            .fence
            .as_ref()
            .map(TransactionFence::parse)
            .transpose()?;
        let database = self.database(&context.caller.tenant, database).await?;
        let clock = &self.settings.clock;
        let steps = parse_steps(&database, &request.steps)?;
        if fence.is_some() && database.definition.read_only {
            let rule = "is refused: a read-only database keeps no mark of it";
            return Err(Error::invalid("fence", rule).into());
        }
        // What only reads needs no record: reading again is harmless, and a read-only database could not keep one.
        let changes = !database.definition.read_only
            && steps
                .iter()
                .any(|(_, statement)| statement.access != Access::Read);
        let scope = idempotency::scope(context, &(&database.name, &request), clock.now());
        let plan = Plan {
            database: &database,
            steps,
            isolation,
            scope: scope.filter(|_| changes),
            fence: fence.map(|fence| (&context.caller.tenant, fence)),
            deadline: deadline(context, timeout_ms),
            began_ns: clock.monotonic_ns(),
        };
        if plan.scope.is_some() {
            record::ensure_table(&database, plan.deadline).await?;
        }
        if plan.fence.is_some() {
            fence::ensure_table(&database, plan.deadline).await?;
        }
        let remaining = plan.deadline.remaining().as_millis();
        let retry = Retry {
            attempts_max,
            backoff: BACKOFF,
            total_ms_max: u64::try_from(remaining).unwrap_or(u64::MAX),
            budget: None,
        };
        let plan = &plan;
        retry
            .run(
                clock,
                |error| match error {
                    DatabaseError::Serialization { .. } => Verdict::Retry,
                    _ => Verdict::Stop,
                },
                |attempt| self.attempt(plan, attempt),
            )
            .await
            .map_err(|error| match error {
                DatabaseError::Serialization { message, .. } => DatabaseError::Serialization {
                    attempts: attempts_max,
                    message,
                },
                other => other,
            })
    }

    async fn attempt(
        &self,
        plan: &Plan<'_>,
        attempt: u32,
    ) -> Result<TransactionReply, DatabaseError> {
        let database = plan.database;
        let mut lease = database.pool.acquire(plan.deadline).await?;
        let begin = database.backend.begin(plan.isolation, plan.writes());
        within(plan, lease.begin(begin)).await?;
        match self.body(plan, &mut lease, attempt).await {
            Ok(Body::Done(reply)) => {
                commit(plan, &mut lease).await?;
                Ok(reply)
            }
            Ok(Body::Claimed) => {
                roll_back(plan, &mut lease).await;
                record::first_answer(plan, &mut lease).await
            }
            Err(error) => {
                roll_back(plan, &mut lease).await;
                Err(error)
            }
        }
    }

    async fn body(
        &self,
        plan: &Plan<'_>,
        lease: &mut Lease,
        attempt: u32,
    ) -> Result<Body, DatabaseError> {
        if let Some(scope) = &plan.scope
            && record::claim(plan, lease, scope).await? == Claim::Taken
        {
            return Ok(Body::Claimed);
        }
        // After the claim: a repeat gets its first answer, also where the lock was granted again since.
        if let Some((tenant, fence)) = &plan.fence {
            fence::raise(plan, lease, tenant, fence).await?;
        }
        let mut bytes_left = usize::try_from(ANSWER_BYTES_MAX).unwrap_or(usize::MAX);
        let mut results = Vec::with_capacity(plan.steps.len());
        for (index, (step, statement)) in plan.steps.iter().enumerate() {
            let field = format!("steps[{index}]");
            let execution = Execution {
                statement,
                params: &step.params,
                suffix: "",
                skip: 0,
                rows_max: step.rows_max(),
                bytes_max: bytes_left,
            };
            let began_ns = self.settings.clock.monotonic_ns();
            let outcome = plan
                .database
                .run(lease, execution, plan.deadline, Some(&field))
                .await;
            let elapsed_us = elapsed_us(&self.settings.clock, began_ns);
            plan.database
                .note(statement, elapsed_us, outcome.as_ref().ok());
            let set = outcome?;
            check_answer(step, &field, &set)?;
            let weight: usize = set.rows.iter().flatten().map(Value::weight_bytes).sum();
            bytes_left = bytes_left.saturating_sub(weight);
            results.push(result(set));
        }
        let reply = TransactionReply {
            results,
            attempts: i32::try_from(attempt).unwrap_or(i32::MAX),
            repeated: false,
            elapsed_us: elapsed_us(&self.settings.clock, plan.began_ns),
        };
        if let Some(scope) = &plan.scope {
            record::complete(plan, lease, scope, &reply).await?;
        }
        Ok(Body::Done(reply))
    }
}

enum Body {
    /// All steps ran; the transaction is to be committed.
    Done(TransactionReply),
    /// The key was used before.
    Claimed,
}

fn parse_steps<'a>(
    database: &Database,
    steps: &'a [Step],
) -> Result<Vec<(&'a Step, Arc<Statement>)>, DatabaseError> {
    let parse = |step: &'a Step| -> Result<_, Error> {
        let statement = database.statement(&step.sql)?;
        check_params(&step.params, statement.placeholders())?;
        database.check_access(&statement)?;
        if database.engine() == EngineKind::Mariadb && statement.commits_on_mariadb() {
            return Err(Error::invalid(
                "sql",
                "MariaDB would commit the steps before it; run it alone, by a query",
            ));
        }
        Ok((step, statement))
    };
    steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            parse(step).map_err(|error| error.in_field(&format!("steps[{index}]")).into())
        })
        .collect()
}

/// Runs a command of the transaction until the deadline; nothing is applied where it passes.
async fn within(
    plan: &Plan<'_>,
    work: impl Future<Output = Result<(), BackendError>>,
) -> Result<(), DatabaseError> {
    match tokio::time::timeout_at(plan.deadline.instant().into(), work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(DatabaseError::from_backend(
            error,
            &plan.database.name,
            None,
            false,
        )),
        Err(_elapsed) => Err(DatabaseError::Deadline {
            message: "the deadline passed; the transaction is rolled back",
            outcome_unknown: false,
        }),
    }
}

/// Commits. Where the reply is lost, nobody knows whether it was applied.
async fn commit(plan: &Plan<'_>, lease: &mut Lease) -> Result<(), DatabaseError> {
    let unknown = || {
        if plan.writes() {
            DatabaseError::CommitUnknown {
                database: plan.database.name.clone(),
                idempotent: plan.scope.is_some(),
            }
        } else {
            DatabaseError::Deadline {
                message: "the deadline passed at the end of a transaction that only read",
                outcome_unknown: false,
            }
        }
    };
    let work = lease.finish("COMMIT");
    match tokio::time::timeout_at(plan.deadline.instant().into(), work).await {
        Ok(Ok(())) => Ok(()),
        Err(_elapsed) => Err(unknown()),
        Ok(Err(
            BackendError::Connection { .. } | BackendError::Closing | BackendError::Cancelled,
        )) => Err(unknown()),
        // A constraint that is checked at the end, or a conflict that shows only now: the engine has rolled back.
        Ok(Err(error)) => {
            roll_back(plan, lease).await;
            let field = format!("steps[{}]", plan.steps.len().saturating_sub(1));
            Err(DatabaseError::from_backend(
                error,
                &plan.database.name,
                Some(&field),
                false,
            ))
        }
    }
}

/// Rolls back, so that the connection can be used again. Where that fails the lease closes it, which rolls back too.
async fn roll_back(plan: &Plan<'_>, lease: &mut Lease) {
    let work = lease.finish("ROLLBACK");
    let rolled_back = tokio::time::timeout_at(plan.deadline.instant().into(), work).await;
    if !matches!(rolled_back, Ok(Ok(()))) {
        lease.spoil();
    }
}

fn check_answer(step: &Step, field: &str, set: &ResultSet) -> Result<(), DatabaseError> {
    if set.truncated {
        return Err(DatabaseError::TooLarge {
            field: format!("{field}.max_rows"),
            message: format!(
                "the step returns more than {} rows or its share of {ANSWER_BYTES_MAX} bytes; the transaction was \
                 rolled back",
                step.rows_max()
            ),
        });
    }
    let affected = i64::try_from(set.rows_affected).unwrap_or(i64::MAX);
    let rows = i64::try_from(set.rows.len()).unwrap_or(i64::MAX);
    let refuse = |message: String| {
        Err(DatabaseError::Condition {
            field: field.to_owned(),
            message,
        })
    };
    match (
        step.expect_rows_affected,
        step.expect_rows_min,
        step.expect_rows_max,
    ) {
        (Some(expected), _, _) if affected != expected => {
            refuse(format!("changed {affected} rows, expected {expected}"))
        }
        (_, Some(least), _) if rows < least => {
            refuse(format!("returned {rows} rows, expected at least {least}"))
        }
        (_, _, Some(most)) if rows > most => {
            refuse(format!("returned {rows} rows, expected at most {most}"))
        }
        _ => Ok(()),
    }
}

fn result(set: ResultSet) -> StepResult {
    StepResult {
        columns: set.columns,
        rows: set.rows.into_iter().map(|values| Row { values }).collect(),
        rows_affected: i64::try_from(set.rows_affected).unwrap_or(i64::MAX),
        last_insert_id: set.last_insert_id.map(WideInt),
    }
}
