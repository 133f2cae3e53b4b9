//! Index suggestions: for one statement, or for the statements seen on a table.

use std::sync::Arc;

use plinth_core::{CallContext, Deadline, Error};

use super::{DatabaseService, deadline};
use crate::advise::candidates::{Candidate, SingleTable, single_table};
use crate::advise::catalog::{self, Index};
use crate::advise::sample::{OnCopy, Sample, Timing};
use crate::error::DatabaseError;
use crate::model::{
    IndexSuggestion, IndexSuggestionsReply, IndexSuggestionsRequest, MeasuredGain, NoAdvice,
    NoAdviceCode, SAMPLE_ROWS_DEFAULT, SAMPLE_ROWS_MAX, SAMPLE_ROWS_MIN, Value, check_params,
    query_timeout, within,
};
use crate::running::Database;
use crate::sql::{Statement, mask};

/// Statements of a table that are looked at, the most expensive first.
const WORKLOAD_MAX: usize = 20;
/// Below so many rows no index is advised.
const ROWS_MIN: i64 = 1_000;
/// An index must make a statement faster by this factor to be advised.
const SPEEDUP_MIN: f64 = 1.5;

/// A statement to advise for, with its own values where they are known.
struct Subject {
    statement: Arc<Statement>,
    params: Option<Vec<Value>>,
}

impl DatabaseService {
    /// Advises indexes and measures their gain on a temporary copy of the table.
    ///
    /// Errors: 1001 naming `table` or `sql`; else as [`DatabaseService::execute_query`].
    pub async fn get_index_suggestions(
        &self,
        context: &CallContext,
        database: &str,
        request: IndexSuggestionsRequest,
    ) -> Result<IndexSuggestionsReply, DatabaseError> {
        context.check_deadline()?;
        let timeout_ms = query_timeout(request.timeout_ms)?;
        let rows_max = within(
            "sample_rows",
            request.sample_rows,
            SAMPLE_ROWS_DEFAULT,
            SAMPLE_ROWS_MIN,
            SAMPLE_ROWS_MAX,
        )?;
        let database = self.database(&context.caller.tenant, database).await?;
        let subjects = subjects(&database, request)?;
        let deadline = deadline(context, timeout_ms);
        let mut reply = IndexSuggestionsReply {
            suggestions: Vec::new(),
            no_advice: Vec::new(),
        };
        for subject in &subjects {
            self.advise(
                &database,
                subject,
                i64::from(rows_max),
                deadline,
                &mut reply,
            )
            .await?;
        }
        reply
            .suggestions
            .sort_by(|left, right| right.gain.speedup.total_cmp(&left.gain.speedup));
        // Two statements of a table may ask for the same index; the larger gain stands for both.
        let mut seen = std::collections::HashSet::new();
        reply
            .suggestions
            .retain(|suggestion| seen.insert(suggestion.ddl.clone()));
        Ok(reply)
    }

    async fn advise(
        &self,
        database: &Arc<Database>,
        subject: &Subject,
        rows_max: i64,
        deadline: Deadline,
        reply: &mut IndexSuggestionsReply,
    ) -> Result<(), DatabaseError> {
        let masked = mask(&subject.statement.text, database.engine());
        let Some(single) = subject.statement.ast.as_deref().and_then(single_table) else {
            let reason = "the statement does not read exactly one table";
            reply.no_advice.push(no_advice(
                NoAdviceCode::NotSingleTable,
                reason,
                None,
                &masked,
            ));
            return Ok(());
        };
        if single.candidates.is_empty() {
            let reason = "no comparison, order or group by bare columns that an index serves";
            let refusal = no_advice(NoAdviceCode::NoCandidate, reason, Some(&single), &masked);
            reply.no_advice.push(refusal);
            return Ok(());
        }
        let mut lease = database.pool.acquire(deadline).await?;
        let indexes = catalog::indexes(database, &mut lease, &single.table, deadline).await?;
        let (covered, open): (Vec<_>, Vec<_>) = single
            .candidates
            .iter()
            .partition(|candidate| covering(&indexes, candidate).is_some());
        for candidate in covered {
            reply
                .no_advice
                .push(existing(&indexes, candidate, &single, &masked));
        }
        if open.is_empty() {
            return Ok(());
        }
        let clock = Arc::clone(&self.settings.clock);
        let sample = Sample::copy(
            database,
            lease,
            clock,
            &single.table,
            &indexes,
            rows_max,
            deadline,
        )
        .await;
        let mut sample = match sample {
            Ok(sample) => sample,
            // No right to make temporary tables, a view in the place of a table …
            Err(DatabaseError::Query { message, .. }) => {
                let reason = format!("no copy to measure on could be made: {message}");
                let refusal =
                    no_advice(NoAdviceCode::NotMeasurable, &reason, Some(&single), &masked);
                reply.no_advice.push(refusal);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let case = Case {
            subject,
            single: &single,
            masked: &masked,
        };
        measure(&mut sample, &case, &open, reply).await
    }
}

struct Case<'a> {
    subject: &'a Subject,
    single: &'a SingleTable,
    masked: &'a str,
}

fn subjects(
    database: &Database,
    request: IndexSuggestionsRequest,
) -> Result<Vec<Subject>, DatabaseError> {
    match (request.table, request.sql) {
        (None, Some(sql)) => {
            let statement = database.statement(&sql)?;
            check_params(&request.params, statement.placeholders())?;
            Ok(vec![Subject {
                statement,
                params: Some(request.params),
            }])
        }
        (Some(table), None) => {
            if !request.params.is_empty() {
                return Err(Error::invalid("params", "belong to `sql`, not to `table`").into());
            }
            let of_table = |statement: &Arc<Statement>| {
                statement
                    .ast
                    .as_deref()
                    .and_then(single_table)
                    .is_some_and(|single| single.table.eq_ignore_ascii_case(&table))
            };
            Ok(database
                .slow
                .workload(usize::MAX)
                .into_iter()
                .filter(of_table)
                .take(WORKLOAD_MAX)
                .map(|statement| Subject {
                    statement,
                    params: None,
                })
                .collect())
        }
        _ => Err(Error::invalid("sql", "exactly one of `table` and `sql` must be given").into()),
    }
}

async fn measure(
    sample: &mut Sample<'_>,
    case: &Case<'_>,
    candidates: &[&Candidate],
    reply: &mut IndexSuggestionsReply,
) -> Result<(), DatabaseError> {
    let mut refuse = |code, reason: String| {
        reply
            .no_advice
            .push(no_advice(code, &reason, Some(case.single), case.masked));
        Ok(())
    };
    if sample.rows < ROWS_MIN {
        let reason = format!(
            "the table has {} rows; below {ROWS_MIN} it is read whole faster than by an index",
            sample.rows
        );
        return refuse(NoAdviceCode::TableTooSmall, reason);
    }
    let params = case.subject.params.as_deref();
    let on_copy = sample
        .rewrite(&case.subject.statement, case.single, params)
        .await?;
    let Some(on_copy) = on_copy else {
        return refuse(
            NoAdviceCode::NotMeasurable,
            "the statement cannot be run on a copy: no value is known for a placeholder".to_owned(),
        );
    };
    let before = sample.time(&on_copy).await?;
    for candidate in candidates {
        try_candidate(sample, case, &on_copy, before, candidate, reply).await?;
    }
    Ok(())
}

async fn try_candidate(
    sample: &mut Sample<'_>,
    case: &Case<'_>,
    on_copy: &OnCopy,
    before: Timing,
    candidate: &Candidate,
    reply: &mut IndexSuggestionsReply,
) -> Result<(), DatabaseError> {
    sample.create_index(&candidate.columns).await?;
    let after = sample.time(on_copy).await?;
    sample.drop_index().await?;
    let gain = gain(sample, before, after);
    let table = &case.single.table;
    if after.uses_advised && gain.speedup >= SPEEDUP_MIN {
        reply.suggestions.push(IndexSuggestion {
            table: table.clone(),
            columns: candidate.columns.clone(),
            ddl: sample.ddl(table, &candidate.columns),
            reason: candidate.reason.clone(),
            gain,
            statement: case.masked.to_owned(),
        });
        return Ok(());
    }
    let reason = if after.uses_advised {
        format!(
            "{}; measured, it is faster by a factor of {:.2}, less than {SPEEDUP_MIN}",
            candidate.reason, gain.speedup
        )
    } else {
        format!("{}; the engine does not use it", candidate.reason)
    };
    reply.no_advice.push(NoAdvice {
        code: NoAdviceCode::NoGain,
        reason,
        table: Some(table.clone()),
        columns: candidate.columns.clone(),
        gain: Some(gain),
        statement: case.masked.to_owned(),
    });
    Ok(())
}

fn gain(sample: &Sample<'_>, before: Timing, after: Timing) -> MeasuredGain {
    #[expect(
        clippy::cast_precision_loss,
        reason = "times in microseconds are small"
    )]
    let speedup = before.median_us as f64 / after.median_us as f64;
    MeasuredGain {
        before_us: before.median_us,
        after_us: after.median_us,
        speedup,
        rows_examined_before: before.examined,
        rows_examined_after: after.examined,
        sample_rows: sample.rows,
        whole_table: sample.whole,
    }
}

fn covering<'a>(indexes: &'a [Index], candidate: &Candidate) -> Option<&'a Index> {
    indexes
        .iter()
        .find(|index| index.covers(&candidate.columns))
}

fn existing(
    indexes: &[Index],
    candidate: &Candidate,
    single: &SingleTable,
    masked: &str,
) -> NoAdvice {
    let index = covering(indexes, candidate);
    let (name, has) = index.map_or(("", String::new()), |index| {
        (index.name.as_str(), index.columns.join(", "))
    });
    let reason = format!("the index {name} on ({has}) begins with these columns already");
    let mut refusal = no_advice(NoAdviceCode::ExistingIndex, &reason, Some(single), masked);
    refusal.columns.clone_from(&candidate.columns);
    refusal
}

fn no_advice(
    code: NoAdviceCode,
    reason: &str,
    single: Option<&SingleTable>,
    masked: &str,
) -> NoAdvice {
    NoAdvice {
        code,
        reason: reason.to_owned(),
        table: single.map(|single| single.table.clone()),
        columns: Vec::new(),
        gain: None,
        statement: masked.to_owned(),
    }
}
