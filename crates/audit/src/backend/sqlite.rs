//! The index on SQLite: `index.db`, with FTS5 trigrams for texts (which need no words, and so find Chinese as well).

pub(crate) mod check;
mod rows;
mod select;
mod statistics;
mod terms;
mod text;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use plinth_core::{Deadline, MetricSink, TenantId};
use plinth_store::{Engine, EngineLimits, EngineLocation, EngineOptions, Migration, StoreError};
use rusqlite::{Connection, ErrorCode};

use super::{
    AuditIndex, Hit, Hits, IndexCapabilities, IndexFault, PageQuery, Selection, StatisticsQuery,
};
use crate::error::AuditError;
use crate::log::sequencer::{from_sql, to_sql};
use crate::model::GetStatisticsReply;

/// The schema of `index.db`. `standalone` is 0 for outcomes that complete an intent; `text` repeats what a filter's
/// `text` looks into; `envelope` is the leaf. `record_terms` stores nothing: it shows what the text index holds.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "records",
        sql: "
        CREATE TABLE records (
            idx INTEGER PRIMARY KEY,
            id TEXT NOT NULL,
            tenant TEXT NOT NULL,
            time_ms INTEGER NOT NULL,
            recorded_ms INTEGER NOT NULL,
            operation TEXT NOT NULL,
            operator_id TEXT NOT NULL,
            operator_name TEXT,
            operator_roles TEXT NOT NULL,
            resource_type TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            result TEXT NOT NULL,
            severity TEXT NOT NULL,
            ip TEXT,
            user_agent TEXT,
            trace_id TEXT NOT NULL,
            source TEXT NOT NULL,
            phase TEXT NOT NULL,
            intent_id TEXT,
            principal TEXT NOT NULL,
            credential TEXT NOT NULL,
            standalone INTEGER NOT NULL,
            outcome_idx INTEGER,
            outcome_result TEXT,
            text TEXT,
            envelope BLOB NOT NULL
        ) STRICT;
        CREATE INDEX records_time ON records (tenant, time_ms);
        CREATE INDEX records_operation ON records (tenant, operation, time_ms);
        CREATE INDEX records_operator ON records (tenant, operator_id, time_ms);
        CREATE INDEX records_resource ON records (tenant, resource_type, resource_id, time_ms);
        CREATE INDEX records_trace ON records (tenant, trace_id);
        CREATE INDEX records_id ON records (id);
        CREATE INDEX records_outcome ON records (outcome_idx) WHERE outcome_idx IS NOT NULL;
        CREATE VIRTUAL TABLE record_text USING fts5(
            text, content = 'records', content_rowid = 'idx', tokenize = 'trigram', detail = 'none'
        );
        CREATE TABLE index_state (
            only INTEGER PRIMARY KEY CHECK (only = 0),
            indexed INTEGER NOT NULL
        ) STRICT;
        INSERT INTO index_state VALUES (0, 0);",
    },
    Migration {
        version: 2,
        name: "terms of the text index",
        sql: "CREATE VIRTUAL TABLE record_terms USING fts5vocab(record_text, instance);",
    },
];

/// After how many steps of SQLite's machine a query looks at its deadline.
const STEPS_PER_DEADLINE_CHECK: std::ffi::c_int = 20_000;

/// The index on SQLite.
#[derive(Clone, Debug)]
pub struct SqliteIndex {
    engine: Engine,
}

impl SqliteIndex {
    /// Opens the index. Blocks: call it at start. Errors: the engine's.
    pub fn open(
        location: EngineLocation,
        metrics: Arc<dyn MetricSink>,
    ) -> Result<Self, AuditError> {
        let engine = Engine::open(EngineOptions {
            name: "audit-index",
            location,
            migrations: MIGRATIONS,
            metrics,
            limits: EngineLimits::default(),
        })?;
        Ok(Self { engine })
    }

    /// Reads until a deadline.
    async fn read_until<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(&Connection) -> Result<T, AuditError> + Send + 'static,
    ) -> Result<T, AuditError> {
        self.engine
            .read(move |connection| {
                let _guard = DeadlineGuard::set(connection, deadline)?;
                work(connection).map_err(deadline_if_interrupted)
            })
            .await
    }
}

#[async_trait]
impl AuditIndex for SqliteIndex {
    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities { text_index: true }
    }

    async fn indexed(&self) -> Result<u64, AuditError> {
        self.engine.read(indexed).await
    }

    async fn apply(&self, first: u64, leaves: Vec<Bytes>) -> Result<(), AuditError> {
        self.engine
            .write(move |transaction| {
                let indexed = indexed(transaction)?;
                let Some(known) = indexed.checked_sub(first) else {
                    let message = format!("has {indexed} leaves and cannot take leaf {first}");
                    return Err(AuditError::tampered("index.db", message));
                };
                let end = first + leaves.len() as u64;
                let new = leaves.iter().zip(first..);
                for (envelope, index) in new.skip(usize::try_from(known).unwrap_or(usize::MAX)) {
                    rows::insert(transaction, index, envelope)?;
                }
                transaction
                    .prepare_cached("UPDATE index_state SET indexed = ?1")?
                    .execute([to_sql(end.max(indexed))])?;
                Ok(())
            })
            .await
    }

    async fn find(&self, query: PageQuery) -> Result<Hits, AuditError> {
        let deadline = query.selection.deadline;
        self.read_until(deadline, move |connection| select::find(connection, &query))
            .await
    }

    async fn count(&self, selection: Selection) -> Result<i64, AuditError> {
        self.read_until(selection.deadline, move |connection| {
            select::count(connection, &selection)
        })
        .await
    }

    async fn get(
        &self,
        tenant: &TenantId,
        id: &str,
        snapshot: u64,
    ) -> Result<Option<Hit>, AuditError> {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        self.engine
            .read(move |connection| select::get(connection, &tenant, &id, snapshot))
            .await
    }

    async fn statistics(&self, query: StatisticsQuery) -> Result<GetStatisticsReply, AuditError> {
        let deadline = query.selection.deadline;
        self.read_until(deadline, move |connection| {
            statistics::statistics(connection, &query)
        })
        .await
    }

    async fn compare(
        &self,
        first: u64,
        leaves: Vec<Bytes>,
    ) -> Result<Option<IndexFault>, AuditError> {
        self.engine
            .read(move |connection| check::compare(connection, first, &leaves))
            .await
    }

    async fn check_whole(&self, deadline: Deadline) -> Result<Option<IndexFault>, AuditError> {
        self.read_until(deadline, move |connection| {
            match check::count_rows(connection)? {
                None => terms::check(connection, deadline),
                fault => Ok(fault),
            }
        })
        .await
    }

    async fn close(&self) {
        self.engine.close().await;
    }
}

/// Number of leaves that the index has taken.
pub(crate) fn indexed(connection: &Connection) -> Result<u64, AuditError> {
    let indexed: i64 = connection
        .prepare_cached("SELECT indexed FROM index_state")?
        .query_row([], |row| row.get(0))?;
    from_sql(indexed)
}

/// Has SQLite give up a statement once a deadline has passed, for as long as it lives.
struct DeadlineGuard<'c>(&'c Connection);

impl<'c> DeadlineGuard<'c> {
    fn set(connection: &'c Connection, deadline: Deadline) -> Result<Self, AuditError> {
        let passed = move || deadline.remaining().is_zero();
        connection.progress_handler(STEPS_PER_DEADLINE_CHECK, Some(passed))?;
        Ok(Self(connection))
    }
}

impl Drop for DeadlineGuard<'_> {
    fn drop(&mut self) {
        // The connection is owned, which is the one thing that can be refused here.
        let _cannot_fail = self.0.progress_handler(0, None::<fn() -> bool>);
    }
}

fn deadline_if_interrupted(error: AuditError) -> AuditError {
    match error {
        AuditError::Store(StoreError::Sqlite(cause))
            if cause.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
        {
            AuditError::Deadline
        }
        other => other,
    }
}
