//! The use cases. They know no transport and no product.

mod analyze;
mod definitions;
mod query;
mod read;
mod suggest;
mod transaction;

pub(crate) use analyze::{quoted_column, quoted_name};

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plinth_core::{CallContext, Deadline, MetricSink, SharedClock, TenantId};
use plinth_store::{DefinitionKind, Definitions};

use crate::error::DatabaseError;
use crate::model::{
    DatabaseDefinition, DatabaseName, SlowQueriesReply, SlowQueriesRequest, SlowQueryOrder,
};
use crate::running::{Database, Stored};
use crate::slow::SlowLog;

/// How long a definition is used without looking at the control plane again, in milliseconds: a change made through
/// another instance is seen that fast.
const DEFINITION_FRESH_MS: u64 = plinth_store::definitions::DEFINITIONS_SEEN_MS_MAX;
/// How long the statements of a replaced pool may take to end, in milliseconds.
const REPLACED_DRAIN_MS: u64 = 30_000;
/// How long statements may take to end when the process stops, in milliseconds.
const CLOSE_DRAIN_MS: u64 = 5_000;

/// Bytes that a SQLite file may grow to where the settings name no number.
pub const SQLITE_FILE_BYTES_DEFAULT: u64 = 10 * 1024 * 1024 * 1024;
/// Least bytes that a SQLite file may be limited to.
pub const SQLITE_FILE_BYTES_MIN: u64 = 1024 * 1024;

/// What the service is made of.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// The directory below which SQLite files lie, one directory for each tenant.
    pub sqlite_directory: PathBuf,
    /// Most bytes that one of these files may grow to; at least [`SQLITE_FILE_BYTES_MIN`].
    pub sqlite_file_bytes_max: u64,
    /// Where definitions are kept.
    pub definitions: Arc<dyn Definitions>,
    /// Time.
    pub clock: SharedClock,
    /// Where own numbers go.
    pub metrics: Arc<dyn MetricSink>,
}

type Key = (TenantId, String);

/// The database service.
pub struct DatabaseService {
    settings: DatabaseSettings,
    running: Mutex<HashMap<Key, Arc<Database>>>,
}

impl DatabaseService {
    /// A service without open databases: each is opened when it is first used.
    #[must_use]
    pub fn new(settings: DatabaseSettings) -> Self {
        Self {
            settings,
            running: Mutex::new(HashMap::new()),
        }
    }

    /// Finds a registered database and makes it ready. Errors: 1004 where the tenant has none of this name.
    async fn database(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Arc<Database>, DatabaseError> {
        let name = DatabaseName::parse(name)?;
        let key = (tenant.clone(), name.as_str().to_owned());
        let known = self.running.lock().get(&key).cloned();
        if let Some(known) = &known
            && !known.is_stale(DEFINITION_FRESH_MS)
        {
            return Ok(Arc::clone(known));
        }
        let found = self
            .settings
            .definitions
            .get(DefinitionKind::Database, tenant, name.as_str())
            .await;
        match (found, known) {
            (Ok(Some(found)), Some(known)) if Stored::from(&found) == known.stored => {
                known.mark_fresh();
                Ok(known)
            }
            (Ok(Some(found)), known) => {
                let definition: DatabaseDefinition = serde_json::from_value(found.document.clone())
                    .map_err(plinth_core::Error::internal)?;
                let slow = known.map_or_else(Arc::default, |known| Arc::clone(&known.slow));
                self.install(key, definition, Stored::from(&found), slow)
            }
            (Ok(None), known) => {
                if let Some(known) = known {
                    self.retire(&key, &known);
                }
                Err(DatabaseError::Unknown(name.as_str().to_owned()))
            }
            // A control plane that is away stops no database that is known.
            (Err(_away), Some(known)) => Ok(known),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Puts a definition to work in place of an older one. Callers that read the control plane at the same time may come in
    /// any order, so one that comes late with an older version gets the newer.
    fn install(
        &self,
        key: Key,
        definition: DatabaseDefinition,
        stored: Stored,
        slow: Arc<SlowLog>,
    ) -> Result<Arc<Database>, DatabaseError> {
        let fresh = Arc::new(Database::new(
            &key.0,
            &key.1,
            definition,
            stored,
            slow,
            &self.settings,
        )?);
        let mut running = self.running.lock();
        if let Some(other) = running.get(&key)
            && !stored.replaces(other.stored)
        {
            return Ok(Arc::clone(other));
        }
        let replaced = running.insert(key, Arc::clone(&fresh));
        drop(running);
        if let Some(replaced) = replaced {
            drain_beside(replaced);
        }
        Ok(fresh)
    }

    /// Takes a database out of work, unless another was put in its place meanwhile; its statements end beside us.
    fn retire(&self, key: &Key, known: &Arc<Database>) {
        let mut running = self.running.lock();
        let same = running
            .get(key)
            .is_some_and(|running| Arc::ptr_eq(running, known));
        let retired = if same { running.remove(key) } else { None };
        drop(running);
        if let Some(retired) = retired {
            drain_beside(retired);
        }
    }

    /// Whether a statement may write, so that it is audited. Where the database is not at work yet its engine is not
    /// known; the statement then only reads if no engine's grammar contradicts.
    #[must_use]
    pub fn writes(&self, tenant: &TenantId, database: &str, sql: &str) -> bool {
        let key = (tenant.clone(), database.to_owned());
        let known = self.running.lock().get(&key).cloned();
        match known {
            // What is not one statement is refused, so it writes nothing.
            Some(known) => known
                .statement(sql)
                .is_ok_and(|statement| statement.access != crate::sql::Access::Read),
            None => crate::sql::writes_on_any_engine(sql),
        }
    }

    /// Lists what was run, by time.
    pub async fn get_slow_queries(
        &self,
        context: &CallContext,
        database: &str,
        request: SlowQueriesRequest,
    ) -> Result<SlowQueriesReply, DatabaseError> {
        let order = SlowQueryOrder::parse(request.order_by.as_deref())?;
        let limit = plinth_core::PageLimit::parse(request.limit)?;
        let database = self.database(&context.caller.tenant, database).await?;
        let limit = usize::try_from(limit.get()).unwrap_or(1);
        let include_fast = request.include_fast.unwrap_or(false);
        let (queries, evicted) = database.slow.list(order, limit, include_fast);
        Ok(SlowQueriesReply {
            queries,
            threshold_ms: database.definition.slow_query_threshold_ms,
            evicted,
        })
    }

    /// Lets running statements end for a while, stops the rest and closes every connection.
    pub async fn close(&self) {
        let all: Vec<Arc<Database>> = {
            let mut running = self.running.lock();
            running.drain().map(|(_, database)| database).collect()
        };
        let drain = Duration::from_millis(CLOSE_DRAIN_MS);
        futures::future::join_all(all.iter().map(|database| database.pool.close(drain))).await;
    }
}

fn drain_beside(database: Arc<Database>) {
    tokio::spawn(async move {
        let drain = Duration::from_millis(REPLACED_DRAIN_MS);
        database.pool.close(drain).await;
    });
}

/// The earlier of the call's deadline and the caller's own limit.
fn deadline(context: &CallContext, timeout_ms: Option<u64>) -> Deadline {
    timeout_ms.map_or(context.deadline, |timeout_ms| {
        Deadline::after_ms(timeout_ms).min(context.deadline)
    })
}

/// Microseconds since an earlier reading of the monotonic clock.
fn elapsed_us(clock: &SharedClock, began_ns: u64) -> i64 {
    let elapsed = clock.monotonic_ns().saturating_sub(began_ns) / 1_000;
    i64::try_from(elapsed).unwrap_or(i64::MAX)
}
